//! Masks that come later than their step: the same bits, in any order and at any time, and every refusal.

use agentos_hal::late::MOST_LATE;
use agentos_hal::{
    DeviceError, KvType, LateMasks, LayerRange, Limits, MaskError, PageError, PageId, StepFault, SubmitError,
};

use super::head::wishes;
use super::refusals::small;
use super::whole::{self, FAMILIES};
use super::{Bench, Check, Failure, expect};
use crate::Backend;
use crate::batch::{Batch, Context, Pool};
use crate::compare::{Apart, differing};
use crate::model::{LIMITS, Model};
use crate::play::pages_of;
use crate::rig::{Rig, Seen, finish, prepare, ready};
use crate::rng::Rng;

pub fn checks(backend: &Backend) -> Vec<Check> {
    if (backend.make)().caps().late_masks == LateMasks::Refused {
        return vec![Check::new("Refusals", "late masks", refused)];
    }
    vec![
        Check::new("Refusals", "late masks", refusals),
        Check::new("Same bits", "late masks", late),
        Check::new("Same bits", "abandoned without its masks", abandoned),
    ]
}

/// A model, contexts, and a step of all their tokens under every kind of mask.
struct Scene {
    model: Model,
    limits: Limits,
    contexts: Vec<Context>,
    batch: Batch,
}

impl Scene {
    fn new(bench: &Bench<'_>, rng: &mut Rng) -> Scene {
        let model = whole::model(rng.pick(&FAMILIES).1, bench.dtypes(), rng);
        let limits = whole::limits(&model, rng.pick(&[KvType::F16, KvType::F32]));
        let contexts = whole::contexts(&model, &mut Pool::new(&limits, rng), rng);
        let asked = whole::asked(&model);
        let mut batch = Batch::new(&asked.taps, asked.counters);
        contexts.iter().for_each(|context| context.push(0..context.tokens(), &mut batch));
        batch.ask_all();
        wishes(&mut batch, model.shape.vocab, limits.masks, rng);
        Scene { model, limits, contexts, batch }
    }

    /// What a device says and keeps of the step.
    fn differences(
        &self,
        (one, seen): (&mut Rig, Seen),
        (other, right): (&mut Rig, &Seen),
    ) -> Result<Apart, String> {
        let mut apart = differing(&seen.outcomes, &right.outcomes).of(|| "outcomes".to_owned())
            + differing(&seen.candidates, &right.candidates).of(|| "candidates".to_owned())
            + differing(&seen.exposed, &right.exposed).of(|| "exposed rows".to_owned())
            + differing(&seen.entropy, &right.entropy).of(|| "attention entropies".to_owned())
            + differing(&seen.mass, &right.mass).of(|| "masses of the segments".to_owned());
        for (page, tokens) in pages_of(&self.contexts) {
            let (one, other) = (one.summary(page, 0, tokens)?, other.summary(page, 0, tokens)?);
            apart += differing(&one.0, &other.0).of(|| "mean keys".to_owned());
            apart += differing(&one.1[..tokens], &other.1[..tokens]).of(|| "masses of the tokens".to_owned());
        }
        Ok(apart)
    }
}

/// Submits a step without some of its masks.
fn submit(rig: &mut Rig, batch: &Batch, late: &[usize]) -> Result<(), SubmitError> {
    let mut without = batch.clone();
    late.iter().for_each(|&mask| without.masks[mask].clear());
    without.with(|step| rig.device.submit(step))
}

/// Polls so often, while masks are missing.
fn poll_in_vain(rig: &mut Rig, polls: u32) -> Result<(), Failure> {
    for _ in 0..polls {
        expect("a step that lacks masks is pending", rig.device.poll().is_pending(), true)?;
        std::thread::yield_now();
    }
    Ok(())
}

/// Some of the masks or all of them, in any order.
fn some(masks: u32, rng: &mut Rng) -> Vec<usize> {
    let mut late: Vec<usize> = (0..masks as usize).collect();
    rng.shuffle(&mut late);
    late.truncate(rng.among(1..=masks) as usize);
    late
}

/// Steps that get some of their masks later, before the device asks or long after it could have gone on.
fn late(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let scene = Scene::new(bench, rng);
    let mut early = bench.subject(&scene.model, &scene.limits)?;
    let right = early.step(&scene.batch)?;
    let mut rig = bench.subject(&scene.model, &scene.limits)?;
    let mut different = Apart::default();
    for _ in 0..4 {
        let late = some(scene.limits.masks, rng);
        expect("submit", submit(&mut rig, &scene.batch, &late), Ok(()))?;
        for mask in late {
            poll_in_vain(&mut rig, rng.pick(&[0, 0, 1, 2, 300]))?;
            expect("allow", rig.device.allow(mask as u16, &scene.batch.masks[mask]), Ok(()))?;
        }
        let seen = finish(&mut *rig.device).map_err(|error| format!("poll: {error}"))?;
        different += scene.differences((&mut rig, seen), (&mut early, &right))?;
    }
    // What came late for one step is not there for the next.
    let seen = rig.step(&scene.batch)?;
    different += scene.differences((&mut rig, seen), (&mut early, &right))?;
    Ok(different)
}

/// A device that is prepared again while masks are missing knows nothing of them any more.
fn abandoned(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let scene = Scene::new(bench, rng);
    let mut early = bench.subject(&scene.model, &scene.limits)?;
    let right = early.step(&scene.batch)?;
    let mut rig = bench.subject(&scene.model, &scene.limits)?;
    let late = some(scene.limits.masks, rng);
    expect("submit", submit(&mut rig, &scene.batch, &late), Ok(()))?;
    poll_in_vain(&mut rig, rng.pick(&[0, 1, 300]))?;
    prepare(&mut *rig.device, &scene.model, &scene.limits).map_err(|error| format!("prepare: {error}"))?;
    let mask = late[0];
    let allowed = rig.device.allow(mask as u16, &scene.batch.masks[mask]);
    expect("a mask of a step that was abandoned", allowed, Err(MaskError::Idle))?;
    expect("poll behind it", finish(&mut *rig.device).err(), Some(DeviceError::Idle))?;
    let seen = rig.step(&scene.batch)?;
    Ok(scene.differences((&mut rig, seen), (&mut early, &right))?)
}

/// A step of a small model with three masks.
fn masked(limits: &Limits, rng: &mut Rng) -> (Model, Batch) {
    let model = small(rng);
    let context = Context::random(5, 40, &mut Pool::new(limits, rng), rng);
    let mut batch = Batch::new(&[], LayerRange::NONE);
    context.push(0..5, &mut batch);
    batch.ask_all();
    batch.masks = vec![vec![0x5555_5555; 2], vec![0xff00_ff00, 1], vec![1, 0]];
    (0..).zip(&mut batch.rows[1..4]).for_each(|(mask, row)| row.mask = Some(mask));
    (model, batch)
}

/// What a device refuses that takes late masks, and that it goes on behind each refusal.
fn refusals(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let limits = Limits { masks: MOST_LATE as u32 + 2, ..LIMITS };
    let (model, batch) = masked(&limits, rng);
    let words = |mask: usize| batch.masks[mask].as_slice();
    let mut device = (bench.backend.make)();
    expect("a mask before prepare", device.allow(0, words(0)), Err(MaskError::Idle))?;
    let mut rig = bench.subject(&model, &limits)?;
    expect("a mask without a step", rig.device.allow(0, words(0)), Err(MaskError::Idle))?;
    let right = rig.step(&batch)?;
    let mut many = batch.clone();
    many.masks.resize(limits.masks as usize, vec![1, 0]);
    let fault = StepFault::LateMask { mask: MOST_LATE as u32 };
    let beyond = submit(&mut rig, &many, &[2, MOST_LATE]);
    expect("a late mask beyond the most", beyond, Err(SubmitError::Step(fault)))?;
    expect("submit", submit(&mut rig, &batch, &[1, 2]), Ok(()))?;
    let length = |found| Err(MaskError::Length { found, expected: 2 });
    let device = &mut *rig.device;
    expect("a mask that is there", device.allow(0, words(0)), Err(MaskError::Mask { mask: 0 }))?;
    expect("no such mask", device.allow(3, words(0)), Err(MaskError::Mask { mask: 3 }))?;
    expect("no mask at all", device.allow(u16::MAX, words(0)), Err(MaskError::Mask { mask: u16::MAX }))?;
    expect("a short mask", device.allow(1, &[1]), length(1))?;
    expect("an empty mask", device.allow(1, &[]), length(0))?;
    expect("a long mask", device.allow(1, &[1, 1, 1]), length(3))?;
    let nothing = device.allow(1, &[0, 0xffff_ff00]);
    expect("a mask that allows nothing", nothing, Err(MaskError::Nothing { mask: 1 }))?;
    expect("a second submit", batch.with(|step| device.submit(step)), Err(SubmitError::Busy))?;
    let copied = ready(|| device.copy_in(PageId(0), &[]));
    expect("a page under a step", copied, Err(PageError::Busy))?;
    for mask in [2, 1] {
        poll_in_vain(&mut rig, 2)?;
        expect("allow", rig.device.allow(mask, words(mask.into())), Ok(()))?;
        let again = rig.device.allow(mask, words(mask.into()));
        expect("a mask for the second time", again, Err(MaskError::Mask { mask }))?;
    }
    let seen = finish(&mut *rig.device).map_err(|error| format!("poll: {error}"))?;
    expect("the step behind it", seen.candidates == right.candidates, true)?;
    expect("a mask behind the report", rig.device.allow(2, words(2)), Err(MaskError::Idle))?;
    Ok(0.0)
}

/// A device that takes none says so, and goes on.
fn refused(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let (model, batch) = masked(&LIMITS, rng);
    let mut rig = bench.subject(&model, &LIMITS)?;
    let right = rig.step(&batch)?;
    let fault = StepFault::LateMask { mask: 1 };
    expect("a late mask", submit(&mut rig, &batch, &[1, 2]), Err(SubmitError::Step(fault)))?;
    expect("poll behind it", finish(&mut *rig.device).err(), Some(DeviceError::Idle))?;
    let seen = rig.step(&batch)?;
    expect("a good step behind it", seen.candidates == right.candidates, true)?;
    Ok(0.0)
}
