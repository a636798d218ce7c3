//! What the bytes of quantised weights mean.
//!
//! A block is decoded to small integers and the scales (and minima) of their groups; an element is
//! `scale · code` or `scale · code + min`. All of it is exact in `f32` but that last addition, so
//! that a backend which computes `fma(scale, code, min)` gets the very bits of [`dequantise`].
//! Formats: ggml's block layouts, as the GGUF files carry them.

use half::{bf16, f16};

use crate::dtype::DType;

/// A decoded block of a quantised type.
#[derive(Clone, Debug)]
pub struct Block {
    /// The integer of each element, in element order; the first [`DType::block_len`] are in use.
    pub codes: [i8; 256],
    /// Elements that share a scale: 16 or 32.
    pub group: usize,
    /// Per group.
    pub scale: [f32; 16],
    /// Per group; `None` for types without minima.
    pub min: Option<[f32; 16]>,
}

impl Block {
    /// Decodes one block.
    ///
    /// # Panics
    /// When `bytes` is not one block long, or the type is not quantised.
    pub fn decode(dtype: DType, bytes: &[u8]) -> Block {
        assert_eq!(bytes.len(), dtype.block_bytes(), "one block of {dtype}");
        let mut block = Block { codes: [0; 256], group: 32, scale: [0.0; 16], min: None };
        match dtype {
            DType::Q4_0 => block.nibbles(bytes, 2, |code| code - 8),
            DType::Q4_1 => block.nibbles(bytes, 4, |code| code),
            DType::Q5_0 => block.nibbles_and_bit(bytes, 2, |code| code - 16),
            DType::Q5_1 => block.nibbles_and_bit(bytes, 4, |code| code),
            DType::Q8_0 => {
                block.scale[0] = half_at(bytes, 0);
                for (code, &byte) in block.codes.iter_mut().zip(&bytes[2..34]) {
                    *code = byte as i8;
                }
            }
            DType::Q4K => block.super_block(bytes, None, &bytes[16..144]),
            DType::Q5K => block.super_block(bytes, Some(&bytes[16..48]), &bytes[48..176]),
            DType::Q6K => block.six_bits(bytes),
            DType::F32 | DType::F16 | DType::Bf16 => panic!("{dtype} has no blocks"),
        }
        if matches!(dtype, DType::Q4_1 | DType::Q5_1) {
            let mut min = [0.0; 16];
            min[0] = half_at(bytes, 2);
            block.min = Some(min);
        }
        block
    }

    fn nibbles(&mut self, bytes: &[u8], at: usize, code: impl Fn(i8) -> i8) {
        self.scale[0] = half_at(bytes, 0);
        for (i, &byte) in bytes[at..at + 16].iter().enumerate() {
            self.codes[i] = code((byte & 15) as i8);
            self.codes[i + 16] = code((byte >> 4) as i8);
        }
    }

    fn nibbles_and_bit(&mut self, bytes: &[u8], at: usize, code: impl Fn(i8) -> i8) {
        self.nibbles(bytes, at + 4, |nibble| nibble);
        let high = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        for i in 0..32 {
            let bit = ((high >> i) & 1) as i8;
            self.codes[i] = code(self.codes[i] | bit << 4);
        }
    }

    fn super_block(&mut self, bytes: &[u8], high: Option<&[u8]>, low: &[u8]) {
        let (d, dmin) = (half_at(bytes, 0), half_at(bytes, 2));
        let packed = &bytes[4..16];
        let mut min = [0.0; 16];
        for j in 0..8 {
            let (scale, least) = if j < 4 {
                (packed[j] & 63, packed[j + 4] & 63)
            } else {
                (
                    (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
                    (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
                )
            };
            self.scale[j] = d * f32::from(scale);
            min[j] = -(dmin * f32::from(least));
        }
        self.min = Some(min);
        for i in 0..256 {
            let (pair, within) = (i / 64, i % 32);
            let upper = i / 32 % 2;
            let nibble = (low[pair * 32 + within] >> (4 * upper)) & 15;
            let bit = high.map_or(0, |high| (high[within] >> (i / 32)) & 1);
            self.codes[i] = (nibble | bit << 4) as i8;
        }
    }

    fn six_bits(&mut self, bytes: &[u8]) {
        let (low, high, scales) = (&bytes[..128], &bytes[128..192], &bytes[192..208]);
        let d = half_at(bytes, 208);
        self.group = 16;
        for (scale, &byte) in self.scale.iter_mut().zip(scales) {
            *scale = d * f32::from(byte as i8);
        }
        for i in 0..256 {
            let (half, quarter, within) = (i / 128, i / 32 % 4, i % 32);
            let nibble = (low[half * 64 + quarter % 2 * 32 + within] >> (quarter / 2 * 4)) & 15;
            let bits = (high[half * 32 + within] >> (2 * quarter)) & 3;
            self.codes[i] = (nibble | bits << 4) as i8 - 32;
        }
    }

    /// Element `i` as a number.
    pub fn element(&self, i: usize) -> f32 {
        let product = self.scale[i / self.group] * f32::from(self.codes[i]);
        match &self.min {
            Some(min) => product + min[i / self.group],
            None => product,
        }
    }
}

/// Decodes whole blocks to numbers.
///
/// # Panics
/// When `bytes` is not as long as `out.len()` elements of the type are.
pub fn dequantise(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(dtype.bytes(out.len() as u64), Some(bytes.len() as u64), "whole blocks of {dtype}");
    let elements = out.chunks_exact_mut(dtype.block_len());
    for (block, out) in bytes.chunks_exact(dtype.block_bytes()).zip(elements) {
        match dtype {
            DType::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            DType::F16 => out[0] = half_at(block, 0),
            DType::Bf16 => out[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            _ => {
                let block = Block::decode(dtype, block);
                for (i, out) in out.iter_mut().enumerate() {
                    *out = block.element(i);
                }
            }
        }
    }
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}
