//! What a device must refuse, and that a refusal leaves it as it was.

use std::collections::BTreeMap;

use agentos_hal::{
    DType, DeviceError, KvType, LayerRange, Limits, PageError, PageId, PrepareError, Program, SubmitError,
    Tensor, TensorInfo, Want, WeightError, WeightId, WeightRole, WeightSource,
};

use super::{Bench, Check, Failure, expect};
use crate::batch::{Batch, Context, Pool};
use crate::checks::bits::Scene;
use crate::checks::ops::plain;
use crate::checks::whole::FAMILIES;
use crate::compare::{Apart, differing};
use crate::model::{LIMITS, Model, shape};
use crate::play::mixed;
use crate::programs;
use crate::rig::{Rig, finish, prepare, ready};
use crate::rng::Rng;
use crate::tensor::Owned;

pub fn checks() -> Vec<Check> {
    vec![
        Check::new("Refusals", "models", models),
        Check::new("Refusals", "head widths", head_widths),
        Check::new("Refusals", "calls out of turn", out_of_turn),
        Check::new("Refusals", "pages", pages),
        Check::new("Refusals", "results not finite", not_finite),
        Check::new("Same bits", "empty steps between", empty_steps),
    ]
}

/// A small model of one of the families.
pub fn small(rng: &mut Rng) -> Model {
    let shape = agentos_hal::ModelShape { layers: 2, ..shape(32, 2, 16, 40) };
    Model::random(rng.pick(&FAMILIES).1, shape, rng, plain)
}

/// Refused models, each with its own error; behind each the device has no model.
fn models(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let good = small(rng);
    let mut device = (bench.backend.make)();
    let role =
        rng.pick(&[WeightRole::Key, WeightRole::AttnNorm, WeightRole::FfnDown, WeightRole::TokenEmbedding]);
    let id = WeightId { role, layer: if role.per_layer() { rng.among(0..=1) } else { 0 } };
    let (rows, cols) = role.dims(&good.shape);
    let changed = |change: &dyn Fn(&mut Model)| {
        let mut model = good.clone();
        change(&mut model);
        model
    };
    let unwritten = Program { prologue: &[], ..good.program };
    let wrong = Owned::random(DType::F32, (rows + 1, cols), 1.0, rng);
    let dims = PrepareError::Dims { id, found: (rows + 1, cols), expected: (rows, cols) };
    let kinds = [
        ("heads that do not divide", changed(&|m| m.shape.kv_heads = 3), "Shape"),
        ("no layers", changed(&|m| m.shape.layers = 0), "Shape"),
        ("a register read before it is written", changed(&|m| m.program = unwritten), "Program"),
    ];
    for (what, model, kind) in kinds {
        let error = refused(&mut *device, &good, &model, what)?;
        let found = match error {
            PrepareError::Shape(_) => "Shape",
            PrepareError::Program(_) => "Program",
            _ => "another error",
        };
        expect(what, found, kind)?;
    }
    let missing = changed(&|m| drop(m.tensors.remove(&id)));
    let error = refused(&mut *device, &good, &missing, "a missing tensor")?;
    expect("a missing tensor", error, PrepareError::Weight(WeightError::Missing(id)))?;
    let resized = changed(&|m| drop(m.tensors.insert(id, wrong.clone())));
    expect("a tensor of another size", refused(&mut *device, &good, &resized, "another size")?, dims)?;
    let error = device.prepare(&good.program, &good.shape, &LIMITS, &mut Unreadable(&good, id)).err();
    expect("an unreadable tensor", error, Some(PrepareError::Weight(WeightError::Unreadable(id))))?;
    let vast = Limits { pages: u32::MAX, rows: 1 << 20, context: 1 << 20, ..LIMITS };
    match prepare(&mut *device, &good, &vast) {
        Err(PrepareError::TooLarge { needed, available, .. }) => {
            expect("what is needed is more than there is", needed > available, true)?;
        }
        other => {
            return Err(Failure::Fault(format!("4 billion pages: {other:?}; TooLarge is right")));
        }
    }
    prepare(&mut *device, &good, &LIMITS).map_err(|error| format!("a good model after bad ones: {error}"))?;
    Ok(0.0)
}

/// Prepares a good model, then a bad one; returns the bad one's refusal.
fn refused(
    device: &mut dyn agentos_hal::TensorDevice,
    good: &Model,
    bad: &Model,
    what: &str,
) -> Result<PrepareError, Failure> {
    prepare(device, good, &LIMITS).map_err(|error| format!("a good model: {error}"))?;
    let Err(error) = prepare(device, bad, &LIMITS) else {
        return Err(Failure::Fault(format!("{what} is accepted")));
    };
    let step = Batch::new(&[], LayerRange::NONE).with(|step| device.submit(step));
    expect("a step behind a refused model", step, Err(SubmitError::NotPrepared))?;
    Ok(error)
}

/// A source that cannot read one tensor.
struct Unreadable<'m>(&'m Model, WeightId);

impl WeightSource for Unreadable<'_> {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        self.0.source().describe(id)
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        let tensors: &BTreeMap<WeightId, Owned> = &self.0.tensors;
        let tensor = tensors.get(&id).ok_or(WeightError::Missing(id))?;
        let readable = id != self.1;
        let tensor = readable.then_some(Tensor { info: tensor.info, bytes: &tensor.bytes });
        tensor.ok_or(WeightError::Unreadable(id))
    }

    fn release(&mut self, _: WeightId) {}
}

/// A head width that few machines like is computed or refused, but not computed wrongly.
fn head_widths(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let head_dim = rng.pick(&[2, 6, 20, 24, 36, 100]);
    let model = Model::random(programs::LLAMA, shape(32, 2, head_dim, 40), rng, plain);
    let mut device = (bench.backend.make)();
    match prepare(&mut *device, &model, &LIMITS) {
        Ok(_) => {
            let context = Context::random(20, 40, &mut Pool::new(&LIMITS, rng), rng);
            let mut batch = Batch::new(&[], LayerRange::NONE);
            context.push(0..20, &mut batch);
            batch.rows.iter_mut().for_each(|row| row.want = Want::Candidates);
            let (mut subject, mut oracle) = bench.pair(&model, &LIMITS)?;
            let (found, expected) = (subject.step(&batch)?, oracle.step(&batch)?);
            let best = |seen: &crate::rig::Seen| -> Vec<f32> {
                seen.candidates.iter().map(|candidates| candidates[0].logit).collect()
            };
            let error = crate::compare::worst(&best(&found), &best(&expected), |_| 1.0).error;
            expect("logits near the reference's", error < 1e-3, true)?;
        }
        Err(PrepareError::HeadDim { head_dim: found, multiple_of }) => {
            expect("the width that the refusal names", found, head_dim)?;
            expect("the width is no such multiple", head_dim.is_multiple_of(multiple_of), false)?;
            expect("16 is", 16 % multiple_of, 0)?;
        }
        Err(other) => return Err(Failure::Fault(format!("heads of {head_dim}: {other}"))),
    }
    Ok(0.0)
}

fn out_of_turn(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let model = small(rng);
    let mut device = (bench.backend.make)();
    let context = Context::random(5, 40, &mut Pool::new(&LIMITS, rng), rng);
    let mut batch = Batch::new(&[], LayerRange::NONE);
    context.push(0..5, &mut batch);
    batch.ask_all();
    let submit = |device: &mut dyn agentos_hal::TensorDevice| batch.with(|step| device.submit(step));
    expect("submit before prepare", submit(&mut *device), Err(SubmitError::NotPrepared))?;
    expect("poll before prepare", finish(&mut *device).err(), Some(DeviceError::Idle))?;
    expect("pages before prepare", page_calls(&mut *device, &model), [Err(PageError::NotPrepared); 4])?;
    let mut rig = Rig::new(bench.backend.make, &model, &LIMITS)?;
    expect("poll without a step", finish(&mut *rig.device).err(), Some(DeviceError::Idle))?;
    let first = rig.step(&batch)?;
    expect("poll after the report", finish(&mut *rig.device).err(), Some(DeviceError::Idle))?;
    expect("submit", submit(&mut *rig.device), Ok(()))?;
    expect("a second submit", submit(&mut *rig.device), Err(SubmitError::Busy))?;
    expect("pages under a step", page_calls(&mut *rig.device, &model), [Err(PageError::Busy); 4])?;
    let second = finish(&mut *rig.device).map_err(|error| error.to_string())?;
    expect("the step that was under way", second.candidates == first.candidates, true)?;
    expect("pages after the step", page_calls(&mut *rig.device, &model), [Ok(()); 4])?;
    Ok(0.0)
}

/// The four page operations, in the trait's order.
fn page_calls(device: &mut dyn agentos_hal::TensorDevice, model: &Model) -> [Result<(), PageError>; 4] {
    let mut image = vec![0; agentos_hal::page::image_bytes(&model.shape, LIMITS.kv)];
    let mut mean_key = vec![0.0; model.shape.kv_width() as usize];
    let mut mass = Default::default();
    [
        ready(|| device.copy_out(PageId(0), &mut image)),
        ready(|| device.copy_in(PageId(0), &image)),
        device.copy_pages(&[(PageId(0), PageId(1))]),
        ready(|| {
            let summary = agentos_hal::device::PageSummary { mean_key: &mut mean_key, mass: &mut mass };
            device.summarise(PageId(0), 0, 1, summary)
        }),
    ]
}

fn pages(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let model = small(rng);
    let limits = Limits { kv: rng.pick(&[KvType::F16, KvType::F32]), ..LIMITS };
    let mut rig = bench.subject(&model, &limits)?;
    let bytes = agentos_hal::page::image_bytes(&model.shape, limits.kv);
    let image = super::attend::random_image(&model.shape, limits.kv, rng);
    rig.load(PageId(0), &vec![0; bytes])?;
    rig.load(PageId(1), &image)?;
    let none = PageId(limits.pages);
    let device = &mut *rig.device;
    let mut short = vec![0; bytes - 1];
    let length = Err(PageError::Length { found: bytes - 1, expected: bytes });
    expect(
        "copy_out of no page",
        ready(|| device.copy_out(none, &mut vec![0; bytes])),
        Err(PageError::Page(none)),
    )?;
    expect("copy_in to no page", ready(|| device.copy_in(none, &image)), Err(PageError::Page(none)))?;
    expect("a short buffer", ready(|| device.copy_out(PageId(1), &mut short)), length)?;
    expect("a short image", ready(|| device.copy_in(PageId(1), &short)), length)?;
    let pairs = [(PageId(1), PageId(0)), (PageId(0), none)];
    expect("a copy to no page", device.copy_pages(&pairs), Err(PageError::Page(none)))?;
    let mut summarise = |page, layer, tokens, width: usize| {
        let (mut mean_key, mut mass) = (vec![0.0; width], Default::default());
        ready(|| {
            let summary = agentos_hal::device::PageSummary { mean_key: &mut mean_key, mass: &mut mass };
            device.summarise(page, layer, tokens, summary)
        })
    };
    let width = model.shape.kv_width() as usize;
    let length = |found, expected| Err(PageError::Length { found, expected });
    expect("summary of no page", summarise(none, 0, 1, width), Err(PageError::Page(none)))?;
    expect("summary of no layer", summarise(PageId(1), 2, 1, width), Err(PageError::Layer(2)))?;
    expect("summary of no token", summarise(PageId(1), 0, 0, width), length(0, 8))?;
    expect("summary of nine tokens", summarise(PageId(1), 0, 9, width), length(9, 8))?;
    expect("a short mean key", summarise(PageId(1), 0, 8, width - 1), length(width - 1, width))?;
    let untouched =
        differing(&rig.image(PageId(1))?, &image) + differing(&rig.image(PageId(0))?, &vec![0; bytes]);
    expect("bytes that refused calls changed", untouched.error, 0.0)?;
    Ok(0.0)
}

/// One token's embedding is not a number: its row is named, and the next step is clean.
fn not_finite(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    const BAD: u32 = 39;
    let mut model = small(rng);
    model.shape.tied_embedding = false;
    let id = WeightId { role: WeightRole::TokenEmbedding, layer: 0 };
    let not_a_number = rng.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
    if let Some(embedding) = model.tensors.get_mut(&id) {
        let row = embedding.bytes.len() / 40 * BAD as usize;
        embedding.bytes[row..row + 4].copy_from_slice(&not_a_number.to_le_bytes());
    }
    let mut rig = bench.subject(&model, &LIMITS)?;
    let mut pool = Pool::new(&LIMITS, rng);
    let contexts = [6, 5].map(|tokens| Context::random(tokens, BAD, &mut pool, rng));
    let mut good = Batch::new(&[], LayerRange::NONE);
    contexts.iter().for_each(|context| context.push(0..context.tokens(), &mut good));
    good.ask_all();
    let before = rig.step(&good)?;
    let row = rng.among(0..=10);
    let mut bad = good.clone();
    bad.rows[row as usize].token = BAD;
    expect("submit", bad.with(|step| rig.device.submit(step)), Ok(()))?;
    expect("poll", finish(&mut *rig.device).err(), Some(DeviceError::NotFinite { row }))?;
    let after = rig.step(&good)?;
    expect("a good step behind it", after.candidates == before.candidates, true)?;
    Ok(0.0)
}

/// Steps without rows, or with spans that have none, report nothing and change nothing.
fn empty_steps(bench: &Bench<'_>, rng: &mut Rng) -> Result<Apart, Failure> {
    let mut scene = Scene::new(bench, rng)?;
    let mut different = Apart::default();
    for spans in mixed(&scene.contexts, 4, rng) {
        let mut empty = Batch::new(&scene.asked.taps, scene.asked.counters);
        if rng.one_in(2) {
            scene.contexts[0].push(0..1, &mut empty);
            empty.rows.clear();
            empty.spans[0].rows = 0;
        }
        let seen = scene.rig.step(&empty)?;
        expect("exposed rows of an empty step", seen.exposed.len(), 0)?;
        let mut quiet = scene.play(&vec![spans])?;
        quiet.tokens.retain(|name, _| scene.expected.tokens.contains_key(name));
        different += quiet.differences(&scene.expected);
    }
    Ok(different)
}
