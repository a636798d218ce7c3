//! Programs for the checks: one instruction between an embedding, which makes exact inputs, and an
//! `Expose`, which shows the result; and three whole models.

use agentos_hal::{Activation, Op, Program, Reg, WeightRole};

const fn embed(weight: WeightRole, out: Reg) -> Op {
    Op::Embed { weight, out }
}

const fn norm(input: Reg, weight: WeightRole, out: Reg) -> Op {
    Op::Norm { input, weight, out }
}

const fn matmul(input: Reg, weight: WeightRole, out: Reg) -> Op {
    Op::MatMul { input, weight, out, accumulate: false }
}

const fn matmul_add(input: Reg, weight: WeightRole, out: Reg) -> Op {
    Op::MatMul { input, weight, out, accumulate: true }
}

const fn expose(reg: Reg) -> Op {
    Op::Expose { reg }
}

const STORE: Op = Op::StoreKv { key: Reg::Key, value: Reg::Value };
const ATTEND: Op = Op::Attend { query: Reg::Query, out: Reg::Context };
const HEAD: Op = Op::Head { input: Reg::Hidden, weight: WeightRole::Output };
const HIDDEN: Op = embed(WeightRole::TokenEmbedding, Reg::Hidden);

/// Embedding, exposed at the end; a head over it.
pub const EMBED: Program =
    Program { prologue: &[HIDDEN], layer: &[], epilogue: &[expose(Reg::Hidden), HEAD] };

/// The two norms of a layer: into another register, and in place.
pub const NORM: Program = Program {
    prologue: &[HIDDEN],
    layer: &[
        norm(Reg::Hidden, WeightRole::AttnNorm, Reg::Normed),
        expose(Reg::Normed),
        norm(Reg::Hidden, WeightRole::FfnNorm, Reg::Hidden),
        expose(Reg::Hidden),
    ],
    epilogue: &[HEAD],
};

/// Norms of query and key heads, both `width` wide in all.
pub const HEAD_NORM: Program = Program {
    prologue: &[
        HIDDEN,
        embed(WeightRole::TokenEmbedding, Reg::Query),
        embed(WeightRole::TokenEmbedding, Reg::Key),
    ],
    layer: &[
        Op::HeadNorm { reg: Reg::Query, weight: WeightRole::QueryNorm },
        Op::HeadNorm { reg: Reg::Key, weight: WeightRole::KeyNorm },
        expose(Reg::Query),
        expose(Reg::Key),
    ],
    epilogue: &[HEAD],
};

/// One product, and a second one added to it.
pub const MATMUL: Program = Program {
    prologue: &[HIDDEN],
    layer: &[
        matmul(Reg::Hidden, WeightRole::FfnGate, Reg::Gate),
        expose(Reg::Gate),
        matmul(Reg::Hidden, WeightRole::FfnGate, Reg::Up),
        matmul_add(Reg::Hidden, WeightRole::FfnUp, Reg::Up),
        expose(Reg::Up),
    ],
    epilogue: &[HEAD],
};

/// A bias behind an embedding, and one behind a product.
pub const ADD: Program = Program {
    prologue: &[HIDDEN, embed(WeightRole::TokenEmbedding, Reg::Query)],
    layer: &[
        Op::Add { reg: Reg::Query, weight: WeightRole::QueryBias },
        expose(Reg::Query),
        matmul(Reg::Hidden, WeightRole::Key, Reg::Key),
        Op::Add { reg: Reg::Key, weight: WeightRole::KeyBias },
        expose(Reg::Key),
    ],
    epilogue: &[HEAD],
};

/// Rotated keys.
pub const ROTATE: Program = Program {
    prologue: &[HIDDEN, embed(WeightRole::TokenEmbedding, Reg::Key)],
    layer: &[Op::Rotate { reg: Reg::Key }, expose(Reg::Key)],
    epilogue: &[HEAD],
};

/// Attention over keys and values that are embeddings, so that page memory is exactly known.
pub const ATTENTION: Program = Program {
    prologue: &[HIDDEN, embed(WeightRole::TokenEmbedding, Reg::Key), embed(WeightRole::Output, Reg::Value)],
    layer: &[
        matmul(Reg::Hidden, WeightRole::Query, Reg::Query),
        expose(Reg::Query),
        STORE,
        ATTEND,
        expose(Reg::Context),
    ],
    epilogue: &[HEAD],
};

const fn gate(activation: Activation) -> Op {
    Op::Gate { activation, gate: Reg::Gate, up: Reg::Up }
}

const GATE_INPUTS: &[Op] =
    &[HIDDEN, embed(WeightRole::TokenEmbedding, Reg::Gate), embed(WeightRole::Output, Reg::Up)];

/// A gate with SiLU; `ffn` is `width`.
pub const SILU: Program =
    Program { prologue: GATE_INPUTS, layer: &[gate(Activation::Silu), expose(Reg::Gate)], epilogue: &[HEAD] };

/// A gate with GELU; `ffn` is `width`.
pub const GELU: Program =
    Program { prologue: GATE_INPUTS, layer: &[gate(Activation::Gelu), expose(Reg::Gate)], epilogue: &[HEAD] };

/// Several registers exposed in the layer, in another order than they are written, and at the end.
pub const EXPOSE: Program = Program {
    prologue: GATE_INPUTS,
    layer: &[expose(Reg::Up), expose(Reg::Hidden), expose(Reg::Gate)],
    epilogue: &[expose(Reg::Up), HEAD],
};

const ATTN_NORM: Op = norm(Reg::Hidden, WeightRole::AttnNorm, Reg::Normed);
const QUERY: Op = matmul(Reg::Normed, WeightRole::Query, Reg::Query);
const KEY: Op = matmul(Reg::Normed, WeightRole::Key, Reg::Key);
const VALUE: Op = matmul(Reg::Normed, WeightRole::Value, Reg::Value);
const ROTATE_KEY: Op = Op::Rotate { reg: Reg::Key };
const ATTN_OUTPUT: Op = matmul_add(Reg::Context, WeightRole::AttnOutput, Reg::Hidden);
const FFN_NORM: Op = norm(Reg::Hidden, WeightRole::FfnNorm, Reg::Normed);
const FFN_GATE: Op = matmul(Reg::Normed, WeightRole::FfnGate, Reg::Gate);
const FFN_UP: Op = matmul(Reg::Normed, WeightRole::FfnUp, Reg::Up);
const FFN_DOWN: Op = matmul_add(Reg::Gate, WeightRole::FfnDown, Reg::Hidden);
const EPILOGUE: &[Op] = &[
    norm(Reg::Hidden, WeightRole::OutputNorm, Reg::Normed),
    expose(Reg::Normed),
    Op::Head { input: Reg::Normed, weight: WeightRole::Output },
];

/// A Llama.
pub const LLAMA: Program = Program {
    prologue: &[HIDDEN],
    layer: &[
        ATTN_NORM,
        QUERY,
        KEY,
        VALUE,
        ROTATE_KEY,
        STORE,
        expose(Reg::Query),
        ATTEND,
        ATTN_OUTPUT,
        FFN_NORM,
        FFN_GATE,
        FFN_UP,
        gate(Activation::Silu),
        FFN_DOWN,
        expose(Reg::Hidden),
    ],
    epilogue: EPILOGUE,
};

/// A Qwen2: biases behind the projections.
pub const QWEN2: Program = Program {
    prologue: &[HIDDEN],
    layer: &[
        ATTN_NORM,
        QUERY,
        Op::Add { reg: Reg::Query, weight: WeightRole::QueryBias },
        KEY,
        Op::Add { reg: Reg::Key, weight: WeightRole::KeyBias },
        VALUE,
        Op::Add { reg: Reg::Value, weight: WeightRole::ValueBias },
        ROTATE_KEY,
        STORE,
        expose(Reg::Query),
        ATTEND,
        ATTN_OUTPUT,
        FFN_NORM,
        FFN_GATE,
        FFN_UP,
        gate(Activation::Silu),
        FFN_DOWN,
        expose(Reg::Hidden),
    ],
    epilogue: EPILOGUE,
};

/// A Qwen3: norms of the heads; here with GELU, which no other program runs.
pub const QWEN3: Program = Program {
    prologue: &[HIDDEN],
    layer: &[
        ATTN_NORM,
        QUERY,
        Op::HeadNorm { reg: Reg::Query, weight: WeightRole::QueryNorm },
        KEY,
        Op::HeadNorm { reg: Reg::Key, weight: WeightRole::KeyNorm },
        VALUE,
        ROTATE_KEY,
        STORE,
        expose(Reg::Query),
        ATTEND,
        ATTN_OUTPUT,
        FFN_NORM,
        FFN_UP,
        FFN_GATE,
        gate(Activation::Gelu),
        FFN_DOWN,
        expose(Reg::Hidden),
    ],
    epilogue: EPILOGUE,
};
