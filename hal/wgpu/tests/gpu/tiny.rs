//! A small model that needs no file: a program of one family, weights that follow from their places, and
//! steps over one context.

use agentos_hal::{
    Activation, DType, KvType, LayerRange, Limits, ModelShape, Op, PAGE_TOKENS, PageId, Pairing, Program,
    Reg, Rope, RopeScaling, Row, Segment, Span, Step, Tap, Tensor, TensorInfo, Want, WeightError, WeightId,
    WeightRole, WeightSource,
};

const fn product(input: Reg, weight: WeightRole, out: Reg, accumulate: bool) -> Op {
    Op::MatMul { input, weight, out, accumulate }
}

const fn norm(weight: WeightRole) -> Op {
    Op::Norm { input: Reg::Hidden, weight, out: Reg::Normed }
}

/// A Llama.
pub const PROGRAM: Program = Program {
    prologue: &[Op::Embed { weight: WeightRole::TokenEmbedding, out: Reg::Hidden }],
    layer: &[
        norm(WeightRole::AttnNorm),
        product(Reg::Normed, WeightRole::Query, Reg::Query, false),
        product(Reg::Normed, WeightRole::Key, Reg::Key, false),
        product(Reg::Normed, WeightRole::Value, Reg::Value, false),
        Op::Rotate { reg: Reg::Key },
        Op::StoreKv { key: Reg::Key, value: Reg::Value },
        Op::Attend { query: Reg::Query, out: Reg::Context },
        product(Reg::Context, WeightRole::AttnOutput, Reg::Hidden, true),
        norm(WeightRole::FfnNorm),
        product(Reg::Normed, WeightRole::FfnGate, Reg::Gate, false),
        product(Reg::Normed, WeightRole::FfnUp, Reg::Up, false),
        Op::Gate { activation: Activation::Silu, gate: Reg::Gate, up: Reg::Up },
        product(Reg::Gate, WeightRole::FfnDown, Reg::Hidden, true),
    ],
    epilogue: &[
        norm(WeightRole::OutputNorm),
        Op::Expose { reg: Reg::Normed },
        Op::Head { input: Reg::Normed, weight: WeightRole::Output },
    ],
};

/// Its sizes.
pub const SHAPE: ModelShape = ModelShape {
    layers: 2,
    width: 64,
    ffn: 96,
    heads: 4,
    kv_heads: 2,
    head_dim: 16,
    vocab: 600,
    context: 1024,
    norm_eps: 1e-5,
    rope: Rope {
        dims: 16,
        base: 10_000.0,
        pairing: Pairing::Adjacent,
        scaling: RopeScaling::None,
        factors: false,
    },
    tied_embedding: true,
};

/// Room for [`STEP_ROWS`] rows that ask for everything.
pub const LIMITS: Limits = Limits {
    rows: STEP_ROWS,
    spans: 1,
    segments: 4,
    segment_pages: 16,
    outcomes: STEP_ROWS,
    candidates: 40,
    masks: 2,
    taps: 1,
    exposed: STEP_ROWS,
    context: 128,
    pages: 32,
    kv: KvType::F16,
};

/// Rows of a step.
pub const STEP_ROWS: u32 = 16;

/// Weights of a shape.
pub struct Weights {
    /// The sizes.
    pub shape: ModelShape,
    /// Of logits over tokens, times one number of the hidden row; `None`: logits of any order.
    pub slope: Option<f32>,
    /// The last tensor that was loaded.
    pub bytes: Vec<u8>,
}

impl Weights {
    /// Those of a model.
    pub fn new(shape: ModelShape) -> Weights {
        Weights { shape, slope: None, bytes: Vec::new() }
    }
}

impl WeightSource for Weights {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        let (rows, cols) = id.role.dims(&self.shape);
        Some(TensorInfo { dtype: DType::F32, rows, cols })
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        let info = self.describe(id).ok_or(WeightError::Missing(id))?;
        let mut state = id.role as u32 * 977 + id.layer * 131 + 1;
        let mut next = || {
            // A small linear generator: any spread of numbers will do.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1u32 << 24) as f32 - 0.5
        };
        let gain = 3.0 / (info.cols as f32).sqrt();
        let one = info.rows == 1;
        let number = |x: f32| if one { 1.0 + 0.1 * x } else { gain * x };
        self.bytes.clear();
        if let (WeightRole::Output, Some(slope)) = (id.role, self.slope) {
            for token in 0..info.rows {
                self.bytes.extend_from_slice(&(slope * token as f32).to_le_bytes());
                self.bytes.resize(self.bytes.len() + 4 * (info.cols as usize - 1), 0);
            }
            return Ok(Tensor { info, bytes: &self.bytes });
        }
        for _ in 0..info.rows as usize * info.cols as usize {
            self.bytes.extend_from_slice(&number(next()).to_le_bytes());
        }
        Ok(Tensor { info, bytes: &self.bytes })
    }

    fn release(&mut self, _: WeightId) {}
}

/// A step of the first tokens of a context on the pages from 0 on; every row asks for everything.
pub fn with_step<R>(rows: u32, use_step: impl FnOnce(&Step<'_>) -> R) -> R {
    let row = |address: u32| Row {
        token: address * 37 % SHAPE.vocab,
        address,
        page: PageId(address / PAGE_TOKENS as u32),
        place: (address % PAGE_TOKENS as u32) as u8,
        offset: address,
        want: Want::Candidates,
        mask: None,
        expose: true,
    };
    let rows: Vec<Row> = (0..rows).map(row).collect();
    let segment = Segment { base: 0, len: rows.len() as u32 };
    let pages: Vec<PageId> = (0..segment.pages()).map(PageId).collect();
    use_step(&Step {
        rows: &rows,
        spans: &[Span { rows: rows.len() as u32, segments: 1 }],
        segments: &[segment],
        pages: &pages,
        masks: &[],
        taps: &[Tap::Final(Reg::Normed)],
        counters: LayerRange { start: 0, end: 1 },
        depth: None,
    })
}

/// The same, under two masks in turn that allow every second and every third token; the second comes later if `late`.
pub fn with_masked_step<R>(rows: u32, late: bool, use_step: impl FnOnce(&Step<'_>) -> R) -> R {
    let masks = [mask(2), if late { Vec::new() } else { mask(3) }];
    with_step(rows, |step| {
        let mut rows = step.rows.to_vec();
        rows.iter_mut().zip(0..).for_each(|(row, number): (_, u16)| row.mask = Some(number % 2));
        use_step(&Step { rows: &rows, masks: &[&masks[0], &masks[1]], ..*step })
    })
}

/// Allows one of so many tokens.
pub fn mask(of: u32) -> Vec<u32> {
    let mut mask = vec![0; SHAPE.mask_words()];
    (0..SHAPE.vocab).step_by(of as usize).for_each(|token| mask[token as usize / 32] |= 1 << (token % 32));
    mask
}
