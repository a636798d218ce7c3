//! Matrix products over packed weights.
//!
//! Every output is one chain of fused multiply-adds over the inner dimension in sequence, whatever
//! the number of rows. So the three ways below give the same bits, and the choice between them is
//! one of speed only: few rows use weights straight from their packed form; eight rows unpack a block
//! into the first-level cache; many rows unpack a strip into the second-level cache once.

use core::mem::MaybeUninit;

use super::format::{F32, Format, GROUPS, STRIP};
use super::lanes::{LANES, Lanes};

/// Rows of the widest tile: 8 × 3 sums fill three quarters of the registers of AVX-512.
pub const TILE_ROWS: usize = 8;

/// With more rows than this a strip is unpacked once for all of them.
const UNPACK_ROWS: usize = 4 * TILE_ROWS;

/// How far ahead weights are asked for.
const PREFETCH_BYTES: usize = 4096;

/// One matrix product: out\[r\]\[o\] = Σ weight\[o\]\[k\] · x\[r\]\[k\], or added to out.
#[derive(Clone, Copy)]
pub struct MatMul {
    /// Row 0 of the input.
    pub x: *const f32,
    /// From one row of the input to the next, in elements.
    pub x_stride: usize,
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

/// Computes one strip of outputs for all rows.
///
/// # Safety
/// The contract of [`Lanes`]; the pointers of `product` are valid for its sizes, nobody else touches
/// this strip of the output meanwhile, and `panel` has room for `inner` · [`STRIP`] numbers.
#[inline(always)]
pub unsafe fn strip<S: Lanes, F: Format>(product: &MatMul, strip: usize, panel: *mut f32) {
    // SAFETY: the caller's contract; row and strip indices stay below the sizes given.
    unsafe {
        let weights = product.weights.add(strip * product.strip_bytes);
        let out = product.out.add(strip * STRIP);
        let once = product.rows > UNPACK_ROWS;
        if once {
            unpack::<S, F>(weights, product.inner, panel);
        }
        let mut row = 0;
        while row < product.rows {
            let rows = (product.rows - row).min(TILE_ROWS);
            let (x, out) = (product.x.add(row * product.x_stride), out.add(row * product.out_stride));
            match (rows, once) {
                (5.., true) => tile::<S, F32, TILE_ROWS>(product, x, rows, panel.cast(), out),
                (_, true) => few::<S, F32>(product, x, rows, panel.cast(), out),
                (_, false) => few::<S, F>(product, x, rows, weights, out),
            }
            row += rows;
        }
    }
}

/// # Safety
/// As [`strip`], with `rows` of 1 to 8.
#[inline(always)]
unsafe fn few<S: Lanes, F: Format>(
    product: &MatMul,
    x: *const f32,
    rows: usize,
    weights: *const u8,
    out: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match rows {
            1 => tile::<S, F, 1>(product, x, rows, weights, out),
            2 => tile::<S, F, 2>(product, x, rows, weights, out),
            3 | 4 => tile::<S, F, 4>(product, x, rows, weights, out),
            _ => staged_tile::<S, F>(product, x, rows, weights, out),
        }
    }
}

/// Up to `R` rows of one strip. Rows beyond `rows` repeat the last one and are not written.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn tile<S: Lanes, F: Format, const R: usize>(
    product: &MatMul,
    x: *const f32,
    rows: usize,
    weights: *const u8,
    out: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let x: [*const f32; R] = row_pointers(x, product.x_stride, rows);
        let mut sums = [[S::splat(0.0); GROUPS]; R];
        let mut k = 0;
        for block in 0..product.inner / F::BLOCK {
            let block = weights.add(block * GROUPS * F::BYTES);
            prefetch_block::<S, F>(block);
            for sub in 0..F::SUBS {
                let scales = scales::<S, F>(block, sub);
                for word in 0..F::WORDS {
                    let words = words::<S, F>(block, sub, word);
                    for i in 0..F::PER_WORD {
                        let weights = [
                            F::weight::<S>(words[0], i, scales[0]),
                            F::weight::<S>(words[1], i, scales[1]),
                            F::weight::<S>(words[2], i, scales[2]),
                        ];
                        multiply_add::<S, R>(&mut sums, weights, &x, k + i);
                    }
                    k += F::PER_WORD;
                }
            }
        }
        write::<S, R>(product, &sums, rows, out);
    }
}

/// The longest part of a block of any format, in inner elements.
const LONGEST_PART: usize = 32;

/// A part of a block, unpacked. Aligned, since a register that straddles two cache lines costs two
/// accesses.
#[repr(align(64))]
struct Staging {
    _weights: [[f32; STRIP]; LONGEST_PART],
}

/// Eight rows of one strip, for formats that are costly to unpack: each part of a block is unpacked
/// into a small buffer first, so that the sums and the unpacking do not compete for registers.
///
/// # Safety
/// As [`strip`].
#[inline(always)]
unsafe fn staged_tile<S: Lanes, F: Format>(
    product: &MatMul,
    x: *const f32,
    rows: usize,
    weights: *const u8,
    out: *mut f32,
) {
    // SAFETY: the caller's contract; a part of every format has at most `LONGEST_PART` elements, and
    // each is written before it is read.
    unsafe {
        let x: [*const f32; TILE_ROWS] = row_pointers(x, product.x_stride, rows);
        let mut buffer = MaybeUninit::<Staging>::uninit();
        let buffer = buffer.as_mut_ptr().cast::<f32>();
        let mut sums = [[S::splat(0.0); GROUPS]; TILE_ROWS];
        let part = F::WORDS * F::PER_WORD;
        let mut k = 0;
        for block in 0..product.inner / F::BLOCK {
            let block = weights.add(block * GROUPS * F::BYTES);
            prefetch_block::<S, F>(block);
            for sub in 0..F::SUBS {
                unpack_part::<S, F>(block, sub, buffer);
                for i in 0..part {
                    let at = buffer.add(i * STRIP);
                    let weights = [S::load(at), S::load(at.add(LANES)), S::load(at.add(2 * LANES))];
                    multiply_add::<S, TILE_ROWS>(&mut sums, weights, &x, k + i);
                }
                k += part;
            }
        }
        write::<S, TILE_ROWS>(product, &sums, rows, out);
    }
}

/// Unpacks a strip into the packed form of [`F32`].
///
/// # Safety
/// The contract of [`Lanes`]; `weights` is a whole strip and `panel` has room for
/// `inner` · [`STRIP`] numbers.
#[inline(always)]
pub unsafe fn unpack<S: Lanes, F: Format>(weights: *const u8, inner: usize, panel: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let part = F::WORDS * F::PER_WORD;
        let mut out = panel;
        for block in 0..inner / F::BLOCK {
            for sub in 0..F::SUBS {
                unpack_part::<S, F>(weights.add(block * GROUPS * F::BYTES), sub, out);
                out = out.add(part * STRIP);
            }
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
                for i in 0..F::PER_WORD {
                    let at = (word * F::PER_WORD + i) * STRIP + group * LANES;
                    S::store(out.add(at), F::weight::<S>(packed, i, scale));
                }
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
unsafe fn prefetch_block<S: Lanes, F: Format>(block: *const u8) {
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
unsafe fn words<S: Lanes, F: Format>(block: *const u8, sub: usize, word: usize) -> [F::Word<S>; GROUPS] {
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
/// `x` has `rows` rows of `stride` elements.
#[inline(always)]
unsafe fn row_pointers<const R: usize>(x: *const f32, stride: usize, rows: usize) -> [*const f32; R] {
    // SAFETY: the caller's contract.
    core::array::from_fn(|row| unsafe { x.add(row.min(rows - 1) * stride) })
}

/// # Safety
/// The contract of [`Lanes`]; every row of `x` has more than `k` elements.
#[inline(always)]
unsafe fn multiply_add<S: Lanes, const R: usize>(
    sums: &mut [[S::F; GROUPS]; R],
    weights: [S::F; GROUPS],
    x: &[*const f32; R],
    k: usize,
) {
    for row in 0..R {
        // SAFETY: the caller's contract.
        unsafe {
            let x = S::splat(*x[row].add(k));
            for group in 0..GROUPS {
                sums[row][group] = S::fma(weights[group], x, sums[row][group]);
            }
        }
    }
}

/// # Safety
/// The contract of [`Lanes`]; `out` has `rows` rows of whole strips.
#[inline(always)]
unsafe fn write<S: Lanes, const R: usize>(
    product: &MatMul,
    sums: &[[S::F; GROUPS]; R],
    rows: usize,
    out: *mut f32,
) {
    for (row, sums) in sums.iter().enumerate() {
        if row < rows {
            for (group, &sum) in sums.iter().enumerate() {
                // SAFETY: the caller's contract.
                unsafe {
                    let out = out.add(row * product.out_stride + group * LANES);
                    let sum = if product.accumulate { S::add(S::load(out), sum) } else { sum };
                    S::store(out, sum);
                }
            }
        }
    }
}
