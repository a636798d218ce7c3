//! The tables that a sequence works in, lent by the host.

use agentos_hal::{Candidate, Limits, PageId, Row, Segment, Want};

use crate::sample::Weighed;

/// A row that is not in use: what a table of rows starts with.
pub const VACANT_ROW: Row = Row {
    token: 0,
    address: 0,
    page: PageId(0),
    place: 0,
    offset: 0,
    want: Want::Nothing,
    mask: None,
    expose: false,
};

/// A segment that is not in use: what a table of slices starts with.
pub const VACANT_SLICE: Segment = Segment { base: 0, len: 0 };

/// A candidate that is not in use: what a table of candidates starts with.
pub const VACANT_CANDIDATE: Candidate = Candidate { token: 0, logit: 0.0 };

/// Where a sequence keeps what it knows. Each table's length bounds the sequence, as do the device's
/// `Limits`; [`TableSizes`] says which lengths use all that the limits allow. What is in the tables
/// does not matter.
#[derive(Debug)]
pub struct SequenceTables<'m> {
    /// Every token of the context.
    pub tokens: &'m mut [u32],
    /// Every slice, sealed or open, as the segment that maps it.
    pub slices: &'m mut [Segment],
    /// The pages of the slices, in address order.
    pub pages: &'m mut [PageId],
    /// The rows of one step: its length is the chunk in which a prompt is computed.
    pub rows: &'m mut [Row],
    /// The candidates for the next token.
    pub candidates: &'m mut [Candidate],
    /// Scratch of the sampler, as long as `candidates`.
    pub weighed: &'m mut [Weighed],
}

/// How long each table of [`SequenceTables`] is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSizes {
    /// Length of `tokens`.
    pub tokens: usize,
    /// Length of `slices`.
    pub slices: usize,
    /// Length of `pages`.
    pub pages: usize,
    /// Length of `rows`.
    pub rows: usize,
    /// Length of `candidates` and of `weighed`.
    pub candidates: usize,
}

impl TableSizes {
    /// The lengths for a sequence that may use all of a device's limits, with prompts computed in
    /// chunks of at most `chunk` tokens.
    pub const fn new(limits: &Limits, chunk: u32) -> TableSizes {
        let rows = if chunk < limits.rows { chunk } else { limits.rows };
        TableSizes {
            tokens: limits.context as usize,
            slices: limits.segments as usize,
            pages: limits.segment_pages as usize,
            rows: rows as usize,
            candidates: limits.candidates as usize,
        }
    }
}
