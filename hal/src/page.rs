//! Page memory: the keys and values of eight tokens in all layers.
//!
//! The kernel owns page ids, the device owns page bytes in whatever order suits it. A **page image**
//! is the order in which pages travel (paging, checkpoints), the same for every device:
//!
//! for each layer, for each key/value head: keys as `[head_dim][PAGE_TOKENS]`, then values as
//! `[PAGE_TOKENS][head_dim]`, elements of the page memory's [`KvType`], little endian.
//!
//! Keys are stored with the tokens innermost because that is how kernels read them: one lane per
//! key, a chain over the dimensions.

use crate::limits::KvType;
use crate::shape::ModelShape;

/// Tokens of a page.
pub const PAGE_TOKENS: usize = 8;

/// A page of page memory: a number below `Limits::pages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PageId(pub u32);

/// Elements of the keys (or of the values) of one page, layer and key/value head.
pub const fn head_elements(shape: &ModelShape) -> usize {
    PAGE_TOKENS * shape.head_dim as usize
}

/// Bytes of one layer of a page.
pub const fn layer_bytes(shape: &ModelShape, kv: KvType) -> usize {
    2 * shape.kv_heads as usize * head_elements(shape) * kv.bytes()
}

/// Bytes of a page: the length of a page image.
pub const fn image_bytes(shape: &ModelShape, kv: KvType) -> usize {
    shape.layers as usize * layer_bytes(shape, kv)
}

/// Pages that hold `tokens` tokens.
pub const fn pages_for(tokens: u32) -> u32 {
    tokens.div_ceil(PAGE_TOKENS as u32)
}
