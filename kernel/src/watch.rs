//! The watchdog: whether an agent repeats itself.

use crate::agent::Watchdog;

/// The shortest period, of `watchdog.period` tokens at most, that the end of `tokens` consists of
/// `watchdog.repeats` times in a row; `None` if there is none. One appearance is no repetition: below
/// two repeats nothing is ever found.
///
/// Looks at the last `period × repeats` tokens alone. With n of these it compares O(n log n) tokens at
/// worst, and hardly more than `period` on ordinary text: a period that agrees far back and fails rules
/// out that others close to it agree as far.
pub fn repeats(tokens: &[u32], watchdog: Watchdog) -> Option<u16> {
    if watchdog.repeats < 2 {
        return None;
    }
    let longest = tokens.len() / usize::from(watchdog.repeats);
    let longest = u16::try_from(longest).unwrap_or(u16::MAX).min(watchdog.period);
    (1..=longest).find(|&period| ends_in(tokens, usize::from(period), usize::from(watchdog.repeats)))
}

/// Whether the last `period × repeats` tokens are one period after another. Compares from the end and
/// stops at the first difference.
fn ends_in(tokens: &[u32], period: usize, repeats: usize) -> bool {
    let tail = &tokens[tokens.len() - period * repeats..];
    let (earlier, later) = (&tail[..tail.len() - period], &tail[period..]);
    earlier.iter().rev().zip(later.iter().rev()).all(|(before, after)| before == after)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The definition: the last chunks of a period's length are equal.
    fn naive(tokens: &[u32], watchdog: Watchdog) -> Option<u16> {
        let repeats = usize::from(watchdog.repeats);
        (1..=watchdog.period).filter(|_| repeats >= 2).find(|&period| {
            let last: Vec<&[u32]> = tokens.rchunks_exact(usize::from(period)).take(repeats).collect();
            last.len() == repeats && last.iter().all(|chunk| *chunk == last[0])
        })
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(
            start in prop::collection::vec(0u32..3, 0..20),
            part in prop::collection::vec(0u32..3, 0..6),
            times in 0usize..7,
            end in prop::collection::vec(0u32..3, 0..3),
            period in 0u16..12,
            repeats in 0u16..6,
        ) {
            let tokens = [start, part.repeat(times), end].concat();
            let watchdog = Watchdog { period, repeats, ..Watchdog::OFF };
            prop_assert_eq!(super::repeats(&tokens, watchdog), naive(&tokens, watchdog));
        }

        #[test]
        fn what_is_far_back_does_not_matter(
            far in prop::collection::vec(0u32..2, 0..40),
            near in prop::collection::vec(0u32..2, 24),
        ) {
            let watchdog = Watchdog { period: 8, repeats: 3, ..Watchdog::OFF };
            let found = super::repeats(&near, watchdog);
            prop_assert_eq!(super::repeats(&[far, near].concat(), watchdog), found);
        }
    }

    #[test]
    fn the_shortest_period_is_found() {
        let watchdog = Watchdog { period: 8, repeats: 3, ..Watchdog::OFF };
        assert_eq!(repeats(&[7; 12], watchdog), Some(1));
        assert_eq!(repeats(&[9, 1, 2, 1, 2, 1, 2], watchdog), Some(2));
        assert_eq!(repeats(&[1, 2, 1, 2], watchdog), None);
        assert_eq!(repeats(&[1, 2, 1, 2, 1, 2, 3], watchdog), None);
    }

    #[test]
    fn one_that_is_off_never_barks() {
        assert_eq!(repeats(&[1; 100], Watchdog::OFF), None);
        assert_eq!(repeats(&[1; 100], Watchdog { period: 8, repeats: 1, ..Watchdog::OFF }), None);
        assert_eq!(repeats(&[], Watchdog { period: u16::MAX, repeats: u16::MAX, ..Watchdog::OFF }), None);
    }
}
