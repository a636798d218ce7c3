//! How much the tokens after an end look back over it.

use agentos_hal::Mass;
use heapless::Deque;

use super::{MOST_WAITING, check_window, enough};
use crate::slicing::Scored;
use crate::slicing::ends::End;

/// Scores each end by the share of attention that the slices after it do not pay to what is before it, from 0 to 1.
/// The first slice is left out: the context's sink is in it, to which attention goes that nothing else wants.
///
/// Goes by whole slices, since devices count the mass that a slice receives: the window after an end is that of the
/// slices which begin within it.
#[derive(Debug)]
pub struct AttentionShift {
    window: u32,
    slices: u32,
    tokens: u32,
    waiting: Deque<Waiting, MOST_WAITING>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    end: End,
    /// The slice that begins at the end.
    slice: u32,
    /// Attention of the slices since: to those before the end and to those after it.
    before: Mass,
    after: Mass,
}

impl AttentionShift {
    /// Windows of so many tokens.
    ///
    /// # Panics
    /// When the window is shorter than 4 or longer than [`MOST_WINDOW`](super::MOST_WINDOW).
    pub fn new(window: u32) -> AttentionShift {
        check_window(window);
        AttentionShift { window, slices: 0, tokens: 0, waiting: Deque::new() }
    }

    /// Takes the next slice: its tokens, the attention that its rows pay to each slice so far and at last to itself,
    /// and the end before it unless it is the first. [`AttentionShift::ripe`] has the scores.
    ///
    /// # Panics
    /// When the masses are not of that many slices, or the end lies elsewhere.
    pub fn push(&mut self, tokens: u32, masses: &[Mass], before: Option<End>) {
        assert_eq!(masses.len(), self.slices as usize + 1, "a slice looks at itself and at those before it");
        if let Some(end) = before {
            assert_eq!(end.at, self.tokens, "the end lies before the slice");
            let nothing = Waiting { end, slice: self.slices, before: Mass(0), after: Mass(0) };
            assert!(self.waiting.push_back(nothing).is_ok(), "an end leaves when its window is full");
        }
        for waiting in &mut self.waiting {
            let (before, after) = masses.split_at(waiting.slice as usize);
            before.iter().skip(1).for_each(|&mass| waiting.before += mass);
            after.iter().for_each(|&mass| waiting.after += mass);
        }
        self.slices += 1;
        self.tokens += tokens;
    }

    /// The score of the next end whose window after it is full. To be asked after each slice until there is none.
    pub fn ripe(&mut self) -> Option<Scored> {
        let first = self.waiting.front()?;
        if self.tokens < first.end.at + self.window { None } else { self.finish() }
    }

    /// The next of the ends whose window after them will not be full; `None` when there
    /// is none left.
    pub fn finish(&mut self) -> Option<Scored> {
        let first = self.waiting.pop_front()?;
        Some(self.score(first))
    }

    fn score(&self, waiting: Waiting) -> Scored {
        let Waiting { end, slice, before, after } = waiting;
        // With the first slice alone before it there is nothing to look back at.
        let enough = slice >= 2 && self.tokens - end.at >= enough(self.window);
        let all = before.as_f32() + after.as_f32();
        let score = if enough && all > 0.0 { after.as_f32() / all } else { 0.0 };
        Scored { end, score }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::slicing::ends::Structure;

    /// Slices of these lengths, with what each pays to the slices so far.
    fn scores(slices: &[(u32, &[u64])], window: u32) -> Vec<(u32, f32)> {
        let mut shift = AttentionShift::new(window);
        let (mut at, mut found) = (0, Vec::new());
        for (tokens, masses) in slices {
            let masses: Vec<Mass> = masses.iter().map(|&mass| Mass(mass << 32)).collect();
            let end = (at > 0).then_some(End { at, structure: Structure::Sentence });
            shift.push(*tokens, &masses, end);
            at += tokens;
            found.extend(core::iter::from_fn(|| shift.ripe()));
        }
        found.extend(core::iter::from_fn(|| shift.finish()));
        found.iter().map(|scored| (scored.end.at, scored.score)).collect()
    }

    #[test]
    fn who_does_not_look_back_has_begun_something_new() {
        let slices: [(u32, &[u64]); 5] =
            [(8, &[8]), (8, &[6, 2]), (8, &[2, 4, 2]), (8, &[7, 0, 0, 1]), (8, &[3, 0, 0, 2, 3])];
        // The first slice counts for nobody; before the second there is nothing else.
        let expected = [(8, 0.0), (16, (2.0 + 1.0) / 7.0), (24, 1.0), (32, 3.0 / 5.0)];
        assert_eq!(scores(&slices, 16), expected);
    }

    #[test]
    fn a_long_slice_fills_several_windows() {
        let slices: [(u32, &[u64]); 4] = [(8, &[1]), (8, &[1, 1]), (8, &[1, 1, 1]), (64, &[0, 0, 3, 1])];
        assert_eq!(scores(&slices, 16), [(8, 0.0), (16, 5.0 / 6.0), (24, 0.25)]);
        assert_eq!(scores(&slices[..2], 64), [(8, 0.0)]);
    }
}
