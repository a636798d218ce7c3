//! Everything that a prepared model takes, made for the worst step of `Limits`.

use agentos_hal::device::PageSummary;
use agentos_hal::page::{self, PAGE_TOKENS, PageId};
use agentos_hal::rope::MOST_PAIRS;
use agentos_hal::weight::rope_factors;
use agentos_hal::{
    Budget, DeviceError, Footprint, KvType, Mass, ModelShape, Pairing, PrepareError, Prepared, Reg, Resource,
    WeightSource,
};
use bytemuck::Pod;
use opencl3::error_codes::{
    CL_INVALID_BUFFER_SIZE, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_HOST_MEMORY, CL_OUT_OF_RESOURCES,
    ClError,
};
use opencl3::event::Event;

use crate::batch::Batch;
use crate::driver::{Driver, Memory, Owned, Queue};
use crate::report::Layout;
use crate::weights::Weights;

/// Rows of registers and of weights are whole numbers of so many elements, zeros behind the last.
pub const BLOCK: u32 = 32;
/// Tokens of a row that are reduced together: `PART` of `kernels/head.cl`.
pub const PART: u32 = 1024;
/// Distances in the fine table of angles.
const FINE: u32 = 256;
/// Scores that are kept at a time, in pages, where a row does not need more.
const SCORE_PAGES: usize = 1 << 20;

/// A part of the logits, reduced: `Part` of `kernels/head.cl`.
type Part = [u32; 4];

/// A model, its page memory, its registers and the report of the last step.
pub struct Machine {
    pub prepared: Prepared,
    pub queue: Queue,
    pub weights: Weights,
    pub pages: Memory<u8>,
    /// Of each place of each page.
    pub page_mass: Memory<u64>,
    /// `[FINE + context / FINE][pairs]` of cosine and sine.
    pub angles: Memory<[f32; 2]>,
    /// `[rows][lanes]` each, indexed by `Reg`.
    pub regs: Vec<Memory<f32>>,
    pub batch: Batch,
    /// `[row][head][page][PAGE_TOKENS]`, for as many rows as there is room for.
    pub scores: Memory<f32>,
    pub score_pages: usize,
    /// `[row][head]`.
    pub entropies: Memory<f32>,
    pub logits: Memory<f32>,
    pub parts: Memory<Part>,
    /// `[outcome][part][candidates]` of token and logit.
    pub best: Memory<[u32; 2]>,
    pub heads: Memory<u32>,
    pub report: Memory<u64>,
    pub layout: Layout,
    /// What the step under way has come to: the event of its end, or why it could not be sent off.
    pub end: Result<Owned<Event>, ClError>,
    pub host_report: Vec<u64>,
    pub host_layer: Vec<u8>,
}

/// Makes memory, within a budget.
pub struct Maker<'q> {
    pub queue: &'q Queue,
    budget: Budget,
    buffer_bytes: u64,
}

impl Maker<'_> {
    /// Device memory of `sizes[0] · sizes[1]` zeros.
    pub fn memory<T: Pod>(&mut self, what: Resource, sizes: [usize; 2]) -> Result<Memory<T>, PrepareError> {
        let available = self.budget.left();
        let count = (sizes[0] as u64).saturating_mul(sizes[1] as u64);
        let needed = self.budget.take(what, count, size_of::<T>())? as u64;
        if needed > self.buffer_bytes {
            return Err(PrepareError::TooLarge {
                what: Resource::BindingBytes,
                needed,
                available: self.buffer_bytes,
            });
        }
        self.queue.memory(count as usize).map_err(|error| match (failure(&error), error.0) {
            (DeviceError::OutOfMemory, _) | (_, CL_INVALID_BUFFER_SIZE) => {
                PrepareError::TooLarge { what, needed, available }
            }
            _ => lost(error),
        })
    }

    /// An empty vector with room for `sizes[0] · sizes[1]` elements.
    pub fn vector<T>(&mut self, sizes: [usize; 2]) -> Result<Vec<T>, PrepareError> {
        let (what, available) = (Resource::ScratchBytes, self.budget.left());
        let count = (sizes[0] as u64).saturating_mul(sizes[1] as u64);
        let needed = self.budget.take(what, count, size_of::<T>())? as u64;
        let mut vector = Vec::new();
        let refusal = PrepareError::TooLarge { what, needed, available };
        vector.try_reserve_exact(count as usize).map_err(|_| refusal)?;
        Ok(vector)
    }
}

impl Machine {
    pub fn new(
        driver: &'static Driver,
        prepared: Prepared,
        source: &mut dyn WeightSource,
    ) -> Result<(Machine, Footprint), PrepareError> {
        let Prepared { shape, limits, .. } = prepared;
        if !shape.head_dim.is_multiple_of(16) {
            return Err(PrepareError::HeadDim { head_dim: shape.head_dim, multiple_of: 16 });
        }
        let queue = Queue::new(driver).map_err(lost)?;
        let mut maker = Maker {
            queue: &queue,
            budget: Budget::new(driver.memory_bytes),
            buffer_bytes: driver.buffer_bytes,
        };
        let maker = &mut maker;
        let (rows, outcomes) = (limits.rows as usize, limits.outcomes as usize);
        let row_heads = [rows, shape.heads as usize];
        let parts = [outcomes, shape.vocab.div_ceil(PART) as usize];

        let weights = Weights::load(&prepared, source, maker)?;
        let pages = maker.memory(Resource::PageBytes, [limits.pages as usize, prepared.image_bytes()])?;
        let page_mass = maker.memory(Resource::PageBytes, [limits.pages as usize, PAGE_TOKENS])?;
        let angles = angles(&shape, limits.context, source, maker)?;
        let batch = Batch::new(&prepared, maker)?;
        let regs =
            Reg::ALL.map(|reg| maker.memory(Resource::ScratchBytes, [rows, lanes(&shape, reg) as usize]));
        let score_pages = score_pages(&prepared);
        let worst = Layout::worst(&shape, &limits).words / 2;
        let mut host_report = maker.vector([worst, 1])?;
        host_report.resize(worst, 0);
        let layer_bytes = page::layer_bytes(&shape, limits.kv);
        let mut host_layer = maker.vector([layer_bytes, 1])?;
        host_layer.resize(layer_bytes, 0);
        let mut scratch = |sizes| maker.memory(Resource::ScratchBytes, sizes);
        let scores = scratch([score_pages, PAGE_TOKENS])?;
        let (entropies, logits) = (scratch(row_heads)?, scratch([outcomes, shape.vocab as usize])?);
        let best = maker.memory(Resource::ScratchBytes, [parts[0] * parts[1], limits.candidates as usize])?;
        let (part_sums, heads) =
            (maker.memory(Resource::ScratchBytes, parts)?, maker.memory(Resource::ScratchBytes, parts)?);
        let report = maker.memory(Resource::ScratchBytes, [worst, 1])?;
        let footprint = maker.budget.taken();
        // What the driver only promised so far is there after this.
        let end = queue.submit().map_err(lost)?;
        end.wait().map_err(lost)?;
        let machine = Machine {
            prepared,
            weights,
            pages,
            page_mass,
            angles,
            regs: regs.into_iter().collect::<Result<_, _>>()?,
            batch,
            scores,
            score_pages,
            entropies,
            logits,
            parts: part_sums,
            best,
            heads,
            report,
            layout: Layout::default(),
            end: Ok(end),
            host_report,
            host_layer,
            queue,
        };
        Ok((machine, footprint))
    }

    fn image(&self, page: PageId) -> usize {
        page.0 as usize * self.prepared.image_bytes()
    }

    fn forget_mass(&mut self, page: PageId) -> Result<(), ClError> {
        let first = page.0 as usize * PAGE_TOKENS;
        self.queue.write(&mut self.page_mass, first, &[0; PAGE_TOKENS])
    }

    pub fn copy_out(&self, page: PageId, image: &mut [u8]) -> Result<(), ClError> {
        self.queue.read(&self.pages, self.image(page), image)
    }

    pub fn copy_in(&mut self, page: PageId, image: &[u8]) -> Result<(), ClError> {
        let first = self.image(page);
        self.queue.write(&mut self.pages, first, image)?;
        self.forget_mass(page)
    }

    pub fn copy_page(&mut self, from: PageId, to: PageId) -> Result<(), ClError> {
        if from != to {
            let (from, to) = (self.image(from), self.image(to));
            self.queue.copy(&mut self.pages, from, to, self.prepared.image_bytes())?;
        }
        self.forget_mass(to)
    }

    pub fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Result<(), ClError> {
        let (shape, kv) = (&self.prepared.shape, self.prepared.limits.kv);
        let first = self.image(page) + layer as usize * self.host_layer.len();
        self.queue.read(&self.pages, first, &mut self.host_layer)?;
        for (head, mean) in (0..).zip(summary.mean_key.chunks_exact_mut(shape.head_dim as usize)) {
            let keys = &self.host_layer[page::head_start(shape, 0, head) * kv.bytes()..];
            page::mean_key(kv, keys, tokens, mean);
        }
        let mass: &mut [u64] = bytemuck::cast_slice_mut::<Mass, u64>(summary.mass);
        self.queue.read(&self.page_mass, page.0 as usize * PAGE_TOKENS, mass)
    }

    /// `Heads` of `kernels/attend.cl`.
    pub fn heads(&self, layer: u32) -> [u32; 8] {
        let shape = &self.prepared.shape;
        let kv = self.prepared.limits.kv;
        let page_elements = (self.prepared.image_bytes() / kv.bytes()) as u32;
        let halves = u32::from(shape.rope.pairing == Pairing::Halves);
        let half_pages = u32::from(kv == KvType::F16);
        let pairs = shape.rope.dims / 2;
        [shape.heads, shape.kv_heads, shape.head_dim, pairs, halves, half_pages, page_elements, layer]
    }
}

/// What a failure of the driver says of the device. Either way nothing is left to go on with.
pub fn failure(error: &ClError) -> DeviceError {
    match error.0 {
        CL_MEM_OBJECT_ALLOCATION_FAILURE | CL_OUT_OF_RESOURCES | CL_OUT_OF_HOST_MEMORY => {
            DeviceError::OutOfMemory
        }
        _ => DeviceError::Lost,
    }
}

/// The same, while a model is prepared.
pub fn lost(error: ClError) -> PrepareError {
    PrepareError::Device(failure(&error))
}

/// Elements of a row of a register, with those behind its width.
pub fn lanes(shape: &ModelShape, reg: Reg) -> u32 {
    reg.width(shape).next_multiple_of(BLOCK)
}

/// Pages whose scores are kept: at least those of all heads of one row that sees as much as it can.
fn score_pages(Prepared { shape, limits, .. }: &Prepared) -> usize {
    let heads = shape.heads as usize;
    let pages = page::pages_for(limits.context) as usize + limits.segments as usize;
    let row = heads * pages.min(limits.segment_pages as usize);
    row.saturating_mul(limits.rows as usize).min(row.max(SCORE_PAGES))
}

/// Cosines and sines of the distances up to `FINE`, and of the multiples of `FINE` up to the context.
fn angles(
    shape: &ModelShape,
    context: u32,
    source: &mut dyn WeightSource,
    maker: &mut Maker<'_>,
) -> Result<Memory<[f32; 2]>, PrepareError> {
    let factors = &mut [1.0; MOST_PAIRS];
    let frequencies: Vec<f64> = shape.rope.frequencies(rope_factors(shape, source, factors)?).collect();
    let coarse = context / FINE + 1;
    let mut memory = maker.memory(Resource::ScratchBytes, [(FINE + coarse) as usize, frequencies.len()])?;
    let distances = (0..FINE).chain((0..coarse).map(|multiple| multiple * FINE));
    let angles = distances.flat_map(|distance| {
        frequencies.iter().map(move |frequency| {
            let (sin, cos) = (frequency * f64::from(distance)).sin_cos();
            [cos as f32, sin as f32]
        })
    });
    maker.queue.write(&mut memory, 0, &angles.collect::<Vec<_>>()).map_err(lost)?;
    Ok(memory)
}
