//! The identity of slices: blake3 over a slice's tokens and everything that it was computed behind.
//!
//! Each kind of hash begins with a tag of its own, none of which begins another, and goes on with
//! parts of fixed length or with a length before them (integers little endian): different inputs
//! never give the same bytes to hash. Identities go into checkpoints, so the bytes do not change.

use agentos_hal::KvType;
use serde::{Deserialize, Serialize};

use crate::layout::SliceLimits;

/// A slice's identity. Two slices of one identity have the same bits, unless it is that of [packed](SliceHash::packed) ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SliceHash(pub [u8; 32]);

/// What a slice is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The hash of its tokens and of what is before them; [`SliceHash::packed`] of it, where it is packed.
    pub hash: SliceHash,
    /// Its tokens.
    pub tokens: u8,
    /// It is not the bits that the whole context would have given.
    pub packed: bool,
}

impl Identity {
    /// That of what is not the same bits and stands for the same tokens.
    pub fn packed(self) -> Identity {
        let hash = if self.packed { self.hash } else { self.hash.packed() };
        Identity { hash, packed: true, ..self }
    }

    /// That of what is computed behind a context that has something packed, or has not.
    pub fn behind(self, packed: bool) -> Identity {
        if packed { self.packed() } else { self }
    }
}

impl SliceHash {
    /// What the first slice of every context follows: the model and all else that results depend on.
    pub fn root(model: &[u8; 32], kv: KvType, limits: SliceLimits) -> SliceHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"agentos slice root 1");
        hasher.update(model);
        hasher.update(&[code(kv)]);
        hasher.update(&limits.min().to_le_bytes());
        hasher.update(&limits.max().to_le_bytes());
        SliceHash(*hasher.finalize().as_bytes())
    }

    /// The identity of a slice of these tokens behind the context that `self` stands for: the slice
    /// before it, or the root. Where slices end counts too.
    pub fn chain(self, tokens: &[u32]) -> SliceHash {
        self.tagged(b"agentos slice chain 1", tokens)
    }

    /// What a bounded agent's slices follow from its first choice on: the slices before it, for which `self` stands,
    /// and all that choices depend on beside tokens. The number in the tag counts ways of choosing: what an older
    /// program chose is not what a newer one would have.
    pub fn bounded(self, terms: &[u32]) -> SliceHash {
        self.tagged(b"agentos bounded root 1", terms)
    }

    /// The identity of a slice of these tokens behind what a bounded agent has come to: its rows attended to what the
    /// agent's choices had left.
    pub fn attended(self, tokens: &[u32]) -> SliceHash {
        self.tagged(b"agentos bounded slice 1", tokens)
    }

    /// What follows a question behind which a bounded agent has chosen anew. `tokens` are those of the slice that is
    /// open at its end.
    pub fn asked(self, tokens: &[u32]) -> SliceHash {
        self.tagged(b"agentos bounded question 1", tokens)
    }

    /// Under what a store has the state of a bounded agent that has come to the slice `self`.
    pub fn snapshot(self) -> SliceHash {
        self.tagged(b"agentos bounded snapshot 1", &[])
    }

    /// Under what a slice is found that stands for the slice `self` and is not the same bits: its pages were packed and
    /// unpacked again, or it was computed behind one of those. Only who accepts that looks for it.
    pub fn packed(self) -> SliceHash {
        self.tagged(b"agentos packed slice 1", &[])
    }

    fn tagged(self, tag: &[u8], words: &[u32]) -> SliceHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(tag);
        hasher.update(&self.0);
        update_tokens(&mut hasher, words);
        SliceHash(*hasher.finalize().as_bytes())
    }

    /// The hash of the tokens alone, wherever they stand. It says what a slice holds, never that its
    /// bits are the same.
    pub fn content(tokens: &[u32]) -> SliceHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"agentos slice content 1");
        update_tokens(&mut hasher, tokens);
        SliceHash(*hasher.finalize().as_bytes())
    }
}

/// What an element type counts as. Types of one width are not one type, so this is not the width.
const fn code(kv: KvType) -> u8 {
    match kv {
        KvType::F16 => 1,
        KvType::F32 => 2,
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
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    const LIMITS: SliceLimits = SliceLimits::DEFAULT;

    fn root() -> SliceHash {
        SliceHash::root(&core::array::from_fn(|i| i as u8), KvType::F16, LIMITS)
    }

    fn hex(hash: SliceHash) -> String {
        hash.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From the bytes that the module describes, hashed by the reference implementation (the Python
    /// package blake3).
    #[test]
    fn identities_are_these_bytes() {
        let tokens: Vec<u32> = (0..300).collect();
        let model = core::array::from_fn(|i| i as u8);
        let first = root().chain(&[1, 2, 3, 49151]);
        for (hash, expected) in [
            (root(), "1510d8f8c0fa890d71815c630cdef2d0d139f8050c53da537896bb372fad9968"),
            (
                SliceHash::root(&model, KvType::F32, SliceLimits::new(7, 65536)),
                "40c91bd3b12859a0cb67530c1bd501e851c855d2bce55e1608fbe2a6741c068e",
            ),
            (first, "5dbb2a351302f4521828256d1ebe882201c7e6930062eca019763dbe3dde19f8"),
            (first.chain(&tokens[..64]), "dcd1b591f5814b048408cea618a9a2e54eba88cf318d0c2aa72666bbfdbf6b58"),
            (first.chain(&tokens), "e6bbb9f64dca48d7d153342f2c38f14f1d48335a76f748fb5950fc55eb286efd"),
            (root().chain(&[]), "e63e46af6a16223f6759ce77397536ecbe4f41e970d3492a260c27302cbd9393"),
            (
                SliceHash::content(&[1, 2, 3, u32::MAX]),
                "9c8e458f1da3e968acda3674dffdf40b1319b7c518725971d866830670638378",
            ),
        ] {
            assert_eq!(hex(hash), expected);
        }
        assert_eq!(format!("{:?}", root()), "1510d8f8");
    }

    #[test]
    fn every_part_of_an_identity_counts() {
        let of = |tokens: &[u32]| root().chain(tokens);
        let model = core::array::from_fn(|i| i as u8);
        let others = [
            of(&[1, 2, 4]),
            of(&[2, 1, 3]),
            of(&[1, 2]),
            of(&[1, 2]).chain(&[3]),
            of(&[1, 2, 3]).chain(&[]),
            SliceHash::root(&[2; 32], KvType::F16, LIMITS).chain(&[1, 2, 3]),
            SliceHash::root(&model, KvType::F32, LIMITS).chain(&[1, 2, 3]),
            SliceHash::root(&model, KvType::F16, SliceLimits::new(8, 32)).chain(&[1, 2, 3]),
            SliceHash::root(&model, KvType::F16, SliceLimits::new(7, 64)).chain(&[1, 2, 3]),
            SliceHash::content(&[1, 2, 3]),
            root().bounded(&[1, 2, 3]),
            root().attended(&[1, 2, 3]),
            root().asked(&[1, 2, 3]),
            of(&[1, 2, 3]).snapshot(),
            of(&[1, 2, 3]).packed(),
        ];
        assert!(others.iter().all(|other| *other != of(&[1, 2, 3])));
        assert_ne!(SliceHash::content(&[1]), SliceHash::content(&[1, 0]));
    }

    /// The tokens of a context, slice by slice.
    fn context() -> impl Strategy<Value = Vec<Vec<u32>>> {
        // Few tokens, so that contexts often differ in little.
        proptest::collection::vec(proptest::collection::vec(0u32..3, 1..5), 0..4)
    }

    proptest! {
        #[test]
        fn identities_are_equal_only_for_equal_contexts(a in context(), b in context()) {
            let chain = |slices: &[Vec<u32>]| slices.iter().fold(root(), |parent, slice| parent.chain(slice));
            prop_assert_eq!(chain(&a) == chain(&b), a == b);
            let (a, b) = (a.concat(), b.concat());
            prop_assert_eq!(SliceHash::content(&a) == SliceHash::content(&b), a == b);
        }
    }
}
