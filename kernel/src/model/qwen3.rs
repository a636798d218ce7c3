//! Qwen3: Llama's blocks with a norm on every query and key head before rotation.
//!
//! Source: Yang et al., "Qwen3 Technical Report" (arXiv 2505.09388), section 2.

use agentos_hal::Op::{Attend, Embed, Expose, Gate, Head, HeadNorm, MatMul, Norm, Rotate, StoreKv};
use agentos_hal::{Activation, Program, Reg, WeightRole};

/// Qwen3's forward pass.
pub static QWEN3: Program = Program {
    prologue: &[Embed { weight: WeightRole::TokenEmbedding, out: Reg::Hidden }],
    layer: &[
        Norm { input: Reg::Hidden, weight: WeightRole::AttnNorm, out: Reg::Normed },
        MatMul { input: Reg::Normed, weight: WeightRole::Query, out: Reg::Query, accumulate: false },
        HeadNorm { reg: Reg::Query, weight: WeightRole::QueryNorm },
        MatMul { input: Reg::Normed, weight: WeightRole::Key, out: Reg::Key, accumulate: false },
        HeadNorm { reg: Reg::Key, weight: WeightRole::KeyNorm },
        MatMul { input: Reg::Normed, weight: WeightRole::Value, out: Reg::Value, accumulate: false },
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
