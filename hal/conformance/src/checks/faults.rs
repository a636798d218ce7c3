//! Steps that break a promise of their own documentation, one promise at a time.

use std::mem::discriminant;

use agentos_hal::{
    DeviceError, LayerRange, Limits, PageId, Reg, Row, Span, StepFault, SubmitError, Tap, Want,
};

use super::refusals::small;
use super::{Bench, Check, Failure, expect};
use crate::batch::{Batch, Context, Pool};
use crate::model::LIMITS;
use crate::rig::finish;
use crate::rng::Rng;

pub fn checks() -> Vec<Check> {
    vec![Check::new("Refusals", "steps", steps)]
}

/// Every class of fault, from a step that is right but for it.
fn steps(bench: &Bench<'_>, rng: &mut Rng) -> Result<f64, Failure> {
    let model = small(rng);
    let limits =
        Limits { rows: 12, spans: 3, segments: 16, segment_pages: 20, outcomes: 12, exposed: 12, ..LIMITS };
    let mut rig = bench.subject(&model, &limits)?;
    let mut pool = Pool::new(&limits, rng);
    let contexts = [5, 4].map(|tokens| Context::random(tokens, 40, &mut pool, rng));
    let mut good = Batch::new(&[Tap::Layer(1, Reg::Hidden)], LayerRange { start: 0, end: 2 });
    contexts.iter().for_each(|context| context.push(0..context.tokens(), &mut good));
    good.ask_all();
    good.masks.push(vec![u32::MAX; 2]);
    good.rows[0].mask = Some(0);
    let before = rig.step(&good)?;
    for (what, fault, change) in faults() {
        let mut bad = good.clone();
        change(&mut bad, &limits);
        let found = bad.with(|step| rig.device.submit(step));
        let right =
            matches!(found, Err(SubmitError::Step(found)) if discriminant(&found) == discriminant(&fault));
        if !right {
            return Err(Failure::Fault(format!("{what}: {found:?}; a fault like {fault:?} is right")));
        }
        expect("poll behind a refused step", finish(&mut *rig.device).err(), Some(DeviceError::Idle))?;
    }
    let after = rig.step(&good)?;
    expect("a good step behind bad ones", after.candidates == before.candidates, true)?;
    Ok(0.0)
}

type Fault = (&'static str, StepFault, fn(&mut Batch, &Limits));

const TOO_MANY: StepFault = StepFault::TooMany { what: "", count: 0, limit: 0 };
const TILING: StepFault = StepFault::Tiling { what: "", named: 0, given: 0 };
const TOKEN: StepFault = StepFault::Token { row: 0 };
const ADDRESS: StepFault = StepFault::Address { row: 0 };
const PAGE: StepFault = StepFault::Page { page: PageId(0) };
const SEGMENT: StepFault = StepFault::Segment { segment: 0 };
const MASK: StepFault = StepFault::Mask { mask: 0 };
const TAP: StepFault = StepFault::Tap { tap: 0 };
const DEPTH: StepFault = StepFault::Depth { depth: 0 };

fn repeat<T: Copy>(items: &mut Vec<T>, limit: u32) {
    items.resize(limit as usize + 1, items[0]);
}

fn first(batch: &mut Batch) -> &mut Row {
    &mut batch.rows[0]
}

/// Ends the step after some layers; no row wants anything then.
fn to_depth(batch: &mut Batch, depth: u32) {
    batch.rows.iter_mut().for_each(|row| row.want = Want::Nothing);
    batch.depth = Some(depth);
}

fn faults() -> Vec<Fault> {
    vec![
        ("too many rows", TOO_MANY, |b, l| repeat(&mut b.rows, l.rows)),
        ("too many spans", TOO_MANY, |b, l| repeat(&mut b.spans, l.spans)),
        ("too many segments", TOO_MANY, |b, l| repeat(&mut b.segments, l.segments)),
        ("too many pages", TOO_MANY, |b, l| repeat(&mut b.pages, l.segment_pages)),
        ("too many masks", TOO_MANY, |b, l| b.masks = vec![vec![1; 2]; l.masks as usize + 1]),
        ("too many taps", TOO_MANY, |b, l| repeat(&mut b.taps, l.taps)),
        ("a row in no span", TILING, |b, _| b.spans[0].rows -= 1),
        ("a row too few", TILING, |b, _| b.spans[1].rows += 1),
        ("rows beyond counting", TILING, |b, _| b.spans[1].rows = u32::MAX),
        ("a segment too few", TILING, |b, _| b.spans[0].segments += 1),
        ("a span too many", TILING, |b, _| b.spans.push(Span { rows: 1, segments: 0 })),
        ("a page too few", TILING, |b, _| b.pages.truncate(b.pages.len() - 1)),
        ("no such token", TOKEN, |b, _| first(b).token = 40),
        ("no such token to score", TOKEN, |b, _| first(b).want = Want::Score(40)),
        ("beyond the context", ADDRESS, |b, l| b.rows[8].address = l.context),
        ("the same address twice", ADDRESS, |b, _| b.rows[1] = b.rows[0]),
        ("another offset", ADDRESS, |b, _| first(b).offset += 1),
        ("another place", ADDRESS, |b, _| first(b).place += 1),
        ("place beyond the page", ADDRESS, |b, _| first(b).place = 8),
        ("another page", ADDRESS, |b, _| first(b).page.0 ^= 1),
        ("no such page", PAGE, |b, l| b.pages[0] = PageId(l.pages)),
        ("an empty segment", SEGMENT, |b, _| {
            let pages = b.segments[0].pages() as usize;
            b.segments[0].len = 0;
            b.pages.drain(..pages);
        }),
        ("segments over each other", SEGMENT, |b, _| {
            b.segments.insert(1, b.segments[0]);
            let pages = b.pages[..b.segments[0].pages() as usize].to_vec();
            b.pages.splice(0..0, pages);
            b.spans[0].segments += 1;
        }),
        ("a segment beyond the context", SEGMENT, |b, l| b.segments[0].base = l.context),
        ("a segment beyond counting", SEGMENT, |b, _| b.segments[0].base = u32::MAX),
        ("no such mask", MASK, |b, _| first(b).mask = Some(1)),
        ("a short mask", MASK, |b, _| b.masks[0].truncate(1)),
        ("a long mask", MASK, |b, _| b.masks[0].push(1)),
        ("a mask that allows nothing", MASK, |b, _| b.masks[0] = vec![0, 0xffff_ff00]),
        ("no such layer", TAP, |b, _| b.taps[0] = Tap::Layer(2, Reg::Hidden)),
        ("not exposed in the layer", TAP, |b, _| b.taps[0] = Tap::Layer(1, Reg::Gate)),
        ("not exposed at the end", TAP, |b, _| b.taps[0] = Tap::Final(Reg::Hidden)),
        ("no such layer to count", TAP, |b, _| b.counters.end = 3),
        ("counters backwards", TAP, |b, _| b.counters = LayerRange { start: 2, end: 1 }),
        ("no layer at all", DEPTH, |b, _| to_depth(b, 0)),
        ("more layers than there are", DEPTH, |b, _| to_depth(b, 3)),
        ("a tap behind the last layer", DEPTH, |b, _| to_depth(b, 1)),
        ("counters behind the last layer", DEPTH, |b, _| {
            b.taps[0] = Tap::Layer(0, Reg::Hidden);
            to_depth(b, 1);
        }),
        ("candidates of a step that ends early", DEPTH, |b, _| b.depth = Some(2)),
    ]
}
