//! Four bits an element: keys by channel, values by 32 dimensions.
//!
//! Keys have channels that are large for all tokens, so each channel of a head has a range of its own over the
//! tokens of the slice; values have none, so each token has a range per 32 dimensions. A range is a least value and
//! a step, both in half precision. About 4.75 bits an element for a slice of 64 tokens; a short one pays more for
//! its ranges. Places of the last page that no token has are not kept, and come back as zeros.
//!
//! Source: Liu et al., "KIVI: a tuning-free asymmetric 2bit quantization for KV cache" (ICML 2024).

use agentos_hal::{KvType, PAGE_TOKENS};
use agentos_kernel::memory::pack::Packing;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Dimensions of a value that share a range.
const GROUP: usize = 32;
/// Bytes of a range.
const RANGE_BYTES: usize = 4;
/// The largest code.
const MOST: f32 = 15.0;

/// Bytes of an encoded slice of so many tokens.
pub fn bytes(packing: &Packing, tokens: usize) -> usize {
    let keys = packing.head_dim * run_bytes(tokens);
    packing.heads * (keys + tokens * value_bytes(packing.head_dim))
}

/// Encodes the page images of a slice.
///
/// # Panics
/// When `encoded` is not as long as [`bytes`] says, or `images` has fewer pages than the tokens need.
pub fn encode(packing: &Packing, tokens: usize, images: &[u8], encoded: &mut [u8]) {
    assert_eq!(encoded.len(), bytes(packing, tokens));
    let mut halves = Halves::new(packing, tokens);
    let mut rest = encoded;
    for head in 0..packing.heads {
        halves.read(images, head);
        for channel in halves.keys.chunks_exact(tokens) {
            rest = encode_run(channel, rest);
        }
        for value in halves.values.chunks_exact(packing.head_dim) {
            for group in value.chunks(GROUP) {
                rest = encode_run(group, rest);
            }
        }
    }
}

/// Makes page images of an encoded slice.
///
/// # Panics
/// As [`encode`].
pub fn decode(packing: &Packing, tokens: usize, encoded: &[u8], images: &mut [u8]) {
    assert_eq!(encoded.len(), bytes(packing, tokens));
    let mut halves = Halves::new(packing, tokens);
    let mut rest = encoded;
    for head in 0..packing.heads {
        for channel in halves.keys.chunks_exact_mut(tokens) {
            rest = decode_run(rest, channel);
        }
        for value in halves.values.chunks_exact_mut(packing.head_dim) {
            for group in value.chunks_mut(GROUP) {
                rest = decode_run(rest, group);
            }
        }
        halves.write(images, head);
    }
}

const fn run_bytes(elements: usize) -> usize {
    RANGE_BYTES + elements.div_ceil(2)
}

fn value_bytes(head_dim: usize) -> usize {
    let (whole, rest) = (head_dim / GROUP, head_dim % GROUP);
    whole * run_bytes(GROUP) + if rest > 0 { run_bytes(rest) } else { 0 }
}

/// Encodes elements that share a range, and says where the next go. What is no finite number counts as the
/// nearest end of the range.
fn encode_run<'e>(elements: &[f32], encoded: &'e mut [u8]) -> &'e mut [u8] {
    let (run, rest) = encoded.split_at_mut(run_bytes(elements.len()));
    let finite = || elements.iter().copied().filter(|element| element.is_finite());
    let (least, most) = finite().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    let (least, most) = if least <= most { (least, most) } else { (0.0, 0.0) };
    let least = f16::from_f32(least.clamp(-65_504.0, 65_504.0));
    let step = f16::from_f32(((most - least.to_f32()) / MOST).clamp(0.0, 65_504.0));
    run[..2].copy_from_slice(&least.to_le_bytes());
    run[2..RANGE_BYTES].copy_from_slice(&step.to_le_bytes());
    let (least, step) = (least.to_f32(), step.to_f32());
    let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
    // `as` takes what is no number for 0.
    let code = |element: f32| ((element - least) * inverse).round().clamp(0.0, MOST) as u8;
    for (pair, byte) in elements.chunks(2).zip(&mut run[RANGE_BYTES..]) {
        *byte = code(pair[0]) | pair.get(1).map_or(0, |&element| code(element) << 4);
    }
    rest
}

/// Decodes elements that share a range, and says where the next are.
fn decode_run<'e>(encoded: &'e [u8], elements: &mut [f32]) -> &'e [u8] {
    let (run, rest) = encoded.split_at(run_bytes(elements.len()));
    let half = |at: usize| f16::from_le_bytes([run[at], run[at + 1]]).to_f32();
    let (least, step) = (half(0), half(2));
    // A step that was rounded up may lead beyond what half precision holds.
    let element = |code: u8| (least + step * f32::from(code)).clamp(-65_504.0, 65_504.0);
    let (pairs, last) = elements.as_chunks_mut();
    for ([first, second], byte) in pairs.iter_mut().zip(&run[RANGE_BYTES..]) {
        (*first, *second) = (element(byte & 15), element(byte >> 4));
    }
    for (last, byte) in last.iter_mut().zip(run.last()) {
        *last = element(byte & 15);
    }
    rest
}

/// The keys and values of one head, in single precision, over all tokens of a slice.
struct Halves<'p> {
    packing: &'p Packing,
    tokens: usize,
    /// `[head_dim][tokens]`
    keys: Vec<f32>,
    /// `[tokens][head_dim]`
    values: Vec<f32>,
    /// Keys or values of one page.
    half: Vec<f32>,
    /// The same in half precision.
    narrow: Vec<f16>,
}

impl<'p> Halves<'p> {
    fn new(packing: &'p Packing, tokens: usize) -> Halves<'p> {
        let (all, half) = (vec![0.0; packing.head_dim * tokens], packing.head_dim * PAGE_TOKENS);
        let (keys, values) = (all.clone(), all);
        Halves { packing, tokens, keys, values, half: vec![0.0; half], narrow: vec![f16::ZERO; half] }
    }

    /// Where a head's keys (`values` = 0) or values (1) of a page are in the images.
    fn place(&self, page: usize, head: usize, values: usize) -> std::ops::Range<usize> {
        let bytes = self.half.len() * self.packing.kv.bytes();
        let start = page * self.packing.image_bytes() + (2 * head + values) * bytes;
        start..start + bytes
    }

    /// Pages, with the first of their tokens and how many they have.
    fn pages(&self) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let tokens = self.tokens;
        let page = move |page| (page, page * PAGE_TOKENS, PAGE_TOKENS.min(tokens - page * PAGE_TOKENS));
        (0..tokens.div_ceil(PAGE_TOKENS)).map(page)
    }

    fn read(&mut self, images: &[u8], head: usize) {
        let head_dim = self.packing.head_dim;
        for (page, first, count) in self.pages() {
            self.widen(&images[self.place(page, head, 0)]);
            for (dim, keys) in self.half.chunks_exact(PAGE_TOKENS).enumerate() {
                self.keys[dim * self.tokens + first..][..count].copy_from_slice(&keys[..count]);
            }
            self.widen(&images[self.place(page, head, 1)]);
            let values = &mut self.values[first * head_dim..][..count * head_dim];
            values.copy_from_slice(&self.half[..count * head_dim]);
        }
    }

    fn write(&mut self, images: &mut [u8], head: usize) {
        let head_dim = self.packing.head_dim;
        for (page, first, count) in self.pages() {
            let rows = self.keys.chunks_exact(self.tokens);
            for (to, from) in self.half.as_chunks_mut::<PAGE_TOKENS>().0.iter_mut().zip(rows) {
                match from[first..].first_chunk() {
                    Some(whole) => *to = *whole,
                    None => {
                        to[..count].copy_from_slice(&from[first..]);
                        to[count..].fill(0.0);
                    }
                }
            }
            let place = self.place(page, head, 0);
            self.narrow(&mut images[place]);
            let (kept, vacant) = self.half.split_at_mut(count * head_dim);
            kept.copy_from_slice(&self.values[first * head_dim..][..count * head_dim]);
            vacant.fill(0.0);
            let place = self.place(page, head, 1);
            self.narrow(&mut images[place]);
        }
    }

    fn widen(&mut self, bytes: &[u8]) {
        match self.packing.kv {
            KvType::F16 => {
                for (narrow, &bytes) in self.narrow.iter_mut().zip(bytes.as_chunks().0) {
                    *narrow = f16::from_le_bytes(bytes);
                }
                self.narrow.convert_to_f32_slice(&mut self.half);
            }
            KvType::F32 => {
                for (wide, &bytes) in self.half.iter_mut().zip(bytes.as_chunks().0) {
                    *wide = f32::from_le_bytes(bytes);
                }
            }
        }
    }

    fn narrow(&mut self, bytes: &mut [u8]) {
        match self.packing.kv {
            KvType::F16 => {
                self.narrow.convert_from_f32_slice(&self.half);
                for (narrow, bytes) in self.narrow.iter().zip(bytes.as_chunks_mut().0) {
                    *bytes = narrow.to_le_bytes();
                }
            }
            KvType::F32 => {
                for (wide, bytes) in self.half.iter().zip(bytes.as_chunks_mut().0) {
                    *bytes = wide.to_le_bytes();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn images(packing: &Packing, pages: usize, mut element: impl FnMut(usize) -> f32) -> Vec<u8> {
        let count = pages * packing.image_bytes() / packing.kv.bytes();
        let mut images = vec![0; pages * packing.image_bytes()];
        (0..count).for_each(|at| packing.kv.write(&mut images, at, element(at)));
        images
    }

    /// The elements that share a range with one, and whether the tokens of both count.
    fn range_of(packing: &Packing, tokens: usize, at: usize) -> Option<(usize, usize, usize)> {
        let (dim, half) = (packing.head_dim, packing.head_dim * PAGE_TOKENS);
        let (page, within) = (at / (2 * half * packing.heads), at % (2 * half * packing.heads));
        let (head, within) = (within / (2 * half), within % (2 * half));
        let (token, range) = if within < half {
            (within % PAGE_TOKENS, within / PAGE_TOKENS)
        } else {
            let within = within - half;
            let token = page * PAGE_TOKENS + within / dim;
            (within / dim, 1_000 + token * 1_000 + within % dim / GROUP)
        };
        let token = page * PAGE_TOKENS + token;
        (token < tokens).then_some((head, range, token))
    }

    proptest! {
        #[test]
        fn an_element_moves_by_half_a_step_at_most(
            head_dim in prop::sample::select(vec![16usize, 40, 64]),
            single: bool,
            tokens in 1..64usize,
            values in proptest::collection::vec(prop_oneof![-8f32..8.0, -1e-3f32..1e-3, Just(0.0)], 97)
        ) {
            let kv = if single { KvType::F32 } else { KvType::F16 };
            let packing = Packing { heads: 2, head_dim, kv };
            let pages = tokens.div_ceil(PAGE_TOKENS);
            let images = images(&packing, pages, |at| values[(at * 31) % 97]);
            let mut encoded = vec![0xAA; bytes(&packing, tokens)];
            encode(&packing, tokens, &images, &mut encoded);
            let mut back = vec![0xBB; images.len()];
            decode(&packing, tokens, &encoded, &mut back);
            let count = images.len() / packing.kv.bytes();
            let mut spans = std::collections::HashMap::new();
            for at in 0..count {
                if let Some((head, range, _)) = range_of(&packing, tokens, at) {
                    let (least, most) = spans.entry((head, range)).or_insert((f32::INFINITY, f32::NEG_INFINITY));
                    let x = packing.kv.read(&images, at);
                    (*least, *most) = (least.min(x), most.max(x));
                }
            }
            for at in 0..count {
                let (before, after) = (packing.kv.read(&images, at), packing.kv.read(&back, at));
                match range_of(&packing, tokens, at) {
                    Some((head, range, _)) => {
                        let (least, most) = spans[&(head, range)];
                        // Half a step, and what half precision loses of the range's ends.
                        let slack = (least.abs() + most.abs() + (most - least)) / 512.0 + 1e-6;
                        let bound = (most - least) / 30.0 + slack;
                        prop_assert!((before - after).abs() <= bound, "{} became {}", before, after);
                    }
                    None => prop_assert_eq!(after, 0.0),
                }
            }
        }

        #[test]
        fn any_bits_are_encoded_and_decoded(bits in proptest::collection::vec(any::<u16>(), 2 * 2 * 16 * 8)) {
            let packing = Packing { heads: 2, head_dim: 16, kv: KvType::F16 };
            let images: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            let mut encoded = vec![0; bytes(&packing, 8)];
            encode(&packing, 8, &images, &mut encoded);
            let mut back = vec![0; images.len()];
            decode(&packing, 8, &encoded, &mut back);
            let finite = |at| packing.kv.read(&back, at).is_finite();
            prop_assert!((0..bits.len()).all(finite));
        }
    }

    #[test]
    fn the_widest_range_stays_finite() {
        let packing = Packing { heads: 1, head_dim: 16, kv: KvType::F16 };
        let images = images(&packing, 1, |at| if at.is_multiple_of(2) { -65_504.0 } else { 65_504.0 });
        let mut encoded = vec![0; bytes(&packing, 8)];
        encode(&packing, 8, &images, &mut encoded);
        let mut back = vec![0; images.len()];
        decode(&packing, 8, &encoded, &mut back);
        assert!((0..256).all(|at| packing.kv.read(&back, at).is_finite()));
    }

    #[test]
    fn a_slice_of_the_default_model_takes_less_than_a_third() {
        let packing = Packing { heads: 90, head_dim: 64, kv: KvType::F16 };
        let lossless = 8 * packing.image_bytes();
        assert_eq!(bytes(&packing, 64), 437_760);
        assert!(bytes(&packing, 64) * 10 < lossless * 3);
    }
}
