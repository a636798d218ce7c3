//! The run of a program: what each worker does, phase by phase.
//!
//! Neighbouring instructions that work row by row form one phase, so that a row passes through all of
//! them in one worker's cache. A phase starts when what it reads is written and what it writes is no
//! longer read; phases that do not touch each other (the projections of queries, keys and values)
//! overlap.

use core::sync::atomic::{AtomicBool, AtomicU32};

use agentos_hal::page::{PAGE_TOKENS, head_elements};
use agentos_hal::{
    Activation, Candidate, LayerRange, Limits, Mass, ModelShape, Op, Outcome, Program, Reg, WeightId,
    WeightRole,
};

use super::attend::{Angles, Attend, AttendScratch, Counters};
use super::format::STRIP;
use super::head;
use super::kernels::Kernels;
use super::lanes::LANES;
use super::matmul::MatMul;
use super::phases::{self, Cursor, Phases};
use super::store::StoreKv;
use crate::layout::{self, HEAD_ROWS, Half, Layout, NONE, task_rows};
use crate::memory::Region;
use crate::team::Team;
use crate::weights::{self, Packed};

/// How much of each table the step under way uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Rows.
    pub rows: usize,
    /// Attention tasks per key/value head.
    pub tasks: usize,
    /// Rows that want an outcome.
    pub wants: usize,
    /// Taps.
    pub taps: usize,
    /// Elements of an exposed row, over all taps.
    pub exposed_width: usize,
}

/// A prepared machine with a step in its tables.
pub struct Machine<'a> {
    /// The instruction set's kernels.
    pub kernels: &'static Kernels,
    /// The program.
    pub program: &'a Program,
    /// The model's sizes.
    pub shape: &'a ModelShape,
    /// The limits.
    pub limits: &'a Limits,
    /// Where everything lies in scratch memory.
    pub layout: &'a Layout,
    /// Scratch memory.
    pub scratch: &'a mut [u8],
    /// Page memory: for each layer, for each page, as in a page image.
    pub pages: &'a mut [u8],
    /// Weight memory.
    pub weights: &'a [u8],
    /// The step's sizes.
    pub counts: Counts,
    /// The step's counted layers.
    pub counters: LayerRange,
}

impl Machine<'_> {
    /// Computes the step with all workers of the team.
    pub fn run(self, team: &dyn Team) {
        let layout = self.layout;
        layout.claims.of_mut(self.scratch).fill(0);
        layout.done.of_mut(self.scratch).fill(0);
        let failed = AtomicBool::new(false);
        let shared = Shared {
            kernels: self.kernels,
            program: self.program,
            shape: self.shape,
            limits: self.limits,
            layout,
            scratch: self.scratch.as_mut_ptr(),
            pages: self.pages.as_mut_ptr(),
            weights: self.weights.as_ptr(),
            counts: self.counts,
            counters: self.counters,
            workers: team.workers(),
        };
        // SAFETY: both regions hold `u32`, which has the size and alignment of `AtomicU32`, and are used
        // through these references alone until the team is done.
        let (claims, done) = unsafe {
            (
                core::slice::from_raw_parts(shared.at::<AtomicU32, u32>(layout.claims), layout.claims.len()),
                core::slice::from_raw_parts(shared.at::<AtomicU32, u32>(layout.done), layout.done.len()),
            )
        };
        let phases = Phases::new(claims, done, &failed, team);
        team.run(&|worker| Worker { shared: &shared, worker }.run(phases.cursor(worker)));
    }
}

/// What all workers see. Raw pointers, since workers write disjoint parts of the same regions.
struct Shared<'a> {
    kernels: &'static Kernels,
    program: &'a Program,
    shape: &'a ModelShape,
    limits: &'a Limits,
    layout: &'a Layout,
    scratch: *mut u8,
    pages: *mut u8,
    weights: *const u8,
    counts: Counts,
    counters: LayerRange,
    workers: usize,
}

// SAFETY: the pointers stay valid while the team runs (`Machine::run` holds the borrows); what is
// written through them is divided by chunk, see `Worker`.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    fn at<U, T: bytemuck::Pod>(&self, region: Region<T>) -> *mut U {
        region.at(self.scratch).cast()
    }

    /// A table that no phase writes.
    fn table<T: bytemuck::Pod>(&self, region: Region<T>) -> &[T] {
        // SAFETY: the region lies in scratch memory; it was filled before the step and is only read.
        unsafe { core::slice::from_raw_parts(region.at(self.scratch), region.len()) }
    }

    fn op(&self, index: usize) -> Option<(u32, &'static Op)> {
        let program = self.program;
        if let Some(op) = program.prologue.get(index) {
            return Some((NONE, op));
        }
        let index = index - program.prologue.len();
        let body = program.layer.len() * self.shape.layers as usize;
        if index < body {
            return Some(((index / program.layer.len()) as u32, &program.layer[index % program.layer.len()]));
        }
        program.epilogue.get(index - body).map(|op| (NONE, op))
    }

    fn weight(&self, role: WeightRole, layer: u32) -> (&Packed, *const u8) {
        let layer = if role.per_layer() { layer } else { 0 };
        let packed = &self.table(self.layout.weights)[weights::index(self.shape, WeightId { role, layer })];
        (packed, self.weights.wrapping_add(packed.offset as usize))
    }

    fn vector(&self, role: WeightRole, layer: u32) -> *const f32 {
        self.weight(role, layer).1.cast()
    }

    fn reg(&self, reg: Reg, row: usize) -> *mut f32 {
        let number = reg as usize;
        self.at::<f32, f32>(self.layout.registers[number]).wrapping_add(row * self.layout.strides[number])
    }

    fn angles(&self) -> Angles<'_> {
        let layout = self.layout;
        Angles {
            fine: (self.table(layout.fine[0]), self.table(layout.fine[1])),
            coarse: (self.table(layout.coarse[0]), self.table(layout.coarse[1])),
            partner: self.table(layout.partner),
        }
    }

    /// One head's keys or values of a page at a layer.
    fn half_page(&self, layer: u32, head: u32, half: Half, page: u32) -> *mut u8 {
        self.pages.wrapping_add(layout::half_page(self.shape, self.limits, layer, head, half, page))
    }
}

/// Whether an instruction works on each row by itself.
fn by_row(op: &Op) -> bool {
    !matches!(op, Op::MatMul { .. } | Op::Attend { .. } | Op::Head { .. })
}

/// Page memory, beside the registers, in a set of what a phase touches.
const PAGES: u32 = 1 << 8;

/// Bits of what an instruction reads and writes.
fn touches(op: &Op) -> (u32, u32) {
    let bit = |reg: Reg| 1u32 << reg as u32;
    match *op {
        Op::Embed { out, .. } => (0, bit(out)),
        Op::Norm { input, out, .. } => (bit(input), bit(out)),
        Op::HeadNorm { reg, .. } | Op::Add { reg, .. } | Op::Rotate { reg } => (bit(reg), bit(reg)),
        Op::MatMul { input, out, .. } => (bit(input), bit(out)),
        Op::StoreKv { key, value } => (bit(key) | bit(value), PAGES),
        Op::Attend { query, out } => (bit(query) | PAGES, bit(out)),
        Op::Gate { gate, up, .. } => (bit(gate) | bit(up), bit(gate)),
        Op::Head { input, .. } => (bit(input), 0),
        Op::Expose { reg } => (bit(reg), 0),
    }
}

/// One worker. Its methods are called with chunks that it has claimed: the rows, strips, tasks or
/// outcomes of a chunk are its alone until the next wait.
#[derive(Clone, Copy)]
struct Worker<'a> {
    shared: &'a Shared<'a>,
    worker: usize,
}

impl Worker<'_> {
    fn run(self, mut cursor: Cursor<'_>) {
        let (mut read, mut written) = (0, 0);
        let mut index = 0;
        while let Some((layer, op)) = self.shared.op(index) {
            let first = index;
            let (mut reads, mut writes) = touches(op);
            index += 1;
            while by_row(op) && self.shared.op(index).is_some_and(|(_, op)| by_row(op)) {
                let (more_reads, more_writes) = self.shared.op(index).map_or((0, 0), |(_, op)| touches(op));
                (reads, writes) = (reads | more_reads, writes | more_writes);
                index += 1;
            }
            if reads & written != 0 || writes & (read | written) != 0 {
                self.prefetch_weights(first);
                cursor.wait();
                (read, written) = (0, 0);
            }
            (read, written) = (read | reads, written | writes);
            match *op {
                Op::MatMul { input, weight, out, accumulate } => {
                    self.matmul(&mut cursor, layer, input, weight, out, accumulate);
                }
                Op::Attend { query, out } => self.attend(&mut cursor, layer, query, out),
                Op::Head { input, weight } => self.head(&mut cursor, input, weight),
                _ => self.rows(&mut cursor, first..index),
            }
        }
        cursor.wait();
    }

    fn rows(&self, cursor: &mut Cursor<'_>, ops: core::ops::Range<usize>) {
        let rows = self.shared.counts.rows;
        let per_chunk = rows.div_ceil(4 * self.shared.workers).max(1);
        cursor.phase(rows.div_ceil(per_chunk), |chunk| {
            for row in chunk * per_chunk..((chunk + 1) * per_chunk).min(rows) {
                for (layer, op) in ops.clone().filter_map(|index| self.shared.op(index)) {
                    self.row(layer, op, row);
                }
            }
        });
    }

    fn row(&self, layer: u32, op: &Op, row: usize) {
        let shared = self.shared;
        let (kernels, shape) = (shared.kernels, shared.shape);
        let width = |reg: Reg| reg.width(shape) as usize;
        let head_dim = shape.head_dim as usize;
        // SAFETY: the row is this worker's; registers are as wide as the program's verifier demands, and
        // padded to whole strips.
        unsafe {
            match *op {
                Op::Embed { weight, out } => self.embed(weight, row, shared.reg(out, row)),
                Op::Norm { input, weight, out } => {
                    let (x, out) = (shared.reg(input, row), shared.reg(out, row));
                    (kernels.norm)(x, shared.vector(weight, layer), out, width(input), shape.norm_eps);
                }
                Op::HeadNorm { reg, weight } => {
                    let weight = shared.vector(weight, layer);
                    for head in 0..width(reg) / head_dim {
                        let x = shared.reg(reg, row).add(head * head_dim);
                        (kernels.norm)(x, weight, x, head_dim, shape.norm_eps);
                    }
                }
                Op::Add { reg, weight } => {
                    (kernels.add)(shared.reg(reg, row), shared.vector(weight, layer), width(reg));
                }
                Op::Rotate { reg } => {
                    let offset = shared.table(shared.layout.rows)[row].offset;
                    let heads = width(reg) / head_dim;
                    let scratch = self.scratch(shared.layout.worker.heads);
                    let x = shared.reg(reg, row);
                    (kernels.rotate_heads)(&shared.angles(), offset, x, heads, head_dim, scratch);
                }
                Op::StoreKv { key, value } => self.store(layer, row, key, value),
                Op::Gate { activation, gate, up } => {
                    let gelu = activation == Activation::Gelu;
                    (kernels.gate)(shared.reg(gate, row), shared.reg(up, row), width(gate), gelu);
                }
                Op::Expose { reg } => self.expose(layer, reg, row),
                Op::MatMul { .. } | Op::Attend { .. } | Op::Head { .. } => unreachable!("not by row"),
            }
        }
    }

    /// # Safety
    /// `out` has room for a row as wide as the embedding.
    unsafe fn embed(&self, weight: WeightRole, row: usize, out: *mut f32) {
        let shared = self.shared;
        let token = shared.table(shared.layout.rows)[row].token as usize;
        let (packed, weights) = shared.weight(weight, 0);
        let (strip, lane, inner) = (token / STRIP, token % STRIP, packed.cols as usize);
        let panel = self.scratch(shared.layout.worker.panel);
        // SAFETY: the token is in the vocabulary, so the strip is in the matrix; the panel holds a strip
        // of the widest input.
        unsafe {
            let unpack = shared.kernels.unpack(packed.dtype());
            unpack(weights.add(strip * packed.strip_bytes as usize), inner, panel);
            for k in 0..inner {
                *out.add(k) = *panel.add(k * STRIP + lane);
            }
        }
    }

    fn store(&self, layer: u32, row: usize, key: Reg, value: Reg) {
        let shared = self.shared;
        let record = shared.table(shared.layout.rows)[row];
        let task = StoreKv {
            key: shared.reg(key, row),
            value: shared.reg(value, row),
            kv_heads: shared.shape.kv_heads as usize,
            head_dim: shared.shape.head_dim as usize,
            keys: shared.half_page(layer, 0, Half::Keys, record.page),
            values: shared.half_page(layer, 0, Half::Values, record.page),
            head_stride: 2 * shared.limits.pages as usize * head_elements(shared.shape),
            place: record.place as usize,
        };
        // SAFETY: the page exists, and only this row names this place of it.
        unsafe { (shared.kernels.store(shared.limits.kv))(&task) }
    }

    fn expose(&self, layer: u32, reg: Reg, row: usize) {
        let shared = self.shared;
        let exposed = shared.table(shared.layout.rows)[row].exposed;
        if exposed == NONE {
            return;
        }
        let width = reg.width(shared.shape) as usize;
        for tap in &shared.table(shared.layout.taps)[..shared.counts.taps] {
            if tap.layer == layer && tap.reg == reg as u32 {
                let at = exposed as usize * shared.counts.exposed_width + tap.at as usize;
                let out = shared.at::<f32, f32>(shared.layout.exposed).wrapping_add(at);
                // SAFETY: the exposed row is this row's, and wide enough for all taps.
                unsafe { core::ptr::copy_nonoverlapping(shared.reg(reg, row), out, width) };
            }
        }
    }

    fn matmul(
        &self,
        cursor: &mut Cursor<'_>,
        layer: u32,
        input: Reg,
        weight: WeightRole,
        out: Reg,
        accumulate: bool,
    ) {
        let shared = self.shared;
        let (packed, weights) = shared.weight(weight, layer);
        let product = MatMul {
            x: shared.reg(input, 0),
            x_stride: shared.layout.strides[input as usize],
            rows: shared.counts.rows,
            weights,
            strip_bytes: packed.strip_bytes as usize,
            inner: packed.cols as usize,
            out: shared.reg(out, 0),
            out_stride: shared.layout.strides[out as usize],
            accumulate,
        };
        self.product(cursor, packed, product, 1);
    }

    /// Asks for the first weights of this worker's share of the next matrix product, at or after
    /// instruction `index`, so that they come while it waits for others.
    fn prefetch_weights(&self, index: usize) {
        let shared = self.shared;
        let next = (index..).map_while(|index| shared.op(index)).find_map(|(layer, op)| match *op {
            Op::MatMul { weight, .. } => Some(shared.weight(weight, layer)),
            _ => None,
        });
        if let Some((packed, weights)) = next {
            let strips = (packed.rows as usize).div_ceil(STRIP);
            let first = phases::share(strips, self.worker, shared.workers).start;
            (shared.kernels.prefetch)(weights.wrapping_add(first * packed.strip_bytes as usize));
        }
    }

    /// A matrix product, `per_chunk` strips at a time.
    fn product(&self, cursor: &mut Cursor<'_>, packed: &Packed, product: MatMul, per_chunk: usize) {
        let shared = self.shared;
        let strips = if product.rows == 0 { 0 } else { (packed.rows as usize).div_ceil(STRIP) };
        let kernel = shared.kernels.strip(packed.dtype());
        let panel = self.scratch(shared.layout.worker.panel);
        cursor.phase(strips.div_ceil(per_chunk), |chunk| {
            for strip in chunk * per_chunk..((chunk + 1) * per_chunk).min(strips) {
                // SAFETY: the strip is this worker's; sizes are those of the registers and the weight.
                unsafe { kernel(&product, strip, panel) };
            }
        });
    }

    fn attend(&self, cursor: &mut Cursor<'_>, layer: u32, query: Reg, out: Reg) {
        let shared = self.shared;
        let kv_heads = shared.shape.kv_heads as usize;
        let chunks = shared.counts.tasks * kv_heads;
        cursor.phase(chunks, |chunk| {
            // The last rows of a prompt see most: they go first, so that no worker ends with them.
            let chunk = chunks - 1 - chunk;
            self.attend_task(layer, query, out, chunk / kv_heads, chunk % kv_heads);
        });
    }

    fn attend_task(&self, layer: u32, query: Reg, out: Reg, task: usize, kv_head: usize) {
        let shared = self.shared;
        let (layout, shape, kv) = (shared.layout, shared.shape, shared.limits.kv);
        let task = shared.table(layout.tasks)[task];
        let (row, head_dim, group) = (task.row as usize, shape.head_dim as usize, shape.group() as usize);
        let first_head = kv_head * group;
        let counters = shared.counters.contains(layer).then(|| Counters {
            entropy: shared
                .at::<f32, f32>(layout.head_entropy)
                .wrapping_add(row * shape.heads as usize + first_head),
            entropy_stride: shape.heads as usize,
            segment_mass: self.scratch(layout.worker.segment_mass).wrapping_add(task.segment as usize),
            token_mass: self.scratch(layout.worker.token_mass),
        });
        let attend = Attend {
            addresses: &shared.table(layout.addresses)[row..row + task.rows as usize],
            segments: &shared.table(layout.segments)[task.segment as usize..][..task.segments as usize],
            pages: shared.table(layout.pages),
            query: shared.reg(query, row).wrapping_add(first_head * head_dim),
            out: shared.reg(out, row).wrapping_add(first_head * head_dim),
            stride: layout.strides[query as usize],
            group,
            head_dim,
            keys: shared.half_page(layer, kv_head as u32, Half::Keys, 0),
            values: shared.half_page(layer, kv_head as u32, Half::Values, 0),
            angles: shared.angles(),
            scratch: AttendScratch {
                heads: self.scratch(layout.worker.heads),
                scores: self.scratch(layout.worker.scores),
                slots: layout.worker.scores.len() / (task_rows(shape) * group),
            },
            counters,
        };
        // SAFETY: the task's rows and heads are this worker's; scratch is laid out for the worst task.
        unsafe { (shared.kernels.attend(kv))(&attend) }
    }

    fn head(&self, cursor: &mut Cursor<'_>, input: Reg, weight: WeightRole) {
        let shared = self.shared;
        let layout = shared.layout;
        let (packed, weights) = shared.weight(weight, 0);
        let width = packed.cols as usize;
        let gathered: *mut f32 = shared.at(layout.head_input);
        for first in (0..shared.counts.wants).step_by(HEAD_ROWS) {
            let rows = (shared.counts.wants - first).min(HEAD_ROWS);
            cursor.wait();
            cursor.phase(1, |_| {
                for (to, want) in shared.table(layout.wants)[first..first + rows].iter().enumerate() {
                    let x = shared.reg(input, want.row as usize);
                    // SAFETY: one chunk: this worker writes all gathered rows.
                    unsafe { core::ptr::copy_nonoverlapping(x, gathered.add(to * width), width) };
                }
            });
            cursor.wait();
            let product = MatMul {
                x: gathered,
                x_stride: width,
                rows,
                weights,
                strip_bytes: packed.strip_bytes as usize,
                inner: width,
                out: shared.at(layout.logits),
                out_stride: layout.logits_stride,
                accumulate: false,
            };
            self.product(cursor, packed, product, 4);
            cursor.wait();
            cursor.phase(rows, |row| self.outcome(first + row, row));
        }
    }

    fn outcome(&self, index: usize, row: usize) {
        let shared = self.shared;
        let (layout, vocab) = (shared.layout, shared.shape.vocab as usize);
        let want = shared.table(layout.wants)[index];
        let most = shared.limits.candidates as usize;
        // SAFETY: the outcome, its candidates and its row of logits are this worker's.
        let (logits, best, outcome, not_finite) = unsafe {
            let logits = shared.at::<f32, f32>(layout.logits).add(row * layout.logits_stride);
            let best = shared.at::<Candidate, Candidate>(layout.candidates).add(index * most);
            (
                core::slice::from_raw_parts_mut(logits, vocab.next_multiple_of(LANES)),
                core::slice::from_raw_parts_mut(best, most),
                &mut *shared.at::<Outcome, Outcome>(layout.outcomes).add(index),
                &mut *shared.at::<u32, u32>(layout.not_finite).add(index),
            )
        };
        // SAFETY: whole lane groups.
        *not_finite = u32::from(unsafe { !(shared.kernels.all_finite)(logits) });
        logits[vocab..].fill(f32::NEG_INFINITY);
        let scored = logits.get(want.score as usize).copied().unwrap_or(0.0);
        if want.mask != NONE {
            let first = want.mask as usize * layout.mask_words;
            head::mask(&mut logits[..vocab], &shared.table(layout.masks)[first..first + layout.mask_words]);
        }
        // SAFETY: whole lane groups.
        let reduced = unsafe { (shared.kernels.reduce)(logits, best) };
        *outcome = Outcome {
            row: want.row,
            candidates: reduced.candidates as u32,
            log_sum_exp: reduced.log_sum_exp,
            entropy: reduced.entropy,
            scored,
        };
    }

    /// This worker's part of a worker region.
    fn scratch<T: bytemuck::Pod>(&self, region: Region<T>) -> *mut T {
        region.at(self.shared.scratch.wrapping_add(self.worker * self.shared.layout.worker_bytes))
    }
}

/// Adds the workers' masses to the report and to page memory's counters, and clears them.
pub fn collect_mass(
    scratch: &mut [u8],
    layout: &Layout,
    workers: usize,
    segments: usize,
    pages: impl Iterator<Item = u32> + Clone,
) {
    for worker in 0..workers {
        let shift = worker * layout.worker_bytes;
        for segment in 0..segments {
            let mass =
                core::mem::take(&mut layout.worker.segment_mass.of_mut(&mut scratch[shift..])[segment]);
            layout.mass.of_mut(scratch)[segment].0 += mass.0;
        }
        for page in pages.clone() {
            let tokens = page as usize * PAGE_TOKENS..(page as usize + 1) * PAGE_TOKENS;
            let mut masses = [Mass(0); PAGE_TOKENS];
            let of_worker = &mut layout.worker.token_mass.of_mut(&mut scratch[shift..])[tokens.clone()];
            masses.copy_from_slice(of_worker);
            of_worker.fill(Mass(0));
            for (total, mass) in layout.token_mass.of_mut(scratch)[tokens].iter_mut().zip(masses) {
                total.0 += mass.0;
            }
        }
    }
}
