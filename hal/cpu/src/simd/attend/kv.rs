//! Element types of page memory.

use crate::simd::lanes::Lanes;

/// An element type of page memory.
///
/// # Safety
/// The contract of [`Lanes`].
pub trait Kv: Copy + 'static {
    /// Sixteen consecutive elements.
    unsafe fn load<S: Lanes>(from: *const Self) -> S::F;
    /// Eight elements from each pointer.
    unsafe fn load_pair<S: Lanes>(low: *const Self, high: *const Self) -> S::F;
    /// Writes sixteen consecutive elements.
    unsafe fn store<S: Lanes>(to: *mut Self, x: S::F);
}

// SAFETY (all blocks): the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Kv for u16 {
    #[inline(always)]
    unsafe fn load<S: Lanes>(from: *const u16) -> S::F {
        unsafe { S::load_f16(from) }
    }
    #[inline(always)]
    unsafe fn load_pair<S: Lanes>(low: *const u16, high: *const u16) -> S::F {
        unsafe { S::load_f16_pair(low, high) }
    }
    #[inline(always)]
    unsafe fn store<S: Lanes>(to: *mut u16, x: S::F) {
        unsafe { S::store_f16(to, x) }
    }
}

// SAFETY (all blocks): the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Kv for f32 {
    #[inline(always)]
    unsafe fn load<S: Lanes>(from: *const f32) -> S::F {
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn load_pair<S: Lanes>(low: *const f32, high: *const f32) -> S::F {
        unsafe { S::load_pair(low, high) }
    }
    #[inline(always)]
    unsafe fn store<S: Lanes>(to: *mut f32, x: S::F) {
        unsafe { S::store(to, x) }
    }
}
