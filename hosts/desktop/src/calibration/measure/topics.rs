//! The layer and the thresholds that tell topics apart, on documents that are joined.

use std::ops::Range;

use agentos_kernel::slicing::ends::End;
use agentos_kernel::slicing::shift::rows::RowShift;
use agentos_kernel::slicing::simhash::SimHash;

use super::fit::{Fit, Judged, fit};
use super::{CalibrateError, Subject};
use crate::calibration::Calibration;
use crate::calibration::texts::{Document, Form, documents};
use crate::slicing::policy::WINDOW;
use crate::slicing::runner::{Reader, Wanted, slices_of};
use crate::slicing::{Policy, slice};
use crate::text::{Special, TokenizerError};

/// Documents that were joined.
pub struct Joined {
    /// The tokens of all.
    pub tokens: Vec<u32>,
    /// Where each but the first begins.
    pub known: Vec<u32>,
}

impl Joined {
    /// Joins documents in a form.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`](crate::text::Tokenizer::encode).
    pub fn new<'d>(
        form: Form,
        documents: impl Iterator<Item = &'d Document<'d>>,
        tokenizer: &crate::text::Tokenizer,
    ) -> Result<Joined, TokenizerError> {
        let mut tokens: Vec<u32> = tokenizer.leading_bos().into_iter().collect();
        let mut known = Vec::new();
        for (index, part) in form.parts(documents).iter().enumerate() {
            known.extend((index > 0).then_some(tokens.len() as u32));
            tokens.extend(tokenizer.encode(part, Special::AsText)?);
        }
        Ok(Joined { tokens, known })
    }
}

/// What hidden rows tell.
pub struct Hidden {
    /// The layer that tells best.
    pub layer: u32,
    /// With which threshold.
    pub fit: Fit,
    /// The mean row of that layer.
    pub centre: Vec<f32>,
    /// The most bits in which hashes of the same slice differ that those of different slices hardly ever come near.
    pub duplicate_bits: u32,
}

/// Steps by which documents are taken in turn: two orders in which each has other neighbours.
const STRIDES: [usize; 2] = [1, 5];

/// Which layer's hidden rows tell topics apart best, and from which change on.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn hidden(subject: &mut Subject<'_, '_>, calibration: &Calibration) -> Result<Hidden, CalibrateError> {
    let documents = documents();
    let layers: Vec<u32> = with_rows(subject.shape.layers).collect();
    let width = subject.shape.width as usize;
    let mut judged: Vec<Vec<Judged>> = vec![Vec::new(); layers.len()];
    let mut sums = vec![vec![0.0f64; width]; layers.len()];
    let mut flat: Vec<Slices> = Vec::new();
    let mut rows = 0u32;
    for form in Form::ALL {
        for stride in STRIDES {
            let order = (0..documents.len()).map(|n| &documents[n * stride % documents.len()]);
            let joined = Joined::new(form, order, subject.tokenizer)?;
            let (ends, sealed) = slices_of(&joined.tokens, subject.delimiters);
            let mut rings = vec![vec![0.0; RowShift::ring_len(WINDOW, width)]; layers.len()];
            let shifts =
                rings.iter_mut().map(|ring| RowShift::new(ring, width, WINDOW, calibration.sink_tokens));
            let mut reader = LayerReader {
                width,
                shifts: shifts.collect(),
                sealed: &sealed,
                ends: &ends,
                tokens: 0,
                scored: vec![Judged::default(); layers.len()],
                slice: vec![0.0; width * layers.len()],
                slices: Vec::new(),
            };
            let wanted = Wanted { hidden: layers.clone(), ..Wanted::default() };
            subject.runner.read(&joined.tokens, &ends, &wanted, &mut reader)?;
            reader.finish();
            let LayerReader { scored, slices, .. } = reader;
            for (all, one) in judged.iter_mut().zip(scored) {
                all.push(Judged { known: joined.known.clone(), ..one });
            }
            for (from, rows_of) in starts(&ends).zip(&slices) {
                // The first slice has the sinks.
                if from > 0 {
                    for (sum, row) in sums.iter_mut().zip(rows_of.chunks_exact(width)) {
                        sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
                    }
                    rows += 1;
                }
            }
            if form == Form::Flat {
                flat.push(Slices { tokens: joined.tokens, ends, rows: slices });
            }
        }
    }
    let fits: Vec<Fit> = judged.iter().map(|texts| fit(texts)).collect();
    let best = (0..fits.len()).reduce(|best, next| if fits[next].f1 > fits[best].f1 { next } else { best });
    let best = best.unwrap_or(0);
    let centre: Vec<f32> = sums[best].iter().map(|sum| (sum / f64::from(rows.max(1))) as f32).collect();
    let duplicate_bits = duplicate_bits(&flat, best * width..(best + 1) * width, &centre);
    Ok(Hidden { layer: layers[best], fit: fits[best], centre, duplicate_bits })
}

/// Which layer's density tells topics apart best, and from which rise on.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn density(
    subject: &mut Subject<'_, '_>,
    calibration: &Calibration,
) -> Result<(u32, Fit), CalibrateError> {
    let mut best: Option<(u32, Fit)> = None;
    for layer in with_density(subject.shape.layers) {
        let calibration = Calibration { density_layer: layer, ..calibration.clone() };
        let found = fit(&judge(subject, Policy::DensitySmoothed, &calibration)?);
        if best.is_none_or(|(_, best)| found.f1 > best.f1) {
            best = Some((layer, found));
        }
    }
    Ok(best.unwrap_or((calibration.density_layer, Fit::default())))
}

/// From which part of attention on that goes to what is new a topic ends.
///
/// # Errors
/// Any [`CalibrateError`].
pub fn attention(subject: &mut Subject<'_, '_>, calibration: &Calibration) -> Result<Fit, CalibrateError> {
    Ok(fit(&judge(subject, Policy::Attention, calibration)?))
}

/// What a policy scores in a short text of each form.
fn judge(
    subject: &mut Subject<'_, '_>,
    policy: Policy,
    calibration: &Calibration,
) -> Result<Vec<Judged>, CalibrateError> {
    let documents = documents();
    let halves = documents.split_at(documents.len() / 2);
    let mut judged = Vec::new();
    for (form, half) in Form::ALL.into_iter().zip([halves.0, halves.1]) {
        let joined = Joined::new(form, half.iter(), subject.tokenizer)?;
        let text = (&joined.tokens[..], subject.delimiters);
        let layers = subject.shape.layers;
        let sliced = slice(&mut subject.runner, text, policy, (calibration, layers), false)?;
        judged.push(Judged { scored: sliced.scored, known: joined.known });
    }
    Ok(judged)
}

/// The layers whose rows may tell topics apart: from three tenths of the way to the last but one, whose rows are
/// almost the next token.
fn with_rows(layers: u32) -> Range<u32> {
    let first = layers * 3 / 10;
    first..(layers.saturating_sub(1)).max(first + 1)
}

/// The layers whose density may: every other one from a half to eight tenths of the way.
fn with_density(layers: u32) -> impl Iterator<Item = u32> {
    (layers / 2..(layers * 8 / 10).max(layers / 2 + 1)).step_by(2)
}

fn starts(ends: &[u32]) -> impl Iterator<Item = u32> {
    std::iter::once(0).chain(ends.iter().copied())
}

/// Scores ends by the rows of several layers at once, and pools the rows of slices.
struct LayerReader<'a> {
    width: usize,
    shifts: Vec<RowShift<'a>>,
    sealed: &'a [End],
    ends: &'a [u32],
    tokens: u32,
    scored: Vec<Judged>,
    /// The sum of the rows of the slice under way.
    slice: Vec<f32>,
    /// The mean rows of each slice.
    slices: Vec<Vec<f32>>,
}

impl Reader for LayerReader<'_> {
    fn token(&mut self, hidden: &[f32], _: f32) {
        self.tokens += 1;
        let end = self.sealed.first().copied().filter(|end| end.at == self.tokens);
        if end.is_some() {
            self.sealed = &self.sealed[1..];
        }
        let rows = hidden.chunks_exact(self.width);
        for ((shift, row), judged) in self.shifts.iter_mut().zip(rows).zip(&mut self.scored) {
            judged.scored.extend(shift.push(row, end));
        }
        self.slice.iter_mut().zip(hidden).for_each(|(sum, &x)| *sum += x);
        let from = self.slices.len().checked_sub(1).map_or(0, |before| self.ends[before]);
        if self.ends.get(self.slices.len()) == Some(&self.tokens) {
            let scale = 1.0 / (self.tokens - from) as f32;
            self.slices.push(self.slice.iter().map(|sum| sum * scale).collect());
            self.slice.fill(0.0);
        }
    }
}

impl LayerReader<'_> {
    fn finish(&mut self) {
        for (shift, judged) in self.shifts.iter_mut().zip(&mut self.scored) {
            judged.scored.extend(std::iter::from_fn(|| shift.finish()));
        }
    }
}

/// The slices of a text with the mean rows of all layers.
struct Slices {
    tokens: Vec<u32>,
    ends: Vec<u32>,
    rows: Vec<Vec<f32>>,
}

/// One pair of different slices in so many may be taken for near-duplicates.
const RARE: usize = 1000;

/// The most bits in which the hashes of different slices hardly ever differ so little.
fn duplicate_bits(texts: &[Slices], layer: Range<usize>, centre: &[f32]) -> u32 {
    let mut hashes: Vec<(&[u32], SimHash)> = Vec::new();
    for text in texts {
        for ((from, to), rows) in starts(&text.ends).zip(text.ends.iter().copied()).zip(&text.rows).skip(1) {
            let tokens = &text.tokens[from as usize..to as usize];
            hashes.push((tokens, SimHash::of(&rows[layer.clone()], centre)));
        }
    }
    let mut apart = [0usize; 65];
    let mut pairs = 0;
    for (index, (tokens, hash)) in hashes.iter().enumerate() {
        for (_, other) in hashes[..index].iter().filter(|(other, _)| other != tokens) {
            apart[hash.distance(*other) as usize] += 1;
            pairs += 1;
        }
    }
    let mut near = 0;
    let bits = (0..65).take_while(|&bits| {
        near += apart[bits];
        near * RARE <= pairs
    });
    bits.last().unwrap_or(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_are_those_of_the_model() {
        assert_eq!((with_rows(30), with_rows(2), with_rows(1)), (9..29, 0..1, 0..1));
        assert_eq!(with_density(30).collect::<Vec<_>>(), [15, 17, 19, 21, 23]);
        assert_eq!(with_density(1).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn different_slices_bound_the_bits_of_near_duplicates() {
        let row = |seed: u64| (0..64).map(|n| agentos_kernel::random::unit(seed, n) as f32 - 0.5).collect();
        let text = |tokens: &[u32], seeds: &[u64]| Slices {
            tokens: tokens.to_vec(),
            ends: (1..=seeds.len() as u32).collect(),
            rows: seeds.iter().map(|&seed| row(seed)).collect(),
        };
        // The same slice in two texts is no pair of different ones; unrelated rows differ in about half of the bits.
        let bits =
            duplicate_bits(&[text(&[9, 1, 2], &[0, 1, 2]), text(&[9, 2, 1], &[0, 2, 1])], 0..64, &[0.0; 64]);
        assert!((10..40).contains(&bits), "{bits}");
    }
}
