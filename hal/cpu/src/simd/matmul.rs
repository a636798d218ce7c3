//! Matrix products of packed weights and inputs in `f32`.
//!
//! Every output is one chain of fused multiply-adds over the inner dimension in sequence, whatever
//! the number of rows. So the two ways below give the same bits, and the choice between them is one
//! of speed only: few rows use weights straight from their packed form; more rows unpack a stretch of
//! a strip into the first-level cache, for all of them.

use super::format::{Format, GROUPS, STRIP};
use super::lanes::{LANES, Lanes};
use super::narrow::Scale;

/// Inner elements of a stretch: with as many of some rows, it fits the first-level cache. A multiple of
/// the parts of all formats.
pub const STRETCH: usize = 128;

/// How far ahead weights are asked for.
const PREFETCH_BYTES: usize = 4096;

/// The elements of a word one after the other, as code without a loop: shifts and masks become constants.
macro_rules! unrolled {
    ($i:ident < $count:expr, $body:block) => {
        unrolled!(@ $i, $count, $body, 0, 1, 2, 3, 4, 5, 6, 7)
    };
    (@ $i:ident, $count:expr, $body:block, $($number:literal),*) => {
        $({
            let $i = $number;
            if $i < $count $body
        })*
    };
}
pub(super) use unrolled;

/// Calls `tile` for all rows, in tiles that fill the registers: eight rows or two; where eight do not divide
/// the rows, tiles are as equal as can be. A tile takes its first row last, and returns its rows.
macro_rules! in_tiles {
    ($lanes:ident, $rows:expr, $tile:ident($($argument:expr),*)) => {{
        let mut row = 0;
        while row < $rows {
            let rest = $rows - row;
            row += match rest.div_ceil(rest.div_ceil($lanes::SUMS / GROUPS)) {
                8 if $lanes::SUMS >= 8 * GROUPS => $tile::<$lanes, 8>($($argument,)* row),
                7 if $lanes::SUMS >= 7 * GROUPS => $tile::<$lanes, 7>($($argument,)* row),
                6 if $lanes::SUMS >= 6 * GROUPS => $tile::<$lanes, 6>($($argument,)* row),
                5 if $lanes::SUMS >= 5 * GROUPS => $tile::<$lanes, 5>($($argument,)* row),
                4 if $lanes::SUMS >= 4 * GROUPS => $tile::<$lanes, 4>($($argument,)* row),
                2 => $tile::<$lanes, 2>($($argument,)* row),
                _ => $tile::<$lanes, 1>($($argument,)* row),
            };
        }
    }};
}
pub(super) use in_tiles;

/// One matrix product: out\[r\]\[o\] = Σ weight\[o\]\[k\] · x\[r\]\[k\], or added to out.
#[derive(Clone, Copy)]
pub struct MatMul {
    /// Row 0 of the input.
    pub x: *const f32,
    /// From one row of the input to the next, in elements.
    pub x_stride: usize,
    /// Row 0 of the input as integers, and what belongs to its blocks (see [`super::narrow`]): `inner`
    /// elements a row. Of use only to [`super::dots`], which uses them in the place of `x`.
    pub codes: *const i16,
    /// One for each block of `codes`.
    pub scales: *const Scale,
    /// Rows; at least 1.
    pub rows: usize,
    /// The packed matrix.
    pub weights: *const u8,
    /// Bytes of a strip.
    pub strip_bytes: usize,
    /// Inner elements.
    pub inner: usize,
    /// Row 0 of the output; rows are whole strips wide.
    pub out: *mut f32,
    /// From one row of the output to the next, in elements.
    pub out_stride: usize,
    /// Add to the output.
    pub accumulate: bool,
}

/// A stretch of a strip, unpacked, and the place of its outputs.
///
/// Aligned, and with it the frame of [`strip`]: registers that are kept there would else straddle cache
/// lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Panel {
    /// [`STRIP`] weights for each inner element of the stretch.
    pub weights: *const f32,
    /// The stretch.
    pub first: usize,
    /// Its inner elements.
    pub len: usize,
    /// Sums between two stretches: [`STRIP`] for each row.
    pub sums: *mut f32,
    /// The strip of row 0 of the output.
    pub out: *mut f32,
    /// The packed weights that come after the stretch, and how many lines of them the next one has.
    pub ahead: (*const u8, usize),
}

/// Computes one strip of outputs for all rows. `multiply` is [`multiply`] for the instruction set.
///
/// # Safety
/// The contract of [`Lanes`]; the pointers of `product` are valid for its sizes, nobody else touches
/// this strip of the output meanwhile, and `scratch` has room for `STRETCH + rows` times [`STRIP`]
/// numbers.
#[inline(always)]
pub unsafe fn strip<S: Lanes, F: Format>(
    product: &MatMul,
    strip: usize,
    scratch: *mut f32,
    multiply: unsafe fn(&MatMul, &Panel),
) {
    // SAFETY: the caller's contract; stretches lie below `inner`.
    unsafe {
        let weights = product.weights.add(strip * product.strip_bytes);
        let out = product.out.add(strip * STRIP);
        match product.rows {
            1 => tile::<S, F, 1>(product, weights, out),
            2 => tile::<S, F, 2>(product, weights, out),
            3 if S::SUMS >= 3 * GROUPS => tile::<S, F, 3>(product, weights, out),
            4 if S::SUMS >= 4 * GROUPS => tile::<S, F, 4>(product, weights, out),
            _ => {
                let sums = scratch.add(STRETCH * STRIP);
                for first in (0..product.inner).step_by(STRETCH) {
                    let len = (product.inner - first).min(STRETCH);
                    unpack::<S, F>(weights, first, len, scratch);
                    let ahead = ahead::<F>(weights, first, len);
                    multiply(product, &Panel { weights: scratch, first, len, sums, out, ahead });
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
pub unsafe fn multiply<S: Lanes>(product: &MatMul, panel: &Panel) {
    // SAFETY: the caller's contract.
    unsafe { in_tiles!(S, product.rows, panel_tile(product, panel)) }
}

/// `R` rows of a stretch; returns `R`.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn panel_tile<S: Lanes, const R: usize>(product: &MatMul, panel: &Panel, row: usize) -> usize {
    // SAFETY: the caller's contract.
    unsafe {
        let x = product.x.add(row * product.x_stride + panel.first);
        let x: [*const f32; R] = row_pointers(x, product.x_stride);
        let kept = panel.sums.add(row * STRIP);
        let mut sums = [[S::splat(0.0); GROUPS]; R];
        if panel.first > 0 {
            for row in 0..R {
                for group in 0..GROUPS {
                    sums[row][group] = S::load(kept.add(row * STRIP + group * LANES));
                }
            }
        }
        // Asked for a line at a time between the products, the next weights come while these are used. All
        // at once they would have to wait for each other, and the products for them.
        let (ahead, lines) = panel.ahead;
        let asking = if row == 0 { lines.min(panel.len) } else { 0 };
        for k in 0..asking {
            S::prefetch(ahead.wrapping_add(64 * k));
            multiply_add::<S, R>(&mut sums, panel.weights.add(k * STRIP), &x, k);
        }
        for k in asking..panel.len {
            multiply_add::<S, R>(&mut sums, panel.weights.add(k * STRIP), &x, k);
        }
        if panel.first + panel.len < product.inner {
            write::<S, R>(&sums, kept, STRIP, false);
        } else {
            write::<S, R>(
                &sums,
                panel.out.add(row * product.out_stride),
                product.out_stride,
                product.accumulate,
            );
        }
        R
    }
}

/// `R` rows of one strip, straight from packed weights.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn tile<S: Lanes, F: Format, const R: usize>(product: &MatMul, weights: *const u8, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let x: [*const f32; R] = row_pointers(product.x, product.x_stride);
        let mut sums = [[S::splat(0.0); GROUPS]; R];
        let mut k = 0;
        for block in 0..product.inner / F::BLOCK {
            let block = weights.add(block * GROUPS * F::BYTES);
            prefetch_block::<S, F>(block);
            for sub in 0..F::SUBS {
                let scales = scales::<S, F>(block, sub);
                for word in 0..F::WORDS {
                    let words = words::<S, F>(block, sub, word);
                    unrolled!(i < F::PER_WORD, {
                        for group in 0..GROUPS {
                            let weight = F::weight::<S>(words[group], i, scales[group]);
                            for row in 0..R {
                                let x = S::splat(*x[row].add(k + i));
                                sums[row][group] = S::fma(weight, x, sums[row][group]);
                            }
                        }
                    });
                    k += F::PER_WORD;
                }
            }
        }
        write::<S, R>(&sums, out, product.out_stride, product.accumulate);
    }
}

/// What follows the stretch of `len` inner elements from `first` on: where it is, and how many lines the
/// next stretch has of it, if it is as long.
pub fn ahead<F: Format>(weights: *const u8, first: usize, len: usize) -> (*const u8, usize) {
    let bytes = |inner: usize| inner * GROUPS * F::BYTES / F::BLOCK;
    (weights.wrapping_add(bytes(first + len)), bytes(len).div_ceil(64))
}

/// Unpacks inner elements `first` to `first + len` of a strip, whole parts: [`STRIP`] weights for each.
///
/// # Safety
/// The contract of [`Lanes`]; `weights` is a whole strip and `out` has room for `len` · [`STRIP`]
/// numbers.
#[inline(always)]
pub unsafe fn unpack<S: Lanes, F: Format>(weights: *const u8, first: usize, len: usize, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let part = F::WORDS * F::PER_WORD;
        for number in first / part..(first + len) / part {
            let block = weights.add(number / F::SUBS * GROUPS * F::BYTES);
            unpack_part::<S, F>(block, number % F::SUBS, out.add((number * part - first) * STRIP));
        }
    }
}

/// # Safety
/// As [`unpack`], for part `sub` of one block.
#[inline(always)]
unsafe fn unpack_part<S: Lanes, F: Format>(block: *const u8, sub: usize, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        for group in 0..GROUPS {
            let block = block.add(group * F::BYTES);
            let scale = F::scale::<S>(block, sub);
            for word in 0..F::WORDS {
                let packed = F::word::<S>(block, sub, word);
                unrolled!(i < F::PER_WORD, {
                    let at = (word * F::PER_WORD + i) * STRIP + group * LANES;
                    S::store(out.add(at), F::weight::<S>(packed, i, scale));
                });
            }
        }
    }
}

/// Asks for the blocks that come some kilobytes later: weights are read once per step, from end to
/// end, faster than the hardware's own prefetching begins.
///
/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
pub unsafe fn prefetch_block<S: Lanes, F: Format>(block: *const u8) {
    for line in (0..GROUPS * F::BYTES).step_by(64) {
        // SAFETY: a prefetch may name any address.
        unsafe { S::prefetch(block.wrapping_add(PREFETCH_BYTES + line)) };
    }
}

/// Asks for the weights that [`prefetch_block`] will not have asked for when a strip begins.
pub fn prefetch_ahead<S: Lanes>(weights: *const u8) {
    for line in (0..PREFETCH_BYTES).step_by(64) {
        // SAFETY: a prefetch may name any address, and every x86-64 machine has the instruction.
        unsafe { S::prefetch(weights.wrapping_add(line)) };
    }
}

// Arrays of registers are written out, not made by closures: a closure does not inherit the
// instruction set of the function that it is inlined into.

/// # Safety
/// The contract of [`Format`], for three blocks in a row.
#[inline(always)]
unsafe fn scales<S: Lanes, F: Format>(block: *const u8, sub: usize) -> [F::Scale<S>; GROUPS] {
    // SAFETY: the caller's contract.
    unsafe {
        [
            F::scale::<S>(block, sub),
            F::scale::<S>(block.add(F::BYTES), sub),
            F::scale::<S>(block.add(2 * F::BYTES), sub),
        ]
    }
}

/// # Safety
/// As [`scales`].
#[inline(always)]
pub unsafe fn words<S: Lanes, F: Format>(block: *const u8, sub: usize, word: usize) -> [F::Word<S>; GROUPS] {
    // SAFETY: the caller's contract.
    unsafe {
        [
            F::word::<S>(block, sub, word),
            F::word::<S>(block.add(F::BYTES), sub, word),
            F::word::<S>(block.add(2 * F::BYTES), sub, word),
        ]
    }
}

/// # Safety
/// `x` has `R` rows of `stride` elements.
#[inline(always)]
unsafe fn row_pointers<const R: usize>(x: *const f32, stride: usize) -> [*const f32; R] {
    // SAFETY: the caller's contract.
    core::array::from_fn(|row| unsafe { x.add(row * stride) })
}

/// Adds one inner element's products. Whichever are fewer, weights or inputs, are loaded first and held:
/// the other order would need more registers than there are.
///
/// # Safety
/// The contract of [`Lanes`]; every row of `x` has more than `k` elements, and there is a [`STRIP`] of
/// weights.
#[inline(always)]
unsafe fn multiply_add<S: Lanes, const R: usize>(
    sums: &mut [[S::F; GROUPS]; R],
    weights: *const f32,
    x: &[*const f32; R],
    k: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        if R < GROUPS {
            let mut inputs = [S::splat(0.0); R];
            for row in 0..R {
                inputs[row] = S::splat(*x[row].add(k));
            }
            for group in 0..GROUPS {
                let weight = S::load(weights.add(group * LANES));
                for row in 0..R {
                    sums[row][group] = S::fma(weight, inputs[row], sums[row][group]);
                }
            }
        } else {
            let mut held = [S::splat(0.0); GROUPS];
            for group in 0..GROUPS {
                held[group] = S::load(weights.add(group * LANES));
            }
            for row in 0..R {
                let input = S::splat(*x[row].add(k));
                for group in 0..GROUPS {
                    sums[row][group] = S::fma(held[group], input, sums[row][group]);
                }
            }
        }
    }
}

/// # Safety
/// The contract of [`Lanes`]; `out` has `R` rows of whole strips.
#[inline(always)]
pub unsafe fn write<S: Lanes, const R: usize>(
    sums: &[[S::F; GROUPS]; R],
    out: *mut f32,
    stride: usize,
    accumulate: bool,
) {
    for (row, sums) in sums.iter().enumerate() {
        for (group, &sum) in sums.iter().enumerate() {
            // SAFETY: the caller's contract.
            unsafe {
                let out = out.add(row * stride + group * LANES);
                S::store(out, if accumulate { S::add(S::load(out), sum) } else { sum });
            }
        }
    }
}
