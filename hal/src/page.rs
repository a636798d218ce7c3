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

/// Where element `dim` of the key of the token at `place` lies in a page image, in elements.
pub const fn key_element(shape: &ModelShape, layer: u32, kv_head: u32, place: usize, dim: usize) -> usize {
    head_start(shape, layer, kv_head) + dim * PAGE_TOKENS + place
}

/// Where element `dim` of the value of the token at `place` lies in a page image, in elements.
pub const fn value_element(shape: &ModelShape, layer: u32, kv_head: u32, place: usize, dim: usize) -> usize {
    head_start(shape, layer, kv_head) + head_elements(shape) + place * shape.head_dim as usize + dim
}

/// Where the keys of a key/value head begin in a page image, in elements; its values follow them
/// after [`head_elements`].
pub const fn head_start(shape: &ModelShape, layer: u32, kv_head: u32) -> usize {
    2 * (layer as usize * shape.kv_heads as usize + kv_head as usize) * head_elements(shape)
}

/// The mean of the first `tokens` keys of one head, which lie in `keys` as in a page image.
///
/// # Panics
/// When `keys` is shorter than `mean.len()` dimensions are.
pub fn mean_key(kv: KvType, keys: &[u8], tokens: usize, mean: &mut [f32]) {
    for (dim, mean) in mean.iter_mut().enumerate() {
        let key = |place| f64::from(kv.read(keys, dim * PAGE_TOKENS + place));
        *mean = ((0..tokens).map(key).sum::<f64>() / tokens as f64) as f32;
    }
}

/// Zeroes what a page image has in the places behind its first `tokens`: nobody's keys and values, but whatever the page
/// had before. Then pages of the same tokens have the same images.
///
/// # Panics
/// When a page does not have so many places.
pub fn clear_behind(head_dim: usize, kv: KvType, image: &mut [u8], tokens: usize) {
    let half = head_dim * PAGE_TOKENS * kv.bytes();
    for head in image.chunks_exact_mut(2 * half) {
        let (keys, values) = head.split_at_mut(half);
        for of_dimension in keys.chunks_exact_mut(PAGE_TOKENS * kv.bytes()) {
            of_dimension[tokens * kv.bytes()..].fill(0);
        }
        values[tokens * head_dim * kv.bytes()..].fill(0);
    }
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
