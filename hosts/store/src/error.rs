//! Why a store is not opened, and why it does not do what a host asks of it. What the kernel is told is
//! [`StoreError`](agentos_hal::StoreError).

use std::fmt;
use std::io;

use agentos_hal::{StoreError, StoreKey};

/// Why a store is not opened. Nothing was changed in the file, except that what a crash left over may have been
/// put in order.
#[derive(Debug)]
pub enum OpenError {
    /// The file, or its folder, cannot be read or written.
    Io(io::Error),
    /// The file is no store.
    Foreign,
    /// Another program writes to the store.
    InUse {
        /// The number of its process, where that is known.
        by: Option<u32>,
    },
    /// The store was written by a program that writes it otherwise.
    Version {
        /// The version that it has.
        found: u32,
        /// The version that would fit.
        expected: u32,
    },
    /// The store was made for another model, tokenizer, element type or slice layout.
    Identity {
        /// What it was made for.
        found: [u8; 32],
        /// What it is opened for.
        expected: [u8; 32],
    },
    /// The store was made for page images of other sizes.
    Layout {
        /// Bytes of its page images.
        found: u64,
        /// Bytes of those that it is opened for.
        expected: u64,
    },
    /// The file is cut off, or is not what was written.
    Damaged(String),
    /// A crash left the store to be put in order, which takes opening it for writing.
    NeedsRepair,
    /// A crash left the store to be put in order, and it cannot be opened for writing to do so.
    Unrepaired(Box<OpenError>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io(error) => write!(f, "the store cannot be opened: {error}"),
            OpenError::Foreign => {
                f.write_str("the file is no store of slices; name another, or one that does not exist yet")
            }
            OpenError::InUse { by: Some(process) } => {
                write!(f, "process {process} writes to the store; end it, or open the store to read only")
            }
            OpenError::InUse { by: None } => {
                f.write_str("another program uses the store; end it, or open the store to read only")
            }
            OpenError::Version { found, expected } => write!(
                f,
                "the store is of version {found}; this program reads version {expected}, so name another file"
            ),
            OpenError::Identity { found, expected } => write!(
                f,
                "the store was made for {}, a model, tokenizer or layout other than {}; name another file",
                Short(found),
                Short(expected)
            ),
            OpenError::Layout { found, expected } => write!(
                f,
                "the store was made for page images of {found} bytes; those of this model have {expected}, laid \
                 out otherwise, so name another file"
            ),
            OpenError::Damaged(what) => {
                write!(f, "the store is damaged: {what}. Move the file away; what it held is computed anew")
            }
            OpenError::NeedsRepair => {
                f.write_str("the store was not closed; open it once for writing, so that it is put in order")
            }
            OpenError::Unrepaired(why) => {
                write!(f, "the store was not closed, and cannot be put in order, which writes to it: {why}")
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io(error) => Some(error),
            OpenError::Unrepaired(why) => Some(why.as_ref()),
            _ => None,
        }
    }
}

/// Why a store does not do what a host asks about collections. It is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnowledgeError {
    /// The store itself fails.
    Store(StoreError),
    /// There is no such collection.
    NoCollection {
        /// The name asked for.
        name: String,
    },
    /// The collection exists, behind another prefix.
    Prefix {
        /// Its name.
        name: String,
    },
    /// A slice of a passage is not in the store, or not durable yet.
    NoSlice {
        /// The slice.
        key: StoreKey,
        /// The passage, counted from 0.
        passage: usize,
    },
    /// Something is longer than it may be.
    TooLong {
        /// What.
        what: &'static str,
        /// Its bytes, or how many there are.
        found: usize,
        /// What would fit.
        most: usize,
    },
    /// A passage has as many schemas as slices, of as many numbers as those of its collection have.
    Schemas {
        /// The passage, counted from 0.
        passage: usize,
        /// How many there are.
        found: usize,
        /// How many would fit.
        expected: usize,
    },
}

impl fmt::Display for KnowledgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KnowledgeError::Store(error) => error.fmt(f),
            KnowledgeError::NoCollection { name } => write!(f, "the store has no collection \"{name}\""),
            KnowledgeError::Prefix { name } => {
                write!(
                    f,
                    "the collection \"{name}\" stands behind another prefix; remove it, or name another"
                )
            }
            KnowledgeError::NoSlice { key, passage } => {
                write!(f, "slice {key:?} of passage {passage} is not in the store; put it there first")
            }
            KnowledgeError::TooLong { what, found, most } => {
                write!(f, "{what} has {found}; {most} would fit")
            }
            KnowledgeError::Schemas { passage, found, expected } => {
                write!(f, "the schemas of passage {passage} have {found}; {expected} would fit")
            }
        }
    }
}

impl std::error::Error for KnowledgeError {}

impl From<StoreError> for KnowledgeError {
    fn from(error: StoreError) -> Self {
        KnowledgeError::Store(error)
    }
}

struct Short<'h>(&'h [u8; 32]);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
