//! Qwen2: Llama's blocks with biases on the query, key and value projections.
//!
//! Source: Yang et al., "Qwen2 Technical Report" (arXiv 2407.10671), section 2.2.1.

use agentos_hal::Op::{Add, Attend, Embed, Expose, Gate, Head, MatMul, Norm, Rotate, StoreKv};
use agentos_hal::{Activation, Program, Reg, WeightRole};

/// Qwen2's forward pass.
pub static QWEN2: Program = Program {
    prologue: &[Embed { weight: WeightRole::TokenEmbedding, out: Reg::Hidden }],
    layer: &[
        Norm { input: Reg::Hidden, weight: WeightRole::AttnNorm, out: Reg::Normed },
        MatMul { input: Reg::Normed, weight: WeightRole::Query, out: Reg::Query, accumulate: false },
        Add { reg: Reg::Query, weight: WeightRole::QueryBias },
        MatMul { input: Reg::Normed, weight: WeightRole::Key, out: Reg::Key, accumulate: false },
        Add { reg: Reg::Key, weight: WeightRole::KeyBias },
        MatMul { input: Reg::Normed, weight: WeightRole::Value, out: Reg::Value, accumulate: false },
        Add { reg: Reg::Value, weight: WeightRole::ValueBias },
        Expose { reg: Reg::Query },
        Rotate { reg: Reg::Key },
        StoreKv { key: Reg::Key, value: Reg::Value },
        Attend { query: Reg::Query, out: Reg::Context },
        MatMul { input: Reg::Context, weight: WeightRole::AttnOutput, out: Reg::Hidden, accumulate: true },
        Norm { input: Reg::Hidden, weight: WeightRole::FfnNorm, out: Reg::Normed },
        MatMul { input: Reg::Normed, weight: WeightRole::FfnGate, out: Reg::Gate, accumulate: false },
        MatMul { input: Reg::Normed, weight: WeightRole::FfnUp, out: Reg::Up, accumulate: false },
        Gate { activation: Activation::Silu, gate: Reg::Gate, up: Reg::Up },
        MatMul { input: Reg::Gate, weight: WeightRole::FfnDown, out: Reg::Hidden, accumulate: true },
        Expose { reg: Reg::Hidden },
    ],
    epilogue: &[
        Norm { input: Reg::Hidden, weight: WeightRole::OutputNorm, out: Reg::Normed },
        Expose { reg: Reg::Normed },
        Head { input: Reg::Normed, weight: WeightRole::Output },
    ],
};
