//! From the bytes of a token to its id.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::error::TokenizerError;
use super::pieces::Pieces;

/// Finds the tokens that texts can be made of. It holds ids only; the bytes are in [`Pieces`].
pub(crate) struct Lookup {
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Lookup {
    /// Enters every plain token.
    ///
    /// # Errors
    /// [`TokenizerError::Duplicate`].
    pub(crate) fn new(pieces: &Pieces) -> Result<Lookup, TokenizerError> {
        let mut lookup = Lookup {
            ids: HashTable::with_capacity(pieces.len() as usize),
            hasher: DefaultHashBuilder::default(),
        };
        for id in (0..pieces.len()).filter(|&id| pieces.is_plain(id)) {
            lookup.enter(pieces, id)?;
        }
        Ok(lookup)
    }

    fn enter(&mut self, pieces: &Pieces, id: u32) -> Result<(), TokenizerError> {
        let bytes = pieces.bytes(id);
        if let Some(first) = self.get(pieces, bytes) {
            return Err(TokenizerError::Duplicate { first, second: id });
        }
        let hasher = &self.hasher;
        let rehash = |&other: &u32| hasher.hash_one(pieces.bytes(other));
        self.ids.insert_unique(hasher.hash_one(bytes), id, rehash);
        Ok(())
    }

    /// The plain token with exactly these bytes.
    pub(crate) fn get(&self, pieces: &Pieces, bytes: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(bytes);
        self.ids.find(hash, |&id| pieces.bytes(id) == bytes).copied()
    }
}
