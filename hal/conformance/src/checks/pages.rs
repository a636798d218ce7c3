//! Page images, copies and summaries.

use agentos_hal::{KvType, LayerRange, Mass, PAGE_TOKENS, PageId};

use super::{Bench, Check, Failure, attend, expect, oracle};
use crate::batch::Batch;
use crate::checks::bits::Scene;
use crate::compare::{Apart, differing, largest, worst};
use crate::model::Model;
use crate::play::{Schedule, chunked, pages_of, tokens_of};
use crate::rig::Rig;
use crate::rng::Rng;

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("Same bits", "page images", images),
        Check::new("Same bits", "copied pages", copies),
        Check::new("Same bits", "mass of new pages", forgotten_mass),
        Check::new("Attend", "the reference's pages", foreign_pages),
        Check::new("Summary", "", summary),
    ]
}

/// The pages of all contexts travel to other pages of another device, and the contexts go on there.
fn images(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    scene.play(&all_but_last(&scene))?;
    let other = bench.subject(&scene.model, &scene.limits)?;
    let mut first = std::mem::replace(&mut scene.rig, other);
    let (here, there) = move_contexts(&mut scene);
    for (from, to) in here.into_iter().zip(there) {
        let image = first.image(from)?;
        scene.rig.load(to, &image)?;
        expect("bytes that changed on the way", differing(&scene.rig.image(to)?, &image).error, 0.0)?;
    }
    let found = scene.play(&last_tokens(&scene))?;
    Ok(found.differences(&scene.expected))
}

/// The same, by copies inside the device: each page by way of a third.
fn copies(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    scene.play(&all_but_last(&scene))?;
    let between = scene.pool.take(1)[0];
    let (here, there) = move_contexts(&mut scene);
    let pairs: Vec<(PageId, PageId)> = here
        .into_iter()
        .zip(there)
        .flat_map(|(from, to)| [(from, between), (between, to), (to, to)])
        .collect();
    scene.rig.device.copy_pages(&pairs).map_err(|error| format!("copy_pages: {error}"))?;
    let found = scene.play(&last_tokens(&scene))?;
    Ok(found.differences(&scene.expected))
}

fn all_but_last(scene: &Scene) -> Schedule {
    let contexts = scene.contexts.iter().enumerate();
    contexts.flat_map(|(i, context)| chunked(i, 0, context.tokens() - 1, scene.rows())).collect()
}

fn last_tokens(scene: &Scene) -> Schedule {
    let contexts = scene.contexts.iter().enumerate();
    vec![contexts.map(|(i, context)| (i, context.tokens() - 1..context.tokens())).collect()]
}

/// Gives the contexts other pages; returns the old ones and the new ones.
fn move_contexts(scene: &mut Scene) -> (Vec<PageId>, Vec<PageId>) {
    let pages = |scene: &Scene| {
        let slices = scene.contexts.iter().flat_map(|context| &context.slices);
        slices.flat_map(|slice| slice.pages.clone()).collect::<Vec<_>>()
    };
    let here = pages(scene);
    scene.contexts = scene.contexts.iter().map(|context| context.on_other_pages(&mut scene.pool)).collect();
    let there = pages(scene);
    (here, there)
}

/// A token's mass is counted from when its page was begun or copied to.
fn forgotten_mass(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let context = scene.contexts[0].clone();
    let page = context.slices[0].pages[0];
    let copy = scene.pool.take(1)[0];
    scene.play(&vec![vec![(0, 0..1)]])?;
    let once = mass_of_first(&mut scene.rig, page)?;
    expect("a lone token's mass is counted", once > Mass(0), true)?;
    // The masses of all tokens are told, whichever keys are averaged.
    if context.slices[0].tokens.len() > 1 {
        scene.play(&vec![vec![(0, 0..1)], vec![(0, 1..2)]])?;
        let (_, of_first) = scene.rig.summary(page, 0, 1)?;
        let (_, of_all) = scene.rig.summary(page, 0, PAGE_TOKENS)?;
        expect("masses beside those of the tokens that are summarised", of_first, of_all)?;
        expect("a second token's mass is counted", of_all[1] > Mass(0), true)?;
    }
    // Written again at place 0, and attended to once again.
    scene.play(&vec![vec![(0, 0..1)]])?;
    expect("mass after the page was begun again", mass_of_first(&mut scene.rig, page)?, once)?;
    // A step that does not count adds nothing, and one that does not write place 0 forgets nothing.
    scene.play_contexts(&[scene.contexts[1].clone()], &vec![vec![(0, 0..1)]])?;
    expect("mass after a neighbour's step", mass_of_first(&mut scene.rig, page)?, once)?;
    scene.rig.device.copy_pages(&[(page, copy)]).map_err(|error| format!("copy_pages: {error}"))?;
    expect("mass of a copy", mass_of_first(&mut scene.rig, copy)?, Mass(0))?;
    expect("mass of what was copied", mass_of_first(&mut scene.rig, page)?, once)?;
    let image = scene.rig.image(page)?;
    scene.rig.load(page, &image)?;
    expect("mass of a page that was filled", mass_of_first(&mut scene.rig, page)?, Mass(0))?;
    Ok(0.0)
}

fn mass_of_first(rig: &mut Rig, page: PageId) -> Result<Mass, String> {
    Ok(rig.summary(page, 0, 1)?.1[0])
}

/// Attention over pages that the reference computed.
fn foreign_pages(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let model: Model = attend::model(rng);
    let limits = attend::limits(rng.pick(&[KvType::F16, KvType::F32]));
    let (mut subject, mut oracle) = (bench.subject(&model, &limits)?, oracle(&model, &limits)?);
    let mut pool = crate::batch::Pool::new(&limits, rng);
    let context = crate::batch::Context::random(rng.among(2..=30), model.shape.vocab, &mut pool, rng);
    let tokens = context.tokens();
    let mut batch = Batch::new(&[], LayerRange::NONE);
    context.push(0..tokens - 1, &mut batch);
    oracle.step(&batch)?;
    for (page, _) in pages_of(std::slice::from_ref(&context)) {
        subject.load(page, &oracle.image(page)?)?;
    }
    let taps = [0, 1].map(|layer| agentos_hal::Tap::Layer(layer, agentos_hal::Reg::Context));
    let mut batch = Batch::new(&taps, LayerRange::NONE);
    context.push(tokens - 1..tokens, &mut batch);
    batch.rows[0].expose = true;
    Ok(worst(&subject.step(&batch)?.exposed, &oracle.step(&batch)?.exposed, |_| 1.0))
}

/// Mean keys by their definition, from images; at every layer, for full and partly filled pages.
fn summary(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let model = attend::model(rng);
    let (shape, kv) = (model.shape, rng.pick(&[KvType::F16, KvType::F32]));
    let mut subject = bench.subject(&model, &attend::limits(kv))?;
    let page = PageId(rng.among(0..=9));
    let image = attend::random_image(&shape, kv, rng);
    subject.load(page, &image)?;
    let (width, head_dim) = (shape.kv_width() as usize, shape.head_dim as usize);
    let mut error = Apart::default();
    for layer in 0..shape.layers {
        for tokens in 1..=PAGE_TOKENS {
            let (found, _) = subject.summary(page, layer, tokens)?;
            let stored = tokens_of(&image, &shape, kv, tokens);
            let expected: Vec<f32> = (0..width)
                .map(|i| {
                    let head = layer as usize * shape.kv_heads as usize + i / head_dim;
                    let key = |token| stored[(head * tokens + token) * 2 * head_dim + i % head_dim];
                    ((0..tokens).map(|token| f64::from(key(token))).sum::<f64>() / tokens as f64) as f32
                })
                .collect();
            let of_layer = worst(&found, &expected, |_| 1.0);
            error = largest([error, of_layer.of(|| format!("mean of {tokens} keys in layer {layer}"))]);
        }
    }
    Ok(error)
}
