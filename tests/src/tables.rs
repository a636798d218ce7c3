//! The tables of one sequence and its page pool, on the heap.

use agentos_hal::{Candidate, Limits, PageId, Row, Segment};
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sample::Weighed;
use agentos_kernel::sequence::{
    Sequence, SequenceTables, TableSizes, VACANT_CANDIDATE, VACANT_ROW, VACANT_SLICE,
};

/// What a sequence borrows.
pub struct Tables {
    tokens: Vec<u32>,
    slices: Vec<Segment>,
    pages: Vec<PageId>,
    rows: Vec<Row>,
    candidates: Vec<Candidate>,
    weighed: Vec<Weighed>,
    free: Vec<PageId>,
    delimiters: Vec<Delimiter>,
    limits: Limits,
}

impl Tables {
    /// Tables for all that `limits` allow, prompts in chunks of at most `chunk`, and a delimiter for
    /// every token of the vocabulary.
    pub fn new(limits: Limits, chunk: u32, delimiters: Vec<Delimiter>) -> Tables {
        let sizes = TableSizes::new(&limits, chunk);
        Tables {
            tokens: vec![0; sizes.tokens],
            slices: vec![VACANT_SLICE; sizes.slices],
            pages: vec![PageId(0); sizes.pages],
            rows: vec![VACANT_ROW; sizes.rows],
            candidates: vec![VACANT_CANDIDATE; sizes.candidates],
            weighed: vec![Weighed::default(); sizes.candidates],
            free: vec![PageId(0); limits.pages as usize],
            delimiters,
            limits,
        }
    }

    /// An empty sequence, and a pool with every page.
    ///
    /// # Panics
    /// When a limit leaves no room at all.
    pub fn start(&mut self) -> (Sequence<'_>, PagePool<'_>) {
        let tables = SequenceTables {
            tokens: &mut self.tokens,
            slices: &mut self.slices,
            pages: &mut self.pages,
            rows: &mut self.rows,
            candidates: &mut self.candidates,
            weighed: &mut self.weighed,
        };
        let sequence = Sequence::new(tables, &self.delimiters, SliceLimits::DEFAULT, &self.limits)
            .expect("limits leave room for a sequence");
        (sequence, PagePool::new(&mut self.free))
    }
}
