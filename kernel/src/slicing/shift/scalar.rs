//! The change of a number: the density, smoothed.

use super::{MOST_WINDOW, Waiting, check_window, enough};
use crate::slicing::Scored;
use crate::slicing::ends::End;

/// Scores each end by the mean of a number over the window after it, minus that over the window before it.
#[derive(Debug)]
pub struct ScalarShift {
    ring: [f32; 2 * MOST_WINDOW],
    window: u32,
    seen: u32,
    waiting: Waiting,
}

impl ScalarShift {
    /// Windows of so many tokens.
    ///
    /// # Panics
    /// When the window is shorter than 4 or longer than [`MOST_WINDOW`].
    pub fn new(window: u32) -> ScalarShift {
        check_window(window);
        ScalarShift { ring: [0.0; 2 * MOST_WINDOW], window, seen: 0, waiting: Waiting::default() }
    }

    /// Takes the number of the next token, and the end that was told with it. The score of an earlier end, whose
    /// window after it is full now.
    pub fn push(&mut self, number: f32, end: Option<End>) -> Option<Scored> {
        self.ring[self.place(self.seen)] = number;
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
        let first = end.at.saturating_sub(self.window);
        let last = (end.at + self.window).min(self.seen);
        let enough = (end.at - first).min(last - end.at) >= enough(self.window);
        let change = || self.mean(end.at, last) - self.mean(first, end.at);
        Scored { end, score: if enough { change() as f32 } else { 0.0 } }
    }

    fn mean(&self, from: u32, to: u32) -> f64 {
        let sum: f64 = (from..to).map(|address| f64::from(self.ring[self.place(address)])).sum();
        sum / f64::from(to - from)
    }

    fn place(&self, address: u32) -> usize {
        (address % (2 * self.window)) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use crate::random::unit;
    use crate::slicing::ends::Structure;

    fn scores(numbers: &[f32], ends: &[u32], window: u32) -> Vec<(u32, f32)> {
        let mut shift = ScalarShift::new(window);
        let mut found = Vec::new();
        for (seen, &number) in (1u32..).zip(numbers) {
            let end = ends.contains(&seen).then_some(End { at: seen, structure: Structure::Sentence });
            found.extend(shift.push(number, end));
        }
        found.extend(core::iter::from_fn(|| shift.finish()));
        found.iter().map(|scored| (scored.end.at, scored.score)).collect()
    }

    #[test]
    fn a_step_is_scored_by_its_height() {
        let numbers: Vec<f32> = (0..64).map(|n| if n < 32 { 0.25 } else { 0.75 }).collect();
        assert_eq!(scores(&numbers, &[16, 32, 36, 60], 8), [(16, 0.0), (32, 0.5), (36, 0.25), (60, 0.0)]);
    }

    proptest! {
        #[test]
        fn a_stream_scores_as_all_numbers_at_once(len in 8u32..300, window in 4u32..64, seed in 0u64..100) {
            let numbers: Vec<f32> = (0..len).map(|n| unit(seed, n.into()) as f32).collect();
            let ends: Vec<u32> = (8..len).step_by(9).collect();
            for (at, score) in scores(&numbers, &ends, window) {
                let (first, last) = (at.saturating_sub(window), (at + window).min(len));
                let mean = |from: u32, to: u32| {
                    let part = &numbers[from as usize..to as usize];
                    part.iter().map(|&x| f64::from(x)).sum::<f64>() / part.len() as f64
                };
                let enough = (at - first).min(last - at) >= window.div_ceil(2);
                let expected = if enough { mean(at, last) - mean(first, at) } else { 0.0 };
                prop_assert!((f64::from(score) - expected).abs() < 1e-6);
            }
        }
    }
}
