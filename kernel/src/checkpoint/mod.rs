//! Checkpoints: agents as bytes (paper §4, context checkpointing).
//!
//! A checkpoint is, in this order, integers little endian and records in the postcard format:
//!
//! 1. [`MAGIC`], and [`VERSION`] as two bytes;
//! 2. a [`Header`]: what results depend on;
//! 3. per agent an [`AgentRecord`], its tokens and its inbox as words, the queries of its latest rows as the
//!    words of their numbers, then per mapping of its page table, and per slice that was sent to it, a
//!    [`MappingRecord`], the slice's schema and the images of its pages (see `agentos_hal::page`), unless an
//!    earlier mapping has them;
//! 4. the blake3 hash of all of this.
//!
//! A slice that is in the cold store alone is not in it, nor what comes behind that slice: it is looked for in the store
//! again, or computed again to the same bits.
//!
//! Identities of slices are not in it: they follow from the tokens, and are made from them when it is read.
//! So no checkpoint can give a slice the identity of other tokens. That what is in the pages was computed
//! from these tokens nobody can check without computing it again: whoever restores a checkpoint trusts
//! whoever made it that far, and no further.

mod error;
mod record;

pub use error::CheckpointError;
pub use record::{AgentRecord, CallRecord, Header, MappingRecord, Pages, RECORD_BYTES};

use serde::{Deserialize, Serialize};

/// What a checkpoint begins with.
pub const MAGIC: [u8; 8] = *b"AGENTOS\0";

/// The version of the format that this kernel writes, and the only one that it reads.
pub const VERSION: u16 = 9;

/// Bytes of the hash at the end.
pub const CHECKSUM_BYTES: usize = 32;

/// Which pages a checkpoint has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contents {
    /// Those of all agents: nothing is computed again.
    Pages,
    /// Only those of agents whose tokens alone would not give the same bits (see `Cursor::chain`). The
    /// others' are computed again after a restore, to the same bits.
    Tokens,
}

/// Whether `bytes` are a whole checkpoint in this version's format, undamaged.
///
/// # Errors
/// [`CheckpointError::NotACheckpoint`], [`CheckpointError::Version`], [`CheckpointError::Damaged`].
pub fn verify(bytes: &[u8]) -> Result<(), CheckpointError> {
    body(bytes)?;
    let (body, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if blake3::hash(body).as_bytes() == checksum {
        Ok(())
    } else {
        Err(CheckpointError::Damaged { at: None })
    }
}

/// What lies between the version and the checksum.
pub(crate) fn body(bytes: &[u8]) -> Result<&[u8], CheckpointError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(CheckpointError::NotACheckpoint)?;
    let (version, rest) = rest.split_first_chunk().ok_or(CheckpointError::Damaged { at: None })?;
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(CheckpointError::Version { found, expected: VERSION });
    }
    let end = rest.len().checked_sub(CHECKSUM_BYTES).ok_or(CheckpointError::Damaged { at: None })?;
    Ok(&rest[..end])
}
