//! Rotary position embedding: which dimensions turn, and how fast.
//!
//! Source: Su et al., "RoFormer" (arXiv 2104.09864), eq. 15 and 34. A score of a query at position
//! p with a key at position q depends on p − q alone; this is what lets a slice be mapped at any
//! address (see `Segment`).

use crate::shape::{MOST_HEAD_DIM, ShapeError};

/// The most pairs that a head can have.
pub const MOST_PAIRS: usize = MOST_HEAD_DIM as usize / 2;

/// Which two dimensions of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Dimensions 2i and 2i+1. Llama models in GGUF files.
    Adjacent,
    /// Dimensions i and i + dims/2. Qwen models.
    Halves,
}

/// How the frequencies are stretched for contexts longer than the trained one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by the factor.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1: low frequencies divided by the factor, high ones kept, those between blended.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_context / low_freq_factor` are low frequencies.
        low_freq_factor: f32,
        /// Wavelengths below `original_context / high_freq_factor` are high frequencies.
        high_freq_factor: f32,
        /// The context before stretching, in tokens.
        original_context: f32,
    },
}

/// The rotary embedding of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Rotated dimensions of each head, from its first; the rest stays as it is.
    pub dims: u32,
    /// The base of the geometric series of frequencies.
    pub base: f32,
    /// Which dimensions turn together.
    pub pairing: Pairing,
    /// Stretching for long contexts.
    pub scaling: RopeScaling,
    /// The model brings a tensor ([`crate::WeightRole::RopeFactors`]) of one divisor per pair,
    /// applied after `scaling`.
    pub factors: bool,
}

impl Rope {
    /// The angle in radians by which pair `pair` (0 … dims/2) turns per token, before the divisors of
    /// [`crate::WeightRole::RopeFactors`].
    pub fn frequency(&self, pair: u32) -> f64 {
        let exponent = -2.0 * f64::from(pair) / f64::from(self.dims);
        let frequency = libm::pow(f64::from(self.base), exponent);
        match self.scaling {
            RopeScaling::None => frequency,
            RopeScaling::Linear { factor } => frequency / f64::from(factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let wavelength = 2.0 * core::f64::consts::PI / frequency;
                let turns = f64::from(original_context) / wavelength;
                let (low, high) = (f64::from(low_freq_factor), f64::from(high_freq_factor));
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / f64::from(factor))
            }
        }
    }

    /// The frequency of every pair in turn, in radians per token, divided by its factor; `factors` are
    /// those of [`crate::weight::rope_factors`].
    pub fn frequencies<'f>(&self, factors: &'f [f32]) -> impl Iterator<Item = f64> + use<'f> {
        let rope = *self;
        let divisor = |pair: u32| factors.get(pair as usize).map_or(1.0, |&factor| f64::from(factor));
        (0..rope.dims / 2).map(move |pair| rope.frequency(pair) / divisor(pair))
    }

    /// Rotates a head by `distance` tokens into `out`: pair (a, b) with angle φ = distance · frequency
    /// becomes (a cos φ − b sin φ, a sin φ + b cos φ).
    pub fn rotate(&self, frequencies: &[f64], distance: u32, head: &[f32], out: &mut [f64]) {
        out.iter_mut().zip(head).for_each(|(out, &x)| *out = x.into());
        for (pair, frequency) in (0..).zip(frequencies) {
            let (sin, cos) = libm::sincos(frequency * f64::from(distance));
            let (a, b) = self.pair(pair);
            (out[a], out[b]) = (out[a] * cos - out[b] * sin, out[a] * sin + out[b] * cos);
        }
    }

    /// The two dimensions of pair `pair`, counted from the head's first.
    pub const fn pair(&self, pair: u32) -> (usize, usize) {
        match self.pairing {
            Pairing::Adjacent => (2 * pair as usize, 2 * pair as usize + 1),
            Pairing::Halves => (pair as usize, pair as usize + self.dims as usize / 2),
        }
    }

    /// Checks the numbers against the head's width.
    ///
    /// # Errors
    /// [`ShapeError::RopeDims`], [`ShapeError::RopeScale`].
    pub fn check(&self, head_dim: u32) -> Result<(), ShapeError> {
        if !self.dims.is_multiple_of(2) || self.dims == 0 || self.dims > head_dim {
            return Err(ShapeError::RopeDims { dims: self.dims, head_dim });
        }
        let positive = |x: f32| x.is_finite() && x > 0.0;
        let scaling = match self.scaling {
            RopeScaling::None => true,
            RopeScaling::Linear { factor } => positive(factor),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                positive(factor)
                    && positive(low_freq_factor)
                    && high_freq_factor.is_finite()
                    && high_freq_factor > low_freq_factor
                    && positive(original_context)
            }
        };
        if positive(self.base) && scaling { Ok(()) } else { Err(ShapeError::RopeScale) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rope = Rope {
        dims: 64,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    };

    #[test]
    fn frequencies_fall_geometrically_from_one() {
        assert_eq!(PLAIN.frequency(0), 1.0);
        assert!((PLAIN.frequency(16) - 0.01).abs() < 1e-12);
        let linear = Rope { scaling: RopeScaling::Linear { factor: 4.0 }, ..PLAIN };
        assert_eq!(linear.frequency(3), PLAIN.frequency(3) / 4.0);
    }

    #[test]
    fn llama3_scaling_keeps_fast_pairs_and_slows_slow_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_context: 8192.0,
        };
        let rope = Rope { base: 500_000.0, scaling, ..PLAIN };
        let plain = Rope { base: 500_000.0, ..PLAIN };
        assert_eq!(rope.frequency(0), plain.frequency(0));
        assert!((rope.frequency(31) - plain.frequency(31) / 8.0).abs() < 1e-15);
        let between = rope.frequency(17) / plain.frequency(17);
        assert!(between > 1.0 / 8.0 && between < 1.0, "{between}");
    }

    #[test]
    fn bad_numbers_are_refused() {
        assert!(PLAIN.check(64).is_ok());
        assert_eq!(PLAIN.check(32), Err(ShapeError::RopeDims { dims: 64, head_dim: 32 }));
        assert_eq!(Rope { base: f32::NAN, ..PLAIN }.check(64), Err(ShapeError::RopeScale));
        let zero = Rope { scaling: RopeScaling::Linear { factor: 0.0 }, ..PLAIN };
        assert_eq!(zero.check(64), Err(ShapeError::RopeScale));
    }
}
