//! How far the final rows of one topic and of different ones are apart.

use agentos_hal::{LayerRange, Reg, Tap};

use super::{CalibrateError, Subject};
use crate::calibration::texts::{Form, documents};

/// Distances of pooled final rows.
pub struct Drift {
    /// Within a topic, on average.
    pub same: f32,
    /// Between topics.
    pub different: f32,
    /// How surely the distance tells which.
    pub auc: f32,
}

/// The part of the pooled row that each row replaces.
const FRESH: f32 = 1.0 / 16.0;

/// Pools the final rows of both halves of each document, each half by itself, so that the last rows count most, and
/// takes the distances of halves.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn measure(subject: &mut Subject<'_, '_>, sinks: u32) -> Result<Drift, CalibrateError> {
    let mut pooled: Vec<[Vec<f32>; 2]> = Vec::new();
    for document in documents() {
        let half = document.len() / 2;
        let of = |subject: &mut Subject<'_, '_>, part: &[&str]| pool(subject, &Form::Flat.of(part), sinks);
        pooled.push([of(subject, &document[..half])?, of(subject, &document[half..])?]);
    }
    let (mut same, mut different) = (Vec::new(), Vec::new());
    for (index, [first, _]) in pooled.iter().enumerate() {
        for (other, [_, second]) in pooled.iter().enumerate() {
            let distances = if index == other { &mut same } else { &mut different };
            distances.push(distance(first, second));
        }
    }
    let mean = |all: &[f32]| all.iter().sum::<f32>() / all.len().max(1) as f32;
    Ok(Drift { same: mean(&same), different: mean(&different), auc: auc(&same, &different) })
}

/// The pooled final row of a text.
fn pool(subject: &mut Subject<'_, '_>, text: &str, sinks: u32) -> Result<Vec<f32>, CalibrateError> {
    let tokens = subject.encode(text)?;
    subject.reset();
    let mut pooled = vec![0.0f32; subject.shape.width as usize];
    let (mut rows, mut weight) = (0, 0.0f32);
    let mut show = |row: &[f32]| {
        rows += 1;
        if rows > sinks {
            pooled.iter_mut().zip(row).for_each(|(sum, x)| *sum += FRESH * (x - *sum));
            weight += FRESH * (1.0 - weight);
        }
    };
    subject.compute(&tokens, &[Tap::Final(Reg::Normed)], LayerRange::NONE, &mut show)?;
    // What the rows have not replaced yet is the zeros of the beginning.
    pooled.iter_mut().for_each(|x| *x /= weight.max(f32::MIN_POSITIVE));
    Ok(pooled)
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

/// The part of all pairs of one of each in which the different ones are farther apart.
fn auc(same: &[f32], different: &[f32]) -> f32 {
    let pairs = same.iter().flat_map(|same| different.iter().map(move |different| (same, different)));
    let right: f32 = pairs.map(|(same, different)| if different > same { 1.0 } else { 0.0 }).sum();
    right / (same.len() * different.len()).max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_counts_pairs() {
        assert_eq!(auc(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(auc(&[1.0, 3.0], &[2.0, 4.0]), 0.75);
        assert_eq!(auc(&[], &[1.0]), 0.0);
        assert_eq!(distance(&[0.0, 3.0], &[4.0, 0.0]), 5.0);
    }
}
