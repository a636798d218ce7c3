//! The density of contextual information, and the paper's rule for boundaries as it stands.

/// Contextual information density of the token at `address` whose attention has this entropy in nats, from 0 to 1:
/// D(t) = 1 − H(t) / ln(t + 1). Source: the paper's eq. 2. A context's first token can look at nothing else: 1.
pub fn density(entropy: f32, address: u32) -> f32 {
    let most = libm::log(f64::from(address) + 1.0);
    if most <= 0.0 {
        return 1.0;
    }
    (1.0 - f64::from(entropy) / most).clamp(0.0, 1.0) as f32
}

/// The mean density of a slice, gathered as its rows are computed. It depends on the slice and on what its rows attended
/// to, and on nothing else: not on who computed them, in how many steps, or beside whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SliceDensity {
    /// Sum over rows, in parts of [`ONE`].
    sum: u32,
    /// Rows that it is of, from the first on.
    rows: u8,
}

/// A density of 1. The sum of a slice of 64 rows has room.
const ONE: f32 = (1 << 24) as f32;

impl SliceDensity {
    /// Adds that of the row at an offset, which follows those before. Any other is of a row that was counted already, or
    /// that follows one which was not.
    pub fn note(&mut self, offset: u32, density: f32) {
        if offset == u32::from(self.rows) {
            self.sum += (density.clamp(0.0, 1.0) * ONE) as u32;
            self.rows += 1;
        }
    }

    /// Only the first tokens of the slice stay: of fewer rows than were counted nothing is known.
    pub fn cut(&mut self, tokens: u8) {
        if self.rows > tokens {
            *self = SliceDensity::UNKNOWN;
        }
    }

    /// The mean, if it is of all the tokens that the slice has.
    pub fn mean(&self, tokens: u8) -> Option<f32> {
        (tokens > 0 && self.rows == tokens).then(|| self.sum as f32 / ONE / f32::from(tokens))
    }

    const UNKNOWN: SliceDensity = SliceDensity { sum: 0, rows: u8::MAX };

    /// Of no row yet.
    pub const NONE: SliceDensity = SliceDensity { sum: 0, rows: 0 };
}

/// The rule of the paper's eq. 7: a boundary lies where ∂D/∂t exceeds a dynamic threshold ε. The paper does not say
/// how ε moves; here it is the mean of ∂D/∂t so far plus some standard deviations, both forgetting slowly.
#[derive(Clone, Debug)]
pub struct DensityRule {
    deviations: f64,
    last: Option<f64>,
    /// Changes seen.
    seen: u32,
    mean: f64,
    variance: f64,
}

/// Changes over which the threshold forgets.
const MEMORY: f64 = 128.0;

/// Changes that are seen before any is judged.
const FIRST: u32 = 16;

impl DensityRule {
    /// With a threshold of so many standard deviations above the mean.
    pub const fn new(deviations: f32) -> DensityRule {
        DensityRule { deviations: deviations as f64, last: None, seen: 0, mean: 0.0, variance: 0.0 }
    }

    /// Takes the density of the next token. By how many standard deviations the change towards it exceeds the
    /// mean, where that is enough for a boundary before it.
    pub fn push(&mut self, density: f32) -> Option<f32> {
        let density = f64::from(density);
        let change = density - self.last.replace(density)?;
        let off = change - self.mean;
        let spread = libm::sqrt(self.variance);
        let boundary = self.seen >= FIRST && off > self.deviations * spread;
        self.seen = self.seen.saturating_add(1);
        // The plain mean at first, then one that forgets.
        let weight = 1.0 / MEMORY.min(f64::from(self.seen));
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        boundary.then(|| if spread > 0.0 { (off / spread) as f32 } else { f32::MAX })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn density_is_none_where_attention_is_even_and_all_where_it_is_on_one_token() {
        assert_eq!(density(0.0, 0), 1.0);
        assert_eq!(density(0.0, 99), 1.0);
        assert!(density(libm::logf(100.0), 99) < 1e-6);
        assert!((density(0.5 * libm::logf(100.0), 99) - 0.5).abs() < 1e-6);
        // Rounding and lies of a device stay in the range.
        assert_eq!((density(9.0, 1), density(-1.0, 9)), (0.0, 1.0));
    }

    #[test]
    fn the_mean_of_a_slice_is_of_all_its_rows_each_once() {
        let mut slice = SliceDensity::NONE;
        assert_eq!(slice.mean(0), None);
        for (offset, density) in [(0, 0.25), (1, 0.75), (0, 0.0), (1, 0.0), (2, 0.5)] {
            slice.note(offset, density);
        }
        assert_eq!((slice.mean(2), slice.mean(3), slice.mean(4)), (None, Some(0.5), None));
        // A row is missing.
        slice.note(4, 1.0);
        assert_eq!((slice.mean(3), slice.mean(5)), (Some(0.5), None));
        // It goes on in another way behind all that was counted, and then amid it.
        slice.cut(3);
        assert_eq!(slice.mean(3), Some(0.5));
        slice.cut(2);
        (2..4).for_each(|offset| slice.note(offset, 1.0));
        assert!((1..=64).all(|tokens| slice.mean(tokens).is_none()));
        let mut full = SliceDensity::NONE;
        (0..64).for_each(|offset| full.note(offset, 1.0));
        assert_eq!(full.mean(64), Some(1.0));
    }

    #[test]
    fn a_jump_is_found_and_a_drift_is_not() {
        let wave = |n: u32| 0.5 + 0.01 * ((n * 7 % 5) as f32 - 2.0);
        let curve: Vec<f32> = (0..100).map(|n| wave(n) + if n < 60 { 0.0 } else { 0.3 }).collect();
        let mut rule = DensityRule::new(3.0);
        let found: Vec<usize> = (0..100).filter(|&n| rule.push(curve[n]).is_some()).collect();
        assert_eq!(found, [60]);
        let mut rule = DensityRule::new(3.0);
        assert!((0..100).all(|n| rule.push(wave(n) + n as f32 / 500.0).is_none()));
    }

    proptest! {
        /// What is added to every density, or how large its changes are, does not matter.
        #[test]
        fn the_threshold_follows_the_curve(values in proptest::collection::vec(0u16..1000, 0..200), fall in 1u8..4) {
            let found = |scale: f32, offset: f32| {
                let mut rule = DensityRule::new(2.0);
                let judge = |&value: &u16| rule.push(f32::from(value) * scale + offset).is_some();
                values.iter().map(judge).collect::<Vec<bool>>()
            };
            // Powers of two, so that nothing is rounded.
            let scale = 0.5f32.powi(10 + i32::from(fall));
            prop_assert_eq!(found(scale, 0.0), found(0.5f32.powi(10), 0.0));
        }
    }
}
