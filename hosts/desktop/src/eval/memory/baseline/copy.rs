//! The keys and values of a context outside of the device, so that any of its tokens can be put together in pages
//! again. Keys are rotated to their addresses: in a segment that begins at address 0 they are used as they are.

use agentos_hal::page::{key_element, value_element};
use agentos_hal::{KvType, ModelShape, PAGE_TOKENS};

use super::super::Subject;

/// Keys and values of tokens, head by head over all layers.
pub struct Copy {
    shape: ModelShape,
    frequencies: Vec<f64>,
    kv: KvType,
    /// Of each head, `[token][head_dim]`.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

impl Copy {
    /// That of an empty context.
    pub fn new(subject: &Subject<'_>) -> Copy {
        let heads = (subject.shape.layers * subject.shape.kv_heads) as usize;
        Copy {
            shape: *subject.shape,
            frequencies: subject.frequencies.to_vec(),
            kv: subject.kv,
            keys: vec![Vec::new(); heads],
            values: vec![Vec::new(); heads],
        }
    }

    /// Key/value heads over all layers.
    pub fn heads(&self) -> usize {
        self.keys.len()
    }

    /// The key of a token in a head, rotated to its address.
    pub fn key(&self, head: usize, token: u32) -> &[f32] {
        let width = self.shape.head_dim as usize;
        &self.keys[head][token as usize * width..][..width]
    }

    /// Rotates a query to its address.
    pub fn rotated(&self, query: &[f32], address: u32, turned: &mut [f64]) {
        self.shape.rope.rotate(&self.frequencies, address, query, turned);
    }

    /// Forgets all but so many tokens.
    pub fn truncate(&mut self, tokens: u32) {
        let length = tokens as usize * self.shape.head_dim as usize;
        self.keys.iter_mut().chain(&mut self.values).for_each(|head| head.truncate(length));
    }

    /// Takes the tokens of some places of a page, which stands in a segment that begins at `base`.
    pub fn take(&mut self, image: &[u8], places: std::ops::Range<usize>, base: u32) {
        let width = self.shape.head_dim as usize;
        let (mut key, mut turned) = (vec![0.0f32; width], vec![0.0f64; width]);
        for place in places {
            for head in 0..self.keys.len() {
                let (layer, kv_head) = self.of(head);
                for (dim, key) in key.iter_mut().enumerate() {
                    *key = self.kv.read(image, key_element(&self.shape, layer, kv_head, place, dim));
                }
                self.shape.rope.rotate(&self.frequencies, base, &key, &mut turned);
                self.keys[head].extend(turned.iter().map(|&x| x as f32));
                let value = |dim| self.kv.read(image, value_element(&self.shape, layer, kv_head, place, dim));
                self.values[head].extend((0..width).map(value));
            }
        }
    }

    /// Makes the image of a page of a segment at address 0 that has, in each head, its own tokens; places beyond them
    /// are left.
    pub fn put(&self, image: &mut [u8], page: usize, tokens: &[Vec<u32>]) {
        let width = self.shape.head_dim as usize;
        for (head, tokens) in tokens.iter().enumerate() {
            let (layer, kv_head) = self.of(head);
            for (place, &token) in tokens.iter().skip(page * PAGE_TOKENS).take(PAGE_TOKENS).enumerate() {
                let value = &self.values[head][token as usize * width..][..width];
                for (dim, (&key, &value)) in self.key(head, token).iter().zip(value).enumerate() {
                    self.kv.write(image, key_element(&self.shape, layer, kv_head, place, dim), key);
                    self.kv.write(image, value_element(&self.shape, layer, kv_head, place, dim), value);
                }
            }
        }
    }

    fn of(&self, head: usize) -> (u32, u32) {
        (head as u32 / self.shape.kv_heads, head as u32 % self.shape.kv_heads)
    }
}
