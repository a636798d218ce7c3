//! One worker's way through the program: which instructions form a phase, and what each waits for.

use core::ops::Range;

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

/// A register in such a set.
fn bit(reg: Reg) -> u32 {
    1 << reg as u32
}

/// A register's integers in such a set.
fn integers(reg: Reg) -> u32 {
    1 << (9 + reg as u32)
}

/// What an instruction reads and writes.
fn touches(op: &Op) -> (u32, u32) {
    match *op {
        Op::Embed { out, .. } => (0, bit(out)),
        Op::Norm { input, out, .. } => (bit(input), bit(out)),
        Op::HeadNorm { reg, .. } | Op::Add { reg, .. } | Op::Rotate { reg } => (bit(reg), bit(reg)),
        Op::MatMul { input, out, .. } => (bit(input) | integers(input), bit(out)),
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
    /// Runs a part of the program. It ends with the program, or before an instruction that does not work row by row.
    pub fn run(self, mut cursor: Cursor<'_>, part: Range<usize>) {
        let (mut read, mut written) = (0, 0);
        // Registers whose integers are those of their numbers.
        let mut current = 0;
        let mut index = part.start;
        while let Some((layer, op)) = self.shared.op(index).filter(|_| index < part.end) {
            let first = index;
            let (mut reads, mut writes) = touches(op);
            // What is narrowed with this phase: what a product takes that comes next.
            let narrow = if by_row(op) {
                index += 1;
                while let Some((_, op)) = self.shared.op(index).filter(|(_, op)| by_row(op)) {
                    let (more_reads, more_writes) = touches(op);
                    (reads, writes) = (reads | more_reads, writes | more_writes);
                    index += 1;
                }
                self.narrow_input(index).filter(|&reg| writes & bit(reg) != 0)
            } else {
                self.narrow_input(index).filter(|&reg| current & bit(reg) == 0)
            };
            current &= !writes;
            if let Some(reg) = narrow {
                current |= bit(reg);
                if !by_row(op) {
                    (reads, writes) = (bit(reg), 0);
                }
                writes |= integers(reg);
            } else if !by_row(op) {
                index += 1;
            }
            if reads & written != 0 || writes & (read | written) != 0 {
                self.prefetch_weights(first);
                cursor.wait();
                (read, written) = (0, 0);
            }
            (read, written) = (read | reads, written | writes);
            match *op {
                _ if by_row(op) || narrow.is_some() => self.rows(&mut cursor, first..index, narrow),
                Op::MatMul { input, weight, out, accumulate } => {
                    self.matmul(&mut cursor, layer, input, weight, out, accumulate);
                }
                Op::Attend { query, out } => self.attend(&mut cursor, layer, query, out),
                Op::Head { input, weight } => self.head(&mut cursor, input, weight),
                _ => unreachable!("by row"),
            }
        }
        cursor.wait();
    }

    /// This worker's part of a worker region.
    pub fn scratch<T: bytemuck::Pod>(&self, region: Region<T>) -> *mut T {
        region.at(self.shared.scratch.wrapping_add(self.worker * self.shared.layout.worker_bytes))
    }
}
