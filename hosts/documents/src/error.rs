//! Why a file gives no document.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a file gives no document. Whoever reports one names the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentError {
    /// The file is larger than what is read.
    TooLarge {
        /// Its bytes.
        found: u64,
        /// How many would fit.
        limit: u64,
    },
    /// Its text is longer than what is kept.
    TooLong {
        /// Bytes of text that would fit.
        limit: u64,
    },
    /// It is none of the kinds that are read.
    Unknown {
        /// What it looks like, in a few words.
        looks_like: String,
    },
    /// It has more pages than what is read.
    Pages {
        /// Its pages.
        found: u32,
        /// How many would fit.
        limit: u32,
    },
    /// It is a PDF that is locked with a password.
    Locked,
    /// It begins as a PDF and is none.
    Broken,
    /// There is no text in it: a scan, or nothing at all.
    Empty,
    /// Reading it took longer than it may.
    TooSlow {
        /// Seconds that there were.
        limit_s: u64,
    },
    /// The process that read it ended without an answer: out of memory, or the library below it failed.
    Ended {
        /// How it ended, as the system says.
        how: String,
    },
    /// The system refuses to read it, or to start the process that reads it.
    System {
        /// What was tried.
        action: String,
        /// What the system said.
        error: String,
    },
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::TooLarge { found, limit } => {
                write!(f, "the file has {found} bytes; {limit} would fit")
            }
            DocumentError::TooLong { limit } => {
                write!(f, "its text is longer than the {limit} bytes that would fit; split the file")
            }
            DocumentError::Unknown { looks_like } => {
                write!(f, "it is {looks_like}; text, Markdown, HTML and PDF would fit")
            }
            DocumentError::Pages { found, limit } => {
                write!(f, "it has {found} pages; {limit} would fit")
            }
            DocumentError::Locked => {
                f.write_str("the PDF is locked with a password; a copy without one would fit")
            }
            DocumentError::Broken => f.write_str("the file begins as a PDF and cannot be read as one"),
            DocumentError::Empty => {
                f.write_str("there is no text in it; a scan with its recognised text would fit")
            }
            DocumentError::TooSlow { limit_s } => {
                write!(f, "reading it took longer than {limit_s} s; a simpler copy would fit")
            }
            DocumentError::Ended { how } => {
                write!(f, "the process that read it ended without an answer ({how})")
            }
            DocumentError::System { action, error } => write!(f, "cannot {action}: {error}"),
        }
    }
}

impl std::error::Error for DocumentError {}
