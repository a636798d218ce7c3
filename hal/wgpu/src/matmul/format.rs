//! How the weights of each element type lie in device memory.
//!
//! A matrix is cut into strips of [`LANES`] outputs and chunks of [`CHUNK`] inner elements. Chunks that
//! share a word of scales form a group; a group of one output is a few 32-bit words, and word w of all
//! outputs of a strip lie side by side: `[strip][group][word][lane]`. What the words mean is said by the
//! `decode/*.wgsl` of the type, and by [`super::pack`], which fills them.

use agentos_hal::DType;

/// Outputs of a strip.
pub const LANES: u32 = 32;

/// Inner elements of a chunk: one chain of fused multiply-adds.
pub const CHUNK: u32 = 32;

/// The words of one element type.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Chunks of a group.
    pub group_chunks: u32,
    /// Words of a group of one output.
    pub group_words: u32,
    /// The shader text that unpacks it.
    pub decode: &'static str,
    /// Whether it can be multiplied as integers.
    pub codes: Option<Codes>,
}

/// In which order codes are unpacked as bytes of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// Four elements, then four.
    InOrder,
    /// Even elements, then odd ones.
    Apart,
}

/// The format of a type.
pub const fn format_of(dtype: DType) -> Format {
    let (group_chunks, group_words, decode) = match dtype {
        DType::F32 => (1, 32, include_str!("decode/f32.wgsl")),
        DType::F16 => (1, 16, include_str!("decode/f16.wgsl")),
        DType::Bf16 => (1, 16, include_str!("decode/bf16.wgsl")),
        DType::Q8_0 => (2, 17, concat!(include_str!("decode/q8_0.wgsl"), include_str!("decode/scaled.wgsl"))),
        DType::Q4_0 => (2, 9, concat!(include_str!("decode/q4_0.wgsl"), include_str!("decode/scaled.wgsl"))),
        DType::Q4_1 => (1, 5, concat!(include_str!("decode/q4_1.wgsl"), include_str!("decode/lifted.wgsl"))),
        DType::Q5_0 => (2, 11, concat!(include_str!("decode/q5_0.wgsl"), include_str!("decode/scaled.wgsl"))),
        DType::Q5_1 => (1, 6, concat!(include_str!("decode/q5_1.wgsl"), include_str!("decode/lifted.wgsl"))),
        DType::Q4K => (8, 37, concat!(include_str!("decode/q4_k.wgsl"), include_str!("decode/lifted.wgsl"))),
        DType::Q5K => (8, 45, concat!(include_str!("decode/q5_k.wgsl"), include_str!("decode/lifted.wgsl"))),
        DType::Q6K => (8, 53, include_str!("decode/q6_k.wgsl")),
    };
    let codes = match dtype {
        DType::F32 | DType::F16 | DType::Bf16 => None,
        DType::Q8_0 => Some(Codes::InOrder),
        _ => Some(Codes::Apart),
    };
    Format { group_chunks, group_words, decode, codes }
}

/// Chunks of a row of `inner` elements.
pub const fn chunks(inner: u32) -> u32 {
    inner.div_ceil(CHUNK)
}

impl Format {
    /// Groups of a row of `inner` elements.
    pub const fn groups(&self, inner: u32) -> u32 {
        chunks(inner).div_ceil(self.group_chunks)
    }

    /// Words of a strip of `inner` elements.
    pub const fn strip_words(&self, inner: u32) -> u64 {
        self.groups(inner) as u64 * self.group_words as u64 * LANES as u64
    }
}
