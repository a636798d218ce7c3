//! The head: logits of the rows that want an outcome, a few rows at a time, and what they say.

use agentos_hal::{Candidate, Outcome, Reg, WeightRole};

use super::worker::Worker;
use crate::layout::{HEAD_ROWS, NONE};
use crate::simd::head;
use crate::simd::lanes::LANES;
use crate::simd::matmul::MatMul;
use crate::simd::narrow::{self, Scale};
use crate::simd::phases::Cursor;

impl Worker<'_> {
    /// Runs the head for all rows that want an outcome.
    pub fn head(&self, cursor: &mut Cursor<'_>, input: Reg, weight: WeightRole) {
        let shared = self.shared;
        let layout = shared.layout;
        let (packed, weights) = shared.weight(weight, 0);
        let width = packed.cols as usize;
        let gathered: *mut f32 = shared.at(layout.head_input);
        let (codes, scales): (*mut i16, *mut Scale) =
            (shared.at(layout.head_codes), shared.at(layout.head_scales));
        let takes_integers = shared.dots(packed).is_some();
        for first in (0..shared.counts.wants).step_by(HEAD_ROWS) {
            let rows = (shared.counts.wants - first).min(HEAD_ROWS);
            cursor.wait();
            cursor.phase(1, |_| {
                for (to, want) in shared.table(layout.wants)[first..first + rows].iter().enumerate() {
                    let x = shared.reg(input, want.row as usize);
                    // SAFETY: one chunk: this worker writes all gathered rows.
                    unsafe {
                        if takes_integers {
                            let scales = scales.add(to * (width / narrow::BLOCK));
                            (shared.kernels.narrow)(x, width, codes.add(to * width), scales);
                        } else {
                            core::ptr::copy_nonoverlapping(x, gathered.add(to * width), width);
                        }
                    }
                }
            });
            cursor.wait();
            let product = MatMul {
                x: gathered,
                x_stride: width,
                codes,
                scales,
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
}
