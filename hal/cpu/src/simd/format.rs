//! How packed weights lie in memory, and how sixteen of them become numbers.
//!
//! A matrix is packed once, in `prepare`, so that lanes hold **outputs**: a lane group is sixteen
//! rows of the matrix, a **strip** is [`GROUPS`] lane groups, and the inner dimension runs in
//! sequence. A strip is stored block by block, each block group by group, so that a matrix-vector
//! product reads one stream. Every weight becomes the very `f32` that `agentos_hal::quant` defines:
//! `scale · code` is exact and `fma(scale, code, min)` rounds once, as there.
//!
//! Upper bits that lie in a word of their own are ordered as the nibbles are: elements 0 to 3 of each eight in
//! the lower half of the word, 4 to 7 in the upper half, so that two weights 16 bits apart can be had at once
//! (see [`super::coded`]).

use agentos_hal::DType;

use super::lanes::{LANES, Lanes};

/// Lane groups of a strip: three registers of outputs keep the multiply-add units busy and, with
/// eight rows, fill the register file of AVX-512.
pub const GROUPS: usize = 3;

/// Outputs of a strip.
pub const STRIP: usize = GROUPS * LANES;

/// A packed weight format.
///
/// # Safety
/// Methods read [`Format::BYTES`] bytes from `block`, and carry the contract of [`Lanes`].
pub trait Format: 'static {
    /// Inner elements of a block.
    const BLOCK: usize;
    /// Bytes of a block of one lane group.
    const BYTES: usize;
    /// Parts of a block that share scales.
    const SUBS: usize;
    /// Words of a part.
    const WORDS: usize;
    /// Inner elements of a word.
    const PER_WORD: usize;
    /// The scales of a part.
    type Scale<S: Lanes>: Copy;
    /// Some weights in their packed form.
    type Word<S: Lanes>: Copy;

    /// The scales of part `sub`.
    unsafe fn scale<S: Lanes>(block: *const u8, sub: usize) -> Self::Scale<S>;
    /// Word `word` of part `sub`.
    unsafe fn word<S: Lanes>(block: *const u8, sub: usize, word: usize) -> Self::Word<S>;
    /// Inner element `i` of a word, for all lanes.
    unsafe fn weight<S: Lanes>(word: Self::Word<S>, i: usize, scale: Self::Scale<S>) -> S::F;
}

/// Inner elements of a block of a packed type, and the bytes of such a block of one lane group.
pub const fn block_of(dtype: DType) -> (usize, usize) {
    const fn of<F: Format>() -> (usize, usize) {
        (F::BLOCK, F::BYTES)
    }
    match dtype {
        DType::F32 => of::<F32>(),
        DType::F16 => of::<F16>(),
        DType::Bf16 => of::<Bf16>(),
        DType::Q4_0 => of::<Q4_0>(),
        DType::Q4_1 => of::<Q4_1>(),
        DType::Q5_0 => of::<Q5_0>(),
        DType::Q5_1 => of::<Q5_1>(),
        DType::Q8_0 => of::<Q8_0>(),
        DType::Q4K => of::<Q4K>(),
        DType::Q5K => of::<Q5K>(),
        DType::Q6K => of::<Q6K>(),
    }
}

macro_rules! format {
    ($(#[$doc:meta])* $name:ident, block $block:literal = $subs:literal x $words:literal x $per:literal, bytes $bytes:expr,
     scale $scale:ty = |$sb:ident, $ss:ident| $scale_body:expr,
     word $word:ty = |$wb:ident, $ws:ident, $wi:ident| $word_body:expr,
     weight |$v:ident, $i:ident, $sc:ident| $weight_body:expr) => {
        $(#[$doc])*
        pub struct $name;

        // SAFETY (all blocks): the traits' contracts, and offsets that stay below `BYTES`.
        #[allow(clippy::undocumented_unsafe_blocks, unused_unsafe, reason = "one argument for all; plain numbers have no scales")]
        impl Format for $name {
            const BLOCK: usize = $block;
            const BYTES: usize = $bytes;
            const SUBS: usize = $subs;
            const WORDS: usize = $words;
            const PER_WORD: usize = $per;
            type Scale<S: Lanes> = $scale;
            type Word<S: Lanes> = $word;

            #[inline(always)]
            unsafe fn scale<S: Lanes>($sb: *const u8, $ss: usize) -> $scale {
                unsafe { $scale_body }
            }
            #[inline(always)]
            unsafe fn word<S: Lanes>($wb: *const u8, $ws: usize, $wi: usize) -> $word {
                unsafe { $word_body }
            }
            #[inline(always)]
            unsafe fn weight<S: Lanes>($v: $word, $i: usize, $sc: $scale) -> S::F {
                unsafe { $weight_body }
            }
        }
    };
}

format!(
    /// One number per lane.
    F32, block 1 = 1 x 1 x 1, bytes 64,
    scale () = |_b, _s| (),
    word S::F = |b, _s, _w| S::load(b.cast()),
    weight |v, _i, _sc| v
);
format!(
    /// One half-precision number per lane.
    F16, block 1 = 1 x 1 x 1, bytes 32,
    scale () = |_b, _s| (),
    word S::F = |b, _s, _w| S::load_f16(b.cast()),
    weight |v, _i, _sc| v
);
format!(
    /// The upper half of one number per lane.
    Bf16, block 1 = 1 x 1 x 1, bytes 32,
    scale () = |_b, _s| (),
    word S::U = |b, _s, _w| S::load_upper_u16(b),
    weight |v, _i, _sc| S::bits_to_f32(v)
);
format!(
    /// Scales, then words of eight nibbles per lane.
    Q4_0, block 32 = 1 x 4 x 8, bytes 32 + 256,
    scale (S::Scale, S::F) = |b, _s| {
        let scale = S::load_f16(b.cast());
        (S::nibble_scale(scale), S::mul(scale, S::splat(-8.0)))
    },
    word S::U = |b, _s, w| S::load_u32(b.add(32 + 64 * w)),
    weight |v, i, sc| S::nibble_fma(v, i, sc.0, sc.1)
);
format!(
    /// Scales and minima, then words of eight nibbles per lane.
    Q4_1, block 32 = 1 x 4 x 8, bytes 64 + 256,
    scale (S::Scale, S::F) = |b, _s| (S::nibble_scale(S::load_f16(b.cast())), S::load_f16(b.add(32).cast())),
    word S::U = |b, _s, w| S::load_u32(b.add(64 + 64 * w)),
    weight |v, i, sc| S::nibble_fma(v, i, sc.0, sc.1)
);
format!(
    /// Scales, one word of fifth bits, words of eight nibbles per lane.
    Q5_0, block 32 = 1 x 4 x 8, bytes 32 + 64 + 256,
    scale (S::F, S::F) = |b, _s| {
        let scale = S::load_f16(b.cast());
        (scale, S::mul(scale, S::splat(-16.0)))
    },
    word (S::U, S::U) = |b, _s, w| {
        (S::load_u32(b.add(96 + 64 * w)), S::shr(S::load_u32(b.add(32)), 4 * w as u32))
    },
    weight |v, i, sc| S::fma(five_bits::<S>(v, i), sc.0, sc.1)
);
format!(
    /// Scales and minima, one word of fifth bits, words of eight nibbles per lane.
    Q5_1, block 32 = 1 x 4 x 8, bytes 64 + 64 + 256,
    scale (S::F, S::F) = |b, _s| (S::load_f16(b.cast()), S::load_f16(b.add(32).cast())),
    word (S::U, S::U) = |b, _s, w| {
        (S::load_u32(b.add(128 + 64 * w)), S::shr(S::load_u32(b.add(64)), 4 * w as u32))
    },
    weight |v, i, sc| S::fma(five_bits::<S>(v, i), sc.0, sc.1)
);
format!(
    /// Scales, then two words of four bytes per lane for each eight elements, each byte 128 more than its
    /// code: without a sign, a byte is converted where it stands, with a scale that is smaller by as much. The
    /// first word holds elements 0, 1, 4 and 5, the second 2, 3, 6 and 7 (see [`super::lanes::PAIRS`]).
    Q8_0, block 32 = 1 x 4 x 8, bytes 32 + 512,
    scale ([S::F; 3], S::F) = |b, _s| {
        let scale = S::load_f16(b.cast());
        let (second, third) = (S::splat(1.0 / 256.0), S::splat(1.0 / 65536.0));
        ([scale, S::mul(scale, second), S::mul(scale, third)], S::mul(scale, S::splat(-128.0)))
    },
    word (S::U, S::U) = |b, _s, w| {
        (S::load_u32(b.add(32 + 128 * w)), S::load_u32(b.add(32 + 128 * w + 64)))
    },
    weight |v, i, sc| {
        let word = if i % 4 < 2 { v.0 } else { v.1 };
        let place = i / 4 * 2 + i % 2;
        let byte = if place < 3 { S::and(word, 255 << (8 * place)) } else { S::shr(word, 24) };
        S::fma(S::int_to_f32(byte), sc.0[place % 3], sc.1)
    }
);
format!(
    /// Scales and minima of the superblock, 6-bit scales, 6-bit minima (a byte each), nibbles.
    Q4K, block 256 = 8 x 4 x 8, bytes 64 + 256 + 2048,
    scale (S::Scale, S::F) = |b, s| {
        let (scale, min) = super_scale::<S>(b, s);
        (S::nibble_scale(scale), min)
    },
    word S::U = |b, s, w| S::load_u32(b.add(320 + 256 * s + 64 * w)),
    weight |v, i, sc| S::nibble_fma(v, i, sc.0, sc.1)
);
format!(
    /// As `Q4K`, with a word of fifth bits per part before the nibbles.
    Q5K, block 256 = 8 x 4 x 8, bytes 64 + 256 + 8 * 64 + 2048,
    scale (S::F, S::F) = |b, s| super_scale::<S>(b, s),
    word (S::U, S::U) = |b, s, w| {
        let high = S::load_u32(b.add(320 + 64 * s));
        (S::load_u32(b.add(832 + 256 * s + 64 * w)), S::shr(high, 4 * w as u32))
    },
    weight |v, i, sc| S::fma(five_bits::<S>(v, i), sc.0, sc.1)
);
format!(
    /// Scales of the superblock, 8-bit scales, a word of upper bit pairs per part, nibbles.
    Q6K, block 256 = 16 x 2 x 8, bytes 32 + 256 + 16 * 64 + 2048,
    scale (S::F, S::F) = |b, s| {
        let scale = S::mul(S::load_f16(b.cast()), S::int_to_f32(S::load_i8(b.add(32 + 16 * s))));
        (scale, S::mul(scale, S::splat(-32.0)))
    },
    word (S::U, S::U) = |b, s, w| {
        let high = S::load_u32(b.add(288 + 64 * s));
        (S::load_u32(b.add(1312 + 128 * s + 64 * w)), S::shr(high, 8 * w as u32))
    },
    weight |v, i, sc| {
        let low = S::and(S::shr(v.0, 4 * i as u32), 15);
        let high = S::and(S::shr(v.1, (2 * (i % 4) + i / 4 * 16) as u32), 3);
        S::fma(S::int_to_f32(S::or(low, S::shl(high, 4))), sc.0, sc.1)
    }
);

/// # Safety
/// The contract of [`Lanes`].
#[inline(always)]
unsafe fn five_bits<S: Lanes>(word: (S::U, S::U), i: usize) -> S::F {
    // SAFETY: the caller's contract.
    unsafe {
        let low = S::and(S::shr(word.0, 4 * i as u32), 15);
        let high = S::and(S::shr(word.1, (i % 4 + i / 4 * 16) as u32), 1);
        S::int_to_f32(S::or(low, S::shl(high, 4)))
    }
}

/// # Safety
/// The contract of [`Lanes`]; 320 bytes can be read from `block`, and `sub < 8`.
#[inline(always)]
pub unsafe fn super_scale<S: Lanes>(block: *const u8, sub: usize) -> (S::F, S::F) {
    // SAFETY: the caller's contract; 64 + 8 · 16 + 8 · 16 = 320.
    unsafe {
        let scale = S::int_to_f32(S::load_u8(block.add(64 + 16 * sub)));
        let least = S::int_to_f32(S::load_u8(block.add(192 + 16 * sub)));
        let (d, dmin) = (S::load_f16(block.cast()), S::load_f16(block.add(32).cast()));
        (S::mul(d, scale), S::sub(S::splat(0.0), S::mul(dmin, least)))
    }
}
