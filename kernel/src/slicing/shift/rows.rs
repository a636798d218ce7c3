//! The change of direction of hidden rows.

use super::{Waiting, check_window, enough};
use crate::slicing::Scored;
use crate::slicing::ends::End;

/// Scores each end by 1 − the cosine between the mean row of the window before it and that of the window after, from
/// 0 to 2. Rows are taken as they are: what they have in common keeps small changes small.
///
/// The first rows of a context, its sinks, are like each other and like nothing else. They are left out.
#[derive(Debug)]
pub struct RowShift<'m> {
    /// The last `2 · window` rows; the row of address a at a mod that.
    ring: &'m mut [f32],
    width: usize,
    window: u32,
    sinks: u32,
    seen: u32,
    waiting: Waiting,
}

impl<'m> RowShift<'m> {
    /// Numbers that a ring for this window has to have.
    pub const fn ring_len(window: u32, width: usize) -> usize {
        2 * window as usize * width
    }

    /// Windows of `window` rows, each of `width` numbers, of a context whose first `sinks` rows do not count.
    ///
    /// # Panics
    /// When the window is shorter than 4 or longer than [`MOST_WINDOW`](super::MOST_WINDOW), or the ring is not of [`RowShift::ring_len`].
    pub fn new(ring: &'m mut [f32], width: usize, window: u32, sinks: u32) -> RowShift<'m> {
        check_window(window);
        assert_eq!(ring.len(), RowShift::ring_len(window, width), "the ring holds two windows");
        RowShift { ring, width, window, sinks, seen: 0, waiting: Waiting::default() }
    }

    /// Takes the row of the next token, and the end that was told with it. The score of an earlier end, whose
    /// window after it is full now.
    ///
    /// # Panics
    /// When the row has another width.
    pub fn push(&mut self, row: &[f32], end: Option<End>) -> Option<Scored> {
        let place = self.place(self.seen);
        self.ring[place..place + self.width].copy_from_slice(row);
        self.seen += 1;
        if let Some(end) = end {
            self.waiting.add(end, self.seen);
        }
        let end = self.waiting.ripe(self.seen, self.window)?;
        Some(self.score(end))
    }

    /// The next of the ends whose window after them will not be full; `None` when there is none left.
    pub fn finish(&mut self) -> Option<Scored> {
        let end = self.waiting.rest(self.seen)?;
        Some(self.score(end))
    }

    fn score(&self, end: End) -> Scored {
        let first = end.at.saturating_sub(self.window).max(self.sinks).min(end.at);
        let last = (end.at + self.window).min(self.seen);
        let enough = (end.at - first).min(last - end.at) >= enough(self.window);
        let score = if enough { self.change(first, end.at, last) } else { 0.0 };
        Scored { end, score }
    }

    /// 1 − the cosine between the means of two runs of rows.
    fn change(&self, first: u32, middle: u32, last: u32) -> f32 {
        let (mut dot, mut before_square, mut after_square) = (0f64, 0f64, 0f64);
        for dim in 0..self.width {
            let before = self.sum(first, middle, dim);
            let after = self.sum(middle, last, dim);
            dot += before * after;
            before_square += before * before;
            after_square += after * after;
        }
        let lengths = libm::sqrt(before_square * after_square);
        if lengths > 0.0 { (1.0 - dot / lengths).clamp(0.0, 2.0) as f32 } else { 0.0 }
    }

    fn sum(&self, from: u32, to: u32, dim: usize) -> f64 {
        (from..to).map(|address| f64::from(self.ring[self.place(address) + dim])).sum()
    }

    fn place(&self, address: u32) -> usize {
        (address % (2 * self.window)) as usize * self.width
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use crate::random::unit;
    use crate::slicing::ends::Structure;

    fn scores(rows: &[[f32; 2]], ends: &[u32], window: u32, late: u32) -> Vec<Scored> {
        let mut ring = std::vec![7.0; RowShift::ring_len(window, 2)];
        let mut shift = RowShift::new(&mut ring, 2, window, 1);
        let mut found = Vec::new();
        for (seen, row) in (1u32..).zip(rows) {
            let told = ends.iter().find(|&&at| at + late == seen);
            let end = told.map(|&at| End { at, structure: Structure::Sentence });
            found.extend(shift.push(row, end));
        }
        found.extend(core::iter::from_fn(|| shift.finish()));
        found
    }

    /// What the scores are, from all rows at once.
    fn by_hand(rows: &[[f32; 2]], at: usize, window: usize) -> f64 {
        let (first, last) = (at.saturating_sub(window).max(1).min(at), (at + window).min(rows.len()));
        if (at - first).min(last - at) < window.div_ceil(2) {
            return 0.0;
        }
        let mean = |rows: &[[f32; 2]]| {
            let sum =
                |dim: usize| rows.iter().map(|row| f64::from(row[dim])).sum::<f64>() / rows.len() as f64;
            [sum(0), sum(1)]
        };
        let (a, b) = (mean(&rows[first..at]), mean(&rows[at..last]));
        1.0 - (a[0] * b[0] + a[1] * b[1]) / (a[0].hypot(a[1]) * b[0].hypot(b[1]))
    }

    #[test]
    fn a_turn_is_scored_by_its_angle() {
        let rows: Vec<[f32; 2]> = (0..64).map(|n| if n < 32 { [1.0, 0.0] } else { [0.0, 3.0] }).collect();
        let found = scores(&rows, &[16, 32, 48], 8, 0);
        let found: Vec<(u32, f32)> = found.iter().map(|scored| (scored.end.at, scored.score)).collect();
        assert_eq!(found, [(16, 0.0), (32, 1.0), (48, 0.0)]);
    }

    #[test]
    fn rows_without_direction_change_nothing() {
        assert_eq!(scores(&[[0.0; 2]; 32], &[16], 8, 0)[0].score, 0.0);
    }

    proptest! {
        #[test]
        fn a_stream_scores_as_all_rows_at_once(len in 4u32..200, window in 4u32..40, seed in 0u64..100, late in 0u32..=2) {
            let number = |n: u32, dim: u64| unit(seed, u64::from(n) * 2 + dim) as f32 - 0.4;
            let rows: Vec<[f32; 2]> = (0..len).map(|n| [number(n, 0), number(n, 1)]).collect();
            let ends: Vec<u32> = (8..len.saturating_sub(late)).step_by(8).collect();
            let found = scores(&rows, &ends, window, late);
            prop_assert_eq!(found.iter().map(|scored| scored.end.at).collect::<Vec<_>>(), ends);
            for scored in found {
                let expected = by_hand(&rows, scored.end.at as usize, window as usize);
                prop_assert!((f64::from(scored.score) - expected).abs() < 1e-5, "{scored:?}, not {expected}");
            }
        }
    }
}
