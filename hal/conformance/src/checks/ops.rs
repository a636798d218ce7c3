//! One instruction between an embedding and an `Expose`.

use agentos_hal::{DType, LayerRange, Limits, PageId, Program, Reg, Tap, WeightRole};

use super::{Bench, Check, Failure};
use crate::batch::{Batch, Context, Pool, Slice};
use crate::compare::{Apart, differing, largest, worst};
use crate::model::{LIMITS, Model, rope, shape};
use crate::programs;
use crate::rig::Seen;
use crate::rng::Rng;
use crate::tensor::Owned;
use crate::tolerance;

pub fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for dtype in DType::ALL {
        checks.push(Check::new("Embed", dtype.name(), move |bench, rng| embed(bench, rng, dtype)));
    }
    for dtype in DType::ALL {
        checks.push(Check::new("MatMul", dtype.name(), move |bench, rng| matmul(bench, rng, dtype)));
    }
    checks.push(Check::new("Norm", "", norm));
    checks.push(Check::new("HeadNorm", "", head_norm));
    checks.push(Check::new("Add", "", add));
    checks.push(Check::new("Rotate", "", rotate));
    checks.push(Check::new("Gate", "SiLU", |bench, rng| gate(bench, rng, programs::SILU)));
    checks.push(Check::new("Gate", "GELU", |bench, rng| gate(bench, rng, programs::GELU)));
    checks.push(Check::new("Expose", "", expose));
    checks
}

/// Every matrix in `F32` and of gain 1, vectors near their usual values.
pub fn plain(_: WeightRole) -> (DType, f32) {
    (DType::F32, 1.0)
}

/// A width that a row of this type can have.
pub fn width(dtype: DType, rng: &mut Rng) -> u32 {
    match dtype.block_len() {
        1 => rng.pick(&[32, 33, 40, 48, 100, 256, 576, 7]),
        32 => rng.pick(&[32, 96, 160, 288, 576, 1536]),
        _ => rng.pick(&[256, 512, 768, 1280]),
    }
}

/// One step, the same for both devices, and what they reported.
pub struct Both {
    pub batch: Batch,
    pub found: Seen,
    pub expected: Seen,
}

/// Runs a batch on a fresh subject and on the oracle.
pub fn both(bench: &Bench<'_>, model: &Model, limits: &Limits, batch: Batch) -> Result<Both, Failure> {
    let (mut subject, mut oracle) = bench.pair(model, limits)?;
    let found = subject.step(&batch)?;
    let expected = oracle.step(&batch)?;
    Ok(Both { batch, found, expected })
}

/// A step of a few contexts whose rows are all exposed, and ask for nothing else.
pub fn exposed(model: &Model, taps: &[Tap], rng: &mut Rng) -> Batch {
    let mut batch = Batch::new(taps, LayerRange::NONE);
    let mut pool = Pool::new(&LIMITS, rng);
    let mut left = rng.pick(&[0, 1, 2, 3, 8, 9, 17, 33]);
    while left > 0 {
        let last = batch.spans.len() + 1 == LIMITS.spans as usize;
        let tokens = if last { left } else { rng.among(1..=left) };
        let context = Context::random(tokens, model.shape.vocab, &mut pool, rng);
        context.push(0..tokens as usize, &mut batch);
        left -= tokens;
    }
    batch.rows.iter_mut().for_each(|row| row.expose = true);
    batch
}

fn embed(bench: &Bench<'_>, rng: &mut Rng, dtype: DType) -> Result<Apart, Failure> {
    let shape = shape(width(dtype, rng), 1, 16, rng.pick(&[1, 7, 33, 100]));
    let plan = |role| {
        if role == WeightRole::TokenEmbedding { (dtype, 1.0) } else { plain(role) }
    };
    let model = Model::random(programs::EMBED, shape, rng, plan);
    let batch = exposed(&model, &[Tap::Final(Reg::Hidden)], rng);
    let both = both(bench, &model, &LIMITS, batch)?;
    Ok(differing(&both.found.exposed, &both.expected.exposed))
}

fn matmul(bench: &Bench<'_>, rng: &mut Rng, dtype: DType) -> Result<Apart, Failure> {
    let mut shape = shape(width(dtype, rng), 1, 16, 40);
    shape.ffn = rng.pick(&[1, 7, 16, 31, 33, 64, 100, 200, 257]);
    let plan = |role| match role {
        WeightRole::FfnGate | WeightRole::FfnUp => (dtype, 1.0),
        role => plain(role),
    };
    let model = Model::random(programs::MATMUL, shape, rng, plan);
    let batch = exposed(&model, &[Tap::Layer(0, Reg::Gate), Tap::Layer(0, Reg::Up)], rng);
    let both = both(bench, &model, &LIMITS, batch)?;
    let [once, added] = [WeightRole::FfnGate, WeightRole::FfnUp].map(|role| {
        let weights: Vec<Vec<f64>> =
            (0..shape.ffn).map(|output| model.shared(role).row_magnitude(output)).collect();
        sizes(&model, &both.batch, &weights, rounding(bench, "MatMul", dtype))
    });
    let ffn = shape.ffn as usize;
    Ok(worst(&both.found.exposed, &both.expected.exposed, |i| {
        let (row, output) = (i / (2 * ffn), i % (2 * ffn));
        if output < ffn { once[row][output] } else { once[row][output - ffn] + added[row][output - ffn] }
    }))
}

/// What a device that rounds the inputs of products may be wrong by for that, for weights of a type, as a
/// multiple of a check's tolerance: [`Inputs::rounding`] of the greatest of each 32 inputs.
pub fn rounding(bench: &Bench<'_>, check: &str, dtype: DType) -> f64 {
    let rounding = if dtype.block_len() > 1 { bench.inputs().rounding() } else { 0.0 };
    rounding / tolerance::of(check).limit
}

/// For each row and each output, Σ magnitude · |input|, the inputs being embeddings; and `rounding` ·
/// Σ magnitude · the greatest of 32 inputs.
pub fn sizes(model: &Model, batch: &Batch, weights: &[Vec<f64>], rounding: f64) -> Vec<Vec<f64>> {
    const BLOCK: usize = 32;
    let of_row = |token: u32| {
        let input = model.shared(WeightRole::TokenEmbedding).row(token);
        let size = |weights: &Vec<f64>| {
            let blocks = weights.chunks(BLOCK).zip(input.chunks(BLOCK)).map(|(weights, input)| {
                let greatest = input.iter().fold(0.0, |greatest: f32, x| greatest.max(x.abs()));
                let each = weights
                    .iter()
                    .zip(input)
                    .map(|(weight, x)| weight * (f64::from(x.abs()) + rounding * f64::from(greatest)));
                each.sum::<f64>()
            });
            blocks.sum()
        };
        weights.iter().map(size).collect()
    };
    batch.rows.iter().map(|row| of_row(row.token)).collect()
}

fn norm(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let shape = shape(rng.pick(&[7, 32, 96, 288, 576, 1000]), 1, 16, 40);
    let size = rng.pick(&[1e-3, 1.0, 300.0]);
    let plan = |role| (DType::F32, if role == WeightRole::TokenEmbedding { size } else { 0.5 });
    let mut model = Model::random(programs::NORM, shape, rng, plan);
    silence_first_token(&mut model);
    let batch = exposed(&model, &[Tap::Layer(0, Reg::Normed), Tap::Layer(0, Reg::Hidden)], rng);
    let both = both(bench, &model, &LIMITS, batch)?;
    Ok(relative(&both))
}

/// A row of nothing but zeros: only epsilon keeps its norm a number.
fn silence_first_token(model: &mut Model) {
    let embedding = model.tensors.iter_mut().find(|(id, _)| id.role == WeightRole::TokenEmbedding);
    if let Some((_, Owned { info, bytes })) = embedding {
        bytes[..4 * info.cols as usize].fill(0);
    }
}

fn relative(both: &Both) -> Apart {
    let expected = &both.expected.exposed;
    worst(&both.found.exposed, expected, |i| f64::from(expected[i].abs()))
}

fn head_norm(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let (heads, head_dim) = (rng.among(1..=5), rng.pick(&HEAD_DIMS));
    let shape = shape(heads * head_dim, heads, head_dim, 40);
    let plan = |role| (DType::F32, if role == WeightRole::TokenEmbedding { 1.0 } else { 0.5 });
    let mut model = Model::random(programs::HEAD_NORM, shape, rng, plan);
    silence_first_token(&mut model);
    let batch = exposed(&model, &[Tap::Layer(0, Reg::Query), Tap::Layer(0, Reg::Key)], rng);
    let both = both(bench, &model, &LIMITS, batch)?;
    Ok(relative(&both))
}

/// Head widths that every backend must take.
pub const HEAD_DIMS: [u32; 7] = [16, 32, 48, 64, 80, 96, 128];

fn add(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let (heads, head_dim) = (rng.among(1..=5), rng.pick(&HEAD_DIMS));
    let shape = shape(heads * head_dim, heads, head_dim, 40);
    let model = Model::random(programs::ADD, shape, rng, plain);
    let batch = exposed(&model, &[Tap::Layer(0, Reg::Query), Tap::Layer(0, Reg::Key)], rng);
    let both = both(bench, &model, &LIMITS, batch)?;
    let width = shape.width as usize;
    let weights: Vec<Vec<f64>> =
        (0..shape.width).map(|output| model.shared(WeightRole::Key).row_magnitude(output)).collect();
    let products = sizes(&model, &both.batch, &weights, 0.0);
    let biases = [WeightRole::QueryBias, WeightRole::KeyBias].map(|role| model.shared(role).row_magnitude(0));
    Ok(worst(&both.found.exposed, &both.expected.exposed, |i| {
        let (row, at) = (i / (2 * width), i % (2 * width));
        let token = both.batch.rows[row].token;
        if at < width {
            f64::from(model.shared(WeightRole::TokenEmbedding).row(token)[at].abs()) + biases[0][at]
        } else {
            products[row][at - width] + biases[1][at - width]
        }
    }))
}

/// Offsets up to 8,191: a sequence may be one long slice.
fn rotate(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    const LONGEST: u32 = 8192;
    let limits = Limits { context: LONGEST, segment_pages: LONGEST / 8, ..LIMITS };
    let (heads, head_dim) = (rng.among(1..=3), rng.pick(&HEAD_DIMS));
    let mut shape = shape(heads * head_dim, heads, head_dim, 40);
    shape.rope = rope(head_dim, rng);
    let model = Model::random(programs::ROTATE, shape, rng, plain);
    let tokens: Vec<u32> = (0..LONGEST).map(|_| rng.among(0..=39)).collect();
    let pages = (0..LONGEST / 8).map(|page| PageId(page % limits.pages)).collect();
    let context = Context { slices: vec![Slice { base: 0, tokens, pages }] };
    let start = rng.pick(&[0, LONGEST - 33, rng.clone().among(0..=LONGEST - 33)]) as usize;
    let mut batch = Batch::new(&[Tap::Layer(0, Reg::Key)], LayerRange::NONE);
    context.push(start..start + 33, &mut batch);
    batch.rows.iter_mut().for_each(|row| row.expose = true);
    let both = both(bench, &model, &limits, batch)?;
    let expected = &both.expected.exposed;
    let partner = partners(&shape.rope, head_dim as usize);
    Ok(worst(&both.found.exposed, expected, |i| {
        let dim = i % head_dim as usize;
        let other = partner[dim].map_or(0.0, |other| f64::from(expected[i - dim + other]));
        f64::from(expected[i]).hypot(other)
    }))
}

/// For each dimension, the one that it turns with.
fn partners(rope: &agentos_hal::Rope, head_dim: usize) -> Vec<Option<usize>> {
    let mut partners = vec![None; head_dim];
    for (a, b) in (0..rope.dims / 2).map(|pair| rope.pair(pair)) {
        (partners[a], partners[b]) = (Some(b), Some(a));
    }
    partners
}

fn gate(bench: &Bench<'_>, rng: &mut Rng, program: Program) -> Result<Apart, Failure> {
    let shape = shape(rng.pick(&[7, 32, 100, 288]), 1, 16, 40);
    let mut model = Model::random(program, shape, rng, |role| (plain(role).0, 3.0));
    // Far out, where exponentials overflow.
    let embedding = model.shared(WeightRole::TokenEmbedding);
    let mut numbers: Vec<f32> = (0..shape.vocab).flat_map(|token| embedding.row(token)).collect();
    for extreme in [0.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4] {
        let at = rng.among(0..=numbers.len() as u32 - 1) as usize;
        numbers[at] = extreme;
    }
    let id = agentos_hal::WeightId { role: WeightRole::TokenEmbedding, layer: 0 };
    model.tensors.insert(id, Owned::of((shape.vocab, shape.width), &numbers));
    let batch = exposed(&model, &[Tap::Layer(0, Reg::Gate)], rng);
    let both = both(bench, &model, &LIMITS, batch)?;
    let width = shape.width as usize;
    let rows = both.batch.rows.iter().zip(both.found.exposed.chunks(width));
    Ok(largest(rows.zip(both.expected.exposed.chunks(width)).enumerate().map(
        |(nth, ((row, found), expected))| {
            let [gate, up] = [WeightRole::TokenEmbedding, WeightRole::Output]
                .map(|role| model.shared(role).row(row.token));
            worst(found, expected, |i| f64::from((gate[i] * up[i]).abs())).of(|| format!("row {nth}"))
        },
    )))
}

/// Some rows, taps in any order, from several layers.
fn expose(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut shape = shape(rng.pick(&[7, 32, 96]), 1, 16, 40);
    shape.layers = 3;
    let model = Model::random(programs::EXPOSE, shape, rng, plain);
    let mut taps = vec![Tap::Final(Reg::Up)];
    for layer in [0, 2] {
        taps.extend([Reg::Up, Reg::Hidden, Reg::Gate].map(|reg| Tap::Layer(layer, reg)));
    }
    rng.shuffle(&mut taps);
    taps.truncate(rng.among(0..=LIMITS.taps) as usize);
    let mut batch = exposed(&model, &taps, rng);
    batch.rows.iter_mut().for_each(|row| row.expose = rng.one_in(2));
    let both = both(bench, &model, &LIMITS, batch)?;
    Ok(differing(&both.found.exposed, &both.expected.exposed))
}
