//! What a store is made for, and how it behaves.

use std::time::Duration;

use agentos_kernel::memory::pack::Packing;

use crate::encoding::Encoding;

/// What a store is made for. It is written into the file, and a file that was made for something else is
/// refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Model, tokenizer, element type and slice layout: the bytes of the kernel's `SliceHash::root`.
    pub identity: [u8; 32],
    /// The sizes of a page image.
    pub packing: Packing,
}

/// How a store behaves. Nothing of it is written into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes that slices may take up, counted as the file allocates them. Beyond, the least important go, but for
    /// those of pinned collections, beside which others are refused.
    pub max_bytes: Bound,
    /// How slices are kept that need not come back bit for bit.
    pub encoding: Encoding,
    /// Bytes of slices that are written together at most.
    pub batch_bytes: usize,
    /// How long a slice waits for others to be written with.
    pub batch_wait: Duration,
    /// Bytes of slices that may be on their way; more has to wait.
    pub queue_bytes: usize,
    /// Check the whole file when it is opened, and not only after a crash. It takes as long as reading it.
    pub verify: bool,
}

/// How many bytes slices may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many, as somebody has said: of a store that has more, slices go.
    Said(u64),
    /// So many, or as many as there are when the store is opened: nothing goes for having been opened.
    Usual(u64),
}

impl Options {
    /// Bytes that slices may take up in a store that has so many now.
    pub(crate) fn most_bytes(&self, there: u64) -> u64 {
        match self.max_bytes {
            Bound::Said(bytes) => bytes,
            Bound::Usual(bytes) => bytes.max(there.saturating_add(self.turnover_bytes())),
        }
    }

    /// Bytes that transactions let go and cannot use again yet.
    pub(crate) fn turnover_bytes(&self) -> u64 {
        2 * self.batch_bytes as u64
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_bytes: Bound::Usual(4 << 30),
            encoding: Encoding::Lossless,
            batch_bytes: 16 << 20,
            batch_wait: Duration::from_millis(20),
            queue_bytes: 64 << 20,
            verify: false,
        }
    }
}
