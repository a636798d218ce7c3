//! A histogram of times, fixed in size.

/// Times in microseconds, counted by powers of the fourth root of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latencies {
    counts: [u32; BUCKETS],
    worst_us: u64,
}

/// Four buckets per power of two, up to 2³⁰ microseconds.
const BUCKETS: usize = 4 * 30;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { counts: [0; BUCKETS], worst_us: 0 }
    }
}

impl Latencies {
    /// Counts one.
    pub fn note(&mut self, us: u64) {
        self.counts[bucket(us)] += 1;
        self.worst_us = self.worst_us.max(us);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// The longest.
    pub fn worst_us(&self) -> u64 {
        self.worst_us
    }

    /// A time that this share (0 … 1) of all does not exceed, to within a fifth; `None` before the
    /// first.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let wanted = libm::ceil(self.count() as f64 * share).max(1.0) as u64;
        let mut seen = 0;
        let index = self.counts.iter().position(|&count| {
            seen += u64::from(count);
            seen >= wanted
        })?;
        Some(ceiling_us(index).min(self.worst_us))
    }
}

fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let power = us.ilog2() as usize;
    let quarter = if power >= 2 { (us >> (power - 2)) as usize & 3 } else { 0 };
    (4 * power + quarter).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn ceiling_us(bucket: usize) -> u64 {
    let (power, quarter) = (bucket / 4, (bucket % 4) as u64);
    if power < 2 { (2 << power) - 1 } else { ((5 + quarter) << (power - 2)) - 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_as_wide_as_it_says(us in 1u64..1 << 30) {
            prop_assert!(us <= ceiling_us(bucket(us)));
            prop_assert!(ceiling_us(bucket(us)) <= us + us / 4 + 1);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_counted() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_us(0.5), None);
        (1..=100).for_each(|us| latencies.note(us * 100));
        let near = |share, us: u64| {
            let found = latencies.quantile_us(share).unwrap();
            assert!((us..=us + us / 4).contains(&found), "{found} for {us}");
        };
        near(0.5, 5000);
        near(0.99, 9900);
        assert_eq!((latencies.worst_us(), latencies.count()), (10_000, 100));
    }
}
