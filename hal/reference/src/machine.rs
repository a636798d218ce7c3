//! Everything that a prepared model takes, made for the worst step of `Limits`.

use alloc::vec::Vec;

use agentos_hal::rope::MOST_PAIRS;
use agentos_hal::weight::rope_factors;
use agentos_hal::{
    Budget, Candidate, Footprint, LayerRange, Limits, Mass, ModelShape, Outcome, PageId, PrepareError,
    Prepared, Program, Reg, Resource, Row, Segment, Span, Step, Tap, WeightSource,
};

use crate::pages::Pages;
use crate::weights::Weights;

/// A model, its page memory, its registers and the report of the last step.
pub struct Machine {
    pub program: Program,
    pub shape: ModelShape,
    pub limits: Limits,
    pub weights: Weights,
    pub pages: Pages,
    /// Radians per token, for each rotated pair of a head.
    pub frequencies: Vec<f64>,
    /// `[rows][width]` each, indexed by `Reg`.
    pub regs: [Vec<f32>; Reg::ALL.len()],

    // The report.
    pub entropy: Vec<f32>,
    pub mass: Vec<Mass>,
    pub outcomes: Vec<Outcome>,
    pub candidates: Vec<Candidate>,
    pub exposed: Vec<f32>,

    // Room for one instruction's intermediate results.
    /// One row of weights, as numbers.
    pub weight_row: Vec<f32>,
    /// One head, rotated.
    pub head: Vec<f64>,
    /// For each token that a row can see a score, which becomes a share.
    pub shares: Vec<f64>,
    /// `[outcomes][vocab]`.
    pub logits: Vec<f32>,
}

/// A step, copied.
pub struct Batch {
    pub rows: Vec<Row>,
    pub spans: Vec<Span>,
    pub segments: Vec<Segment>,
    pub pages: Vec<PageId>,
    /// All masks, one after the other; zeros where one comes later.
    pub masks: Vec<u32>,
    /// Words of a mask.
    pub mask_words: usize,
    pub taps: Vec<Tap>,
    pub counters: LayerRange,
    pub depth: Option<u32>,
}

impl Machine {
    pub fn new(
        prepared: &Prepared,
        source: &mut dyn WeightSource,
        memory_bytes: u64,
    ) -> Result<(Machine, Batch, Footprint), PrepareError> {
        let Prepared { program, shape, limits } = *prepared;
        let budget = &mut Budget::new(memory_bytes);
        let weights = Weights::load(prepared, source, budget)?;
        let pages = Pages::new(prepared, budget)?;
        let mut frequencies = scratch(budget, [shape.rope.dims / 2])?;
        let factors = &mut [1.0; MOST_PAIRS];
        frequencies.extend(shape.rope.frequencies(rope_factors(&shape, source, factors)?));
        let mut regs = [const { Vec::new() }; Reg::ALL.len()];
        for reg in Reg::ALL {
            regs[reg as usize] = scratch(budget, [limits.rows, reg.width(&shape)])?;
        }
        let batch = Batch::new(prepared, budget)?;
        let machine = Machine {
            program,
            shape,
            limits,
            weights,
            pages,
            frequencies,
            regs,
            entropy: scratch(budget, [limits.rows])?,
            mass: scratch(budget, [limits.segments])?,
            outcomes: scratch(budget, [limits.outcomes])?,
            candidates: scratch(budget, [limits.outcomes, limits.candidates])?,
            exposed: scratch(budget, [limits.exposed, limits.taps, shape.widest()])?,
            weight_row: scratch(budget, [shape.widest()])?,
            head: scratch(budget, [shape.head_dim])?,
            shares: scratch(budget, [limits.context])?,
            logits: scratch(budget, [limits.outcomes, shape.vocab])?,
        };
        Ok((machine, batch, budget.taken()))
    }
}

impl Batch {
    fn new(Prepared { shape, limits, .. }: &Prepared, budget: &mut Budget) -> Result<Batch, PrepareError> {
        Ok(Batch {
            rows: scratch(budget, [limits.rows])?,
            spans: scratch(budget, [limits.spans])?,
            segments: scratch(budget, [limits.segments])?,
            pages: scratch(budget, [limits.segment_pages])?,
            masks: scratch(budget, [limits.masks, shape.mask_words() as u32])?,
            mask_words: shape.mask_words(),
            taps: scratch(budget, [limits.taps])?,
            counters: LayerRange::NONE,
            depth: None,
        })
    }

    /// Copies a step that was checked.
    pub fn copy(&mut self, step: &Step<'_>) {
        refill(&mut self.rows, step.rows);
        refill(&mut self.spans, step.spans);
        refill(&mut self.segments, step.segments);
        refill(&mut self.pages, step.pages);
        refill(&mut self.taps, step.taps);
        self.masks.clear();
        for (mask, number) in step.masks.iter().zip(1..) {
            self.masks.extend_from_slice(mask);
            self.masks.resize(number * self.mask_words, 0);
        }
        self.counters = step.counters;
        self.depth = step.depth;
    }

    /// Copies a mask that comes later.
    pub fn allow(&mut self, mask: u16, words: &[u32]) {
        self.masks[usize::from(mask) * self.mask_words..][..self.mask_words].copy_from_slice(words);
    }
}

fn refill<T: Copy>(vector: &mut Vec<T>, from: &[T]) {
    vector.clear();
    vector.extend_from_slice(from);
}

/// An empty vector with room for `count` elements.
pub fn room<T>(budget: &mut Budget, what: Resource, count: u64) -> Result<Vec<T>, PrepareError> {
    let available = budget.left();
    let bytes = budget.take(what, count, size_of::<T>())?;
    let mut vector = Vec::new();
    match vector.try_reserve_exact(count as usize) {
        Ok(()) => Ok(vector),
        Err(_) => Err(PrepareError::TooLarge { what, needed: bytes as u64, available }),
    }
}

fn scratch<T, const N: usize>(budget: &mut Budget, sizes: [u32; N]) -> Result<Vec<T>, PrepareError> {
    let count = sizes.iter().fold(1u64, |count, &size| count.saturating_mul(size.into()));
    room(budget, Resource::ScratchBytes, count)
}
