//! The identity of slices: blake3 over a slice's tokens and everything that it was computed behind.

use agentos_hal::KvType;
use serde::{Deserialize, Serialize};

use crate::layout::SliceLimits;

/// A slice's identity. Two slices of one identity have the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SliceHash(pub [u8; 32]);

impl SliceHash {
    /// What the first slice of every context follows: the model and all else that results depend on.
    pub fn root(model: &[u8; 32], kv: KvType, limits: SliceLimits) -> SliceHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"agentos slice root 1");
        hasher.update(model);
        hasher.update(&[kv.bytes() as u8]);
        hasher.update(&limits.min().to_le_bytes());
        hasher.update(&limits.max().to_le_bytes());
        SliceHash(*hasher.finalize().as_bytes())
    }

    /// The identity of a slice of these tokens behind the context that `self` stands for.
    pub fn chain(self, tokens: &[u32]) -> SliceHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"agentos slice chain 1");
        hasher.update(&self.0);
        update_tokens(&mut hasher, tokens);
        SliceHash(*hasher.finalize().as_bytes())
    }

    /// The hash of the tokens alone, wherever they stand.
    pub fn content(tokens: &[u32]) -> SliceHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"agentos slice content 1");
        update_tokens(&mut hasher, tokens);
        SliceHash(*hasher.finalize().as_bytes())
    }
}

fn update_tokens(hasher: &mut blake3::Hasher, tokens: &[u32]) {
    hasher.update(&(tokens.len() as u64).to_le_bytes());
    for token in tokens {
        hasher.update(&token.to_le_bytes());
    }
}

impl core::fmt::Debug for SliceHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SliceLimits = SliceLimits::DEFAULT;

    #[test]
    fn every_part_of_an_identity_counts() {
        let root = SliceHash::root(&[1; 32], KvType::F16, LIMITS);
        let of = |tokens: &[u32]| root.chain(tokens);
        let base = of(&[1, 2, 3]);
        let others = [
            of(&[1, 2, 4]),
            of(&[2, 1, 3]),
            of(&[1, 2]),
            of(&[1, 2]).chain(&[3]),
            of(&[1, 2, 3]).chain(&[]),
            SliceHash::root(&[2; 32], KvType::F16, LIMITS).chain(&[1, 2, 3]),
            SliceHash::root(&[1; 32], KvType::F32, LIMITS).chain(&[1, 2, 3]),
            SliceHash::root(&[1; 32], KvType::F16, SliceLimits::new(8, 32)).chain(&[1, 2, 3]),
            SliceHash::content(&[1, 2, 3]),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(of(&[1, 2, 3]), base);
        assert_ne!(SliceHash::content(&[1]), SliceHash::content(&[1, 0]));
    }
}
