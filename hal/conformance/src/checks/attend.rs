//! `StoreKv` and `Attend`, with the counters that attention gives.
//!
//! Keys and values are embeddings here, so that page memory holds exactly known numbers and an error
//! is attention's own.

use agentos_hal::{DType, KvType, LayerRange, Limits, Mass, ModelShape, Pairing, Reg, Tap, WeightRole, page};
use half::f16;

use super::{Bench, Check, Failure};
use crate::batch::{Batch, Context, Pool};
use crate::checks::ops::HEAD_DIMS;
use crate::compare::{Apart, differing, largest, worst};
use crate::model::{LIMITS, Model, rope, shape};
use crate::play::{chunked, pages_of};
use crate::programs;
use crate::rng::Rng;

pub fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for (kv, name) in [(KvType::F16, "KV f16"), (KvType::F32, "KV f32")] {
        checks.push(Check::new("StoreKv", name, move |bench, rng| store(bench, rng, kv)));
        checks.push(Check::new("Attend", name, move |bench, rng| Ok(attend(bench, rng, kv)?.context)));
        checks.push(Check::new("Attend formula", name, move |bench, rng| formula(bench, rng, kv)));
        checks.push(Check::new("Entropy", name, move |bench, rng| Ok(attend(bench, rng, kv)?.entropy)));
        checks.push(Check::new("Mass", name, move |bench, rng| Ok(attend(bench, rng, kv)?.mass)));
    }
    checks
}

/// Room for many short slices.
pub fn limits(kv: KvType) -> Limits {
    Limits { segments: 160, pages: 200, kv, ..LIMITS }
}

/// Grouped heads over keys as wide as an embedding.
pub fn model(rng: &mut Rng) -> Model {
    let (kv_heads, head_dim) = (rng.among(1..=3), rng.pick(&HEAD_DIMS));
    let mut shape = shape(kv_heads * head_dim, kv_heads * rng.pick(&[1, 2, 3, 4, 7]), head_dim, 40);
    shape.kv_heads = kv_heads;
    shape.layers = 2;
    shape.rope = rope(head_dim, rng);
    let peak = rng.pick(&[0.5, 1.0, 3.0]);
    Model::random(programs::ATTENTION, shape, rng, |role| {
        let gain = match role {
            WeightRole::Query => peak,
            // The values: as wide as the keys, and of size 1.
            WeightRole::Output => (shape.width as f32).sqrt(),
            _ => 1.0,
        };
        (DType::F32, gain)
    })
}

struct Errors {
    context: Apart,
    entropy: Apart,
    mass: Apart,
}

/// A few contexts, computed but for their last tokens; those in one step together.
fn attend(bench: &Bench<'_>, rng: &mut Rng, kv: KvType) -> Result<Errors, Failure> {
    let (model, limits) = (model(rng), limits(kv));
    let (mut subject, mut oracle) = bench.pair(&model, &limits)?;
    let mut pool = Pool::new(&limits, rng);
    let contexts: Vec<Context> = (0..rng.among(1..=3))
        .map(|_| Context::random(rng.among(1..=60), model.shape.vocab, &mut pool, rng))
        .collect();
    let counters =
        rng.pick(&[LayerRange::NONE, LayerRange { start: 0, end: 2 }, LayerRange { start: 1, end: 2 }]);
    let taps = [Tap::Layer(0, Reg::Context), Tap::Layer(1, Reg::Context)];
    let mut last = Batch::new(&taps, counters);
    for (i, context) in contexts.iter().enumerate() {
        let tokens = context.tokens();
        let fresh = rng.among(1..=tokens.min(11) as u32) as usize;
        for spans in chunked(i, 0, tokens - fresh, limits.rows as usize) {
            let mut batch = Batch::new(&[], LayerRange::NONE);
            context.push(spans[0].1.clone(), &mut batch);
            subject.step(&batch)?;
            oracle.step(&batch)?;
        }
        context.push(tokens - fresh..tokens, &mut last);
    }
    last.rows.iter_mut().for_each(|row| row.expose = true);
    let (found, expected) = (subject.step(&last)?, oracle.step(&last)?);
    let counted = f64::from((counters.end - counters.start).max(1) * model.shape.heads);
    let share = |a: &Mass, b: &Mass| a.0.abs_diff(b.0) as f64 / f64::from(Mass::ONE) / counted;
    let mut rows_of = last.spans.iter().flat_map(|span| vec![f64::from(span.rows); span.segments as usize]);
    let masses = found.mass.iter().zip(&expected.mass);
    let of_segments = largest(masses.map(|(a, b)| share(a, b) / rows_of.next().unwrap_or(1.0)));
    let mut of_tokens = Apart::default();
    for (page, tokens) in pages_of(&contexts) {
        let (_, found) = subject.summary(page, 0, tokens)?;
        let (_, expected) = oracle.summary(page, 0, tokens)?;
        let rows = last.rows.len() as f64;
        let of_page = largest(found.iter().zip(&expected).map(|(a, b)| share(a, b) / rows));
        of_tokens = largest([of_tokens, of_page]);
    }
    Ok(Errors {
        context: worst(&found.exposed, &expected.exposed, |_| 1.0),
        entropy: worst(&found.entropy, &expected.entropy, |_| 1.0),
        mass: largest([of_segments, of_tokens]),
    })
}

/// A store writes its own places and no other.
fn store(bench: &Bench<'_>, rng: &mut Rng, kv: KvType) -> Result<Apart, Failure> {
    let (model, limits) = (model(rng), limits(kv));
    let (mut subject, mut oracle) = bench.pair(&model, &limits)?;
    let context = Context::random(rng.among(1..=33), model.shape.vocab, &mut Pool::new(&limits, rng), rng);
    let pages = pages_of(std::slice::from_ref(&context));
    for (page, _) in &pages {
        let before = random_image(&model.shape, kv, rng);
        subject.load(*page, &before)?;
        oracle.load(*page, &before)?;
    }
    let mut batch = Batch::new(&[], LayerRange::NONE);
    context.push(0..context.tokens(), &mut batch);
    subject.step(&batch)?;
    oracle.step(&batch)?;
    let mut different = Apart::default();
    for (page, _) in pages {
        let of_page = differing(&subject.image(page)?, &oracle.image(page)?);
        different += of_page.of(|| format!("image of page {}, by bytes", page.0));
    }
    Ok(different)
}

/// A page image of small numbers.
pub fn random_image(shape: &ModelShape, kv: KvType, rng: &mut Rng) -> Vec<u8> {
    let elements = page::image_bytes(shape, kv) / kv.bytes();
    let numbers = (0..elements).map(|_| rng.spread(1.0));
    match kv {
        KvType::F16 => numbers.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
        KvType::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
    }
}

/// Attention as the papers write it: query and keys turned to their absolute addresses, one softmax.
/// Only the queries are the device's own.
fn formula(bench: &Bench<'_>, rng: &mut Rng, kv: KvType) -> Result<Apart, Failure> {
    let (model, limits) = (model(rng), limits(kv));
    let mut subject = bench.subject(&model, &limits)?;
    let context = Context::random(rng.among(1..=33), model.shape.vocab, &mut Pool::new(&limits, rng), rng);
    let mut taps: Vec<Tap> =
        (0..2).flat_map(|layer| [Reg::Query, Reg::Context].map(|reg| Tap::Layer(layer, reg))).collect();
    if rng.one_in(2) {
        taps.truncate(2);
    }
    let mut batch = Batch::new(&taps, LayerRange::NONE);
    context.push(0..context.tokens(), &mut batch);
    batch.rows.iter_mut().for_each(|row| row.expose = true);
    let seen = subject.step(&batch)?;
    let turns = turns(&model);
    let tokens: Vec<Known> = batch.rows.iter().map(|row| known(&model, kv, row, &turns)).collect();
    let width = model.shape.query_width() as usize;
    let rows = seen.exposed.chunks(taps.len() * width).zip(&batch.rows).enumerate();
    Ok(largest(rows.flat_map(|(nth, (exposed, row))| {
        let errors = exposed.chunks(2 * width).map(|layer| {
            let (queries, context) = layer.split_at(width);
            let expected = softmax_over(&model.shape, &turns, queries, row.address, &tokens[..=nth]);
            worst(context, &expected, |_| 1.0)
        });
        errors.collect::<Vec<_>>()
    })))
}

/// A token's key, turned to its address, and its value.
struct Known {
    key: Vec<f64>,
    value: Vec<f64>,
}

fn known(model: &Model, kv: KvType, row: &agentos_hal::Row, turns: &[f64]) -> Known {
    let stored = |role| {
        let numbers = model.shared(role).row(row.token).into_iter();
        let rounded = numbers.map(|x| if kv == KvType::F16 { f16::from_f32(x).to_f32() } else { x });
        rounded.map(f64::from).collect::<Vec<f64>>()
    };
    let mut key = stored(WeightRole::TokenEmbedding);
    let base = row.address - row.offset;
    key.chunks_mut(model.shape.head_dim as usize).for_each(|head| turn(&model.shape, turns, base, head));
    Known { key, value: stored(WeightRole::Output) }
}

fn softmax_over(
    shape: &ModelShape,
    turns: &[f64],
    queries: &[f32],
    address: u32,
    tokens: &[Known],
) -> Vec<f32> {
    let head_dim = shape.head_dim as usize;
    let mut out = Vec::new();
    for (head, query) in queries.chunks(head_dim).enumerate() {
        let at = head / shape.group() as usize * head_dim;
        let mut query: Vec<f64> = query.iter().copied().map(f64::from).collect();
        turn(shape, turns, address, &mut query);
        let scores: Vec<f64> = tokens
            .iter()
            .map(|token| dot(&query, &token.key[at..at + head_dim]) / f64::from(shape.head_dim).sqrt())
            .collect();
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let total: f64 = shares.iter().sum();
        out.extend((0..head_dim).map(|dim| {
            let values = tokens.iter().zip(&shares).map(|(token, share)| share * token.value[at + dim]);
            (values.sum::<f64>() / total) as f32
        }));
    }
    out
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Radians per token, for each rotated pair.
pub fn turns(model: &Model) -> Vec<f64> {
    let rope = model.shape.rope;
    let factors = if rope.factors {
        model.shared(WeightRole::RopeFactors).row(0)
    } else {
        vec![1.0; rope.dims as usize / 2]
    };
    (0..rope.dims / 2).zip(factors).map(|(pair, factor)| rope.frequency(pair) / f64::from(factor)).collect()
}

/// Rotates a head by a distance.
pub fn turn(shape: &ModelShape, turns: &[f64], distance: u32, head: &mut [f64]) {
    for (i, &angle) in turns.iter().enumerate() {
        let (a, b) = match shape.rope.pairing {
            Pairing::Adjacent => (2 * i, 2 * i + 1),
            Pairing::Halves => (i, i + turns.len()),
        };
        let (sin, cos) = (angle * f64::from(distance)).sin_cos();
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
    }
}
