//! Memory: slices, where they are, and who maps them (paper §2.2, §3.2).
//!
//! * [`hash`]: the identity of a slice, by its tokens and by everything before it.
//! * [`index`]: from an identity to a slice.
//! * [`arena`]: the second tier (L2), frames for page images.
//! * [`pack`]: page images as int8 with a scale per token and head.

pub mod arena;
pub mod hash;
pub mod index;
pub mod pack;
