//! Randomness from a printed seed: splitmix64 over a counter, so that case 17 of a check is the same
//! whether the cases before it ran or not.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).

use std::ops::RangeInclusive;

/// A stream of numbers that its key determines.
#[derive(Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of one case: named by the run's seed, the check and the case's number.
    pub fn new(seed: u64, check: &str, case: u32) -> Rng {
        let mut rng = Rng { state: seed };
        for part in check.bytes().map(u64::from).chain([u64::from(case) + 256]) {
            rng.state = rng.bits().wrapping_add(part);
        }
        rng
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range, each about as likely as the others.
    pub fn among(&mut self, range: RangeInclusive<u32>) -> u32 {
        let count = u64::from(range.end() - range.start()) + 1;
        range.start() + (((self.bits() >> 32) * count) >> 32) as u32
    }

    /// One of the items.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.among(0..=items.len() as u32 - 1) as usize]
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.among(1..=n) == 1
    }

    /// A number from `low` to `high`.
    pub fn real(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.bits() >> 40) as f32 / (1u64 << 24) as f32)
    }

    /// A number with mean 0 and standard deviation `deviation`, evenly spread.
    pub fn spread(&mut self, deviation: f32) -> f32 {
        let reach = deviation * 3.0f32.sqrt();
        self.real(-reach, reach)
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.among(0..=i as u32) as usize);
        }
    }
}
