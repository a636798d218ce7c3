//! Matrix products, strip by strip.

use agentos_hal::{Op, Reg, WeightRole};

use super::worker::Worker;
use crate::simd::format::STRIP;
use crate::simd::matmul::MatMul;
use crate::simd::phases::{self, Cursor};
use crate::weights::Packed;

impl Worker<'_> {
    /// Runs a matrix product of registers.
    pub fn matmul(
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
        let (codes, scales) = shared.narrow(input, 0);
        let product = MatMul {
            x: shared.reg(input, 0),
            x_stride: shared.layout.strides[input as usize],
            codes,
            scales,
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

    /// The register whose integers the matrix product at instruction `index` takes, if it does.
    pub fn narrow_input(&self, index: usize) -> Option<Reg> {
        match self.shared.op(index)? {
            (layer, &Op::MatMul { input, weight, .. }) => {
                self.shared.dots(self.shared.weight(weight, layer).0).map(|_kernel| input)
            }
            _ => None,
        }
    }

    /// Asks for the first weights of this worker's share of the next matrix product, at or after
    /// instruction `index`, so that they come while it waits for others.
    pub fn prefetch_weights(&self, index: usize) {
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
    pub fn product(&self, cursor: &mut Cursor<'_>, packed: &Packed, product: MatMul, per_chunk: usize) {
        let shared = self.shared;
        let strips = if product.rows == 0 { 0 } else { (packed.rows as usize).div_ceil(STRIP) };
        let kernel = shared.dots(packed).unwrap_or_else(|| shared.kernels.strip(packed.dtype()));
        let panel = self.scratch(shared.layout.worker.panel);
        cursor.phase(strips.div_ceil(per_chunk), |chunk| {
            for strip in chunk * per_chunk..((chunk + 1) * per_chunk).min(strips) {
                // SAFETY: the strip is this worker's; sizes are those of the registers and the weight.
                unsafe { kernel(&product, strip, panel) };
            }
        });
    }
}
