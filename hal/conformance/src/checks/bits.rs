//! What must not change a bit of the result: chunks, neighbours, order, pages, threads, and what
//! memory held before.

use agentos_hal::{KvType, LayerRange, Limits, Reg, Tap};

use super::{Bench, Check, Failure};
use crate::Backend;
use crate::batch::{Batch, Context, Pool, Slice};
use crate::checks::whole::{self, FAMILIES};
use crate::compare::{Apart, differing, largest};
use crate::model::Model;
use crate::play::{Asked, Record, Schedule, alone, chunked, mixed, pages_of, play};
use crate::rig::Rig;
use crate::rng::Rng;

pub fn checks(backend: &Backend) -> Vec<Check> {
    let mut checks = vec![
        Check::new("Same bits", "chunks of a prompt", chunks),
        Check::new("Same bits", "neighbours in the step", neighbours),
        Check::new("Same bits", "order of spans", order),
        Check::new("Same bits", "once more", once_more),
        Check::new("Same bits", "other pages", other_pages),
        Check::new("Same bits", "shared prefix", shared_prefix),
        Check::new("Same bits", "poisoned pages", poisoned_pages),
        Check::new("Same bits", "after a larger step", after_a_larger_step),
        Check::new("Same bits", "looked at first", looked_at_first),
    ];
    for twin in backend.twins {
        let make = twin.make;
        checks.push(Check::new("Same bits", twin.name, move |bench, rng| {
            let mut scene = Scene::new(bench, rng)?;
            let twin = bench.subject_made(make, &scene.model, &scene.limits)?;
            scene.rig = twin;
            let found = scene.play(&mixed(&scene.contexts, scene.rows(), rng))?;
            Ok(found.all_differences(&scene.expected))
        }));
    }
    checks
}

/// A small model, a few contexts, and what a fresh device makes of each context alone.
pub struct Scene {
    pub model: Model,
    pub limits: Limits,
    pub pool: Pool,
    pub contexts: Vec<Context>,
    pub asked: Asked,
    pub expected: Record,
    /// Another fresh device.
    pub rig: Rig,
}

/// A step that ends early shows what a whole one shows of its layers, and a whole one after it is as good as without.
fn looked_at_first(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let depth = rng.among(1..=scene.model.shape.layers);
    let mut look = Batch::new(&[Tap::Layer(depth - 1, Reg::Hidden)], LayerRange::NONE);
    scene.contexts.iter().for_each(|context| context.push(0..context.tokens(), &mut look));
    look.rows.iter_mut().for_each(|row| row.expose = true);
    let whole = look.clone();
    look.depth = Some(depth);
    let looked = scene.rig.step(&look)?;
    let found = scene.play(&mixed(&scene.contexts, scene.rows(), rng))?;
    let computed = found.all_differences(&scene.expected);
    let expected = scene.rig.step(&whole)?;
    Ok(largest([differing(&looked.exposed, &expected.exposed), computed]))
}

impl Scene {
    pub fn new(bench: &Bench<'_>, rng: &mut Rng) -> Result<Scene, Failure> {
        let program = rng.pick(&FAMILIES).1;
        let model = whole::model(program, bench.dtypes(), rng);
        let limits = whole::limits(&model, rng.pick(&[KvType::F16, KvType::F32]));
        let mut pool = Pool::new(&limits, rng);
        let contexts = whole::contexts(&model, &mut pool, rng);
        let asked = whole::asked(&model);
        let rig = bench.subject(&model, &limits)?;
        let mut scene = Scene { model, limits, pool, contexts, asked, expected: Record::default(), rig };
        scene.expected = scene.play(&alone(&scene.contexts, scene.rows()))?;
        scene.rig = bench.subject(&scene.model, &scene.limits)?;
        Ok(scene)
    }

    /// What was expected of one context.
    fn expected_of(&self, context: usize) -> Record {
        let mut expected = self.expected.clone();
        expected.tokens.retain(|(of, _), _| *of == context);
        expected
    }

    pub fn rows(&self) -> usize {
        self.limits.rows as usize
    }

    pub fn play(&mut self, schedule: &Schedule) -> Result<Record, String> {
        let contexts = self.contexts.clone();
        self.play_contexts(&contexts, schedule)
    }

    pub fn play_contexts(&mut self, contexts: &[Context], schedule: &Schedule) -> Result<Record, String> {
        let page_memory = (&self.model.shape, self.limits.kv);
        play(&mut self.rig, page_memory, contexts, schedule, &self.asked)
    }
}

/// Token by token, and in random chunks.
fn chunks(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let mut different = Apart::default();
    for rows in [1, rng.among(2..=9) as usize] {
        let found = scene.play(&alone(&scene.contexts, rows))?;
        different += found.all_differences(&scene.expected);
    }
    Ok(different)
}

fn together(contexts: &[Context]) -> Schedule {
    vec![contexts.iter().enumerate().map(|(i, context)| (i, 0..context.tokens())).collect()]
}

fn neighbours(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let found = scene.play(&together(&scene.contexts))?;
    let mixed = scene.play(&mixed(&scene.contexts, scene.rows(), rng))?;
    Ok(found.all_differences(&scene.expected) + mixed.all_differences(&scene.expected))
}

fn order(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let mut schedule = together(&scene.contexts);
    schedule[0].reverse();
    let found = scene.play(&schedule)?;
    Ok(found.all_differences(&scene.expected))
}

fn once_more(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let mut different = Apart::default();
    for _ in 0..3 {
        let found = scene.play(&together(&scene.contexts))?;
        different += found.all_differences(&scene.expected);
    }
    Ok(different)
}

fn other_pages(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    scene.contexts = scene.contexts.iter().map(|context| context.on_other_pages(&mut scene.pool)).collect();
    let found = scene.play(&together(&scene.contexts))?;
    Ok(found.all_differences(&scene.expected))
}

/// A second context maps the first slices of another one, and goes on by itself.
fn shared_prefix(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let trunk = scene.contexts[0].clone();
    let mut branch = trunk.clone();
    branch.slices.truncate(rng.among(1..=trunk.slices.len() as u32) as usize);
    let shared = branch.tokens();
    let (base, vocab) = (branch.end() + rng.among(0..=9), scene.model.shape.vocab);
    branch.slices.push(Slice::random(base, rng.among(1..=9), vocab, &mut scene.pool, rng));
    let apart = branch.on_other_pages(&mut scene.pool);
    let (tokens, last) = (branch.tokens(), trunk.tokens() - 1);
    let mut schedule = chunked(0, 0, last, 4);
    if shared <= last {
        // Both read the shared pages in one step.
        schedule.push(vec![(1, shared..tokens), (0, last..last + 1)]);
    } else {
        schedule.push(vec![(0, last..last + 1)]);
        schedule.extend(chunked(1, shared, tokens, 5));
    }
    let mapped = scene.play_contexts(&[trunk.clone(), branch], &schedule)?;
    let computed = scene.play_contexts(&[trunk, apart], &chunked(1, 0, tokens, tokens))?;
    Ok(mapped.differences(&computed) + mapped.differences(&scene.expected_of(0)))
}

/// Whatever page memory holds beyond the tokens that were stored, it is not read as a number.
fn poisoned_pages(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    const NOT_A_NUMBER: u8 = 0xff;
    let mut scene = Scene::new(bench, rng)?;
    let image = vec![NOT_A_NUMBER; agentos_hal::page::image_bytes(&scene.model.shape, scene.limits.kv)];
    for (page, _) in pages_of(&scene.contexts) {
        scene.rig.load(page, &image)?;
    }
    let found = scene.play(&mixed(&scene.contexts, scene.rows(), rng))?;
    Ok(found.all_differences(&scene.expected))
}

/// Nothing of a full step is left in the reports of the small ones behind it.
fn after_a_larger_step(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let vocab = scene.model.shape.vocab;
    let large: Vec<Context> = (0..3).map(|_| Context::random(11, vocab, &mut scene.pool, rng)).collect();
    scene.play_contexts(&large, &together(&large))?;
    let found = scene.play(&alone(&scene.contexts, 2))?;
    // Uncounted, and with nothing asked: empty reports and zeros, not the numbers from before.
    let mut quiet = Batch::new(&[], LayerRange::NONE);
    scene.contexts[0].push(0..1, &mut quiet);
    let seen = scene.rig.step(&quiet)?;
    let left_over = seen.entropy.iter().filter(|&&entropy| entropy != 0.0).count()
        + seen.mass.iter().filter(|mass| mass.0 != 0).count()
        + seen.exposed.len();
    Ok(found.all_differences(&scene.expected) + Apart::from(left_over as f64))
}
