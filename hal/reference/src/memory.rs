//! Everything that a prepared model takes, made for the worst step of `Limits`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use agentos_hal::quant::dequantise;
use agentos_hal::{
    Candidate, Footprint, LayerRange, Limits, Mass, ModelShape, Outcome, PageId, PrepareError, Program, Reg,
    Resource, Row, Segment, Span, Step, Tap, TensorInfo, WeightError, WeightId, WeightRole, WeightSource,
};

use crate::attention::Visible;
use crate::pages::Pages;

/// A weight tensor, as the source has it.
pub struct Matrix(TensorInfo, Vec<u8>);

/// A model, its page memory, and the step under way.
pub struct Machine {
    pub program: Program,
    pub shape: ModelShape,
    pub limits: Limits,
    weights: BTreeMap<WeightId, Matrix>,
    pub pages: Pages,
    /// Radians per token, for each rotated pair of a head.
    pub turns: Vec<f64>,
    /// `[rows][width]` each, indexed by `Reg`.
    pub regs: [Vec<f32>; Reg::ALL.len()],

    // The step, copied.
    pub pending: bool,
    pub rows: Vec<Row>,
    pub spans: Vec<Span>,
    pub segments: Vec<Segment>,
    pub page_ids: Vec<PageId>,
    /// All masks, one after the other.
    pub masks: Vec<u32>,
    pub taps: Vec<Tap>,
    pub counters: LayerRange,

    // The report.
    pub entropy: Vec<f32>,
    pub mass: Vec<Mass>,
    pub outcomes: Vec<Outcome>,
    pub candidates: Vec<Candidate>,
    pub exposed: Vec<f32>,

    // Room for one instruction's intermediate results.
    /// One row of weights, as numbers.
    pub weight_row: Vec<f32>,
    /// One head, while it is rotated or gathered.
    pub head: Vec<f64>,
    /// The tokens that a row can see, and for each a score, which becomes a share.
    pub visible: Vec<Visible>,
    pub shares: Vec<f64>,
    /// `[outcomes][vocab]`.
    pub logits: Vec<f32>,
}

impl Machine {
    pub fn new(
        program: Program,
        shape: ModelShape,
        limits: Limits,
        source: &mut dyn WeightSource,
        memory_bytes: u64,
    ) -> Result<(Machine, Footprint), PrepareError> {
        let mut room = Room { left: memory_bytes, used: 0 };
        let weights = load(&program, &shape, source, &mut room)?;
        let weight_bytes = core::mem::take(&mut room.used);
        let pages = Pages::new(&shape, &limits, &mut room)?;
        let page_bytes = core::mem::take(&mut room.used);
        let widest = Reg::ALL.iter().map(|reg| reg.width(&shape)).max().unwrap_or(0);
        let mut regs = [const { Vec::new() }; Reg::ALL.len()];
        for reg in Reg::ALL {
            regs[reg as usize] = room.scratch([limits.rows, reg.width(&shape)])?;
        }
        let machine = Machine {
            turns: turns(&shape, &weights, &mut room)?,
            regs,
            pending: false,
            rows: room.scratch([limits.rows])?,
            spans: room.scratch([limits.spans])?,
            segments: room.scratch([limits.segments])?,
            page_ids: room.scratch([limits.segment_pages])?,
            masks: room.scratch([limits.masks, shape.vocab.div_ceil(32)])?,
            taps: room.scratch([limits.taps])?,
            counters: LayerRange::NONE,
            entropy: room.scratch([limits.rows])?,
            mass: room.scratch([limits.segments])?,
            outcomes: room.scratch([limits.outcomes])?,
            candidates: room.scratch([limits.outcomes, limits.candidates])?,
            exposed: room.scratch([limits.exposed, limits.taps, widest])?,
            weight_row: room.scratch([widest])?,
            head: room.scratch([shape.head_dim])?,
            visible: room.scratch([limits.context])?,
            shares: room.scratch([limits.context])?,
            logits: room.scratch([limits.outcomes, shape.vocab])?,
            program,
            shape,
            limits,
            weights,
            pages,
        };
        Ok((machine, Footprint { weights: weight_bytes, pages: page_bytes, scratch: room.used }))
    }

    /// Copies a step that was checked.
    pub fn load(&mut self, step: &Step<'_>) {
        self.pending = true;
        refill(&mut self.rows, step.rows);
        refill(&mut self.spans, step.spans);
        refill(&mut self.segments, step.segments);
        refill(&mut self.page_ids, step.pages);
        refill(&mut self.taps, step.taps);
        self.masks.clear();
        step.masks.iter().for_each(|mask| self.masks.extend_from_slice(mask));
        self.counters = step.counters;
    }

    /// The tensor that an instruction means when it names a role in this layer.
    pub fn matrix(&self, role: WeightRole, layer: Option<u32>) -> &Matrix {
        let layer = if role.per_layer() { layer.unwrap_or(0) } else { 0 };
        &self.weights[&kept(&self.shape, WeightId { role, layer })]
    }
}

impl Matrix {
    /// Writes one row as numbers.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        let stride = self.1.len() / self.0.rows as usize;
        dequantise(self.0.dtype, &self.1[row * stride..][..stride], out);
    }
}

fn refill<T: Copy>(vector: &mut Vec<T>, from: &[T]) {
    vector.clear();
    vector.extend_from_slice(from);
}

/// Where output and embedding are tied, they are one tensor and kept once.
fn kept(shape: &ModelShape, id: WeightId) -> WeightId {
    match id.role {
        WeightRole::Output if shape.tied_embedding => WeightId { role: WeightRole::TokenEmbedding, ..id },
        _ => id,
    }
}

fn load(
    program: &Program,
    shape: &ModelShape,
    source: &mut dyn WeightSource,
    room: &mut Room,
) -> Result<BTreeMap<WeightId, Matrix>, PrepareError> {
    let mut weights = BTreeMap::new();
    let mut take = |id: WeightId| {
        let id = kept(shape, id);
        if weights.contains_key(&id) {
            return Ok(());
        }
        let info = source.describe(id).ok_or(WeightError::Missing(id))?;
        let (found, expected) = ((info.rows, info.cols), id.role.dims(shape));
        if found != expected {
            return Err(PrepareError::Dims { id, found, expected });
        }
        let length = info.bytes().ok_or(WeightError::Unreadable(id))?;
        let mut bytes = room.take(Resource::WeightBytes, length)?;
        bytes.extend_from_slice(source.load(id)?.bytes);
        source.release(id);
        weights.insert(id, Matrix(info, bytes));
        Ok(())
    };
    program.for_each_weight(shape.layers, &mut take)?;
    if shape.rope.factors {
        take(WeightId { role: WeightRole::RopeFactors, layer: 0 })?;
    }
    Ok(weights)
}

fn turns(
    shape: &ModelShape,
    weights: &BTreeMap<WeightId, Matrix>,
    room: &mut Room,
) -> Result<Vec<f64>, PrepareError> {
    let pairs = shape.rope.dims / 2;
    let mut divisors = room.scratch([pairs])?;
    divisors.resize(pairs as usize, 1.0);
    if let Some(factors) = weights.get(&WeightId { role: WeightRole::RopeFactors, layer: 0 }) {
        factors.row(0, &mut divisors);
    }
    let mut turns = room.scratch([pairs])?;
    turns.extend((0..pairs).zip(divisors).map(|(pair, by)| shape.rope.frequency(pair) / f64::from(by)));
    Ok(turns)
}

/// The memory that is left, and what was taken since the last look.
pub struct Room {
    left: u64,
    used: u64,
}

impl Room {
    /// An empty vector with room for `count` elements.
    pub fn take<T>(&mut self, what: Resource, count: u64) -> Result<Vec<T>, PrepareError> {
        let needed = count.saturating_mul(size_of::<T>() as u64);
        let refusal = PrepareError::TooLarge { what, needed, available: self.left };
        let mut vector = Vec::new();
        let length = usize::try_from(count).map_err(|_| refusal)?;
        if needed > self.left || vector.try_reserve_exact(length).is_err() {
            return Err(refusal);
        }
        self.left -= needed;
        self.used += needed;
        Ok(vector)
    }

    fn scratch<T, const N: usize>(&mut self, sizes: [u32; N]) -> Result<Vec<T>, PrepareError> {
        let count = sizes.iter().fold(1u64, |count, &size| count.saturating_mul(size.into()));
        self.take(Resource::ScratchBytes, count)
    }
}
