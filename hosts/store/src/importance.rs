//! Who goes when a store is full. Pure functions.

use std::cmp::Ordering;

/// What is known of a slice's worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Attention that it drew, as a multiple of an even share of its contexts.
    pub mass: f32,
    /// How often it was read, or handed over again.
    pub uses: u32,
    /// The use of any slice, counted over the life of the store, at which it was used last.
    pub used: u64,
    /// Bytes that it takes up.
    pub bytes: u64,
}

impl Standing {
    /// Worth per use that went by since: mass and reuse make it worth more, age less. It is compared only.
    fn value(&self, now: u64) -> f64 {
        let age = 1.0 + now.saturating_sub(self.used) as f64;
        let mass = if self.mass.is_finite() { f64::from(self.mass.max(0.0)) } else { 0.0 };
        (1.0 + mass) * (1.0 + f64::from(self.uses)) / age
    }

    /// Those that go first come first.
    fn order(&self, other: &Standing, now: u64) -> Ordering {
        self.value(now).total_cmp(&other.value(now))
    }
}

/// Who goes, so that `bytes` bytes are freed: the least important, until it is enough or all are named. Slices
/// of one worth go in the order of their keys.
pub fn victims<K: Copy + Ord>(mut slices: Vec<(K, Standing)>, now: u64, bytes: u64) -> Vec<K> {
    slices.sort_by(|(a, x), (b, y)| x.order(y, now).then(a.cmp(b)));
    let mut freed = 0;
    let enough = |(_, standing): &&(K, Standing)| {
        let more = freed < bytes;
        freed += standing.bytes;
        more
    };
    slices.iter().take_while(enough).map(|(key, _)| *key).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Standing = Standing { mass: 0.0, uses: 0, used: 50, bytes: 10 };

    fn order(slices: &[Standing]) -> Vec<usize> {
        let slices: Vec<_> = slices.iter().copied().enumerate().collect();
        victims(slices, 100, u64::MAX)
    }

    #[test]
    fn the_oldest_goes_first_unless_it_is_worth_more() {
        let old = Standing { used: 10, ..PLAIN };
        assert_eq!(order(&[PLAIN, old]), [1, 0]);
        assert_eq!(order(&[PLAIN, Standing { uses: 3, ..old }]), [0, 1]);
        assert_eq!(order(&[PLAIN, Standing { mass: 2.0, ..old }]), [0, 1]);
        // A mass that is no number is none.
        assert_eq!(order(&[PLAIN, Standing { mass: f32::NAN, ..old }]), [1, 0]);
    }

    proptest! {
        #[test]
        fn no_more_go_than_must(
            slices in proptest::collection::vec((0..9u32, 0..100u64, 1..50u64), 0..40),
            bytes in 0..800u64
        ) {
            let standing = |&(uses, used, bytes): &(u32, u64, u64)| Standing { uses, used, bytes, mass: 0.0 };
            let slices: Vec<_> = slices.iter().map(standing).enumerate().collect();
            let gone = victims(slices.clone(), 100, bytes);
            let size = |keys: &[usize]| keys.iter().map(|&key| slices[key].1.bytes).sum::<u64>();
            let all = size(&(0..slices.len()).collect::<Vec<_>>());
            prop_assert!(size(&gone) >= bytes.min(all));
            if let Some((_, before)) = gone.split_last() {
                prop_assert!(size(before) < bytes);
            }
        }
    }
}
