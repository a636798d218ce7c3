//! 64 bits of a row, of which near ones have most in common.
//!
//! Source: Charikar, "Similarity estimation techniques from rounding algorithms" (STOC 2002). Bit b tells on which side
//! of the b-th of 64 random hyperplanes a row lies; two rows at an angle θ differ in 64·θ/π bits on average. The planes'
//! normals are of ones and minus ones from a counter-based generator, so that they are the same on every machine and
//! take no memory.

use serde::{Deserialize, Serialize};

use crate::random::philox;

/// The key of the planes. Another key would make hashes that mean nothing to these.
const KEY: [u32; 2] = [0x736c_6963, 0x6573_2031];

/// Which side of each plane a row lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SimHash(pub u64);

impl SimHash {
    /// Of a row, seen from a `centre` that is common to all rows that are compared. What rows have in common says
    /// nothing of what tells them apart and would hide it. An empty centre is the origin.
    ///
    /// # Panics
    /// When the centre is neither empty nor as long as the row.
    pub fn of(row: &[f32], centre: &[f32]) -> SimHash {
        assert!(centre.is_empty() || centre.len() == row.len(), "a centre is as long as the row");
        let mut sides = [0f64; 64];
        for (dim, &x) in row.iter().enumerate() {
            let off = f64::from(x) - centre.get(dim).map_or(0.0, |&c| f64::from(c));
            let words = philox([dim as u32, (dim as u64 >> 32) as u32, 0, 0], KEY);
            let signs = u64::from(words[1]) << 32 | u64::from(words[0]);
            for (bit, side) in sides.iter_mut().enumerate() {
                *side += if signs >> bit & 1 == 1 { off } else { -off };
            }
        }
        let bits = sides.iter().enumerate().map(|(bit, &side)| u64::from(side > 0.0) << bit);
        SimHash(bits.fold(0, |hash, bit| hash | bit))
    }

    /// In how many bits two hashes differ, from 0 to 64.
    pub const fn distance(self, other: SimHash) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use crate::random::unit;

    fn row(seed: u64) -> Vec<f32> {
        (0..128).map(|dim| unit(seed, dim) as f32 - 0.5).collect()
    }

    /// A row at this angle from another, in the plane of two.
    fn turned(a: &[f32], b: &[f32], angle: f64) -> Vec<f32> {
        let dot = |x: &[f32], y: &[f32]| -> f64 {
            x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
        };
        let along = dot(a, b) / dot(a, a);
        let across: Vec<f32> = a.iter().zip(b).map(|(&a, &b)| b - (along as f32) * a).collect();
        let scale = (dot(a, a) / dot(&across, &across)).sqrt();
        let (sin, cos) = angle.sin_cos();
        a.iter()
            .zip(&across)
            .map(|(&a, &c)| (f64::from(a) * cos + f64::from(c) * sin * scale) as f32)
            .collect()
    }

    #[test]
    fn bits_differ_in_proportion_to_the_angle() {
        for (tenths, angle) in [0.1f64, 0.3, 0.5, 0.9].map(|part| (part, part * core::f64::consts::PI)) {
            let differ = |seed| {
                let (a, b) = (row(seed), row(seed + 1000));
                SimHash::of(&a, &[]).distance(SimHash::of(&turned(&a, &b, angle), &[]))
            };
            let mean = f64::from((0..200).map(differ).sum::<u32>()) / 200.0;
            // 12,800 bits of probability p: five standard deviations of their mean are below 1.5 of 64.
            assert!((mean - 64.0 * tenths).abs() < 1.5, "{mean} at {angle}");
        }
    }

    #[test]
    fn a_centre_shows_what_is_hidden_by_what_is_common() {
        let far: Vec<f32> = row(1).iter().map(|x| x * 1000.0).collect();
        let near = |seed: u64| -> Vec<f32> { far.iter().zip(row(seed)).map(|(far, x)| far + x).collect() };
        let (a, b) = (near(2), near(3));
        assert!(SimHash::of(&a, &[]).distance(SimHash::of(&b, &[])) <= 2);
        assert!(SimHash::of(&a, &far).distance(SimHash::of(&b, &far)) >= 16);
    }

    #[test]
    fn the_planes_never_change() {
        assert_eq!(SimHash::of(&row(7), &[]), SimHash(0xb0a907b61da0765f));
    }

    proptest! {
        #[test]
        fn only_the_direction_counts(seed in 0u64..1000, fall in 0i32..20) {
            let scaled: Vec<f32> = row(seed).iter().map(|x| x * 0.5f32.powi(fall)).collect();
            prop_assert_eq!(SimHash::of(&scaled, &[]), SimHash::of(&row(seed), &[]));
            let opposite: Vec<f32> = row(seed).iter().map(|x| -x).collect();
            prop_assert_eq!(SimHash::of(&opposite, &[]).distance(SimHash::of(&row(seed), &[])), 64);
        }
    }
}
