//! What is known of a model beside its weights: in which layers it tells topics apart and finds slices, and by how
//! much. Measured once by `agentos calibrate`, and kept by the model's identity.
//!
//! * [`file`](mod@file): the file in which it is kept.
//! * [`known`]: where to find it for a model: what was measured here, else what ships with the program, else defaults.
//! * [`texts`]: the texts that it is measured on.
//! * [`measure`]: measuring it.

pub mod file;
pub mod known;
pub mod measure;
pub mod texts;

use agentos_hal::{LayerRange, ModelShape};
use serde::{Deserialize, Serialize};

pub use known::{Known, Origin};

/// What is known of a model. Layers count from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Tokens at the beginning of a context that take the attention which nothing else wants.
    pub sink_tokens: u32,
    /// The layer whose hidden rows tell topics apart.
    pub slicing_layer: u32,
    /// The change of direction of its rows, 1 − cosine, from which on a topic ends.
    pub slicing_threshold: f32,
    /// The layer whose density of attention tells topics apart best.
    pub density_layer: u32,
    /// The rise of the smoothed density from which on a topic ends.
    pub density_threshold: f32,
    /// The first layer whose attention shows how far a text looks back.
    pub attention_first: u32,
    /// The last of those layers.
    pub attention_last: u32,
    /// The part of its attention that a text does not pay to what was before, from which on a topic ends.
    pub attention_threshold: f32,
    /// The layer that finds slices: queries times mean keys.
    pub relevance_layer: u32,
    /// The first layer that does so about as well.
    pub relevance_first: u32,
    /// The last of those layers.
    pub relevance_last: u32,
    /// The probability from which on the most probable token is the same with less context.
    pub confident: f32,
    /// The distance between pooled final hidden rows from which on two texts are of different topics.
    pub drift: f32,
    /// The most bits in which the hashes of near-duplicates differ.
    pub duplicate_bits: u32,
    /// The mean hidden row of the slicing layer, from which hashes are taken; empty where it is not known.
    pub centre: Vec<f32>,
    /// How good all that is, by the texts it was measured on; `None` where nothing was measured.
    pub measured: Option<Measured>,
}

/// How good a calibration is, by the texts that it was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The part of all attention that goes to the sinks.
    pub sink_share: f32,
    /// F1 of boundaries within 8 tokens, by the change of hidden rows.
    pub slicing_f1: f32,
    /// The same by the smoothed density.
    pub density_f1: f32,
    /// The same by attention to what was before.
    pub attention_f1: f32,
    /// The part of planted facts whose slice is among the four most relevant.
    pub relevance_found: f32,
    /// The part of tokens at least as probable as `confident` that are the same with less context.
    pub confident_same: f32,
    /// The distance of final rows within a topic, and between topics, on average.
    pub drift_same: f32,
    /// See `drift_same`.
    pub drift_different: f32,
    /// How surely the distance tells which: the area under the curve, from 0.5 to 1.
    pub drift_auc: f32,
    /// The divergence of the next token's distribution when pages were packed to int8, in nats, on average.
    pub packing_kl: f32,
    /// The part of tokens whose most probable one stays the same then.
    pub packing_same: f32,
}

/// Why a calibration cannot be for a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Misfit {
    /// Which number of it.
    pub what: &'static str,
    /// What it is.
    pub found: f64,
    /// The least that would fit.
    pub least: f64,
    /// The most that would fit.
    pub most: f64,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Misfit { what, found, least, most } = self;
        write!(f, "{what} is {found}; {least} to {most} would fit")
    }
}

impl std::error::Error for Misfit {}

/// The most that any distance of rows may be.
const FAR: f64 = 1e9;

impl Calibration {
    /// What a model of this shape is taken to be until it is measured: the layers that were found for others, in
    /// proportion.
    pub fn default_for(shape: &ModelShape) -> Calibration {
        let layer = |of_30: u32| (shape.layers * of_30 / 30).min(shape.layers.saturating_sub(1));
        Calibration {
            sink_tokens: 1,
            slicing_layer: layer(14),
            slicing_threshold: 0.08,
            density_layer: layer(17),
            density_threshold: 0.04,
            attention_first: layer(12),
            attention_last: layer(17),
            attention_threshold: 0.6,
            relevance_layer: layer(21),
            relevance_first: layer(20),
            relevance_last: layer(24),
            confident: 0.8,
            // Final rows are normed: their length grows with the root of the width.
            drift: 1.15 * (shape.width as f32).sqrt(),
            duplicate_bits: 3,
            centre: Vec::new(),
            measured: None,
        }
    }

    /// The layers in which attention is counted.
    pub fn attention_layers(&self) -> LayerRange {
        LayerRange { start: self.attention_first, end: self.attention_last + 1 }
    }

    /// Checks all numbers against a model.
    ///
    /// # Errors
    /// The first [`Misfit`] found.
    pub fn check(&self, shape: &ModelShape) -> Result<(), Misfit> {
        let last = f64::from(shape.layers.saturating_sub(1));
        let mut ranges = vec![
            ("sink_tokens", self.sink_tokens.into(), 0.0, 64.0),
            ("slicing_layer", self.slicing_layer.into(), 0.0, last),
            ("slicing_threshold", self.slicing_threshold.into(), 0.0, 2.0),
            ("density_layer", self.density_layer.into(), 0.0, last),
            ("density_threshold", self.density_threshold.into(), -1.0, 1.0),
            ("attention_last", self.attention_last.into(), 0.0, last),
            ("attention_first", self.attention_first.into(), 0.0, self.attention_last.into()),
            ("attention_threshold", self.attention_threshold.into(), 0.0, 1.0),
            ("relevance_last", self.relevance_last.into(), 0.0, last),
            ("relevance_first", self.relevance_first.into(), 0.0, self.relevance_last.into()),
            (
                "relevance_layer",
                self.relevance_layer.into(),
                self.relevance_first.into(),
                self.relevance_last.into(),
            ),
            ("confident", self.confident.into(), 0.0, 1.0),
            ("drift", self.drift.into(), 0.0, FAR),
            ("duplicate_bits", self.duplicate_bits.into(), 0.0, 64.0),
        ];
        if !self.centre.is_empty() {
            let width = f64::from(shape.width);
            ranges.push(("length of centre", self.centre.len() as f64, width, width));
            ranges.extend(self.centre.iter().map(|&x| ("number of centre", f64::from(x), -FAR, FAR)));
        }
        if let Some(measured) = &self.measured {
            for (what, found) in measured.parts() {
                ranges.push((what, found.into(), 0.0, 1.0));
            }
            for (what, found) in [
                ("drift_same", measured.drift_same),
                ("drift_different", measured.drift_different),
                ("packing_kl", measured.packing_kl),
            ] {
                ranges.push((what, found.into(), 0.0, FAR));
            }
        }
        // What is no number is in no range.
        let misfit = ranges.into_iter().find(|&(_, found, least, most)| !(least..=most).contains(&found));
        misfit.map_or(Ok(()), |(what, found, least, most)| Err(Misfit { what, found, least, most }))
    }
}

impl Measured {
    /// Those that are parts of a whole.
    fn parts(&self) -> [(&'static str, f32); 8] {
        [
            ("sink_share", self.sink_share),
            ("slicing_f1", self.slicing_f1),
            ("density_f1", self.density_f1),
            ("attention_f1", self.attention_f1),
            ("relevance_found", self.relevance_found),
            ("confident_same", self.confident_same),
            ("drift_auc", self.drift_auc),
            ("packing_same", self.packing_same),
        ]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use agentos_hal::{Pairing, Rope, RopeScaling};

    pub const SHAPE: ModelShape = ModelShape {
        layers: 30,
        width: 4,
        ffn: 8,
        heads: 1,
        kv_heads: 1,
        head_dim: 4,
        vocab: 40,
        context: 2048,
        norm_eps: 1e-5,
        rope: Rope {
            dims: 4,
            base: 1e4,
            pairing: Pairing::Adjacent,
            scaling: RopeScaling::None,
            factors: false,
        },
        tied_embedding: true,
    };

    #[test]
    fn defaults_are_in_proportion_and_fit_every_model() {
        for layers in [1, 2, 3, 12, 30, 80] {
            let shape = ModelShape { layers, ..SHAPE };
            assert_eq!(Calibration::default_for(&shape).check(&shape), Ok(()));
        }
        let calibration = Calibration::default_for(&SHAPE);
        assert_eq!((calibration.slicing_layer, calibration.relevance_layer), (14, 21));
        assert_eq!(Calibration::default_for(&ModelShape { layers: 80, ..SHAPE }).relevance_layer, 56);
    }

    #[test]
    fn what_fits_no_model_is_refused_with_what_would() {
        let refused = |change: fn(&mut Calibration)| {
            let mut calibration = Calibration::default_for(&SHAPE);
            change(&mut calibration);
            calibration.check(&SHAPE).unwrap_err().to_string()
        };
        assert_eq!(refused(|c| c.slicing_layer = 30), "slicing_layer is 30; 0 to 29 would fit");
        assert_eq!(refused(|c| c.attention_first = 18), "attention_first is 18; 0 to 17 would fit");
        assert_eq!(refused(|c| c.relevance_layer = 19), "relevance_layer is 19; 20 to 24 would fit");
        assert_eq!(refused(|c| c.centre = vec![0.0; 3]), "length of centre is 3; 4 to 4 would fit");
        assert_eq!(refused(|c| c.drift = f32::NAN), "drift is NaN; 0 to 1000000000 would fit");
        assert!(refused(|c| c.centre = vec![f32::INFINITY; 4]).starts_with("number of centre is inf"));
    }
}
