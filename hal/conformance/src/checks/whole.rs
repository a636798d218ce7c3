//! Whole small models against the reference.

use agentos_hal::{DType, Inputs, KvType, LayerRange, Limits, ModelShape, Program, Reg, Tap, WeightRole};

use super::{Bench, Check, Failure};
use crate::batch::{Context, Pool};
use crate::checks::ops::HEAD_DIMS;
use crate::compare::{Apart, largest, rms, worst};
use crate::model::{LIMITS, Model, rope, shape};
use crate::play::{Asked, Token, mixed, play};
use crate::programs;
use crate::rng::Rng;

/// The three families.
pub const FAMILIES: [(&str, Program); 3] =
    [("Llama", programs::LLAMA), ("Qwen2", programs::QWEN2), ("Qwen3", programs::QWEN3)];

pub fn checks(inputs: Inputs) -> Vec<Check> {
    let mut checks = Vec::new();
    let (in_f32, in_f16) = match inputs {
        Inputs::F32 => ("Program", "Program f16"),
        Inputs::Int16 => ("Program int16", "Program f16"),
        Inputs::Int8 => ("Program int8", "Program int8 f16"),
        Inputs::F16 => ("Program halves", "Program halves f16"),
    };
    for (name, program) in FAMILIES {
        for (check, kv) in [(in_f32, KvType::F32), (in_f16, KvType::F16)] {
            checks.push(Check::new(check, name, move |bench, rng| whole(bench, rng, program, kv)));
        }
    }
    checks
}

/// A small model with weights of mixed types.
pub fn model(program: Program, dtypes: &[DType], rng: &mut Rng) -> Model {
    let (kv_heads, head_dim) = (rng.among(1..=2), rng.pick(&HEAD_DIMS));
    let heads = kv_heads * rng.pick(&[1, 2, 3, 4, 7]);
    let shape = ModelShape {
        layers: rng.among(1..=3),
        ffn: rng.pick(&[32, 96, 160, 256, 352, 512]),
        kv_heads,
        rope: rope(head_dim, rng),
        tied_embedding: rng.one_in(2),
        ..shape(rng.pick(&[32, 96, 256, 288, 576]), heads, head_dim, rng.pick(&[33, 64, 99]))
    };
    let mut choice = rng.clone();
    let types: Vec<DType> = (0..32).map(|_| choice.pick(dtypes)).collect();
    Model::random(program, shape, rng, |role| plan(role, &shape, &types))
}

fn plan(role: WeightRole, shape: &ModelShape, types: &[DType]) -> (DType, f32) {
    let (rows, cols) = role.dims(shape);
    let wanted = types[role as usize];
    let fits = wanted.bytes(cols.into()).is_some();
    // Attention outputs are averages, and small; projections into the stream must not drown it.
    let gain = match role {
        WeightRole::Output => 3.0,
        WeightRole::QueryBias | WeightRole::KeyBias | WeightRole::ValueBias => 0.3,
        _ if rows == 1 => 0.2,
        _ => 1.0,
    };
    if rows == 1 || !fits { (DType::F32, gain) } else { (wanted, gain) }
}

/// Limits whose outcomes show every token's logit.
pub fn limits(model: &Model, kv: KvType) -> Limits {
    Limits { candidates: model.shape.vocab, segments: 160, pages: 200, kv, ..LIMITS }
}

/// Contexts of up to 33 tokens in all.
pub fn contexts(model: &Model, pool: &mut Pool, rng: &mut Rng) -> Vec<Context> {
    let mut context = |_| Context::random(rng.among(1..=11), model.shape.vocab, pool, rng);
    (0..3).map(&mut context).collect()
}

/// Everything there is to ask.
pub fn asked(model: &Model) -> Asked {
    let last = model.shape.layers - 1;
    Asked {
        taps: vec![Tap::Layer(last, Reg::Query), Tap::Layer(0, Reg::Hidden), Tap::Final(Reg::Normed)],
        counters: LayerRange { start: 0, end: model.shape.layers },
    }
}

fn whole(bench: &Bench<'_>, rng: &mut Rng, program: Program, kv: KvType) -> Result<Apart, Failure> {
    let model = model(program, bench.dtypes(), rng);
    let limits = limits(&model, kv);
    let (mut subject, mut oracle) = bench.pair(&model, &limits)?;
    let contexts = contexts(&model, &mut Pool::new(&limits, rng), rng);
    let schedule = mixed(&contexts, limits.rows as usize, rng);
    let page_memory = (&model.shape, kv);
    let found = play(&mut subject, page_memory, &contexts, &schedule, &asked(&model))?;
    let expected = play(&mut oracle, page_memory, &contexts, &schedule, &asked(&model))?;
    let pairs = found.tokens.iter().zip(expected.tokens.values());
    Ok(largest(pairs.map(|((&(context, token), found), expected)| {
        let (found, expected) = (logits(found), logits(expected));
        let size = rms(&expected);
        worst(&found, &expected, |_| size).of(|| format!("logits of token {token} of context {context}"))
    })))
}

fn logits(token: &Token) -> Vec<f32> {
    let mut all: Vec<(u32, f32)> = token.candidates.iter().map(|one| (one.token, one.logit)).collect();
    all.sort_by_key(|(token, _)| *token);
    all.into_iter().map(|(_, logit)| logit).collect()
}
