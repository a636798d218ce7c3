//! Packed page images: int8 with a half-precision scale per token and head, keys and values apart.
//! About half of a lossless image, and not the same bits: who maps one is told so
//! ([`Fidelity::Packed`](super::Fidelity)).

use core::ops::Range;
use core::task::Poll;

use agentos_hal::{KvType, ModelShape, PAGE_TOKENS, PageError, PageId, TensorDevice, page};
use half::f16;
use half::slice::HalfFloatSliceExt;

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

    /// Copies a page of a slice out of page memory: the slice's page of that number, where so many of its tokens are
    /// computed. What is behind them is zeroed: it is whatever the page had before, and would be kept under another
    /// agent's slice.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_out`].
    pub fn copy_out(
        &self,
        device: &mut dyn TensorDevice,
        page: PageId,
        (computed, number): (u8, usize),
        image: &mut [u8],
    ) -> Poll<Result<(), PageError>> {
        let copied = device.copy_out(page, image);
        let filled = usize::from(computed).saturating_sub(number * PAGE_TOKENS);
        if copied == Poll::Ready(Ok(())) && filled < PAGE_TOKENS {
            page::clear_behind(self.head_dim, self.kv, image, filled);
        }
        copied
    }

    /// Packs an image.
    ///
    /// # Panics
    /// When the lengths are not those of [`Packing::image_bytes`] and [`Packing::packed_bytes`].
    pub fn pack(&self, image: &[u8], packed: &mut [u8]) {
        assert_eq!((image.len(), packed.len()), (self.image_bytes(), self.packed_bytes()));
        let (from, to) = self.half_bytes();
        let mut wide = [0f32; CHUNK];
        for (half, (image, packed)) in image.chunks_exact(from).zip(packed.chunks_exact_mut(to)).enumerate() {
            let (scales, codes) = packed.split_at_mut(SCALE_BYTES);
            let mut largest = [0f32; PAGE_TOKENS];
            for (run, tokens) in self.runs(half) {
                let wide = &mut wide[..run.len()];
                self.read_all(&image[self.bytes_of(&run)], wide);
                match tokens {
                    Tokens::All => measure_each(wide, &mut largest),
                    Tokens::One(token) => measure(wide, &mut largest[token]),
                }
            }
            let mut inverse = [0f32; PAGE_TOKENS];
            for (token, scale) in scales.chunks_exact_mut(2).enumerate() {
                let rounded = f16::from_f32(largest[token] / 127.0);
                scale.copy_from_slice(&rounded.to_le_bytes());
                let rounded = rounded.to_f32();
                inverse[token] = if rounded > 0.0 { 1.0 / rounded } else { 0.0 };
            }
            for (run, tokens) in self.runs(half) {
                let wide = &mut wide[..run.len()];
                self.read_all(&image[self.bytes_of(&run)], wide);
                scale(wide, tokens, &inverse);
                for (code, &scaled) in codes[run].iter_mut().zip(&*wide) {
                    *code = nearest(scaled);
                }
            }
        }
    }

    /// Makes an image of a packed one.
    ///
    /// # Panics
    /// As [`Packing::pack`].
    pub fn unpack(&self, packed: &[u8], image: &mut [u8]) {
        assert_eq!((image.len(), packed.len()), (self.image_bytes(), self.packed_bytes()));
        let (to, from) = self.half_bytes();
        let mut wide = [0f32; CHUNK];
        for (half, (image, packed)) in image.chunks_exact_mut(to).zip(packed.chunks_exact(from)).enumerate() {
            let (scales, codes) = packed.split_at(SCALE_BYTES);
            let of = |token: usize| f16::from_le_bytes([scales[2 * token], scales[2 * token + 1]]).to_f32();
            let scales: [f32; PAGE_TOKENS] = core::array::from_fn(of);
            for (run, tokens) in self.runs(half) {
                let bytes = self.bytes_of(&run);
                let wide = &mut wide[..run.len()];
                for (wide, &code) in wide.iter_mut().zip(&codes[run]) {
                    *wide = f32::from(code as i8);
                }
                scale(wide, tokens, &scales);
                self.write_all(wide, &mut image[bytes]);
            }
        }
    }

    /// Bytes of one head's keys or values, as they are and packed.
    const fn half_bytes(&self) -> (usize, usize) {
        let elements = self.head_dim * PAGE_TOKENS;
        (elements * self.kv.bytes(), SCALE_BYTES + elements)
    }

    /// The elements of a half in runs, with the tokens that they are of. Keys have the tokens innermost, values the
    /// dimensions.
    fn runs(&self, half: usize) -> impl Iterator<Item = (Range<usize>, Tokens)> + use<> {
        let (keys, head_dim) = (half.is_multiple_of(2), self.head_dim);
        let (rows, length) = if keys { (1, head_dim * PAGE_TOKENS) } else { (PAGE_TOKENS, head_dim) };
        (0..rows).flat_map(move |row| {
            let tokens = if keys { Tokens::All } else { Tokens::One(row) };
            let (begin, end) = (row * length, (row + 1) * length);
            (begin..end).step_by(CHUNK).map(move |at| (at..end.min(at + CHUNK), tokens))
        })
    }

    /// Where elements lie in an image of their half.
    const fn bytes_of(&self, elements: &Range<usize>) -> Range<usize> {
        elements.start * self.kv.bytes()..elements.end * self.kv.bytes()
    }

    fn read_all(&self, image: &[u8], wide: &mut [f32]) {
        match self.kv {
            KvType::F16 => {
                let mut narrow = [f16::ZERO; CHUNK];
                let narrow = &mut narrow[..wide.len()];
                for (element, &bytes) in narrow.iter_mut().zip(image.as_chunks().0) {
                    *element = f16::from_le_bytes(bytes);
                }
                narrow.convert_to_f32_slice(wide);
            }
            KvType::F32 => {
                for (element, &bytes) in wide.iter_mut().zip(image.as_chunks().0) {
                    *element = f32::from_le_bytes(bytes);
                }
            }
        }
    }

    fn write_all(&self, wide: &[f32], image: &mut [u8]) {
        match self.kv {
            KvType::F16 => {
                let mut narrow = [f16::ZERO; CHUNK];
                let narrow = &mut narrow[..wide.len()];
                narrow.convert_from_f32_slice(wide);
                for (element, bytes) in narrow.iter().zip(image.as_chunks_mut().0) {
                    *bytes = element.to_le_bytes();
                }
            }
            KvType::F32 => {
                for (element, bytes) in wide.iter().zip(image.as_chunks_mut().0) {
                    *bytes = element.to_le_bytes();
                }
            }
        }
    }
}

/// Elements that are worked on together: short loops without branches, which a compiler makes wide.
const CHUNK: usize = 8 * PAGE_TOKENS;

/// The tokens of a run of elements.
#[derive(Clone, Copy, Debug)]
enum Tokens {
    /// The tokens of the page in turn, from the first.
    All,
    /// This one.
    One(usize),
}

/// Multiplies every element by the factor of its token.
fn scale(elements: &mut [f32], tokens: Tokens, factors: &[f32; PAGE_TOKENS]) {
    match tokens {
        Tokens::All => {
            for of_tokens in elements.as_chunks_mut::<PAGE_TOKENS>().0 {
                for (element, factor) in of_tokens.iter_mut().zip(factors) {
                    *element *= factor;
                }
            }
        }
        Tokens::One(token) => {
            let factor = factors[token];
            elements.iter_mut().for_each(|element| *element *= factor);
        }
    }
}

/// The largest magnitude of each token; what is no number has none.
fn measure_each(elements: &[f32], largest: &mut [f32; PAGE_TOKENS]) {
    for of_tokens in elements.as_chunks::<PAGE_TOKENS>().0 {
        for (largest, element) in largest.iter_mut().zip(of_tokens) {
            *largest = largest.max(element.abs());
        }
    }
}

/// As [`measure_each`], of one token.
fn measure(elements: &[f32], largest: &mut f32) {
    let mut lanes = [*largest; PAGE_TOKENS];
    let (chunks, rest) = elements.as_chunks::<PAGE_TOKENS>();
    for chunk in chunks {
        for (lane, element) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(element.abs());
        }
    }
    *largest = lanes.iter().chain(rest).fold(*largest, |largest, lane| largest.max(lane.abs()));
}

/// The code of a scaled element: the nearest whole number, of two the even one; 0 for what is no number.
fn nearest(scaled: f32) -> u8 {
    // Where floats are whole numbers apart, adding rounds, and the low byte is that of the number.
    const WHOLE: f32 = 12_582_912.0;
    (scaled.clamp(-127.0, 127.0) + WHOLE).to_bits() as u8
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

    /// Every element of a half with its token, one by one.
    fn for_each(packing: &Packing, half: usize, mut visit: impl FnMut(usize, usize)) {
        let keys = half.is_multiple_of(2);
        for element in 0..packing.head_dim * PAGE_TOKENS {
            visit(element, if keys { element % PAGE_TOKENS } else { element / packing.head_dim });
        }
    }

    /// What [`Packing::pack`] and [`Packing::unpack`] are to make of an image, element by element.
    fn plainly(packing: &Packing, image: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut packed, mut back) = (Vec::new(), vec![0; image.len()]);
        let elements = packing.head_dim * PAGE_TOKENS;
        for half in 0..2 * packing.heads {
            let at = |element: usize| half * elements + element;
            let mut largest = [0f32; PAGE_TOKENS];
            for_each(packing, half, |element, token| {
                largest[token] = largest[token].max(packing.kv.read(image, at(element)).abs());
            });
            let scales = largest.map(|largest| f16::from_f32(largest / 127.0));
            scales.iter().for_each(|scale| packed.extend(scale.to_le_bytes()));
            for_each(packing, half, |element, token| {
                let scale = scales[token].to_f32();
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                let scaled = libm::rintf(packing.kv.read(image, at(element)) * inverse);
                let code = scaled.clamp(-127.0, 127.0) as i8;
                packed.push(code as u8);
                packing.kv.write(&mut back, at(element), f32::from(code) * scale);
            });
        }
        (packed, back)
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
                for_each(&PACKING, half, |element, token| {
                    let at = half * 128 + element;
                    let (before, after) = (PACKING.kv.read(&image, at), PACKING.kv.read(&back, at));
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

    proptest! {
        #[test]
        fn many_at_once_are_packed_as_each_alone(
            head_dim in prop::sample::select(vec![8usize, 20, 64, 80, 128]), single: bool,
            values in proptest::collection::vec(
                prop_oneof![-8f32..8.0, -1e-6f32..1e-6, any::<f32>(), Just(0.0), Just(-0.0), Just(6e4)], 61
            )
        ) {
            let kv = if single { KvType::F32 } else { KvType::F16 };
            let packing = Packing { heads: 2, head_dim, kv };
            let mut image = vec![0; packing.image_bytes()];
            (0..image.len() / kv.bytes()).for_each(|at| kv.write(&mut image, at, values[at * 7 % 61]));
            let (expected, pages) = plainly(&packing, &image);
            let mut packed = vec![0xAA; packing.packed_bytes()];
            packing.pack(&image, &mut packed);
            prop_assert_eq!(&packed, &expected);
            let mut back = vec![0xBB; image.len()];
            packing.unpack(&packed, &mut back);
            for at in 0..image.len() / kv.bytes() {
                let (before, after) = (kv.read(&pages, at), kv.read(&back, at));
                let equal = before.to_bits() == after.to_bits() || before.is_nan() && after.is_nan();
                prop_assert!(equal, "{} is {} and was {}", at, after, before);
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
        assert!((PACKING.kv.read(&back, 0) - 1.0).abs() < 0.01);
        assert!((PACKING.kv.read(&back, 300) - 1.0).abs() < 0.01);
    }
}
