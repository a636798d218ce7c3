//! Memory: slices, where they are, and who maps them (paper §2.2, §3.2).
//!
//! * [`hash`]: the identity of a slice, by its tokens and by everything before it.
//! * [`index`]: from an identity to a slice.
//! * [`slices`]: the slice table, with reference counts.
//! * [`table`]: semantic page tables.
//! * [`arena`]: the second tier (L2), frames for page images.
//! * [`pack`]: page images as int8 with a scale per token and head.
//! * [`schema`]: what stays of a slice when it is not resident: its mean key.
//! * [`relevance`]: how relevant slices are to what an agent looks for.
//! * [`cold`]: what comes from and goes to the cold store (L3).
//! * [`pager`]: all of these together: sharing, copying on write, moving between tiers.
//! * `audit`: whether their books agree.
//! * [`admit`], [`evict`], [`select`]: who may come, whose pages go, what a bounded agent keeps; pure.

pub mod admit;
pub mod arena;
mod audit;
pub mod cold;
pub mod evict;
pub mod hash;
pub mod index;
pub mod pack;
pub mod pager;
pub mod relevance;
pub mod schema;
pub mod select;
pub mod slices;
pub mod table;

pub use hash::{Identity, SliceHash};
pub use pager::Pager;
pub use slices::{SLICE_PAGES, SliceId};
pub use table::{Fidelity, Mapping};
