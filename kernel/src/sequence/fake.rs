//! A device that has page memory but no arithmetic: what a row finds is a hash of the tokens that
//! it can see, with their addresses. Steps are checked as a real device checks them.

use core::task::Poll;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use agentos_hal::page::PageId;
use agentos_hal::{
    Candidate, Caps, DeviceError, Footprint, KvType, Limits, ModelShape, Outcome, PAGE_TOKENS, PageError,
    Pairing, PrepareError, Program, Rope, RopeScaling, Row, Segment, Step, StepReport, SubmitError,
    TensorDevice, Want, WeightSource,
};

use crate::model::LLAMA;

/// What a poll does, instead of finishing the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hitch {
    Pending,
    Fails(DeviceError),
    NotANumber,
}

pub const VOCAB: u32 = 300;

pub const SHAPE: ModelShape = ModelShape {
    layers: 1,
    width: 8,
    ffn: 8,
    heads: 1,
    kv_heads: 1,
    head_dim: 8,
    vocab: VOCAB,
    context: 512,
    norm_eps: 1e-5,
    rope: Rope { dims: 8, base: 1e4, pairing: Pairing::Adjacent, scaling: RopeScaling::None, factors: false },
    tied_embedding: true,
};

pub const LIMITS: Limits = Limits {
    rows: 32,
    spans: 1,
    segments: 40,
    segment_pages: 60,
    outcomes: 4,
    candidates: 3,
    masks: 0,
    taps: 0,
    exposed: 0,
    context: 300,
    pages: 64,
    kv: KvType::F16,
};

pub struct FakeDevice {
    /// What `submit` answers before it takes a step.
    pub refusals: VecDeque<SubmitError>,
    /// What `poll` answers before the step is done.
    pub hitches: VecDeque<Hitch>,
    /// Rows of every step taken.
    pub steps: Vec<usize>,
    limits: Limits,
    memory: Vec<[Option<(u32, u32)>; PAGE_TOKENS]>,
    running: bool,
    outcomes: Vec<Outcome>,
    candidates: Vec<Candidate>,
}

impl FakeDevice {
    pub fn new(limits: Limits) -> FakeDevice {
        FakeDevice {
            refusals: VecDeque::new(),
            hitches: VecDeque::new(),
            steps: Vec::new(),
            limits,
            memory: vec![[None; PAGE_TOKENS]; limits.pages as usize],
            running: false,
            outcomes: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// A hash of the tokens up to an address, as stored behind the segments.
    fn seen(&self, step: &Step<'_>, address: u32) -> u32 {
        let mut hash = 0x811c_9dc5u32;
        let mut pages = step.pages;
        for &Segment { base, len } in step.segments {
            let (mine, rest) = pages.split_at(len.div_ceil(PAGE_TOKENS as u32) as usize);
            pages = rest;
            for offset in (0..len).take_while(|offset| base + offset <= address) {
                let page = mine[offset as usize / PAGE_TOKENS].0 as usize;
                let (token, stored) = self.memory[page][offset as usize % PAGE_TOKENS].expect("stored");
                assert_eq!(stored, offset, "a key is rotated by its offset");
                for word in [token, base + offset] {
                    hash = (hash ^ word).wrapping_mul(0x0100_0193).rotate_left(11);
                }
            }
        }
        hash
    }

    fn find(&mut self, index: u32, row: &Row, seen: u32) {
        let scored = match row.want {
            Want::Nothing => return,
            Want::Candidates => 0.0,
            Want::Score(token) => -((token ^ seen) as f32 / 1e9),
        };
        self.outcomes.push(Outcome { row: index, candidates: 3, log_sum_exp: 1.5, entropy: 0.7, scored });
        let token = |n: u32| (seen.wrapping_add(n * 77)) % VOCAB;
        self.candidates.extend((0..3).map(|n| Candidate { token: token(n), logit: 1.0 - n as f32 }));
    }
}

impl TensorDevice for FakeDevice {
    fn caps(&self) -> Caps {
        Caps { backend: "fake", variant: "hash", dtypes: &[], threads: 0 }
    }

    fn prepare(
        &mut self,
        _: &Program,
        _: &ModelShape,
        _: &Limits,
        _: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        unreachable!("a sequence does not prepare its device")
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        if let Some(error) = self.refusals.pop_front() {
            return Err(error);
        }
        if self.running {
            return Err(SubmitError::Busy);
        }
        step.check(&SHAPE, &self.limits, &LLAMA)?;
        self.steps.push(step.rows.len());
        self.outcomes.clear();
        self.candidates.clear();
        for row in step.rows {
            self.memory[row.page.0 as usize][usize::from(row.place)] = Some((row.token, row.offset));
        }
        for (index, row) in step.rows.iter().enumerate() {
            let seen = self.seen(step, row.address);
            self.find(index as u32, row, seen);
        }
        self.running = true;
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        if !self.running {
            return Poll::Ready(Err(DeviceError::Idle));
        }
        match self.hitches.pop_front() {
            Some(Hitch::Pending) => return Poll::Pending,
            Some(Hitch::Fails(error)) => {
                self.running = false;
                return Poll::Ready(Err(error));
            }
            Some(Hitch::NotANumber) => self.outcomes[0].log_sum_exp = f32::NAN,
            None => (),
        }
        self.running = false;
        let (outcomes, candidates) = (&self.outcomes[..], &self.candidates[..]);
        Poll::Ready(Ok(StepReport { outcomes, candidates, ..StepReport::default() }))
    }

    fn copy_out(&mut self, _: PageId, _: &mut [u8]) -> Poll<Result<(), PageError>> {
        unreachable!("a sequence copies no pages")
    }

    fn copy_in(&mut self, _: PageId, _: &[u8]) -> Poll<Result<(), PageError>> {
        unreachable!("a sequence copies no pages")
    }

    fn copy_pages(&mut self, _: &[(PageId, PageId)]) -> Result<(), PageError> {
        unreachable!("a sequence copies no pages")
    }

    fn summarise(
        &mut self,
        _: PageId,
        _: u32,
        _: usize,
        _: agentos_hal::device::PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        unreachable!("a sequence summarises no pages")
    }
}
