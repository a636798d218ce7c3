//! One worker's way through the program: which instructions form a phase, and what each waits for.

use agentos_hal::{Op, Reg};

use super::shared::Shared;
use crate::memory::Region;
use crate::simd::phases::Cursor;

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
pub struct Worker<'a> {
    /// What all workers see.
    pub shared: &'a Shared<'a>,
    /// Its number.
    pub worker: usize,
}

impl Worker<'_> {
    /// Runs the program.
    pub fn run(self, mut cursor: Cursor<'_>) {
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

    /// This worker's part of a worker region.
    pub fn scratch<T: bytemuck::Pod>(&self, region: Region<T>) -> *mut T {
        region.at(self.shared.scratch.wrapping_add(self.worker * self.shared.layout.worker_bytes))
    }
}
