//! The division of scratch memory: everything that a worst-case step needs, by name.

use agentos_hal::page::{self, PAGE_TOKENS};
use agentos_hal::{Candidate, Inputs, Limits, Mass, ModelShape, Op, Outcome, Program, Reg};
use bytemuck::{Pod, Zeroable};

use crate::memory::{Divider, Region};
use crate::simd::attend::{MappedSegment, TASK_QUERIES, slots};
use crate::simd::format::STRIP;
use crate::simd::lanes::LANES;
use crate::simd::matmul::STRETCH;
use crate::simd::narrow::{self, Scale};
use crate::weights::{self, Packed};

/// Rows whose logits are computed together.
pub const HEAD_ROWS: usize = 16;

/// Stands for "none" in a record.
pub const NONE: u32 = u32::MAX;

/// A row of the step under way.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct RowRecord {
    /// As in `Row`.
    pub token: u32,
    /// The page that receives its key and value.
    pub page: u32,
    /// Its place in that page.
    pub place: u32,
    /// Its offset inside its slice.
    pub offset: u32,
    /// Its number among the exposed rows, or [`NONE`].
    pub exposed: u32,
}

/// A row that wants an outcome.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct WantRecord {
    /// The row.
    pub row: u32,
    /// Its mask, or [`NONE`].
    pub mask: u32,
    /// The token to score, or [`NONE`].
    pub score: u32,
}

/// Some rows of one span that attend together.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TaskRecord {
    /// The first row.
    pub row: u32,
    /// Rows.
    pub rows: u32,
    /// The span's first segment.
    pub segment: u32,
    /// The span's segments.
    pub segments: u32,
}

/// A tap: a layer (or [`NONE`] for the epilogue), a register, and where it goes in an exposed row.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct TapRecord {
    /// The layer, or [`NONE`].
    pub layer: u32,
    /// The register's number.
    pub reg: u32,
    /// From the start of the exposed row.
    pub at: u32,
}

/// Scratch of one worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerLayout {
    /// An unpacked stretch of a strip, and sums for all rows.
    pub panel: Region<f32>,
    /// Queries, partners, rotated queries, an angle.
    pub heads: Region<f32>,
    /// Scores of a task's queries.
    pub scores: Region<f32>,
    /// Mass of each segment of the step.
    pub segment_mass: Region<Mass>,
    /// Mass of each token of page memory.
    pub token_mass: Region<Mass>,
}

/// Where everything lies in scratch memory.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// All weights.
    pub weights: Region<Packed>,
    /// Registers by number; row r starts at r · `strides`.
    pub registers: [Region<f32>; 8],
    /// Elements from one row of a register to the next: whole strips.
    pub strides: [usize; 8],
    /// Registers that feed products, as integers, row after row; empty for others.
    pub codes: [Region<i16>; 8],
    /// What belongs to their blocks.
    pub scales: [Region<Scale>; 8],
    /// Cosines and signed sines of 0 … 63 positions.
    pub fine: [Region<f32>; 2],
    /// Cosines and signed sines of multiples of 64 positions.
    pub coarse: [Region<f32>; 2],
    /// The dimension that turns with each dimension.
    pub partner: Region<u32>,
    /// Rows of the step.
    pub rows: Region<RowRecord>,
    /// Their addresses.
    pub addresses: Region<u32>,
    /// Segments of the step.
    pub segments: Region<MappedSegment>,
    /// Pages of the step.
    pub pages: Region<u32>,
    /// Attention tasks of the step.
    pub tasks: Region<TaskRecord>,
    /// Masks of the step, `mask_words` each.
    pub masks: Region<u32>,
    /// Words of a mask.
    pub mask_words: usize,
    /// Taps of the step.
    pub taps: Region<TapRecord>,
    /// Rows that want an outcome.
    pub wants: Region<WantRecord>,
    /// Per outcome: 1 when its logits were not all finite.
    pub not_finite: Region<u32>,
    /// Per row and head.
    pub head_entropy: Region<f32>,
    /// Per row: the report's entropy.
    pub entropy: Region<f32>,
    /// Per segment: the report's mass.
    pub mass: Region<Mass>,
    /// The report's outcomes.
    pub outcomes: Region<Outcome>,
    /// The report's candidates.
    pub candidates: Region<Candidate>,
    /// The report's exposed rows.
    pub exposed: Region<f32>,
    /// Inputs of the head, gathered.
    pub head_input: Region<f32>,
    /// The same, as integers.
    pub head_codes: Region<i16>,
    /// What belongs to their blocks.
    pub head_scales: Region<Scale>,
    /// Logits of [`HEAD_ROWS`] rows.
    pub logits: Region<f32>,
    /// Elements from one row of logits to the next.
    pub logits_stride: usize,
    /// Mass of each token of page memory.
    pub token_mass: Region<Mass>,
    /// Per phase and worker: chunks claimed of the worker's share.
    pub claims: Region<u32>,
    /// Per phase: chunks done.
    pub done: Region<u32>,
    /// Worker 0's scratch; the others' follow at `worker_bytes`.
    pub worker: WorkerLayout,
    /// From one worker's scratch to the next.
    pub worker_bytes: usize,
    /// Bytes in all.
    pub bytes: u64,
}

impl Layout {
    /// Divides scratch memory for a program, a model, its limits, and `workers` workers.
    pub fn new(
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        inputs: Inputs,
        workers: usize,
    ) -> Layout {
        let mut divider = Divider::default();
        let d = &mut divider;
        let rows = limits.rows as usize;
        let head_dim = shape.head_dim as usize;
        let strides = Reg::ALL.map(|reg| (reg.width(shape) as usize).next_multiple_of(STRIP));
        let coarse = (limits.context as usize).div_ceil(64).max(1);
        let mask_words = (shape.vocab as usize).div_ceil(32);
        let logits_stride = (shape.vocab as usize).next_multiple_of(STRIP);
        let head_rows = (limits.outcomes as usize).min(HEAD_ROWS);
        let widest = strides.iter().copied().max().unwrap_or(0);
        let blocks = (limits.outcomes as usize).div_ceil(HEAD_ROWS);
        // Every instruction may be a phase, and the narrowing of its input another.
        let ops = program.instructions(shape.layers).count();
        let phases = 2 * ops + 3 * blocks;
        let narrow = Reg::ALL.map(|reg| {
            let rows = if inputs == Inputs::Int16 && feeds_product(program, reg) { rows } else { 0 };
            (rows * reg.width(shape) as usize).next_multiple_of(narrow::BLOCK)
        });
        let head_narrow = if inputs == Inputs::Int16 { head_rows * widest } else { 0 };
        let mut layout = Layout {
            weights: d.region(weights::table_len(shape)),
            registers: strides.map(|stride| d.region(rows * stride)),
            strides,
            codes: narrow.map(|elements| d.region(elements)),
            scales: narrow.map(|elements| d.region(elements / narrow::BLOCK)),
            fine: [d.region(64 * head_dim), d.region(64 * head_dim)],
            coarse: [d.region(coarse * head_dim), d.region(coarse * head_dim)],
            partner: d.region(head_dim),
            rows: d.region(rows),
            addresses: d.region(rows),
            segments: d.region(limits.segments as usize),
            pages: d.region(limits.segment_pages as usize),
            tasks: d.region(rows),
            masks: d.region(limits.masks as usize * mask_words),
            mask_words,
            taps: d.region(limits.taps as usize),
            wants: d.region(limits.outcomes as usize),
            not_finite: d.region(limits.outcomes as usize),
            head_entropy: d.region(rows * shape.heads as usize),
            entropy: d.region(rows),
            mass: d.region(limits.segments as usize),
            outcomes: d.region(limits.outcomes as usize),
            candidates: d.region(limits.outcomes as usize * limits.candidates as usize),
            exposed: d.region(limits.exposed as usize * limits.taps as usize * widest),
            head_input: d.region(head_rows * strides[Reg::Normed as usize].max(widest)),
            head_codes: d.region(head_narrow),
            head_scales: d.region(head_narrow / narrow::BLOCK),
            logits: d.region(head_rows * logits_stride),
            logits_stride,
            token_mass: d.region(limits.pages as usize * PAGE_TOKENS),
            claims: d.region(phases * workers),
            done: d.region(phases),
            worker: WorkerLayout::new(shape, limits, &mut Divider::default()),
            worker_bytes: 0,
            bytes: 0,
        };
        // Workers' scratch is laid out once and repeated.
        let start = divider.used();
        layout.worker = WorkerLayout::new(shape, limits, &mut divider);
        let worker_bytes = divider.used() - start;
        layout.worker_bytes = worker_bytes as usize;
        layout.bytes = start.saturating_add(worker_bytes.saturating_mul(workers as u64));
        layout
    }
}

/// Whether a register is the input of a matrix product.
fn feeds_product(program: &Program, reg: Reg) -> bool {
    let parts = [program.prologue, program.layer, program.epilogue];
    parts.into_iter().flatten().any(|op| matches!(op, Op::MatMul { input, .. } if *input == reg))
}

impl WorkerLayout {
    fn new(shape: &ModelShape, limits: &Limits, d: &mut Divider) -> WorkerLayout {
        let group = shape.group() as usize;
        let queries = task_rows(shape) * group;
        let head_dim = shape.head_dim as usize;
        WorkerLayout {
            panel: d.region((STRETCH + (limits.rows as usize).max(HEAD_ROWS)) * STRIP),
            heads: d.region((3 * queries + 3) * head_dim),
            scores: d.region(queries * score_slots(limits)),
            segment_mass: d.region(limits.segments as usize),
            token_mass: d.region(limits.pages as usize * PAGE_TOKENS),
        }
    }
}

/// Rows of an attention task.
pub fn task_rows(shape: &ModelShape) -> usize {
    (TASK_QUERIES / shape.group() as usize).max(1)
}

/// Places for the scores of one query in the worst step: every segment is rounded up to a pair of
/// pages.
pub fn score_slots(limits: &Limits) -> usize {
    let pages = limits.segment_pages as usize + limits.segments as usize;
    let tokens = limits.context as usize + limits.segments as usize * (LANES - 1);
    slots((pages * PAGE_TOKENS).min(tokens))
}

/// Which half of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The keys.
    Keys,
    /// The values.
    Values,
}

/// Byte offset in page memory of one head's keys or values of a page at a layer. Layer by layer, head
/// by head, keys of all pages and then values of all pages: attention reads one stream for each.
pub fn half_page(shape: &ModelShape, limits: &Limits, layer: u32, head: u32, half: Half, page: u32) -> usize {
    let stream = (layer * shape.kv_heads + head) as usize * 2 + half as usize;
    (stream * limits.pages as usize + page as usize) * half_bytes(shape, limits)
}

/// Bytes of one head's keys, or values, of a page at a layer.
pub fn half_bytes(shape: &ModelShape, limits: &Limits) -> usize {
    page::head_elements(shape) * limits.kv.bytes()
}

/// Bytes of page memory.
pub fn page_bytes(shape: &ModelShape, limits: &Limits) -> u64 {
    u64::from(limits.pages) * page::image_bytes(shape, limits.kv) as u64
}
