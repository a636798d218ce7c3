//! A slice's entry in an index: enough to find it by what it says, never enough to stand in for it.
//!
//! Source: the paper's latent schema (section 3.2, B.1). What was measured decides what it holds: the mean key finds
//! the slice that a question needs, and nothing short of the exact slice answers it. So an entry has the mean of the
//! slice's keys, rotated by their offsets, at the layer that finds slices by relevance ([`Mean`]); its
//! [`HeavyTokens`]; and the mean of its hidden rows at the layer that finds topics, whole and as a
//! [`SimHash`](super::simhash::SimHash).

use agentos_hal::Mass;

/// Heaviest tokens that a schema keeps.
pub const HEAVY: usize = 4;

/// The tokens of a slice that received most attention, its semantic anchors; the heaviest first. Slices shorter than
/// [`HEAVY`] have fewer.
pub type HeavyTokens = heapless::Vec<u32, HEAVY>;

/// The heaviest tokens of a slice by the attention mass that each received. Of equal ones the first; none that
/// nobody looked at, and each token once.
pub fn heavy_tokens(tokens: &[u32], mass: &[Mass]) -> HeavyTokens {
    let mut heavy = HeavyTokens::new();
    while heavy.len() < HEAVY {
        let weighed =
            tokens.iter().zip(mass).filter(|&(token, &mass)| mass > Mass(0) && !heavy.contains(token));
        let heaviest = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((&token, _)) = heaviest else { break };
        // There is room: the loop's condition.
        let _ = heavy.push(token);
    }
    heavy
}

/// A mean over rows that come one by one, or as means of several: hidden rows of a slice, keys of its pages.
#[derive(Debug)]
pub struct Mean<'m> {
    sum: &'m mut [f32],
    count: u32,
}

impl<'m> Mean<'m> {
    /// Of nothing yet, in a table that is as long as a row.
    pub fn new(sum: &'m mut [f32]) -> Mean<'m> {
        sum.fill(0.0);
        Mean { sum, count: 0 }
    }

    /// Takes the mean of `count` rows.
    ///
    /// # Panics
    /// When the row is not as long as the table.
    pub fn add(&mut self, row: &[f32], count: u32) {
        assert_eq!(row.len(), self.sum.len(), "a row is as long as the table");
        self.sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x * count as f32);
        self.count += count;
    }

    /// Makes the table the mean of all rows, which it is zero without any; how many they were.
    pub fn finish(self) -> u32 {
        let scale = 1.0 / self.count.max(1) as f32;
        self.sum.iter_mut().for_each(|sum| *sum *= scale);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_come_first_and_once() {
        let mass = |masses: &[u64]| masses.iter().map(|&mass| Mass(mass)).collect::<std::vec::Vec<_>>();
        let heavy = |tokens: &[u32], masses: &[u64]| heavy_tokens(tokens, &mass(masses)).to_vec();
        assert_eq!(heavy(&[5, 6, 7, 8, 9, 10], &[1, 9, 3, 9, 0, 2]), [6, 8, 7, 10]);
        assert_eq!(heavy(&[5, 6, 5], &[1, 2, 3]), [5, 6]);
        assert_eq!(heavy(&[5, 6], &[0, 0]), []);
        assert_eq!(heavy(&[], &[]), []);
    }

    #[test]
    fn a_mean_of_means_is_that_of_the_rows() {
        let mut table = [9.0; 2];
        let mut mean = Mean::new(&mut table);
        mean.add(&[1.0, 2.0], 1);
        mean.add(&[4.0, 8.0], 3);
        assert_eq!(mean.finish(), 4);
        assert_eq!(table, [3.25, 6.5]);
        assert_eq!(Mean::new(&mut table).finish(), 0);
        assert_eq!(table, [0.0, 0.0]);
    }
}
