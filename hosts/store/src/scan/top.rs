//! The best of many.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Hit;

/// Keeps the best hits that it is shown.
pub struct Top {
    most: usize,
    /// The worst is on top.
    kept: BinaryHeap<Worst>,
}

struct Worst(Hit);

impl Top {
    /// One that keeps so many.
    pub fn new(most: usize) -> Top {
        // Whoever asks for all of many rows gets them; that is no reason to reserve for them now.
        Top { most, kept: BinaryHeap::with_capacity(most.min(1024)) }
    }

    /// Shows it a row.
    #[inline]
    pub fn show(&mut self, row: u32, score: f32) {
        let score = if score.is_nan() { f32::NEG_INFINITY } else { score };
        let hit = Worst(Hit { row, score });
        if self.kept.len() < self.most {
            self.kept.push(hit);
        } else if let Some(mut worst) = self.kept.peek_mut()
            && hit < *worst
        {
            *worst = hit;
        }
    }

    /// Those that it kept, the best first.
    pub fn sorted(self) -> Vec<Hit> {
        self.kept.into_sorted_vec().into_iter().map(|Worst(hit)| hit).collect()
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Worst) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.row.cmp(&other.0.row))
    }
}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Worst) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Worst {
    fn eq(&self, other: &Worst) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Worst {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_are_kept_in_order(scores in proptest::collection::vec(-9..9i32, 0..60), most in 0..70usize) {
            let mut top = Top::new(most);
            scores.iter().enumerate().for_each(|(row, score)| top.show(row as u32, *score as f32));
            let mut all: Vec<_> = scores.iter().enumerate().collect();
            all.sort_by_key(|(row, score)| (-**score, *row));
            all.truncate(most);
            let found: Vec<_> = top.sorted().iter().map(|hit| (hit.row as usize, hit.score as i32)).collect();
            prop_assert_eq!(found, all.into_iter().map(|(row, score)| (row, *score)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_number_comes_last() {
        let mut top = Top::new(2);
        [f32::NAN, 1.0, f32::NEG_INFINITY, 2.0]
            .into_iter()
            .zip(0..)
            .for_each(|(score, row)| top.show(row, score));
        assert_eq!(top.sorted().iter().map(|hit| hit.row).collect::<Vec<_>>(), [3, 1]);
    }
}
