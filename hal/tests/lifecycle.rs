//! What a device refuses because of where it is in its life, and what memory it may take.

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Budget, DeviceError, Footprint, KvType, LayerRange, Lifecycle, Limits, MaskError, Mass, ModelShape, Op,
    PAGE_TOKENS, PageError, PageId, Pairing, PrepareError, Prepared, Program, Reg, Resource, Rope,
    RopeScaling, Step, StepFault, SubmitError, WeightRole,
};

const SHAPE: ModelShape = ModelShape {
    layers: 2,
    width: 8,
    ffn: 8,
    heads: 2,
    kv_heads: 1,
    head_dim: 4,
    vocab: 16,
    context: 64,
    norm_eps: 0.0,
    rope: Rope {
        dims: 4,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    },
    tied_embedding: true,
};

const LIMITS: Limits = Limits {
    rows: 4,
    spans: 4,
    segments: 4,
    segment_pages: 4,
    outcomes: 4,
    candidates: 4,
    masks: 3,
    taps: 0,
    exposed: 0,
    context: 64,
    pages: 3,
    kv: KvType::F16,
};

const PROGRAM: Program = Program {
    prologue: &[Op::Embed { weight: WeightRole::TokenEmbedding, out: Reg::Hidden }],
    layer: &[],
    epilogue: &[Op::Head { input: Reg::Hidden, weight: WeightRole::Output }],
};

const IMAGE: usize = 2 * 2 * 4 * PAGE_TOKENS * 2;

const EMPTY: Step<'_> = Step {
    rows: &[],
    spans: &[],
    segments: &[],
    pages: &[],
    masks: &[],
    taps: &[],
    counters: LayerRange::NONE,
    depth: None,
};

fn idle() -> Lifecycle<&'static str> {
    let mut life = Lifecycle::new();
    life.ready(Prepared::new(&PROGRAM, &SHAPE, &LIMITS).expect("a sound model"), "machine");
    life
}

/// The page operations, with arguments that are right.
fn pages(life: &mut Lifecycle<&'static str>) -> [Result<(), PageError>; 3] {
    [
        life.image(PageId(2), IMAGE).map(drop),
        life.copies(&[(PageId(0), PageId(2))]).map(drop),
        summary(life, PageId(2), 1, PAGE_TOKENS, 4),
    ]
}

fn summary(
    life: &mut Lifecycle<&'static str>,
    page: PageId,
    layer: u32,
    tokens: usize,
    width: usize,
) -> Result<(), PageError> {
    let (mut mean_key, mut mass) = (vec![0.0; width], [Mass(0); PAGE_TOKENS]);
    let summary = PageSummary { mean_key: &mut mean_key, mass: &mut mass };
    life.summary(page, layer, tokens, &summary).map(drop)
}

#[test]
fn without_a_model_everything_is_refused() {
    let mut lost = idle();
    lost.clear();
    for mut life in [Lifecycle::new(), lost] {
        assert_eq!(life.submit(&EMPTY), Err(SubmitError::NotPrepared));
        assert_eq!(life.running(), Err(DeviceError::Idle));
        assert_eq!(life.finish(), Err(DeviceError::Idle));
        assert_eq!(pages(&mut life), [Err(PageError::NotPrepared); 3]);
    }
}

#[test]
fn a_step_is_under_way_from_submit_to_finish() {
    let mut life = idle();
    assert_eq!(life.finish(), Err(DeviceError::Idle));
    let bad = Step { counters: LayerRange { start: 0, end: 3 }, ..EMPTY };
    assert_eq!(life.submit(&bad), Err(SubmitError::Step(StepFault::Tap { tap: 0 })));
    assert_eq!(pages(&mut life), [Ok(()); 3], "a refused step is not under way");
    assert_eq!(life.submit(&EMPTY), Ok(&mut "machine"));
    assert_eq!(life.submit(&EMPTY), Err(SubmitError::Busy));
    assert_eq!(pages(&mut life), [Err(PageError::Busy); 3]);
    assert_eq!(life.running(), Ok(&mut "machine"));
    assert_eq!(life.finish(), Ok(&mut "machine"));
    assert_eq!(life.finish(), Err(DeviceError::Idle));
    assert_eq!(pages(&mut life), [Ok(()); 3]);
}

#[test]
fn masks_that_come_later_are_for_devices_that_take_them() {
    let (all, late): (&[u32], &[u32]) = (&[0xffff], &[]);
    let masks = [all, late, late];
    let step = Step { masks: &masks, ..EMPTY };
    assert_eq!(idle().submit(&step), Err(SubmitError::Step(StepFault::LateMask { mask: 1 })));
    let mut life = Lifecycle::with_late_masks();
    assert_eq!(life.allow(1, all), Err(MaskError::Idle));
    life.ready(Prepared::new(&PROGRAM, &SHAPE, &LIMITS).expect("a sound model"), "machine");
    assert_eq!(life.allow(1, all), Err(MaskError::Idle));
    assert_eq!(life.submit(&step), Ok(&mut "machine"));
    assert!(life.lacks_masks());
    for mask in [0, 3, 256, u16::MAX] {
        assert_eq!(life.allow(mask, all), Err(MaskError::Mask { mask }));
    }
    assert_eq!(life.allow(1, &[1, 1]), Err(MaskError::Length { found: 2, expected: 1 }));
    assert_eq!(life.allow(1, &[0xffff_0000]), Err(MaskError::Nothing { mask: 1 }));
    assert_eq!(life.allow(2, all), Ok(&mut "machine"));
    assert_eq!(life.allow(2, all), Err(MaskError::Mask { mask: 2 }));
    assert!(life.lacks_masks());
    assert_eq!(life.allow(1, all), Ok(&mut "machine"));
    assert!(!life.lacks_masks());
    assert_eq!(life.finish(), Ok(&mut "machine"));
    assert_eq!(life.allow(1, all), Err(MaskError::Idle));
    // A step that failed or was abandoned leaves nothing that the next one would lack.
    for end in [|life: &mut Lifecycle<_>| drop(life.finish()), Lifecycle::clear] {
        assert!(life.submit(&step).is_ok());
        end(&mut life);
        assert!(!life.lacks_masks());
        life.ready(Prepared::new(&PROGRAM, &SHAPE, &LIMITS).expect("a sound model"), "machine");
        assert!(life.submit(&EMPTY).is_ok() && !life.lacks_masks());
        assert_eq!(life.finish(), Ok(&mut "machine"));
        assert_eq!(life.submit(&step).map(|_| ()), Ok(()), "it takes them still");
        assert!(life.finish().is_ok());
    }
}

#[test]
fn pages_layers_and_lengths_are_checked() {
    let mut life = idle();
    let no_page = Err(PageError::Page(PageId(3)));
    assert_eq!(life.image(PageId(3), IMAGE).map(drop), no_page);
    let short = PageError::Length { found: IMAGE - 1, expected: IMAGE };
    assert_eq!(life.image(PageId(0), IMAGE - 1), Err(short));
    assert_eq!(life.copies(&[(PageId(0), PageId(1)), (PageId(3), PageId(0))]).map(drop), no_page);
    assert_eq!(life.copies(&[(PageId(0), PageId(3))]).map(drop), no_page);
    assert_eq!(summary(&mut life, PageId(3), 0, 1, 4), no_page);
    assert_eq!(summary(&mut life, PageId(0), 2, 1, 4), Err(PageError::Layer(2)));
    for (tokens, width) in [(0, 4), (9, 4)] {
        let length = PageError::Length { found: tokens, expected: PAGE_TOKENS };
        assert_eq!(summary(&mut life, PageId(0), 0, tokens, width), Err(length));
    }
    let length = PageError::Length { found: 5, expected: 4 };
    assert_eq!(summary(&mut life, PageId(0), 0, 1, 5), Err(length));
}

#[test]
fn a_budget_counts_by_purpose_and_refuses_what_is_too_much() {
    let mut budget = Budget::new(100);
    assert_eq!(budget.take(Resource::WeightBytes, 10, 4), Ok(40));
    assert_eq!(budget.take(Resource::PageBytes, 3, 5), Ok(15));
    let refusal = |needed| PrepareError::TooLarge { what: Resource::ScratchBytes, needed, available: 45 };
    assert_eq!(budget.take(Resource::ScratchBytes, 46, 1), Err(refusal(46)));
    assert_eq!(budget.take(Resource::ScratchBytes, u64::MAX, 8), Err(refusal(u64::MAX)));
    assert_eq!(budget.take(Resource::ScratchBytes, 45, 1), Ok(45));
    assert_eq!(budget.left(), 0);
    assert_eq!(budget.taken(), Footprint { weights: 40, pages: 15, scratch: 45 });
}
