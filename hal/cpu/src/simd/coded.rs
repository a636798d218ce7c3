//! Quantised weights as integers, two of one output side by side in a lane.
//!
//! A weight of every quantised type is `scale · code + min` with a code from 0 up, so a part of an output is
//! scale · Σ code · x + min · Σ x. Where x is an integer too (see [`super::narrow`]), the first sum is exact.

use super::format::*;
use super::lanes::Lanes;

/// A format of integers. Words hold eight inner elements.
///
/// # Safety
/// As [`Format`].
pub trait Coded: Format {
    /// The codes of inner elements `j` and `j + 4` of a word: in the lower and the upper half of each lane.
    unsafe fn pair<S: Lanes>(word: Self::Word<S>, j: usize) -> S::U;
    /// Scale and minimum of the codes of part `sub`.
    unsafe fn affine<S: Lanes>(block: *const u8, sub: usize) -> (S::F, S::F);
}

/// Inner elements that a word's pairs have.
pub const PAIRS_PER_WORD: usize = 4;

/// Inner elements of a part.
pub const fn part<F: Coded>() -> usize {
    F::WORDS * F::PER_WORD
}

macro_rules! coded {
    ($($name:ident: pair |$word:ident, $j:ident| $pair:expr, affine |$block:ident, $sub:ident| $affine:expr;)*) => {$(
        // SAFETY (all blocks): the traits' contracts, and offsets that stay below `BYTES`.
        #[allow(clippy::undocumented_unsafe_blocks, reason = "one argument for all")]
        impl Coded for $name {
            #[inline(always)]
            unsafe fn pair<S: Lanes>($word: Self::Word<S>, $j: usize) -> S::U {
                unsafe { $pair }
            }
            #[inline(always)]
            unsafe fn affine<S: Lanes>($block: *const u8, $sub: usize) -> (S::F, S::F) {
                unsafe { $affine }
            }
        }

        const _: () = assert!($name::PER_WORD == 2 * PAIRS_PER_WORD);
    )*};
}

coded! {
    Q4_0: pair |v, j| nibbles::<S>(v, j), affine |b, _sub| below::<S>(b, -8.0);
    Q4_1: pair |v, j| nibbles::<S>(v, j), affine |b, _sub| with_minimum::<S>(b);
    Q5_0: pair |v, j| five_bits::<S>(v, j), affine |b, _sub| below::<S>(b, -16.0);
    Q5_1: pair |v, j| five_bits::<S>(v, j), affine |b, _sub| with_minimum::<S>(b);
    Q8_0: pair |v, j| {
        let word = if j < 2 { v.0 } else { v.1 };
        S::and(if j.is_multiple_of(2) { word } else { S::shr(word, 8) }, 0x00ff_00ff)
    }, affine |b, _sub| below::<S>(b, -128.0);
    Q4K: pair |v, j| nibbles::<S>(v, j), affine |b, sub| super_scale::<S>(b, sub);
    Q5K: pair |v, j| five_bits::<S>(v, j), affine |b, sub| super_scale::<S>(b, sub);
    Q6K: pair |v, j| {
        let high = if j < 2 { S::shl(v.1, 4 - 2 * j as u32) } else { S::shr(v.1, 2 * j as u32 - 4) };
        S::or(nibbles::<S>(v.0, j), S::and(high, 0x0030_0030))
    }, affine |b, sub| <Q6K as Format>::scale::<S>(b, sub);
}

/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn nibbles<S: Lanes>(word: S::U, j: usize) -> S::U {
    // SAFETY: the caller's contract.
    unsafe { S::and(if j == 0 { word } else { S::shr(word, 4 * j as u32) }, 0x000f_000f) }
}

/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn five_bits<S: Lanes>(word: (S::U, S::U), j: usize) -> S::U {
    // SAFETY: the caller's contract.
    unsafe { S::or(nibbles::<S>(word.0, j), S::and(S::shl(word.1, 4 - j as u32), 0x0010_0010)) }
}

/// Codes that are stored as so much more than they stand for.
///
/// # Safety
/// The contract of [`Lanes`]; a block begins with its scales.
#[inline(always)]
unsafe fn below<S: Lanes>(block: *const u8, zero: f32) -> (S::F, S::F) {
    // SAFETY: the caller's contract.
    unsafe {
        let scale = S::load_f16(block.cast());
        (scale, S::mul(scale, S::splat(zero)))
    }
}

/// # Safety
/// The contract of [`Lanes`]; a block begins with its scales, and then its minima.
#[inline(always)]
unsafe fn with_minimum<S: Lanes>(block: *const u8) -> (S::F, S::F) {
    // SAFETY: the caller's contract.
    unsafe { (S::load_f16(block.cast()), S::load_f16(block.add(32).cast())) }
}
