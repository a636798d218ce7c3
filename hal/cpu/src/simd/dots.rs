//! Matrix products of integers: quantised weights and narrowed inputs.
//!
//! A part of 16 or 32 inner elements is summed in integers, without error, and added to the output by one
//! chain of fused multiply-adds over the parts in sequence, whatever the number of rows. So all ways below
//! give the same bits, as those of [`super::matmul`] do among themselves.

use super::coded::{Coded, PAIRS_PER_WORD, part};
use super::format::{GROUPS, STRIP};
use super::lanes::{LANES, Lanes};
use super::matmul::{MatMul, STRETCH, ahead, in_tiles, prefetch_block, unrolled, words, write};
use super::narrow::{BLOCK, Scale};

/// A stretch of a strip as pairs of codes, and the place of its outputs. Aligned as
/// [`super::matmul::Panel`].
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Pairs {
    /// [`STRIP`] pairs for every two inner elements of the stretch.
    codes: *const u32,
    /// [`STRIP`] scales and as many minima for each part.
    affine: *const f32,
    /// Parts of the stretch.
    parts: usize,
    /// Inner elements of a part.
    part: usize,
    /// The first inner element.
    first: usize,
    /// Sums between two parts: [`STRIP`] for each row.
    sums: *mut f32,
    /// The strip of row 0 of the output.
    out: *mut f32,
    /// The packed weights that come after the stretch, and how many lines of them the next one has.
    ahead: (*const u8, usize),
}

/// Computes one strip of outputs for all rows. `multiply` is [`multiply`] for the instruction set.
///
/// # Safety
/// As [`super::matmul::strip`], with `product.codes` and `product.scales` in the place of `product.x`.
#[inline(always)]
pub unsafe fn strip<S: Lanes, F: Coded>(
    product: &MatMul,
    strip: usize,
    scratch: *mut f32,
    multiply: unsafe fn(&MatMul, &Pairs),
) {
    // SAFETY: the caller's contract; stretches lie below `inner`. Codes take half a stretch of scratch, and
    // scales and minima of eight parts an eighth.
    unsafe {
        let weights = product.weights.add(strip * product.strip_bytes);
        let out = product.out.add(strip * STRIP);
        match product.rows {
            1 => tile::<S, F, 1>(product, weights, out),
            2 => tile::<S, F, 2>(product, weights, out),
            3 if S::SUMS >= 3 * GROUPS => tile::<S, F, 3>(product, weights, out),
            4 if S::SUMS >= 4 * GROUPS => tile::<S, F, 4>(product, weights, out),
            _ => {
                let (codes, affine) = (scratch.cast::<u32>(), scratch.add(STRETCH / 2 * STRIP));
                let sums = scratch.add(STRETCH * STRIP);
                for first in (0..product.inner).step_by(STRETCH) {
                    let len = (product.inner - first).min(STRETCH);
                    unpack::<S, F>(weights, first, len, codes, affine);
                    let ahead = ahead::<F>(weights, first, len);
                    let (part, parts) = (part::<F>(), len / part::<F>());
                    multiply(product, &Pairs { codes, affine, parts, part, first, sums, out, ahead });
                }
            }
        }
    }
}

/// Multiplies all rows by a stretch.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
pub unsafe fn multiply<S: Lanes>(product: &MatMul, pairs: &Pairs) {
    // SAFETY: the caller's contract.
    unsafe { in_tiles!(S, product.rows, pairs_tile(product, pairs)) }
}

/// `R` rows of a stretch; returns `R`.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn pairs_tile<S: Lanes, const R: usize>(product: &MatMul, pairs: &Pairs, row: usize) -> usize {
    // SAFETY: the caller's contract.
    unsafe {
        let x: [*const u32; R] = row_pointers(product, row, pairs.first);
        let sums = pairs.sums.add(row * STRIP);
        let (mut ahead, mut lines) = pairs.ahead;
        if row > 0 {
            lines = 0;
        }
        for part in 0..pairs.parts {
            let first = part * pairs.part;
            let mut dots = [[S::splat_u32(0); GROUPS]; R];
            for pair in first / 2..(first + pairs.part) / 2 {
                // Between the products, as in `matmul`: a line for every second inner element.
                if lines > 0 {
                    S::prefetch(ahead);
                    (ahead, lines) = (ahead.wrapping_add(64), lines - 1);
                }
                let mut codes = [S::splat_u32(0); GROUPS];
                for group in 0..GROUPS {
                    codes[group] = S::load_u32(pairs.codes.add(pair * STRIP + group * LANES).cast());
                }
                for row in 0..R {
                    let x = S::splat_u32(*x[row].add(pair));
                    for group in 0..GROUPS {
                        dots[row][group] = S::dot_pairs(dots[row][group], codes[group], x);
                    }
                }
            }
            let begins = pairs.first + first == 0;
            let affine = pairs.affine.add(part * 2 * STRIP);
            for group in 0..GROUPS {
                let scale = S::load(affine.add(group * LANES));
                let min = S::load(affine.add(STRIP + group * LANES));
                for r in 0..R {
                    let (unit, sum) = scale_of(product, row + r, pairs.first + first, pairs.part);
                    let kept = sums.add(r * STRIP + group * LANES);
                    let before = if begins { S::splat(0.0) } else { S::load(kept) };
                    S::store(kept, add_part::<S>(before, dots[r][group], (scale, min), (unit, sum)));
                }
            }
        }
        if pairs.first + pairs.parts * pairs.part == product.inner {
            let mut done = [[S::splat(0.0); GROUPS]; R];
            for r in 0..R {
                for group in 0..GROUPS {
                    done[r][group] = S::load(sums.add(r * STRIP + group * LANES));
                }
            }
            let out = pairs.out.add(row * product.out_stride);
            write::<S, R>(&done, out, product.out_stride, product.accumulate);
        }
        R
    }
}

/// `R` rows of one strip, straight from packed weights.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn tile<S: Lanes, F: Coded, const R: usize>(product: &MatMul, weights: *const u8, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let x: [*const u32; R] = row_pointers(product, 0, 0);
        let mut sums = [[S::splat(0.0); GROUPS]; R];
        for block in 0..product.inner / F::BLOCK {
            let first = block * F::BLOCK;
            let block = weights.add(block * GROUPS * F::BYTES);
            prefetch_block::<S, F>(block);
            for sub in 0..F::SUBS {
                let first = first + sub * part::<F>();
                let mut dots = [[S::splat_u32(0); GROUPS]; R];
                for word in 0..F::WORDS {
                    let words = words::<S, F>(block, sub, word);
                    unrolled!(j < PAIRS_PER_WORD, {
                        let at = first / 2 + word * PAIRS_PER_WORD + j;
                        for group in 0..GROUPS {
                            let codes = F::pair::<S>(words[group], j);
                            for row in 0..R {
                                let x = S::splat_u32(*x[row].add(at));
                                dots[row][group] = S::dot_pairs(dots[row][group], codes, x);
                            }
                        }
                    });
                }
                for group in 0..GROUPS {
                    let affine = F::affine::<S>(block.add(group * F::BYTES), sub);
                    for row in 0..R {
                        let scale = scale_of(product, row, first, part::<F>());
                        sums[row][group] = add_part::<S>(sums[row][group], dots[row][group], affine, scale);
                    }
                }
            }
        }
        write::<S, R>(&sums, out, product.out_stride, product.accumulate);
    }
}

/// What a part adds to a sum: its scale · unit · Σ code · x, and min · Σ x.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn add_part<S: Lanes>(before: S::F, dots: S::U, affine: (S::F, S::F), scale: (f32, f32)) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        let unit = S::mul(affine.0, S::splat(scale.0));
        S::fma(affine.1, S::splat(scale.1), S::fma(S::int_to_f32(dots), unit, before))
    }
}

/// Unpacks inner elements `first` to `first + len` of a strip, whole parts: [`STRIP`] pairs for every two of
/// them, and [`STRIP`] scales and minima for each part.
///
/// # Safety
/// The contract of [`Lanes`]; `weights` is a whole strip, and there is room for what is unpacked.
#[inline(always)]
unsafe fn unpack<S: Lanes, F: Coded>(
    weights: *const u8,
    first: usize,
    len: usize,
    codes: *mut u32,
    affine: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for number in first / part::<F>()..(first + len) / part::<F>() {
            let block = weights.add(number / F::SUBS * GROUPS * F::BYTES);
            let (sub, nth) = (number % F::SUBS, number - first / part::<F>());
            for group in 0..GROUPS {
                let block = block.add(group * F::BYTES);
                let (scale, min) = F::affine::<S>(block, sub);
                S::store(affine.add(nth * 2 * STRIP + group * LANES), scale);
                S::store(affine.add((nth * 2 + 1) * STRIP + group * LANES), min);
                for word in 0..F::WORDS {
                    let packed = F::word::<S>(block, sub, word);
                    unrolled!(j < PAIRS_PER_WORD, {
                        let pair = nth * part::<F>() / 2 + word * PAIRS_PER_WORD + j;
                        S::store_u32(codes.add(pair * STRIP + group * LANES), F::pair::<S>(packed, j));
                    });
                }
            }
        }
    }
}

/// The pairs of some rows from inner element `first` on.
///
/// # Safety
/// `product.codes` has these rows.
#[inline(always)]
unsafe fn row_pointers<const R: usize>(product: &MatMul, row: usize, first: usize) -> [*const u32; R] {
    // SAFETY: the caller's contract.
    core::array::from_fn(|r| unsafe { product.codes.add((row + r) * product.inner + first).cast() })
}

/// The input that the integer 1 stands for in the part that begins at `first`, and the sum of its inputs.
///
/// # Safety
/// `product.scales` has this row.
#[inline(always)]
unsafe fn scale_of(product: &MatMul, row: usize, first: usize, part: usize) -> (f32, f32) {
    // SAFETY: the caller's contract.
    let scale: &Scale = unsafe { &*product.scales.add(row * (product.inner / BLOCK) + first / BLOCK) };
    (scale.scale, if part == BLOCK { scale.sum } else { scale.halves[first % BLOCK / LANES] })
}
