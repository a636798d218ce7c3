//! Repacking rows of a file's blocks into strips (see [`super::format`]).

use agentos_hal::quant::Block;
use agentos_hal::{DType, Tensor};

use super::format::{CHUNK, LANES, format_of};

/// Packs strips of a tensor, from number `first` on, as many as `out` has room for; on all cores.
pub fn pack_strips(tensor: &Tensor<'_>, first: usize, strip_words: usize, out: &mut [u32]) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = (out.len() / strip_words).div_ceil(cores).max(1);
    let pack = |first: usize, out: &mut [u32]| {
        for (strip, out) in (first..).zip(out.chunks_exact_mut(strip_words)) {
            pack_strip(tensor, strip, out);
        }
    };
    std::thread::scope(|scope| {
        let mut shares = (first..).step_by(share).zip(out.chunks_mut(share * strip_words));
        let own = shares.next();
        shares.for_each(|(first, out)| _ = scope.spawn(move || pack(first, out)));
        own.into_iter().for_each(|(first, out)| pack(first, out));
    });
}

/// Packs one strip of a tensor: its rows from `strip · LANES` on. Rows beyond the last, and elements beyond
/// the last column, become zeros. `out` is as long as [`super::format::Format::strip_words`] says.
fn pack_strip(tensor: &Tensor<'_>, strip: usize, out: &mut [u32]) {
    let dtype = tensor.info.dtype;
    let row_bytes = tensor.info.cols as usize / dtype.block_len() * dtype.block_bytes();
    out.fill(0);
    let first = strip * LANES as usize;
    let rows = tensor.bytes.chunks_exact(row_bytes).skip(first).take(LANES as usize);
    for (lane, row) in rows.enumerate() {
        pack_row(dtype, row, &mut Lane { out, lane });
    }
}

/// One output's words of a strip, group after group.
struct Lane<'a> {
    out: &'a mut [u32],
    lane: usize,
}

impl Lane<'_> {
    /// Sets bits of word `word`, counted through all groups of the row.
    fn or(&mut self, word: usize, bits: u32) {
        self.out[word * LANES as usize + self.lane] |= bits;
    }

    /// Sets half `index` of the halves that start at a word.
    fn half(&mut self, first: usize, index: usize, bits: u16) {
        self.or(first + index / 2, u32::from(bits) << (16 * (index % 2)));
    }
}

fn pack_row(dtype: DType, row: &[u8], lane: &mut Lane<'_>) {
    match dtype {
        DType::F32 => {
            for (word, &bytes) in row.as_chunks().0.iter().enumerate() {
                lane.or(word, u32::from_le_bytes(bytes));
            }
        }
        DType::F16 | DType::Bf16 => {
            for (index, &bytes) in row.as_chunks().0.iter().enumerate() {
                lane.half(0, index, u16::from_le_bytes(bytes));
            }
        }
        _ => {
            let blocks_per_group =
                format_of(dtype).group_chunks as usize * CHUNK as usize / dtype.block_len();
            let group_words = format_of(dtype).group_words as usize;
            for (index, block) in row.chunks_exact(dtype.block_bytes()).enumerate() {
                let base = index / blocks_per_group * group_words;
                pack_block(dtype, block, base, index % blocks_per_group, lane);
            }
        }
    }
}

/// Packs a block of a quantised type into the group whose first word is `base`; `member` is its place among
/// the group's blocks.
fn pack_block(dtype: DType, block: &[u8], base: usize, member: usize, lane: &mut Lane<'_>) {
    let codes = Block::decode(dtype, block).codes;
    match dtype {
        DType::Q8_0 => {
            for (word, bytes) in codes[..32].as_chunks::<4>().0.iter().enumerate() {
                lane.or(base + 8 * member + word, u32::from_le_bytes(bytes.map(|code| code as u8)));
            }
            lane.half(base + 16, member, half_at(block, 0));
        }
        DType::Q4_0 => {
            nibbles(&codes[..32], 8, base + 4 * member, lane);
            lane.half(base + 8, member, half_at(block, 0));
        }
        DType::Q4_1 => {
            nibbles(&codes[..32], 0, base, lane);
            lane.half(base + 4, 0, half_at(block, 0));
            lane.half(base + 4, 1, half_at(block, 2));
        }
        DType::Q5_0 => {
            nibbles(&codes[..32], 16, base + 4 * member, lane);
            fifths(&codes[..32], 16, base + 8 + member, lane);
            lane.half(base + 10, member, half_at(block, 0));
        }
        DType::Q5_1 => {
            nibbles(&codes[..32], 0, base, lane);
            fifths(&codes[..32], 0, base + 4, lane);
            lane.half(base + 5, 0, half_at(block, 0));
            lane.half(base + 5, 1, half_at(block, 2));
        }
        DType::Q4K => {
            nibbles(&codes, 0, base, lane);
            super_scales(block, base + 32, lane);
        }
        DType::Q5K => {
            nibbles(&codes, 0, base, lane);
            fifths(&codes, 0, base + 32, lane);
            super_scales(block, base + 40, lane);
        }
        DType::Q6K => {
            nibbles(&codes, 32, base, lane);
            for (index, code) in codes.iter().enumerate() {
                lane.or(base + 32 + index / 16, ((i32::from(*code) + 32) as u32 >> 4) << (2 * (index % 16)));
            }
            for (chunk, &scales) in block[192..208].as_chunks().0.iter().enumerate() {
                lane.half(base + 48, chunk, u16::from_le_bytes(scales));
            }
            lane.half(base + 52, 0, half_at(block, 208));
        }
        DType::F32 | DType::F16 | DType::Bf16 => unreachable!("{dtype} has no blocks"),
    }
}

/// The low four bits of codes, counted from `zero`, eight a word.
fn nibbles(codes: &[i8], zero: i32, first: usize, lane: &mut Lane<'_>) {
    for (word, codes) in codes.as_chunks::<8>().0.iter().enumerate() {
        let bits = |(i, &code): (usize, &i8)| ((i32::from(code) + zero) as u32 & 15) << (4 * i);
        lane.or(first + word, codes.iter().enumerate().map(bits).sum());
    }
}

/// The fifth bit of codes, counted from `zero`, 32 a word.
fn fifths(codes: &[i8], zero: i32, first: usize, lane: &mut Lane<'_>) {
    for (word, codes) in codes.as_chunks::<32>().0.iter().enumerate() {
        let bits = |(i, &code): (usize, &i8)| ((i32::from(code) + zero) as u32 >> 4 & 1) << i;
        lane.or(first + word, codes.iter().enumerate().map(bits).sum());
    }
}

/// The 6-bit scales and minima of a superblock, a byte each, and behind them what they are counted in.
fn super_scales(block: &[u8], first: usize, lane: &mut Lane<'_>) {
    let packed = &block[4..16];
    for chunk in 0..8 {
        let (scale, least) = if chunk < 4 {
            (packed[chunk] & 63, packed[chunk + 4] & 63)
        } else {
            let (low, scale_high, min_high) = (packed[chunk + 4], packed[chunk - 4] >> 6, packed[chunk] >> 6);
            (low & 15 | scale_high << 4, low >> 4 | min_high << 4)
        };
        lane.half(first, chunk, u16::from_le_bytes([scale, least]));
    }
    lane.half(first + 4, 0, half_at(block, 0));
    lane.half(first + 4, 1, half_at(block, 2));
}

fn half_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}
