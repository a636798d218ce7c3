//! Writing keys and values to page memory, and rotating keys before.

use agentos_hal::PAGE_TOKENS;

use super::attend::{Angles, Kv, angle};
use super::lanes::{LANES, Lanes};
use super::rows;

/// One row's keys and values of one layer, and where they go.
#[derive(Clone, Copy)]
pub struct StoreKv {
    /// Keys of all key/value heads.
    pub key: *const f32,
    /// Values of all key/value heads.
    pub value: *const f32,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head; a multiple of 16.
    pub head_dim: usize,
    /// Keys of the page at this layer, for the first head.
    pub keys: *mut u8,
    /// Its values for the first head.
    pub values: *mut u8,
    /// From one head to the next, in elements.
    pub head_stride: usize,
    /// The token's place in the page.
    pub place: usize,
}

/// Writes a row's keys (one column of the page per head) and values (one row of it).
///
/// # Safety
/// The contract of [`Lanes`]; pointers are valid for the sizes given, and nobody else touches this
/// place of the page meanwhile.
#[inline(always)]
pub unsafe fn store<S: Lanes, K: Kv>(task: &StoreKv) {
    for head in 0..task.kv_heads {
        for at in (0..task.head_dim).step_by(LANES) {
            // SAFETY: the caller's contract.
            unsafe {
                let keys = task.keys.cast::<K>().add(head * task.head_stride);
                let values = task.values.cast::<K>().add(head * task.head_stride);
                let from = head * task.head_dim + at;
                let values = values.add(task.place * task.head_dim + at);
                K::store::<S>(values, S::load(task.value.add(from)));
                let mut column = [core::mem::MaybeUninit::<K>::uninit(); LANES];
                K::store::<S>(column.as_mut_ptr().cast(), S::load(task.key.add(from)));
                for (i, key) in column.iter().enumerate() {
                    *keys.add((at + i) * PAGE_TOKENS + task.place) = key.assume_init();
                }
            }
        }
    }
}

/// Rotates `heads` heads of a row in place by `offset` positions. `scratch` has room for three times
/// `head_dim`.
///
/// # Safety
/// The contract of [`Lanes`]; pointers are valid for the sizes given.
#[inline(always)]
pub unsafe fn rotate_heads<S: Lanes>(
    angles: &Angles<'_>,
    offset: u32,
    x: *mut f32,
    heads: usize,
    head_dim: usize,
    scratch: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let (cos, partners) = (scratch, scratch.add(2 * head_dim));
        angle::<S>(angles, offset, head_dim, cos);
        for head in 0..heads {
            let x = x.add(head * head_dim);
            for (i, &partner) in angles.partner.iter().enumerate() {
                *partners.add(i) = *x.add(partner as usize);
            }
            rows::rotate::<S>(x, partners, cos, cos.add(head_dim), x, head_dim);
        }
    }
}
