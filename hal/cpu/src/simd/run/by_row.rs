//! Instructions that work on each row by itself.

use agentos_hal::page::head_elements;
use agentos_hal::{Activation, Op, Reg, WeightRole};

use super::worker::Worker;
use crate::layout::{Half, NONE};
use crate::simd::format::STRIP;
use crate::simd::matmul::STRETCH;
use crate::simd::phases::Cursor;
use crate::simd::store::StoreKv;

impl Worker<'_> {
    /// Runs instructions that work row by row, one behind the other on each row; then narrows the row of
    /// a register, if any.
    pub fn rows(&self, cursor: &mut Cursor<'_>, ops: core::ops::Range<usize>, narrow: Option<Reg>) {
        let rows = self.shared.counts.rows;
        let per_chunk = rows.div_ceil(4 * self.shared.workers).max(1);
        cursor.phase(rows.div_ceil(per_chunk), |chunk| {
            for row in chunk * per_chunk..((chunk + 1) * per_chunk).min(rows) {
                for (layer, op) in ops.clone().filter_map(|index| self.shared.op(index)) {
                    self.row(layer, op, row);
                }
                if let Some(reg) = narrow {
                    let (x, width) = (self.shared.reg(reg, row), reg.width(self.shared.shape) as usize);
                    let (codes, scales) = self.shared.narrow(reg, row);
                    // SAFETY: the row is this worker's; quantised weights have whole blocks of inputs.
                    unsafe { (self.shared.kernels.narrow)(x, width, codes, scales) };
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
        // SAFETY: the token is in the vocabulary, so the strip is in the matrix; the panel holds a
        // stretch.
        unsafe {
            let unpack = shared.kernels.unpack(packed.dtype());
            let weights = weights.add(strip * packed.strip_bytes as usize);
            for first in (0..inner).step_by(STRETCH) {
                let len = (inner - first).min(STRETCH);
                unpack(weights, first, len, panel);
                for k in 0..len {
                    *out.add(first + k) = *panel.add(k * STRIP + lane);
                }
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
}
