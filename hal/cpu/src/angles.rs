//! Tables of rotation angles, made in `prepare`.
//!
//! A distance is 64 · coarse + fine; the angle's cosine and sine come from two tables by the addition
//! theorems, so that tables stay in the first-level cache for any context.

use agentos_hal::{ModelShape, Rope};

/// Fills `cos` and `sin` (rows of `head_dim`) with the angles of 0, `step`, 2 · `step`, … positions.
/// The sine is negative for the first dimension of a pair; dimensions that do not turn have cosine 1
/// and sine 0. `factors` are divisors of the frequencies, one per pair, or empty.
pub fn fill(shape: &ModelShape, factors: &[f32], step: u32, cos: &mut [f32], sin: &mut [f32]) {
    let head_dim = shape.head_dim as usize;
    cos.fill(1.0);
    sin.fill(0.0);
    for (pair, frequency) in (0..).zip(shape.rope.frequencies(factors)) {
        let (first, second) = shape.rope.pair(pair);
        let rows = cos.chunks_exact_mut(head_dim).zip(sin.chunks_exact_mut(head_dim));
        for (position, (cos, sin)) in rows.enumerate() {
            let angle = frequency * f64::from(step) * position as f64;
            let (s, c) = libm::sincos(angle);
            (cos[first], cos[second]) = (c as f32, c as f32);
            (sin[first], sin[second]) = (-s as f32, s as f32);
        }
    }
}

/// Fills `partner` with the dimension that turns with each dimension of a head; its own where none
/// does.
pub fn fill_partners(rope: &Rope, partner: &mut [u32]) {
    for (dimension, partner) in partner.iter_mut().enumerate() {
        *partner = dimension as u32;
    }
    for pair in 0..rope.dims / 2 {
        let (first, second) = rope.pair(pair);
        partner[first] = second as u32;
        partner[second] = first as u32;
    }
}
