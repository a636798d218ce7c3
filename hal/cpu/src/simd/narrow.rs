//! Inputs of matrix products as integers of 16 bits.
//!
//! Each 32 inputs are rounded to multiples of 1/32,767 of the greatest among them. The products of such
//! integers with the codes of quantised weights (see [`super::coded`]) are summed without any error, twice as
//! fast as in `f32`, and 32 at a time: no order of summation can change a bit there. What rounding costs is
//! at most 2⁻¹⁶ of the greatest input for each.

use bytemuck::{Pod, Zeroable};

use super::lanes::{LANES, Lanes};

/// Inputs that share a scale.
pub const BLOCK: usize = 2 * LANES;

/// The greatest integer.
const MOST: f32 = 32767.0;

/// Below it, inputs count as zeros: the reciprocal of a smaller number would overflow.
const LEAST: f32 = 1e-30;

/// What belongs to a block of integers.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Scale {
    /// The input that the integer 1 stands for; not a number when an input is not finite.
    pub scale: f32,
    /// The sum of the inputs, as rounded.
    pub sum: f32,
    /// The sums of the first and of the last sixteen.
    pub halves: [f32; 2],
}

/// Narrows a row of `width` inputs, whole blocks.
///
/// # Safety
/// The contract of [`Lanes`]; `x` and `codes` are valid for `width` elements and `scales` for one of each
/// block.
#[inline(always)]
pub unsafe fn narrow<S: Lanes>(x: *const f32, width: usize, codes: *mut i16, scales: *mut Scale) {
    for block in 0..width / BLOCK {
        // SAFETY: the caller's contract.
        unsafe {
            let at = block * BLOCK;
            let halves = [S::load(x.add(at)), S::load(x.add(at + LANES))];
            let zero = S::splat(0.0);
            let sizes = S::max(size::<S>(halves[0]), size::<S>(halves[1]));
            // Zero, but not a number where an input is none or infinite.
            let fault = S::sum(S::fma(halves[0], zero, S::mul(halves[1], zero)));
            let greatest = S::greatest(sizes);
            let (scale, inverse) =
                if greatest > LEAST { (greatest / MOST, MOST / greatest) } else { (0.0, 0.0) };
            let scale = scale + fault;
            let mut sums = [0.0; 2];
            for half in 0..2 {
                let whole = nearest::<S>(S::mul(halves[half], S::splat(inverse)));
                S::store_pairs(codes.add(at + half * LANES), whole);
                // Exact: whole numbers below 2²⁴.
                sums[half] = S::sum(whole);
            }
            *scales.add(block) =
                Scale { scale, sum: (sums[0] + sums[1]) * scale, halves: [sums[0] * scale, sums[1] * scale] };
        }
    }
}

/// |x|.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn size<S: Lanes>(x: S::F) -> S::F {
    // SAFETY: the caller's contract.
    unsafe { S::max(x, S::sub(S::splat(0.0), x)) }
}

/// The nearest whole number, the even one of two as near; for numbers below 2²².
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn nearest<S: Lanes>(x: S::F) -> S::F {
    // Numbers of this size have no fraction.
    const COARSE: f32 = 1.5 * (1u32 << 23) as f32;
    // SAFETY: the caller's contract.
    unsafe { S::sub(S::add(x, S::splat(COARSE)), S::splat(COARSE)) }
}
