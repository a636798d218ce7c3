//! How much of a file is read, and what reading it may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds on one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the file.
    pub source_bytes: u64,
    /// Bytes of its text.
    pub text_bytes: u64,
    /// Pages of a PDF.
    pub pages: u32,
    /// Memory of a process that reads one, in bytes.
    pub memory_bytes: u64,
    /// Time that such a process has.
    pub time: Duration,
}

impl Limits {
    /// What a desktop can spare for a book.
    pub const DEFAULT: Limits = Limits {
        source_bytes: 64 << 20,
        text_bytes: 16 << 20,
        pages: 10_000,
        memory_bytes: 2 << 30,
        time: Duration::from_secs(60),
    };
}
