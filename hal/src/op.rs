//! The instruction set.
//!
//! Instructions are coarse and already fused, so that no compiler is needed behind them: a backend
//! may interpret the table one by one, or fuse neighbours further. Every instruction works on all
//! rows of a step. Row r of register R is written R\[r\].

use crate::weight::WeightRole;

/// An activation register: one row of `f32` for every row of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reg {
    /// The residual stream; width `width`.
    Hidden,
    /// The normed copy that feeds a projection; width `width`.
    Normed,
    /// Queries of all heads; width `heads · head_dim`.
    Query,
    /// Keys of all key/value heads; width `kv_heads · head_dim`.
    Key,
    /// Values of all key/value heads; width `kv_heads · head_dim`.
    Value,
    /// What attention gathered for each head; width `heads · head_dim`.
    Context,
    /// The gate of the feed-forward part; width `ffn`.
    Gate,
    /// The other factor of the feed-forward part; width `ffn`.
    Up,
}

impl Reg {
    /// Every register.
    pub const ALL: [Reg; 8] =
        [Reg::Hidden, Reg::Normed, Reg::Query, Reg::Key, Reg::Value, Reg::Context, Reg::Gate, Reg::Up];

    /// Elements of one row.
    pub const fn width(self, shape: &crate::ModelShape) -> u32 {
        match self {
            Reg::Hidden | Reg::Normed => shape.width,
            Reg::Query | Reg::Context => shape.query_width(),
            Reg::Key | Reg::Value => shape.kv_width(),
            Reg::Gate | Reg::Up => shape.ffn,
        }
    }
}

/// The non-linearity of a gated feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x / (1 + e^−x).
    Silu,
    /// x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), the tanh form of GELU.
    Gelu,
}

impl Activation {
    /// Its value, nearly exact.
    pub fn of(self, x: f64) -> f64 {
        match self {
            Activation::Silu => x / (1.0 + libm::exp(-x)),
            Activation::Gelu => {
                let root = libm::sqrt(2.0 / core::f64::consts::PI);
                0.5 * x * (1.0 + libm::tanh(root * (x + 0.044715 * x * x * x)))
            }
        }
    }
}

/// One instruction.
///
/// Sums run in `f32`; how far a backend may differ from the reference is stated per instruction by
/// the conformance suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// out\[r\] = the row of `weight` for the token of r.
    Embed {
        /// A matrix of `vocab` rows.
        weight: WeightRole,
        /// Written.
        out: Reg,
    },
    /// Root-mean-square norm: out = in / √(mean(in²) + ε) · weight.
    Norm {
        /// Read.
        input: Reg,
        /// A vector as wide as the register.
        weight: WeightRole,
        /// Written; may be `input`.
        out: Reg,
    },
    /// [`Op::Norm`] of every head by itself, in place.
    HeadNorm {
        /// Read and written: [`Reg::Query`] or [`Reg::Key`].
        reg: Reg,
        /// A vector of `head_dim`.
        weight: WeightRole,
    },
    /// out = weight · in, or out += weight · in.
    MatMul {
        /// Read.
        input: Reg,
        /// A matrix of (width of `out`) rows by (width of `input`) columns.
        weight: WeightRole,
        /// Written, or added to.
        out: Reg,
        /// Add to `out` instead of overwriting it: the residual connection.
        accumulate: bool,
    },
    /// reg += weight, the same vector for every row: the bias of a projection.
    Add {
        /// Read and written.
        reg: Reg,
        /// A vector as wide as the register.
        weight: WeightRole,
    },
    /// Rotates every head of the register by the row's offset inside its slice (`Row::offset`).
    /// Only keys are rotated by an instruction; [`Op::Attend`] rotates queries itself.
    Rotate {
        /// Read and written: [`Reg::Key`].
        reg: Reg,
    },
    /// Writes the row's key and value into the page and place that the row names, for this layer.
    StoreKv {
        /// The rotated keys.
        key: Reg,
        /// The values.
        value: Reg,
    },
    /// Causal attention of every row to the segments of its span, in address order.
    ///
    /// For a segment with base b the query at address p is rotated by p − b; score = q·k / √head_dim;
    /// a key at offset j is visible when b + j ≤ p. One softmax runs over all visible keys of all
    /// segments. Entropy and mass are counted in the layers of `Step::counters`.
    Attend {
        /// The queries, not rotated.
        query: Reg,
        /// Written.
        out: Reg,
    },
    /// gate = activation(gate) · up, in place.
    Gate {
        /// The non-linearity.
        activation: Activation,
        /// Read and written.
        gate: Reg,
        /// Read.
        up: Reg,
    },
    /// For every row that wants it (`Row::want`): logits = weight · in, masked, reduced to
    /// candidates, log-sum-exp and entropy. Logits never leave the device.
    Head {
        /// Read.
        input: Reg,
        /// A matrix of `vocab` rows by `width` columns.
        weight: WeightRole,
    },
    /// Copies the register of the rows that ask for it (`Row::expose`) into the report, if
    /// `Step::taps` names this register at this layer.
    Expose {
        /// Read.
        reg: Reg,
    },
}
