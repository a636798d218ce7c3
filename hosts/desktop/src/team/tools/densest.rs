//! What the running model reads of a long text, and what of that stays.
//!
//! The words choose what is worth reading ([`perception`](agentos_perception)): a few times what there is room for. The
//! model reads it as one text, and how dense its attention is (paper eq. 2) tells what of it stays. What was asked for
//! comes first all the same: density says how much is in a text, and not what of it matters to whom. So the piece
//! that has most of the request's words and the densest one take turns.

use std::ops::Range;

use agentos_perception::reduce::Piece;
use agentos_perception::reduce::words::Words;

/// How often more is read than there is room for.
const TIMES: u32 = 4;

/// Tokens that are read at most.
pub const MOST_READ: u32 = 2048;

/// Tokens that are read of a text for which there is so much room.
pub const fn tokens_read(room: u32) -> u32 {
    let tokens = room.saturating_mul(TIMES);
    if tokens < MOST_READ { tokens } else { MOST_READ }
}

/// What the model reads of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates {
    /// Its tokens: the pieces, one behind the other.
    pub tokens: Vec<u32>,
    /// Of each piece of the text where its tokens are, if it is read.
    at: Vec<Option<Range<u32>>>,
    /// How much of what was asked for is in each piece.
    asked: Vec<f32>,
}

/// Words that more than one of so many pieces has say nothing of what was asked for.
const COMMON: usize = 4;

impl Candidates {
    /// Those of the pieces that promise most, as far as `most` tokens go behind `leading`; `None` where there is nothing
    /// to choose from.
    pub fn of(
        pieces: &[Piece<'_>],
        about: &str,
        (leading, most): (Option<u32>, u32),
        encode: impl Fn(&str) -> Option<Vec<u32>>,
    ) -> Option<Candidates> {
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_by(|&a, &b| pieces[b].promise.total_cmp(&pieces[a].promise).then(a.cmp(&b)));
        let mut left = (most as usize).saturating_sub(leading.iter().len());
        let mut read: Vec<Option<Vec<u32>>> = vec![None; pieces.len()];
        for index in order {
            let Some(tokens) = encode(pieces[index].text) else { continue };
            if !tokens.is_empty() && tokens.len() <= left {
                left -= tokens.len();
                read[index] = Some(tokens);
            }
        }
        if read.iter().flatten().count() < 2 {
            return None;
        }
        let mut tokens: Vec<u32> = leading.into_iter().collect();
        let place = |piece: &Option<Vec<u32>>| {
            let from = tokens.len() as u32;
            tokens.extend_from_slice(piece.as_ref()?);
            Some(from..tokens.len() as u32)
        };
        let at = read.iter().map(place).collect();
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text).collect();
        let asked = Words::of(about).asked(&texts, texts.len().div_ceil(COMMON));
        Some(Candidates { tokens, at, asked })
    }

    /// A number for each piece by how dense the slices of what was read are; without one where it was not read. `None`
    /// where that is not known of all that was read.
    pub fn scores(&self, slices: impl Iterator<Item = (Range<u32>, Option<f32>)>) -> Option<Vec<f32>> {
        let mut of_tokens = Vec::with_capacity(self.tokens.len());
        for (at, density) in slices {
            if at.start as usize != of_tokens.len() {
                return None;
            }
            of_tokens.resize(at.end as usize, density?);
        }
        if of_tokens.len() != self.tokens.len() {
            return None;
        }
        let mean = |at: &Range<u32>| {
            let part = &of_tokens[at.start as usize..at.end as usize];
            part.iter().map(|&density| f64::from(density)).sum::<f64>() / part.len() as f64
        };
        let density: Vec<Option<f64>> = self.at.iter().map(|at| at.as_ref().map(mean)).collect();
        Some(in_turns(&density, &self.asked))
    }
}

/// A number for each piece that has a density: the one that has most of what was asked for is worth most, then the densest,
/// and so on by turns.
fn in_turns(density: &[Option<f64>], asked: &[f32]) -> Vec<f32> {
    let of = |index: usize| density[index].unwrap_or(f64::MIN);
    let mut densest: Vec<usize> = (0..density.len()).filter(|&index| density[index].is_some()).collect();
    let count = densest.len();
    // Of equal ones the earlier.
    densest.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(a.cmp(&b)));
    let mut wanted: Vec<usize> = densest.iter().copied().filter(|&index| asked[index] > 0.0).collect();
    wanted.sort_by(|&a, &b| asked[b].total_cmp(&asked[a]));
    let mut scores = vec![f32::NAN; density.len()];
    let mut left = count;
    let mut take = |index: usize| {
        if scores[index].is_nan() {
            scores[index] = left as f32;
            left -= 1;
        }
    };
    for (turn, &dense) in densest.iter().enumerate() {
        wanted.get(turn).into_iter().for_each(|&index| take(index));
        take(dense);
    }
    scores
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Option<Vec<u32>> {
        Some(text.bytes().map(u32::from).collect())
    }

    fn candidates(pieces: &[(&str, f32)], about: &str, most: u32) -> Option<Candidates> {
        let pieces: Vec<Piece<'_>> = pieces.iter().map(|&(text, promise)| Piece { text, promise }).collect();
        Candidates::of(&pieces, about, (Some(999), most), bytes)
    }

    #[test]
    fn what_promises_most_is_read_in_the_order_of_the_text() {
        let pieces = [("one. ", 1.0), ("two. ", 3.0), ("three, and longer. ", 4.0), ("four. ", 2.0)];
        let found = candidates(&pieces, "", 13).unwrap();
        assert_eq!(found.tokens, [&[999][..], &bytes("two. four. ").unwrap()].concat());
        assert_eq!(found.at, [None, Some(1..6), None, Some(6..12)]);
        // One alone is no choice.
        assert_eq!(candidates(&pieces, "", 10), None);
        assert_eq!(candidates(&pieces, "", 0), None);
        assert_eq!(candidates(&[], "", 100), None);
    }

    #[test]
    fn a_piece_is_as_dense_as_its_tokens_slices() {
        let found = candidates(&[("abcd", 1.0), ("efgh", 1.0), ("ij", 1.0)], "", 100).unwrap();
        let slices = |density: [Option<f32>; 3]| [0..3, 3..9, 9..11].into_iter().zip(density);
        // 1 to 5: two tokens of the first slice, two of the second. 5 to 9 are of the second alone.
        assert_eq!(found.scores(slices([Some(0.9), Some(0.1), Some(0.2)])), Some(vec![3.0, 1.0, 2.0]));
        assert_eq!(found.scores(slices([Some(0.1), Some(0.9), Some(0.2)])), Some(vec![2.0, 3.0, 1.0]));
        assert_eq!(found.scores(slices([Some(0.1), None, Some(0.2)])), None);
        assert_eq!(found.scores(slices([Some(0.1); 3]).take(2)), None);
        assert_eq!(found.scores(slices([Some(0.1); 3]).skip(1)), None);
    }

    #[test]
    fn what_was_asked_for_and_what_is_dense_take_turns() {
        let pieces = [
            ("all is well. ", 1.0),
            ("the lamp burns. ", 1.0),
            ("it is dense. ", 1.0),
            ("no ship came. ", 1.0),
            ("it is quiet. ", 1.0),
        ];
        let order = |about: &str| {
            let found = candidates(&pieces, about, 1000).unwrap();
            let slices = found.at.iter().flatten().zip([0.3, 0.1, 0.9, 0.2, 0.4]);
            let slices =
                std::iter::once((0..1, Some(1.0))).chain(slices.map(|(at, d)| (at.clone(), Some(d))));
            let scores = found.scores(slices).unwrap();
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            order
        };
        assert_eq!(order("Where are the cats?"), [1, 2, 4, 0, 3], "\"the\" is rare here");
        assert_eq!(order("It is?"), [2, 4, 0, 3, 1], "nothing else has these words");
        assert_eq!(order("Which ship has a lamp?"), [3, 2, 1, 4, 0]);
        assert_eq!(order(""), [2, 4, 0, 3, 1]);
    }

    #[test]
    fn a_few_times_the_room_is_read_and_never_more_than_a_bound() {
        assert_eq!((tokens_read(0), tokens_read(192), tokens_read(u32::MAX)), (0, 768, MOST_READ));
    }

    proptest! {
        /// Whatever the pieces, what is read fits, is the text of the pieces in their order, and each piece that was read
        /// has a number of its own.
        #[test]
        fn what_is_read_fits_and_is_judged(
            pieces in proptest::collection::vec(("[a-e ]{0,30}", 0u8..4), 0..20),
            most in 0u32..200,
            density in proptest::collection::vec(0u8..5, 200),
        ) {
            let pieces: Vec<(&str, f32)> =
                pieces.iter().map(|(text, promise)| (text.as_str(), f32::from(*promise))).collect();
            let Some(found) = candidates(&pieces, "a b", most) else { return Ok(()) };
            prop_assert!(found.tokens.len() <= most as usize);
            let mut expected = vec![999];
            for ((text, _), at) in pieces.iter().zip(&found.at) {
                if let Some(at) = at {
                    prop_assert_eq!(at.start as usize, expected.len());
                    expected.extend(bytes(text).unwrap());
                    prop_assert_eq!(at.end as usize, expected.len());
                }
            }
            prop_assert_eq!(&found.tokens, &expected);
            let slices = (0..expected.len() as u32).zip(density).map(|(at, d)| (at..at + 1, Some(f32::from(d))));
            let scores = found.scores(slices).unwrap();
            let mut given: Vec<u32> = scores.iter().filter(|score| !score.is_nan()).map(|&score| score as u32).collect();
            given.sort_unstable();
            let read = found.at.iter().flatten().count() as u32;
            prop_assert_eq!(given, (1..=read).collect::<Vec<u32>>());
        }
    }
}
