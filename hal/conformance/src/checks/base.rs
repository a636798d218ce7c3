//! A slice has no address of its own: its base is in the segment that maps it, and nowhere else.

use agentos_hal::{KvType, LayerRange, Limits, ModelShape, PAGE_TOKENS, Reg, Tap, page};

use super::{Bench, Check, Failure, attend};
use crate::batch::{Batch, Context, Pool, Slice};
use crate::checks::bits::Scene;
use crate::checks::whole::{self, FAMILIES};
use crate::compare::{Apart, worst};
use crate::model::Model;
use crate::play::{chunked, mixed, play};
use crate::rng::Rng;

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("Base rotated", "keys turned instead", rotated_instead),
        Check::new("Same bits", "everything moved", moved),
        Check::new("Same bits", "slice computed elsewhere", computed_elsewhere),
    ]
}

/// All bases and rows moved by the same distance: every query turns as far as before.
fn moved(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let distance = rng.among(1..=300);
    scene.contexts = scene.contexts.iter().map(|context| context.moved(distance)).collect();
    let found = scene.play(&mixed(&scene.contexts, scene.rows(), rng))?;
    Ok(found.all_differences(&scene.expected))
}

/// In a model of one layer keys and values do not depend on what stands before them: a slice computed
/// alone at one address and mapped behind others at another is as good as computed there.
fn computed_elsewhere(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut model = whole::model(rng.pick(&FAMILIES).1, bench.dtypes(), rng);
    model.shape.layers = 1;
    let limits = whole::limits(&model, rng.pick(&[KvType::F16, KvType::F32]));
    let page_memory = (&model.shape, limits.kv);
    let mut pool = Pool::new(&limits, rng);
    let [before, moved, after] = slices(&model, &mut pool, rng);
    let elsewhere = Context { slices: vec![Slice { base: rng.among(1..=900), ..moved.clone() }] };
    let mapped = Context { slices: vec![before, moved, after] };
    let computed = mapped.on_other_pages(&mut pool);
    let (first, second) = (mapped.slices[0].tokens.len(), mapped.slices[1].tokens.len());
    let mut schedule = chunked(1, 0, second, second);
    schedule.extend(chunked(0, 0, first, first));
    schedule.extend(chunked(0, first + second, mapped.tokens(), 4));
    let mut rig = bench.subject(&model, &limits)?;
    let asked = whole::asked(&model);
    let found = play(&mut rig, page_memory, &[mapped, elsewhere], &schedule, &asked)?;
    let tokens = computed.tokens();
    let expected = play(&mut rig, page_memory, &[computed], &chunked(0, 0, tokens, 7), &asked)?;
    Ok(found.differences(&expected))
}

fn slices(model: &Model, pool: &mut Pool, rng: &mut Rng) -> [Slice; 3] {
    let mut base = 0;
    [(); 3].map(|()| {
        base += rng.among(0..=99);
        let slice = Slice::random(base, rng.among(1..=20), model.shape.vocab, pool, rng);
        base += slice.tokens.len() as u32;
        slice
    })
}

/// The same pages mapped at another base equal pages whose keys were rotated for that base.
fn rotated_instead(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let model = attend::model(rng);
    let limits = attend::limits(KvType::F32);
    let mut pool = Pool::new(&limits, rng);
    let [before, near, mut asking] = slices(&model, &mut pool, rng);
    let far = Slice { base: near.base + rng.among(0..=400), ..near.clone() };
    asking.base = far.base + 20 + rng.among(0..=99);
    let mut rig = bench.subject(&model, &limits)?;
    let mapped = Context { slices: vec![before, far.clone(), asking] };
    let expected = contexts_of_last(&mut rig, &mapped, 0)?;
    for &page in &far.pages {
        let mut image = rig.image(page)?;
        turn_keys(&model, &limits, far.base - near.base, &mut image);
        rig.load(page, &image)?;
    }
    let instead = Context { slices: vec![mapped.slices[0].clone(), near, mapped.slices[2].clone()] };
    let computed = mapped.tokens() - mapped.slices[2].tokens.len();
    let found = contexts_of_last(&mut rig, &instead, computed)?;
    Ok(worst(&found, &expected, |_| 1.0))
}

/// Computes a context from a token on, and returns what attention gathered for its last slice.
fn contexts_of_last(rig: &mut crate::rig::Rig, context: &Context, from: usize) -> Result<Vec<f32>, Failure> {
    let tokens = context.tokens();
    let asking = tokens - context.slices.last().map_or(0, |slice| slice.tokens.len());
    for spans in chunked(0, from, asking, 33) {
        let mut batch = Batch::new(&[], LayerRange::NONE);
        context.push(spans[0].1.clone(), &mut batch);
        rig.step(&batch)?;
    }
    let taps = [Tap::Layer(0, Reg::Context), Tap::Layer(1, Reg::Context)];
    let mut batch = Batch::new(&taps, LayerRange::NONE);
    context.push(asking..tokens, &mut batch);
    batch.rows.iter_mut().for_each(|row| row.expose = true);
    Ok(rig.step(&batch)?.exposed)
}

/// Rotates all keys of an `F32` page image by a distance.
fn turn_keys(model: &Model, limits: &Limits, distance: u32, image: &mut [u8]) {
    assert_eq!(limits.kv, KvType::F32);
    let shape: &ModelShape = &model.shape;
    let turns = attend::turns(model);
    let (head_dim, vectors) = (shape.head_dim as usize, page::head_elements(shape));
    for head in 0..(shape.layers * shape.kv_heads) as usize {
        for token in 0..PAGE_TOKENS {
            let at = |dim: usize| 4 * (head * 2 * vectors + dim * PAGE_TOKENS + token);
            let element = |dim| f32::from_le_bytes([0, 1, 2, 3].map(|byte| image[at(dim) + byte]));
            let mut key: Vec<f64> = (0..head_dim).map(element).map(f64::from).collect();
            attend::turn(shape, &turns, distance, &mut key);
            for (dim, x) in key.into_iter().enumerate() {
                image[at(dim)..at(dim) + 4].copy_from_slice(&(x as f32).to_le_bytes());
            }
        }
    }
}
