//! Attention, task by task.

use agentos_hal::Reg;

use super::worker::Worker;
use crate::layout::{Half, task_rows};
use crate::simd::attend::{Attend, AttendScratch, Counters};
use crate::simd::phases::Cursor;

impl Worker<'_> {
    /// Runs attention at a layer.
    pub fn attend(&self, cursor: &mut Cursor<'_>, layer: u32, query: Reg, out: Reg) {
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
}
