//! Passages that say the same: a copy of a file, a page in two formats. A prompt needs one of them.
//!
//! Which two may be the same their hashes say ([`SimHash`] of what a passage is about, from the hidden rows that were
//! computed with it); whether they are, their words.

use std::collections::HashSet;

use agentos_kernel::slicing::simhash::SimHash;
use half::f16;

use super::passage::without_header;
use super::words::split_words;

/// Bits in which the hashes of two passages that say the same differ at most: an angle of 45 degrees. Those that have
/// nothing to do with each other differ in 32, 4 more or less. The headers, which name the source, are hashed too.
const NEAR_BITS: u32 = 16;
/// The share of their different words that two passages that say the same have in common at least.
const SHARED_WORDS: f64 = 0.8;

/// What tells whether passages say the same.
#[derive(Clone, Debug, Default)]
pub struct Twins {
    hashes: Vec<SimHash>,
}

impl Twins {
    /// Of the hidden rows of all slices, `width` numbers each, one passage behind another; `slices` has how many each
    /// passage has.
    pub fn new(rows: &[f16], width: usize, slices: impl Iterator<Item = usize>) -> Twins {
        let mut rest = rows;
        let mut means: Vec<Vec<f32>> = Vec::new();
        for count in slices {
            let (own, behind) = rest.split_at((count * width).min(rest.len()));
            rest = behind;
            means.push(mean(own.chunks_exact(width.max(1)).map(|row| row.iter().map(|x| x.to_f64())), width));
        }
        let all = means.iter().map(|row| row.iter().map(|&x| f64::from(x)));
        let centre = mean(all, width);
        Twins { hashes: means.iter().map(|row| SimHash::of(row, &centre)).collect() }
    }

    /// Whether two passages, by number and text, say the same.
    pub fn are(&self, (one, text): (usize, &str), (other, other_text): (usize, &str)) -> bool {
        let are_near = match (self.hashes.get(one), self.hashes.get(other)) {
            (Some(&one), Some(&other)) => one.distance(other) <= NEAR_BITS,
            _ => false,
        };
        are_near && shared_words(without_header(text), without_header(other_text)) >= SHARED_WORDS
    }
}

/// The share of the different words of two texts that both have; 1 where neither has any.
fn shared_words(one: &str, other: &str) -> f64 {
    let one: HashSet<String> = split_words(one).collect();
    let other: HashSet<String> = split_words(other).collect();
    let shared = one.intersection(&other).count();
    let all = one.len() + other.len() - shared;
    if all == 0 { 1.0 } else { shared as f64 / all as f64 }
}

/// The mean of rows of `width` numbers; of none, nothing.
fn mean<R: Iterator<Item = f64>>(rows: impl Iterator<Item = R>, width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    let mut count = 0_u32;
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        count += 1;
    }
    sum.into_iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passages of a slice each, whose rows lie in these directions from each other.
    fn twins(rows: &[[f32; 3]]) -> Twins {
        let rows: Vec<f16> = rows.iter().flatten().map(|&x| f16::from_f32(x)).collect();
        Twins::new(&rows, 3, std::iter::repeat_n(1, rows.len() / 3))
    }

    #[test]
    fn what_is_near_and_has_the_same_words_says_the_same() {
        let twins = twins(&[[9.0, 1.0, 0.0], [9.0, 1.1, 0.1], [9.0, -1.0, 1.0], [9.0, -1.0, -1.0]]);
        let text = "[document \"a.md\" line 1]\nThe lamp burns whale oil since 1871.";
        let copy = "[document \"b.html\" line 7]\nThe lamp burns whale oil, since 1871";
        assert!(twins.are((0, text), (1, copy)));
        assert!(!twins.are((0, text), (2, copy)), "far from each other");
        let other = "[document \"a.md\" line 1]\nThe lamp burns whale oil at six crowns a barrel.";
        assert!(!twins.are((0, text), (1, other)), "other words");
        assert!(!twins.are((0, text), (9, copy)), "of a passage that is not there nothing is known");
    }

    #[test]
    fn words_are_shared_by_kind() {
        assert_eq!(shared_words("a b c d", "d C b A a"), 1.0);
        assert_eq!(shared_words("a b", "b c"), 1.0 / 3.0);
        assert_eq!(shared_words("", "…"), 1.0);
        assert_eq!(shared_words("", "a"), 0.0);
    }
}
