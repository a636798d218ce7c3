//! A prepared model: every buffer that its steps need, and its program as a list of dispatches.

use agentos_hal::{Limits, ModelShape, PrepareError, Program, Reg, Resource, WeightSource};

use crate::angles;
use crate::dispatch::Act;
use crate::gpu::Gpu;
use crate::lower;
use crate::register::Register;
use crate::sizes::{OPERAND_BYTES, PAGE_MASS_BYTES, Sizes};
use crate::step::NONE;
use crate::tune::{BUDGET, Subject, Tuning, tune};
use crate::weights::{Store, upload};

/// Device memory of a model.
pub struct Memory {
    /// Registers by number.
    pub registers: Vec<Register>,
    /// Page memory, one buffer a layer.
    pub pages: Vec<wgpu::Buffer>,
    /// Masses of all tokens of page memory, as pairs of words.
    pub masses: wgpu::Buffer,
    /// The step.
    pub step: wgpu::Buffer,
    /// The step's report.
    pub report: wgpu::Buffer,
    /// What the splits of attention leave.
    pub parts: wgpu::Buffer,
    /// What heads leave.
    pub totals: wgpu::Buffer,
    /// Inputs of a product as they are rounded, where products take them so.
    pub narrow: Option<wgpu::Buffer>,
    /// Sums of squares of what is to be normed.
    pub squares: wgpu::Buffer,
    /// Rows that want an outcome, gathered; as wide as what the head reads.
    pub wanted: Register,
    /// Their logits.
    pub logits: Register,
    /// What blocks of the vocabulary leave.
    pub blocks: wgpu::Buffer,
    /// The table of angles.
    pub angles: wgpu::Buffer,
    /// A layer's number, for each layer and the epilogue.
    pub operands: wgpu::Buffer,
    /// A page on its way in, or between two pages.
    pub page: wgpu::Buffer,
}

/// A prepared model.
pub struct Machine {
    /// Its memory.
    pub memory: Memory,
    /// Its program.
    pub acts: Vec<Act>,
    /// How many of its acts read no mask: all before one that does.
    pub unmasked: usize,
    /// Group 0 of every pipeline.
    pub step_group: wgpu::BindGroup,
    /// How its kernels were chosen; `None` where there was no choice.
    pub tuning: Option<Tuning>,
}

impl Machine {
    /// Makes everything.
    ///
    /// # Errors
    /// [`PrepareError::Weight`], [`PrepareError::Dims`], [`PrepareError::TooLarge`].
    pub fn new(
        gpu: &Gpu,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        sizes: &Sizes,
        source: &mut dyn WeightSource,
    ) -> Result<Machine, PrepareError> {
        let weights = Store::load(gpu, program, shape, source)?;
        let memory = Memory::new(gpu, program, shape, limits, sizes, &weights)?;
        let step_group = gpu.step_group(&memory.step);
        let subject = Subject {
            program,
            shape,
            limits,
            sizes,
            memory: &memory,
            weights: &weights,
            step_group: &step_group,
        };
        let tuning = tune(gpu, &subject, BUDGET);
        let (acts, unmasked) = lower::program(gpu, program, shape, limits, sizes, &memory, &weights);
        Ok(Machine { memory, acts, unmasked, step_group, tuning })
    }
}

impl Memory {
    fn new(
        gpu: &Gpu,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        sizes: &Sizes,
        weights: &Store,
    ) -> Result<Memory, PrepareError> {
        use wgpu::BufferUsages as Usage;
        let scratch = |bytes, usage| gpu.buffer(Resource::ScratchBytes, bytes, Usage::STORAGE | usage);
        let copied = Usage::COPY_SRC | Usage::COPY_DST;
        let pages = |_| gpu.buffer(Resource::PageBytes, sizes.layer_pages, Usage::STORAGE | copied);
        let registers = Reg::ALL.iter().map(|reg| Register::new(gpu, limits.rows, reg.width(shape)));
        let table = angles::table(shape, limits, &weights.factors);
        let memory = Memory {
            pages: (0..shape.layers).map(pages).collect::<Result<_, _>>()?,
            registers: registers.collect::<Result<_, _>>()?,
            masses: gpu.buffer(Resource::PageBytes, sizes.masses, Usage::STORAGE | copied)?,
            step: scratch(sizes.step, Usage::COPY_DST)?,
            report: scratch(sizes.report, Usage::COPY_SRC)?,
            parts: scratch(sizes.parts, Usage::empty())?,
            totals: scratch(sizes.totals, Usage::empty())?,
            narrow: (sizes.narrow > 0).then(|| scratch(sizes.narrow, Usage::empty())).transpose()?,
            squares: scratch(sizes.squares, Usage::empty())?,
            wanted: Register::new(gpu, limits.outcomes, lower::head_input(program).width(shape))?,
            logits: Register::new(gpu, limits.outcomes, shape.vocab)?,
            blocks: scratch(sizes.blocks, Usage::empty())?,
            angles: upload(gpu, Resource::ScratchBytes, &table)?,
            operands: scratch(sizes.operands, Usage::COPY_DST)?,
            page: gpu.buffer(Resource::ScratchBytes, sizes.page, copied)?,
        };
        for (place, layer) in (0..shape.layers).chain([NONE]).enumerate() {
            let at = place as u64 * OPERAND_BYTES;
            gpu.queue.write_buffer(&memory.operands, at, &layer.to_le_bytes());
        }
        Ok(memory)
    }

    /// Where a page's masses lie.
    pub fn mass_at(page: agentos_hal::PageId) -> u64 {
        u64::from(page.0) * PAGE_MASS_BYTES
    }
}
