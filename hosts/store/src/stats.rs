//! What a store holds, and what it did since it was opened.

/// What a store holds, and what it did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Slices that are there.
    pub slices: u64,
    /// Bytes that they take up in the file.
    pub bytes: u64,
    /// Bytes that they may take up.
    pub max_bytes: u64,
    /// Slices that were written.
    pub written: u64,
    /// Bytes of them, as they were encoded.
    pub written_bytes: u64,
    /// Slices that were handed over and were there already.
    pub duplicates: u64,
    /// Transactions.
    pub batches: u64,
    /// Slices that were read.
    pub read: u64,
    /// Bytes of them, as they were encoded.
    pub read_bytes: u64,
    /// Slices that went for others.
    pub evicted: u64,
    /// Slices and records that were not what had been written, and went.
    pub corrupt: u64,
    /// Slices that found no room.
    pub refused: u64,
    /// How often the file was opened anew after it had failed.
    pub reopened: u64,
}
