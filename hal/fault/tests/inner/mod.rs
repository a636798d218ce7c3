//! A device of which everything is known: what it answers, and what it was asked.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Candidate, Caps, DeviceError, Footprint, KvType, LateMasks, LayerRange, Limits, MaskError, Mass,
    ModelShape, Outcome, PageError, PageId, Pairing, PrepareError, Program, Rope, RopeScaling, Row, Segment,
    Span, Step, StepReport, SubmitError, Tensor, TensorDevice, TensorInfo, Want, WeightError, WeightId,
    WeightSource,
};

/// What the device was asked, and what its pages hold. Pages outlive a preparation.
#[derive(Debug, Default)]
pub struct Log {
    pub prepares: u32,
    pub submits: u32,
    pub polls: u32,
    pub copies: u32,
    /// Masks that came later.
    pub masks: Vec<Vec<u32>>,
    pub pages: Vec<Vec<u8>>,
}

/// Takes any step, and reports the same of it each time: rows 0 and 2 have an outcome.
pub struct Inner {
    pub log: Rc<RefCell<Log>>,
    pub running: bool,
    pub late_masks: LateMasks,
}

pub const OUTCOMES: [Outcome; 2] = [
    Outcome { row: 0, candidates: 2, log_sum_exp: 1.0, entropy: 0.5, scored: 0.25 },
    Outcome { row: 2, candidates: 1, log_sum_exp: 2.0, entropy: 0.75, scored: 0.125 },
];

pub const CANDIDATES: [Candidate; 4] = [
    Candidate { token: 1, logit: 3.0 },
    Candidate { token: 2, logit: 2.0 },
    Candidate { token: 3, logit: 1.0 },
    Candidate { token: 0, logit: 0.0 },
];

pub const PROGRAM: Program = Program { prologue: &[], layer: &[], epilogue: &[] };

pub const SHAPE: ModelShape = ModelShape {
    layers: 1,
    width: 4,
    ffn: 4,
    heads: 1,
    kv_heads: 1,
    head_dim: 4,
    vocab: 8,
    context: 64,
    norm_eps: 1e-5,
    rope: Rope { dims: 4, base: 1e4, pairing: Pairing::Adjacent, scaling: RopeScaling::None, factors: false },
    tied_embedding: true,
};

pub const LIMITS: Limits = Limits {
    rows: 8,
    spans: 1,
    segments: 1,
    segment_pages: 1,
    outcomes: 2,
    candidates: 2,
    masks: 1,
    taps: 0,
    exposed: 0,
    context: 64,
    pages: 3,
    kv: KvType::F16,
};

/// Bytes of a page.
pub const IMAGE: usize = agentos_hal::page::image_bytes(&SHAPE, LIMITS.kv);

/// Lends a step of `rows` rows in page 0.
pub fn with_step<R>(rows: u32, act: impl FnOnce(&Step<'_>) -> R) -> R {
    let row = |address: u32| Row {
        token: 1,
        address,
        page: PageId(0),
        place: address as u8,
        offset: address,
        want: Want::Nothing,
        mask: None,
        expose: false,
    };
    let rows: Vec<Row> = (0..rows).map(row).collect();
    act(&Step {
        spans: &[Span { rows: rows.len() as u32, segments: 1 }],
        rows: &rows,
        segments: &[Segment { base: 0, len: 8 }],
        pages: &[PageId(0)],
        masks: &[],
        taps: &[],
        counters: LayerRange::NONE,
        depth: None,
    })
}

/// A model without weights.
pub struct NoWeights;

impl WeightSource for NoWeights {
    fn describe(&self, _: WeightId) -> Option<TensorInfo> {
        None
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        Err(WeightError::Missing(id))
    }

    fn release(&mut self, _: WeightId) {}
}

impl TensorDevice for Inner {
    fn caps(&self) -> Caps {
        Caps {
            backend: "inner",
            variant: "scripted",
            dtypes: &[],
            threads: 1,
            inputs: agentos_hal::Inputs::F32,
            late_masks: self.late_masks,
        }
    }

    fn prepare(
        &mut self,
        _: &Program,
        _: &ModelShape,
        limits: &Limits,
        _: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        let mut log = self.log.borrow_mut();
        log.prepares += 1;
        log.pages.resize(limits.pages as usize, vec![7; IMAGE]);
        self.running = false;
        Ok(Footprint { weights: 1, pages: 2, scratch: 3 })
    }

    fn submit(&mut self, _: &Step<'_>) -> Result<(), SubmitError> {
        if std::mem::replace(&mut self.running, true) {
            return Err(SubmitError::Busy);
        }
        self.log.borrow_mut().submits += 1;
        Ok(())
    }

    fn allow(&mut self, _: u16, words: &[u32]) -> Result<(), MaskError> {
        self.log.borrow_mut().masks.push(words.to_vec());
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        self.log.borrow_mut().polls += 1;
        if !std::mem::replace(&mut self.running, false) {
            return Poll::Ready(Err(DeviceError::Idle));
        }
        let report = StepReport { outcomes: &OUTCOMES, candidates: &CANDIDATES, ..StepReport::default() };
        Poll::Ready(Ok(report))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let mut log = self.log.borrow_mut();
        log.copies += 1;
        image.copy_from_slice(&log.pages[page.0 as usize]);
        Poll::Ready(Ok(()))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        let mut log = self.log.borrow_mut();
        log.copies += 1;
        log.pages[page.0 as usize].copy_from_slice(image);
        Poll::Ready(Ok(()))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let mut log = self.log.borrow_mut();
        log.copies += 1;
        for &(from, to) in pairs {
            log.pages[to.0 as usize] = log.pages[from.0 as usize].clone();
        }
        Ok(())
    }

    fn summarise(
        &mut self,
        _: PageId,
        _: u32,
        _: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        self.log.borrow_mut().copies += 1;
        summary.mean_key.fill(1.0);
        *summary.mass = [Mass(1); 8];
        Poll::Ready(Ok(()))
    }
}
