//! The table of rotation angles: 64 rows of fine ones, then multiples of 64 positions. A distance's
//! angle follows by the addition theorems, so that the table stays small for any context.

use agentos_hal::{Limits, ModelShape};

/// Numbers of the table of a model.
pub fn numbers(shape: &ModelShape, limits: &Limits) -> u64 {
    u64::from(64 + coarse(limits)) * u64::from(shape.rope.dims)
}

fn coarse(limits: &Limits) -> u32 {
    limits.context.div_ceil(64).max(1)
}

/// Cosine and sine for each row and pair. `factors` are divisors of the frequencies, one per pair, or
/// empty. Angles are exact to `f64`, and rounded once.
pub fn table(shape: &ModelShape, limits: &Limits, factors: &[f32]) -> Vec<f32> {
    let frequencies: Vec<f64> = shape.rope.frequencies(factors).collect();
    let fine = (0..64).map(|row| (row, 1));
    let coarse = (0..coarse(limits)).map(|row| (row, 64));
    let angles = fine.chain(coarse).flat_map(|(row, unit)| {
        let frequencies = frequencies.iter();
        frequencies.map(move |frequency| frequency * f64::from(unit) * f64::from(row))
    });
    angles.flat_map(|angle| [libm::cos(angle) as f32, libm::sin(angle) as f32]).collect()
}
