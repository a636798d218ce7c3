//! Knowledge that was computed once: collections of documents, their passages, and the slices that these are
//! made of.
//!
//! A collection stands behind one prefix, which its passages and the agents that are granted it share. A
//! document is entered whole or not at all, so that whoever enters many can be stopped and go on later: what is
//! listed needs not be done again. What was computed of one that is not entered yet can be put aside ([`aside`]). A slice that no passage names any more goes with the last that did.

pub mod aside;
mod enter;
mod keys;
mod load;
mod read;
mod records;
mod remove;

pub use enter::Entered;
pub(crate) use load::load;
pub use read::{Schemas, SlicePlace};
pub use remove::Removed;

use agentos_hal::StoreKey;

/// Most bytes of a collection's name.
pub const NAME_BYTES: usize = 256;
/// Most bytes of a document's path.
pub const PATH_BYTES: usize = 4096;
/// Most bytes of a collection's settings.
pub const SETTINGS_BYTES: usize = 1 << 16;
/// Most slices of a passage.
pub const PASSAGE_SLICES: usize = 256;
/// Most tokens of a passage.
pub const PASSAGE_TOKENS: usize = 1 << 14;
/// Most bytes of what a host says of a passage's place.
pub const PLACE_BYTES: usize = 4096;
/// Most heavy tokens of a slice.
pub const HEAVY_TOKENS: usize = 64;
/// Most numbers of a vector of a schema.
pub const SCHEMA_NUMBERS: usize = 1 << 15;

/// A collection of documents behind one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its name: the only one of the store.
    pub name: String,
    /// The hash of the prefix's tokens, or of its last slice.
    pub prefix: [u8; 32],
    /// When the store is full, slices of pinned collections do not go for others.
    pub pinned: bool,
    /// What else the host wants to know of it.
    pub settings: Vec<u8>,
}

/// A document of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its number: the only one of the store, and never used again.
    pub number: u64,
    /// Its path.
    pub path: String,
    /// The hash of its content.
    pub content: [u8; 32],
    /// What its file looked like.
    pub modified: Modified,
    /// How many passages it has.
    pub passages: u32,
}

/// What a file looks like from outside: while that stays, its content needs not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Modified {
    /// Its bytes.
    pub bytes: u64,
    /// When it was written, in nanoseconds since the beginning of 1970.
    pub at_ns: u64,
}

/// A passage of a document: a group of whole slices behind the collection's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Where it is in the document's text, in bytes.
    pub bytes: std::ops::Range<u64>,
    /// Where it is for a reader: a page, a heading.
    pub place: String,
    /// The hash of its content.
    pub content: [u8; 32],
    /// Its slices, in order.
    pub slices: Vec<PassageSlice>,
}

/// A slice of a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassageSlice {
    /// Its identity: the chain of the prefix, the slices before it, and itself.
    pub key: StoreKey,
    /// Its tokens.
    pub tokens: u8,
    /// The tokens that drew most attention.
    pub heavy: Vec<u32>,
}

/// What finds a slice. Kept in half precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Its mean key at the relevance layer, all key/value heads.
    pub mean_key: Vec<f32>,
    /// Its pooled hidden row at the slicing layer.
    pub hidden: Vec<f32>,
}

/// A passage of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassageId {
    /// The number of its document.
    pub document: u64,
    /// Which of the document's passages it is, counted from 0.
    pub passage: u32,
}

/// A document with all that belongs to it, to be entered.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its path within the collection.
    pub path: String,
    /// The hash of its content.
    pub content: [u8; 32],
    /// What its file looks like.
    pub modified: Modified,
    /// Its passages, each with a schema per slice.
    pub passages: Vec<(Passage, Vec<Schema>)>,
}
