//! Every instruction on numbers small enough to work out on paper: what the oracle itself is judged
//! by.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Activation, DType, KvType, LayerRange, Limits, Mass, ModelShape, Op, PAGE_TOKENS, PageId, Pairing,
    PrepareError, Program, Reg, Resource, Rope, RopeScaling, Row, Segment, Span, Step, StepReport, Tap,
    Tensor, TensorDevice, TensorInfo, Want, WeightError, WeightId, WeightRole, WeightSource,
};
use agentos_reference::Reference;

const SHAPE: ModelShape = ModelShape {
    layers: 1,
    width: 2,
    ffn: 2,
    heads: 1,
    kv_heads: 1,
    head_dim: 2,
    vocab: 3,
    context: 64,
    norm_eps: 0.0,
    rope: Rope {
        dims: 2,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    },
    tied_embedding: false,
};

const LIMITS: Limits = Limits {
    rows: 4,
    spans: 2,
    segments: 4,
    segment_pages: 8,
    outcomes: 4,
    candidates: 3,
    masks: 1,
    taps: 2,
    exposed: 4,
    context: 64,
    pages: 4,
    kv: KvType::F32,
};

/// The same numbers for each role in every test.
fn numbers(role: WeightRole) -> &'static [f32] {
    match role {
        WeightRole::TokenEmbedding => &[1.0, 0.0, 0.0, 2.0, 3.0, 4.0],
        WeightRole::Output => &[10.0, 0.0, 0.0, 20.0, 10.0, 0.0],
        WeightRole::Query | WeightRole::FfnGate => &[1.0, 0.0, 0.0, 1.0],
        WeightRole::FfnUp => &[1.0, 2.0, 3.0, 4.0],
        WeightRole::AttnNorm => &[1.0, 2.0],
        WeightRole::QueryBias => &[0.5, -0.5],
        _ => &[],
    }
}

struct Source(Vec<u8>);

impl WeightSource for Source {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        let (rows, cols) = id.role.dims(&SHAPE);
        (!numbers(id.role).is_empty()).then_some(TensorInfo { dtype: DType::F32, rows, cols })
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        let info = self.describe(id).ok_or(WeightError::Missing(id))?;
        self.0 = numbers(id.role).iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(Tensor { info, bytes: &self.0 })
    }

    fn release(&mut self, _: WeightId) {}
}

const fn embed(weight: WeightRole, out: Reg) -> Op {
    Op::Embed { weight, out }
}

const HIDDEN: Op = embed(WeightRole::TokenEmbedding, Reg::Hidden);
const HEAD: Op = Op::Head { input: Reg::Hidden, weight: WeightRole::Output };

fn device(program: &Program, limits: &Limits) -> Reference {
    let mut device = Reference::new(1 << 20);
    device.prepare(program, &SHAPE, limits, &mut Source(Vec::new())).expect("a small model fits");
    device
}

/// Runs tokens as one slice at address 5, in the first pages.
fn run<'d>(device: &'d mut Reference, tokens: &[u32], taps: &[Tap]) -> StepReport<'d> {
    let row = |(offset, &token): (u32, &u32)| Row {
        token,
        address: 5 + offset,
        page: PageId(offset / 8),
        place: (offset % 8) as u8,
        offset,
        want: Want::Score(2),
        mask: None,
        expose: true,
    };
    let rows: Vec<Row> = (0..).zip(tokens).map(row).collect();
    let step = Step {
        rows: &rows,
        spans: &[Span { rows: rows.len() as u32, segments: 1 }],
        segments: &[Segment { base: 5, len: rows.len() as u32 }],
        pages: &[PageId(0)],
        masks: &[],
        taps,
        counters: LayerRange { start: 0, end: 1 },
        depth: None,
    };
    device.submit(&step).expect("a sound step");
    match device.poll() {
        Poll::Ready(report) => report.expect("finite numbers"),
        Poll::Pending => panic!("the reference computes in poll"),
    }
}

/// What one instruction behind the embeddings leaves in a register.
fn after(layer: &'static [Op], token: u32, reg: Reg) -> Vec<f32> {
    const INPUTS: &[Op] = &[
        HIDDEN,
        embed(WeightRole::TokenEmbedding, Reg::Query),
        embed(WeightRole::TokenEmbedding, Reg::Key),
        embed(WeightRole::TokenEmbedding, Reg::Gate),
        embed(WeightRole::Output, Reg::Up),
    ];
    let program = Program { prologue: INPUTS, layer, epilogue: &[HEAD] };
    let mut device = device(&program, &LIMITS);
    // The token stands behind another one, so that its offset is 1.
    run(&mut device, &[0, token], &[Tap::Layer(0, reg)]).exposed[2..].to_vec()
}

fn close(found: &[f32], expected: &[f64]) {
    let near = |(&found, &expected): (&f32, &f64)| (f64::from(found) - expected).abs() < 1e-6;
    assert!(found.len() == expected.len(), "{found:?} for {expected:?}");
    assert!(found.iter().zip(expected).all(near), "{found:?} for {expected:?}");
}

#[test]
fn norm_divides_by_the_root_of_the_mean_square() {
    const NORM: &[Op] = &[
        Op::Norm { input: Reg::Hidden, weight: WeightRole::AttnNorm, out: Reg::Normed },
        Op::Expose { reg: Reg::Normed },
    ];
    let root = 12.5f64.sqrt();
    close(&after(NORM, 2, Reg::Normed), &[3.0 / root, 8.0 / root]);
}

#[test]
fn matmul_overwrites_or_adds() {
    const TWICE: &[Op] = &[
        Op::MatMul { input: Reg::Hidden, weight: WeightRole::FfnUp, out: Reg::Up, accumulate: false },
        Op::MatMul { input: Reg::Hidden, weight: WeightRole::FfnGate, out: Reg::Up, accumulate: true },
        Op::Expose { reg: Reg::Up },
    ];
    close(&after(TWICE, 2, Reg::Up), &[11.0 + 3.0, 25.0 + 4.0]);
}

#[test]
fn add_and_rotate_and_gate() {
    const ADD: &[Op] =
        &[Op::Add { reg: Reg::Query, weight: WeightRole::QueryBias }, Op::Expose { reg: Reg::Query }];
    close(&after(ADD, 2, Reg::Query), &[3.5, 3.5]);
    const ROTATE: &[Op] = &[Op::Rotate { reg: Reg::Key }, Op::Expose { reg: Reg::Key }];
    let (sin, cos) = 1f64.sin_cos();
    close(&after(ROTATE, 2, Reg::Key), &[3.0 * cos - 4.0 * sin, 3.0 * sin + 4.0 * cos]);
    const SILU: &[Op] = &[
        Op::Gate { activation: Activation::Silu, gate: Reg::Gate, up: Reg::Up },
        Op::Expose { reg: Reg::Gate },
    ];
    const GELU: &[Op] = &[
        Op::Gate { activation: Activation::Gelu, gate: Reg::Gate, up: Reg::Up },
        Op::Expose { reg: Reg::Gate },
    ];
    close(&after(SILU, 0, Reg::Gate), &[10.0 * 0.731_058_578_630, 0.0]);
    close(&after(GELU, 0, Reg::Gate), &[10.0 * 0.841_191_990_608, 0.0]);
}

const ATTENTION: Program = Program {
    prologue: &[
        HIDDEN,
        embed(WeightRole::TokenEmbedding, Reg::Query),
        embed(WeightRole::TokenEmbedding, Reg::Key),
        embed(WeightRole::Output, Reg::Value),
    ],
    layer: &[
        Op::Rotate { reg: Reg::Key },
        Op::StoreKv { key: Reg::Key, value: Reg::Value },
        Op::Attend { query: Reg::Query, out: Reg::Context },
        Op::Expose { reg: Reg::Context },
    ],
    epilogue: &[HEAD],
};

/// Two tokens one apart: key (1, 0) and value (10, 0), then query and key (0, 2) and value (0, 20).
#[test]
fn attention_shares_a_row_out_over_what_it_sees() {
    let mut device = device(&ATTENTION, &LIMITS);
    let report = run(&mut device, &[0, 1], &[Tap::Layer(0, Reg::Context)]);
    // The query turned by one token against the first key; equal turns against its own.
    let scores = [-2.0 * 1f64.sin() / 2f64.sqrt(), 4.0 / 2f64.sqrt()];
    let own = 1.0 / (1.0 + (scores[0] - scores[1]).exp());
    let other = 1.0 - own;
    close(report.exposed, &[10.0, 0.0, 10.0 * other, 20.0 * own]);
    close(report.entropy, &[0.0, -own * own.ln() - other * other.ln()]);
    close(&[report.mass[0].as_f32()], &[2.0]);
    let (mut mean_key, mut mass) = ([0.0; 2], [Mass(0); PAGE_TOKENS]);
    let summary = PageSummary { mean_key: &mut mean_key, mass: &mut mass };
    assert_eq!(device.summarise(PageId(0), 0, 2, summary), Poll::Ready(Ok(())));
    close(&[mass[0].as_f32(), mass[1].as_f32()], &[1.0 + other, own]);
    close(&mean_key, &[(1.0 - 2.0 * 1f64.sin()) / 2.0, 1f64.cos()]);
}

/// Keys with the tokens innermost, then values with the dimensions innermost.
#[test]
fn an_image_is_in_the_order_that_all_devices_share() {
    let mut device = device(&ATTENTION, &Limits { kv: KvType::F16, ..LIMITS });
    run(&mut device, &[0, 1], &[]);
    let mut image = [0; 2 * 2 * 2 * PAGE_TOKENS];
    assert_eq!(device.copy_out(PageId(0), &mut image), Poll::Ready(Ok(())));
    let element = |i: usize| half::f16::from_le_bytes([image[2 * i], image[2 * i + 1]]).to_f32();
    assert_eq!([element(0), element(PAGE_TOKENS)], [1.0, 0.0]);
    let rounded = half::f16::from_f64(-2.0 * 1f64.sin()).to_f32();
    assert_eq!(element(1), rounded);
    let values = 2 * PAGE_TOKENS;
    assert_eq!([values, values + 1, values + 2, values + 3].map(element), [10.0, 0.0, 0.0, 20.0]);
}

/// Logits 10, 0, 10: the lower of equal tokens first.
#[test]
fn head_reduces_logits() {
    let program = Program { prologue: &[HIDDEN], layer: &[], epilogue: &[HEAD] };
    let mut device = device(&program, &LIMITS);
    let report = run(&mut device, &[0], &[]);
    let listed: Vec<(u32, f32)> = report.candidates_of(0).iter().map(|one| (one.token, one.logit)).collect();
    assert_eq!(listed, [(0, 10.0), (2, 10.0), (1, 0.0)]);
    let total = 2.0 + (-10f64).exp();
    close(&[report.outcomes[0].log_sum_exp, report.outcomes[0].scored], &[10.0 + total.ln(), 10.0]);
    let (likely, unlikely) = (1.0 / total, (-10f64).exp() / total);
    close(&[report.outcomes[0].entropy], &[-2.0 * likely * likely.ln() - unlikely * unlikely.ln()]);
}

/// What does not fit is refused with the number of bytes, before anything is computed.
#[test]
fn too_little_memory_is_refused() {
    let prepare = |bytes| Reference::new(bytes).prepare(&ATTENTION, &SHAPE, &LIMITS, &mut Source(Vec::new()));
    let footprint = prepare(1 << 20).expect("a small model fits");
    let needed = footprint.weights + footprint.pages + footprint.scratch;
    assert_eq!(prepare(needed), Ok(footprint));
    assert!(matches!(
        prepare(needed - 1),
        Err(PrepareError::TooLarge { what: Resource::ScratchBytes, needed, available }) if needed > available
    ));
}
