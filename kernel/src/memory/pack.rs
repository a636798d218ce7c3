//! Packed page images: int8 with a half-precision scale per token and head, keys and values apart.
//! About half of a lossless image, and not the same bits: who maps one is told so
//! ([`Fidelity::Packed`](super::Fidelity)).

use agentos_hal::{KvType, ModelShape, PAGE_TOKENS};
use half::f16;

/// What must be known of a page's image to pack it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Layers times key/value heads.
    pub heads: usize,
    /// Elements of a key or value of one head.
    pub head_dim: usize,
    /// Element type of the image.
    pub kv: KvType,
}

/// The scales of one head of a page, of its keys or of its values.
const SCALE_BYTES: usize = 2 * PAGE_TOKENS;

impl Packing {
    /// That of a model.
    pub const fn of(shape: &ModelShape, kv: KvType) -> Packing {
        let heads = shape.layers as usize * shape.kv_heads as usize;
        Packing { heads, head_dim: shape.head_dim as usize, kv }
    }

    /// Bytes of a packed image.
    pub const fn packed_bytes(&self) -> usize {
        self.heads * 2 * (SCALE_BYTES + self.head_dim * PAGE_TOKENS)
    }

    /// Bytes of an image as it is.
    pub const fn image_bytes(&self) -> usize {
        self.heads * 2 * self.head_dim * PAGE_TOKENS * self.kv.bytes()
    }

    /// Packs an image.
    ///
    /// # Panics
    /// When the lengths are not those of [`Packing::image_bytes`] and [`Packing::packed_bytes`].
    pub fn pack(&self, image: &[u8], packed: &mut [u8]) {
        assert_eq!((image.len(), packed.len()), (self.image_bytes(), self.packed_bytes()));
        let (from, to) = self.half_bytes();
        for (half, (image, packed)) in image.chunks_exact(from).zip(packed.chunks_exact_mut(to)).enumerate() {
            let (scales, codes) = packed.split_at_mut(SCALE_BYTES);
            let mut largest = [0f32; PAGE_TOKENS];
            self.for_each(half, |element, token| {
                largest[token] = largest[token].max(self.read(image, element).abs());
            });
            let mut inverse = [0f32; PAGE_TOKENS];
            for (token, scale) in scales.chunks_exact_mut(2).enumerate() {
                let rounded = f16::from_f32(largest[token] / 127.0);
                scale.copy_from_slice(&rounded.to_le_bytes());
                let rounded = rounded.to_f32();
                inverse[token] = if rounded > 0.0 { 1.0 / rounded } else { 0.0 };
            }
            self.for_each(half, |element, token| {
                let scaled = libm::rintf(self.read(image, element) * inverse[token]);
                codes[element] = scaled.clamp(-127.0, 127.0) as i8 as u8;
            });
        }
    }

    /// Makes an image of a packed one.
    ///
    /// # Panics
    /// As [`Packing::pack`].
    pub fn unpack(&self, packed: &[u8], image: &mut [u8]) {
        assert_eq!((image.len(), packed.len()), (self.image_bytes(), self.packed_bytes()));
        let (to, from) = self.half_bytes();
        for (half, (image, packed)) in image.chunks_exact_mut(to).zip(packed.chunks_exact(from)).enumerate() {
            let (scales, codes) = packed.split_at(SCALE_BYTES);
            let scale =
                |token: usize| f16::from_le_bytes([scales[2 * token], scales[2 * token + 1]]).to_f32();
            let scales: [f32; PAGE_TOKENS] = core::array::from_fn(scale);
            self.for_each(half, |element, token| {
                self.write(image, element, f32::from(codes[element] as i8) * scales[token]);
            });
        }
    }

    /// Bytes of one head's keys or values, as they are and packed.
    const fn half_bytes(&self) -> (usize, usize) {
        let elements = self.head_dim * PAGE_TOKENS;
        (elements * self.kv.bytes(), SCALE_BYTES + elements)
    }

    /// Every element of a half with its token. Keys have the tokens innermost, values the dimensions.
    fn for_each(&self, half: usize, mut visit: impl FnMut(usize, usize)) {
        let keys = half.is_multiple_of(2);
        for element in 0..self.head_dim * PAGE_TOKENS {
            visit(element, if keys { element % PAGE_TOKENS } else { element / self.head_dim });
        }
    }

    fn read(&self, image: &[u8], element: usize) -> f32 {
        match self.kv {
            KvType::F16 => f16::from_le_bytes([image[2 * element], image[2 * element + 1]]).to_f32(),
            KvType::F32 => {
                let bytes = &image[4 * element..4 * element + 4];
                f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
            }
        }
    }

    fn write(&self, image: &mut [u8], element: usize, value: f32) {
        match self.kv {
            KvType::F16 => {
                image[2 * element..2 * element + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
            }
            KvType::F32 => image[4 * element..4 * element + 4].copy_from_slice(&value.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    const PACKING: Packing = Packing { heads: 2, head_dim: 16, kv: KvType::F16 };

    fn image(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
    }

    proptest! {
        #[test]
        fn an_element_moves_by_half_a_step_at_most(
            values in proptest::collection::vec(prop_oneof![-8f32..8.0, -1e-6f32..1e-6, Just(0.0)], 512)
        ) {
            let image = image(&values);
            let mut packed = vec![0xAA; PACKING.packed_bytes()];
            PACKING.pack(&image, &mut packed);
            let mut back = vec![0xBB; PACKING.image_bytes()];
            PACKING.unpack(&packed, &mut back);
            for half in 0..4 {
                PACKING.for_each(half, |element, token| {
                    let at = half * 128 + element;
                    let (before, after) = (PACKING.read(&image, at), PACKING.read(&back, at));
                    let scale_at = half * (16 + 128) + 2 * token;
                    let scale = f16::from_le_bytes([packed[scale_at], packed[scale_at + 1]]).to_f32();
                    // Half a step, the rounding of the scale itself, and that of the result.
                    let bound = scale * 0.5 + scale * 127.0 / 1024.0 + before.abs() / 1024.0 + 1e-5;
                    assert!((before - after).abs() <= bound, "{before} became {after}, scale {scale}");
                });
            }
            // Packing again changes nothing.
            let mut again = vec![0; PACKING.packed_bytes()];
            PACKING.pack(&back, &mut again);
            let mut third = vec![0; PACKING.image_bytes()];
            PACKING.unpack(&again, &mut third);
            for (a, b) in back.chunks(2).zip(third.chunks(2)) {
                let number = |b: &[u8]| f16::from_le_bytes([b[0], b[1]]).to_f32();
                prop_assert!((number(a) - number(b)).abs() <= number(a).abs() / 100.0 + 1e-5);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_within_its_token() {
        let mut values = vec![1.0; 512];
        (values[3], values[200]) = (f32::NAN, f32::INFINITY);
        let mut packed = vec![0; PACKING.packed_bytes()];
        PACKING.pack(&image(&values), &mut packed);
        let mut back = vec![0; PACKING.image_bytes()];
        PACKING.unpack(&packed, &mut back);
        assert!((PACKING.read(&back, 0) - 1.0).abs() < 0.01);
        assert!((PACKING.read(&back, 300) - 1.0).abs() < 0.01);
    }
}
