//! A device that has page memory but no arithmetic: what a row stores and finds is a hash of what was
//! stored of the tokens that it can see, with their addresses. Steps are checked as a real device checks them. What must not
//! change a result (who else is in the step, where pages are) does not enter the hash; what was
//! computed wrongly, or is missing, does. Queries and keys say of which kind a token is, so that like finds
//! like, and a little of what was seen.

use core::task::Poll;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use agentos_hal::late::Outstanding;
use agentos_hal::page::PageId;
use agentos_hal::{
    Candidate, Caps, DeviceError, Footprint, KvType, LateMasks, Limits, MaskError, Mass, ModelShape, Outcome,
    PAGE_TOKENS, PageError, Pairing, PrepareError, Program, Reg, Rope, RopeScaling, Row, Segment, Step,
    StepFault, StepReport, SubmitError, Tap, TensorDevice, Want, WeightSource,
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

/// What is stored of a token: a hash of what it saw, its offset, and the token.
type Stored = (u32, u32, u32);

/// Bytes of a token's value in a page's image: what is stored of it is there.
const VALUE_BYTES: usize = SHAPE.head_dim as usize * 2;

/// The values in a page's image, which stand behind its keys.
fn values(image: &[u8]) -> impl Iterator<Item = &[u8]> {
    image[image.len() / 2..].chunks_exact(VALUE_BYTES)
}

/// [`values`], to be changed.
pub fn values_mut(image: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    let keys = image.len() / 2;
    image[keys..].chunks_exact_mut(VALUE_BYTES)
}

/// Kinds of tokens that queries and keys tell apart: the dimensions that are not rotated.
pub const KINDS: u32 = 6;

/// Page operations that may be pending.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Out,
    In,
    Summarise,
}

pub struct FakeDevice {
    /// What `submit` answers before it takes a step.
    pub refusals: VecDeque<SubmitError>,
    /// What `poll` answers before the step is done.
    pub hitches: VecDeque<Hitch>,
    /// Computes from whatever is in its pages: nobody has promised that it makes sense.
    pub careless: bool,
    /// What page operations answer before they copy: `None` is pending.
    pub copies: VecDeque<Option<PageError>>,
    /// The page operation that is pending: it is to be called again before any other.
    pending: Option<(Operation, PageId)>,
    /// Rows of every step taken.
    pub steps: Vec<usize>,
    /// What it does with masks that come later.
    pub late_masks: LateMasks,
    /// Masks that came later, over all steps.
    pub allowed: usize,
    limits: Limits,
    memory: Vec<[Option<Stored>; PAGE_TOKENS]>,
    mass: Vec<Mass>,
    entropy: Vec<f32>,
    running: bool,
    outstanding: Outstanding,
    masks: Vec<Vec<u32>>,
    /// Rows that want an outcome, each with what it saw.
    wanted: Vec<(u32, Row, u32)>,
    outcomes: Vec<Outcome>,
    candidates: Vec<Candidate>,
    exposed: Vec<f32>,
}

impl FakeDevice {
    pub fn new(limits: Limits) -> FakeDevice {
        FakeDevice {
            refusals: VecDeque::new(),
            hitches: VecDeque::new(),
            careless: false,
            copies: VecDeque::new(),
            pending: None,
            steps: Vec::new(),
            late_masks: LateMasks::Refused,
            allowed: 0,
            limits,
            memory: vec![[None; PAGE_TOKENS]; limits.pages as usize],
            mass: Vec::new(),
            entropy: Vec::new(),
            running: false,
            outstanding: Outstanding::NONE,
            masks: Vec::new(),
            wanted: Vec::new(),
            outcomes: Vec::new(),
            candidates: Vec::new(),
            exposed: Vec::new(),
        }
    }

    /// The device lost its memory.
    pub fn forget(&mut self) {
        self.memory.fill([None; PAGE_TOKENS]);
        (self.running, self.pending) = (false, None);
    }

    /// A hash of what is stored behind a span's segments before an address.
    fn seen(&self, segments: &[Segment], mut pages: &[PageId], end: u32) -> u32 {
        let mut hash = 0x811c_9dc5u32;
        for &Segment { base, len } in segments {
            let (mine, rest) = pages.split_at(len.div_ceil(PAGE_TOKENS as u32) as usize);
            pages = rest;
            for offset in (0..len).take_while(|offset| base + offset < end) {
                let page = mine[offset as usize / PAGE_TOKENS].0 as usize;
                let found = self.memory[page][offset as usize % PAGE_TOKENS];
                let found = if self.careless { found.or(Some((0, 0, 0))) } else { found };
                let (token, stored, _) = found.expect("stored");
                assert!(stored == offset || self.careless, "a key is rotated by its offset");
                for word in [token, base + offset] {
                    hash = (hash ^ word).wrapping_mul(0x0100_0193).rotate_left(11);
                }
            }
        }
        hash
    }

    /// What goes wrong with a page operation, if something does.
    fn copy_hitch(&mut self, operation: Operation, page: PageId) -> Option<Poll<Result<(), PageError>>> {
        let called = (operation, page);
        assert!(self.pending.take().is_none_or(|pending| pending == called), "another operation is pending");
        let hitch = self.copies.pop_front()?;
        Some(match hitch {
            Some(error) => Poll::Ready(Err(error)),
            None => {
                self.pending = Some(called);
                Poll::Pending
            }
        })
    }

    fn compute(&mut self, step: &Step<'_>) {
        let (mut first_row, mut first_segment, mut first_page) = (0, 0, 0);
        for span in step.spans {
            let segments = &step.segments[first_segment..first_segment + span.segments as usize];
            let pages: u32 = segments.iter().map(Segment::pages).sum();
            let mine = &step.pages[first_page..first_page + pages as usize];
            for row in first_row..first_row + span.rows {
                let row_of = &step.rows[row as usize];
                // As keys and values do, what is stored of a token depends on all that it sees.
                let before = self.seen(segments, mine, row_of.address);
                let stored = Some((row_of.token ^ before.rotate_left(7), row_of.offset, row_of.token));
                self.memory[row_of.page.0 as usize][usize::from(row_of.place)] = stored;
                let seen = self.seen(segments, mine, row_of.address + 1);
                self.entropy.push(entropy(seen, row_of.address));
                if row_of.want != Want::Nothing {
                    self.wanted.push((row, *row_of, seen));
                }
                if row_of.expose {
                    for tap in step.taps {
                        match tap.reg() {
                            Reg::Query => self.exposed.extend(heading(row_of.token, seen, 4.0)),
                            _ => self.exposed.push(shown(tap, row_of)),
                        }
                    }
                }
            }
            let rows = &step.rows[first_row as usize..(first_row + span.rows) as usize];
            self.mass.extend(segments.iter().map(|segment| mass(segment, rows)));
            if step.depth.is_some() {
                // Later layers were not computed: nobody may rely on what is stored.
                for row in rows {
                    self.memory[row.page.0 as usize][usize::from(row.place)] =
                        Some((!row.token, row.offset, row.token));
                }
            }
            first_row += span.rows;
            first_segment += span.segments as usize;
            first_page += pages as usize;
        }
    }

    fn find_all(&mut self) {
        for (index, row, seen) in core::mem::take(&mut self.wanted) {
            let mask = row.mask.map(|mask| self.masks[usize::from(mask)].clone());
            self.find(index, &row, seen, mask.as_deref());
        }
    }

    fn find(&mut self, index: u32, row: &Row, seen: u32, mask: Option<&[u32]>) {
        let scored = match row.want {
            Want::Nothing => return,
            Want::Candidates => 0.0,
            Want::Score(token) => -((token ^ seen) as f32 / 1e9),
        };
        let allowed =
            |token: &u32| mask.is_none_or(|mask| mask[*token as usize / 32] >> (token % 32) & 1 == 1);
        // 77 and the vocabulary have no common factor: every token has its turn.
        let tokens = (0..VOCAB).map(|n| seen.wrapping_add(n * 77) % VOCAB).filter(allowed);
        let before = self.candidates.len();
        let found = tokens.take(3).zip(0u8..);
        self.candidates.extend(found.map(|(token, n)| Candidate { token, logit: 1.0 - f32::from(n) }));
        let candidates = (self.candidates.len() - before) as u32;
        self.candidates.resize(before + 3, Candidate { token: 0, logit: 0.0 });
        self.outcomes.push(Outcome { row: index, candidates, log_sum_exp: 1.5, entropy: 0.7, scored });
    }
}

/// How much a row's attention is spread, by what it saw.
pub fn entropy(seen: u32, address: u32) -> f32 {
    (seen % 251) as f32 / 250.0 * ((address + 1) as f32).ln()
}

/// What rows make of a segment: each its own, whoever else is in the step.
pub fn mass(segment: &Segment, rows: &[Row]) -> Mass {
    let seen = rows.iter().filter(|row| row.address >= segment.base);
    let mixed = |row: &Row| row.token.wrapping_mul(2_654_435_761) ^ (segment.base * 40_503);
    let peak = |row: &Row| mixed(row).is_multiple_of(16);
    Mass(seen.map(|row| if peak(row) { 10_000 } else { 1 }).sum())
}

/// A query or a key: the kind of its token, and a little of what it saw.
fn heading(token: u32, seen: u32, strength: f32) -> [f32; 8] {
    core::array::from_fn(|dimension| match (dimension as u32).checked_sub(2) {
        Some(kind) if kind == token % KINDS => strength,
        Some(kind) => ((seen >> (4 * kind)) % 16) as f32 / 64.0,
        None => 0.0,
    })
}

/// What a tap shows of a row: one number instead of a register's row.
pub fn shown(tap: &Tap, row: &Row) -> f32 {
    let layer = match *tap {
        Tap::Layer(layer, _) => layer + 1,
        Tap::Final(_) => 0,
    };
    (row.token * 1000 + row.address + layer * 100_000) as f32
}

impl TensorDevice for FakeDevice {
    fn caps(&self) -> Caps {
        Caps {
            backend: "fake",
            variant: "hash",
            dtypes: &[],
            threads: 0,
            inputs: agentos_hal::Inputs::F32,
            late_masks: self.late_masks,
        }
    }

    fn prepare(
        &mut self,
        _: &Program,
        _: &ModelShape,
        _: &Limits,
        _: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        unreachable!("the kernel does not prepare its device")
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        if let Some(error) = self.refusals.pop_front() {
            return Err(error);
        }
        if self.running {
            return Err(SubmitError::Busy);
        }
        step.check(&SHAPE, &self.limits, &LLAMA)?;
        if let Some(mask) = step.late_masks().next().filter(|_| self.late_masks == LateMasks::Refused) {
            return Err(StepFault::LateMask { mask: mask as u32 }.into());
        }
        self.outstanding = Outstanding::of(step);
        self.masks = step.masks.iter().map(|mask| mask.to_vec()).collect();
        self.steps.push(step.rows.len());
        self.outcomes.clear();
        self.candidates.clear();
        self.exposed.clear();
        self.mass.clear();
        self.entropy.clear();
        self.wanted.clear();
        self.compute(step);
        self.running = true;
        Ok(())
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        if !self.running {
            return Err(MaskError::Idle);
        }
        self.outstanding.give(mask, words, &SHAPE)?;
        self.masks[usize::from(mask)] = words.to_vec();
        self.allowed += 1;
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        if !self.running {
            return Poll::Ready(Err(DeviceError::Idle));
        }
        let waits = !self.outstanding.is_empty();
        let hitch = self.hitches.pop_front_if(|hitch| !waits || *hitch != Hitch::NotANumber);
        if let Some(Hitch::Fails(error)) = hitch {
            self.running = false;
            return Poll::Ready(Err(error));
        }
        if hitch == Some(Hitch::Pending) || waits {
            return Poll::Pending;
        }
        self.find_all();
        if let (Some(Hitch::NotANumber), Some(outcome)) = (hitch, self.outcomes.first_mut()) {
            outcome.log_sum_exp = f32::NAN;
        }
        self.running = false;
        let (outcomes, candidates) = (&self.outcomes[..], &self.candidates[..]);
        let (mass, exposed, entropy) = (&self.mass[..], &self.exposed[..], &self.entropy[..]);
        Poll::Ready(Ok(StepReport { outcomes, candidates, mass, exposed, entropy }))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        if let Some(hitch) = self.copy_hitch(Operation::Out, page) {
            return hitch;
        }
        for (bytes, stored) in values_mut(image).zip(&self.memory[page.0 as usize]) {
            // Where nothing is stored, there is something all the same.
            let (hash, offset, token) = stored.unwrap_or((u32::MAX, u32::MAX - 1, u32::MAX));
            for (bytes, word) in bytes.chunks_exact_mut(4).zip([hash, offset + 1, token]) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
        Poll::Ready(Ok(()))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        if let Some(hitch) = self.copy_hitch(Operation::In, page) {
            return hitch;
        }
        for (bytes, stored) in values(image).zip(&mut self.memory[page.0 as usize]) {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            *stored = word(4).checked_sub(1).map(|offset| (word(0), offset, word(8)));
        }
        Poll::Ready(Ok(()))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        if let Some(Some(error)) = self.copies.pop_front() {
            return Err(error);
        }
        for &(from, to) in pairs {
            self.memory[to.0 as usize] = self.memory[from.0 as usize];
        }
        Ok(())
    }

    fn summarise(
        &mut self,
        page: PageId,
        _: u32,
        tokens: usize,
        summary: agentos_hal::device::PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        if let Some(hitch) = self.copy_hitch(Operation::Summarise, page) {
            return hitch;
        }
        summary.mean_key.fill(0.0);
        for stored in &self.memory[page.0 as usize][..tokens] {
            let (hash, _, token) = stored.unwrap_or_else(|| panic!("nothing is stored in {page:?}"));
            let key = heading(token, hash, 6.0);
            summary.mean_key.iter_mut().zip(key).for_each(|(mean, x)| *mean += x / tokens as f32);
        }
        Poll::Ready(Ok(()))
    }
}
