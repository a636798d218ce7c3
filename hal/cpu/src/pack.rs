//! Repacking weights from a file's rows into strips (see [`crate::simd::format`]), one strip at a
//! time, so that several workers can share a matrix.

use agentos_hal::DType;

use crate::simd::format::{Format, GROUPS, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0, STRIP, block_of};
use crate::simd::lanes::LANES;

/// Bytes of a packed strip of `cols` inner elements.
pub fn strip_bytes(dtype: DType, cols: usize) -> usize {
    let (block, bytes) = block_of(dtype);
    cols / block * bytes * GROUPS
}

/// Strips of a matrix of `rows` rows.
pub fn strips(rows: usize) -> usize {
    rows.div_ceil(STRIP)
}

/// Packs strip number `strip` of a matrix of `rows` × `cols` into `out`, which is
/// [`strip_bytes`] long. Lanes beyond the last row become zeros.
pub fn pack_strip(dtype: DType, bytes: &[u8], rows: usize, cols: usize, strip: usize, out: &mut [u8]) {
    let row_bytes = cols / dtype.block_len() * dtype.block_bytes();
    let first = strip * STRIP;
    let rows = &bytes[first * row_bytes..rows.min(first + STRIP) * row_bytes];
    match dtype {
        DType::F32 => interleave(rows, row_bytes, out, |source: &[u8; 4], lane, out: &mut [u8; 64]| {
            put(out, 4 * lane, source);
        }),
        DType::F16 | DType::Bf16 => {
            interleave(rows, row_bytes, out, |source: &[u8; 2], lane, out: &mut [u8; 32]| {
                put(out, 2 * lane, source);
            });
        }
        DType::Q4_0 => interleave(rows, row_bytes, out, pack_q4_0),
        DType::Q4_1 => interleave(rows, row_bytes, out, pack_q4_1),
        DType::Q5_0 => interleave(rows, row_bytes, out, pack_q5_0),
        DType::Q5_1 => interleave(rows, row_bytes, out, pack_q5_1),
        DType::Q8_0 => interleave(rows, row_bytes, out, pack_q8_0),
        DType::Q4K => interleave(rows, row_bytes, out, pack_q4k),
        DType::Q5K => interleave(rows, row_bytes, out, pack_q5k),
        DType::Q6K => interleave(rows, row_bytes, out, pack_q6k),
    }
}

/// Brings the blocks of up to [`STRIP`] rows together lane by lane. What is written goes through `out` from
/// its start to its end, once: it may be memory that nobody has touched yet.
#[inline(always)]
fn interleave<const SOURCE: usize, const PACKED: usize>(
    rows: &[u8],
    row_bytes: usize,
    out: &mut [u8],
    pack: impl Fn(&[u8; SOURCE], usize, &mut [u8; PACKED]),
) {
    let lanes = rows.len() / row_bytes;
    for (place, out) in out.as_chunks_mut::<PACKED>().0.iter_mut().enumerate() {
        let (block, group) = (place / GROUPS, place % GROUPS);
        for lane in 0..LANES {
            let row = group * LANES + lane;
            // A block of zeros is a row of zeros in every type.
            let source = match rows.get(row * row_bytes + block * SOURCE..).and_then(<[u8]>::first_chunk) {
                Some(source) if row < lanes => source,
                _ => &[0; SOURCE],
            };
            pack(source, lane, out);
        }
    }
}

#[inline(always)]
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

#[inline(always)]
fn put_word(out: &mut [u8], at: usize, lane: usize, word: u32) {
    put(out, at + 4 * lane, &word.to_le_bytes());
}

/// The low nibbles of eight bytes, in byte order from the least significant nibble.
#[inline(always)]
fn gather_nibbles(bytes: u64) -> u32 {
    let x = bytes & 0x0f0f_0f0f_0f0f_0f0f;
    let x = (x | x >> 4) & 0x00ff_00ff_00ff_00ff;
    let x = (x | x >> 8) & 0x0000_ffff_0000_ffff;
    (x | x >> 16) as u32
}

#[inline(always)]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Sixteen bytes whose low nibbles are elements 0–15 and whose high nibbles are 16–31.
#[inline(always)]
fn pack_nibbles(source: &[u8], lane: usize, out: &mut [u8], at: usize) {
    let (a, b) = (u64_at(source, 0), u64_at(source, 8));
    for (word, bytes) in [a, b, a >> 4, b >> 4].into_iter().enumerate() {
        put_word(out, at + 64 * word, lane, gather_nibbles(bytes));
    }
}

/// The place of element i among the upper bits of a word: elements 0 to 3 of each eight fill the lower half of
/// the places, one eight behind the other, and 4 to 7 the upper half.
#[inline(always)]
const fn halved<const PLACES: usize>(i: usize) -> usize {
    i % 8 / 4 * (PLACES / 2) + i / 8 * 4 + i % 4
}

/// The lowest bits of 32 elements in one word.
#[inline(always)]
fn spread_bits(element: impl Fn(usize) -> u8) -> u32 {
    (0..32).map(|i| u32::from(element(i) & 1) << halved::<32>(i)).sum()
}

#[inline(always)]
fn pack_q4_0(source: &[u8; 18], lane: usize, out: &mut [u8; Q4_0::BYTES]) {
    put(out, 2 * lane, &source[..2]);
    pack_nibbles(&source[2..18], lane, out, 32);
}

#[inline(always)]
fn pack_q4_1(source: &[u8; 20], lane: usize, out: &mut [u8; Q4_1::BYTES]) {
    put(out, 2 * lane, &source[..2]);
    put(out, 32 + 2 * lane, &source[2..4]);
    pack_nibbles(&source[4..20], lane, out, 64);
}

#[inline(always)]
fn pack_q5_0(source: &[u8; 22], lane: usize, out: &mut [u8; Q5_0::BYTES]) {
    put(out, 2 * lane, &source[..2]);
    put_word(out, 32, lane, spread_bits(|i| source[2 + i / 8] >> (i % 8)));
    pack_nibbles(&source[6..22], lane, out, 96);
}

#[inline(always)]
fn pack_q5_1(source: &[u8; 24], lane: usize, out: &mut [u8; Q5_1::BYTES]) {
    put(out, 2 * lane, &source[..2]);
    put(out, 32 + 2 * lane, &source[2..4]);
    put_word(out, 64, lane, spread_bits(|i| source[4 + i / 8] >> (i % 8)));
    pack_nibbles(&source[8..24], lane, out, 128);
}

#[inline(always)]
fn pack_q8_0(source: &[u8; 34], lane: usize, out: &mut [u8; Q8_0::BYTES]) {
    put(out, 2 * lane, &source[..2]);
    for (eight, &[a, b, c, d, e, f, g, h]) in source[2..34].as_chunks().0.iter().enumerate() {
        for (word, bytes) in [[a, b, e, f], [c, d, g, h]].into_iter().enumerate() {
            let at = 32 + 128 * eight + 64 * word;
            put_word(out, at, lane, u32::from_le_bytes(bytes) ^ 0x8080_8080);
        }
    }
}

/// Scales of a superblock of `Q4K` and `Q5K`: the 6-bit fields, a byte each.
#[inline(always)]
fn pack_super_scales(source: &[u8], lane: usize, out: &mut [u8]) {
    put(out, 2 * lane, &source[..2]);
    put(out, 32 + 2 * lane, &source[2..4]);
    let packed = &source[4..16];
    for part in 0..8 {
        let (scale, least) = if part < 4 {
            (packed[part] & 63, packed[part + 4] & 63)
        } else {
            let (low, scale_high, min_high) = (packed[part + 4], packed[part - 4] >> 6, packed[part] >> 6);
            (low & 15 | scale_high << 4, low >> 4 | min_high << 4)
        };
        out[64 + 16 * part + lane] = scale;
        out[192 + 16 * part + lane] = least;
    }
}

/// The 128 bytes of nibbles of `Q4K` and `Q5K`: parts 2j and 2j + 1 are the low and the high nibbles
/// of bytes 32j … 32j + 31.
#[inline(always)]
fn pack_super_nibbles(source: &[u8], lane: usize, out: &mut [u8], at: usize) {
    for part in 0..8 {
        for word in 0..4 {
            let bytes = u64_at(source, part / 2 * 32 + 8 * word) >> (4 * (part % 2));
            put_word(out, at + 256 * part + 64 * word, lane, gather_nibbles(bytes));
        }
    }
}

#[inline(always)]
fn pack_q4k(source: &[u8; 144], lane: usize, out: &mut [u8; Q4K::BYTES]) {
    pack_super_scales(source, lane, out);
    pack_super_nibbles(&source[16..144], lane, out, 320);
}

#[inline(always)]
fn pack_q5k(source: &[u8; 176], lane: usize, out: &mut [u8; Q5K::BYTES]) {
    pack_super_scales(source, lane, out);
    for part in 0..8 {
        put_word(out, 320 + 64 * part, lane, spread_bits(|i| source[16 + i] >> part));
    }
    pack_super_nibbles(&source[48..176], lane, out, 832);
}

#[inline(always)]
fn pack_q6k(source: &[u8; 210], lane: usize, out: &mut [u8; Q6K::BYTES]) {
    let (low, high, scales) = (&source[..128], &source[128..192], &source[192..208]);
    put(out, 2 * lane, &source[208..210]);
    for part in 0..16 {
        out[32 + 16 * part + lane] = scales[part];
        // Part 2q + h of a half holds elements 16h … 16h + 15 of its quarter q.
        let (half, quarter, at) = (part / 8, part / 2 % 4, part % 2 * 16);
        let pair =
            |i: usize| u32::from(high[half * 32 + at + i] >> (2 * quarter) & 3) << (2 * halved::<16>(i));
        put_word(out, 288 + 64 * part, lane, (0..16).map(pair).sum());
        for word in 0..2 {
            let from = half * 64 + quarter % 2 * 32 + at + 8 * word;
            let bytes = u64_at(low, from) >> (quarter / 2 * 4);
            put_word(out, 1312 + 128 * part + 64 * word, lane, gather_nibbles(bytes));
        }
    }
}
