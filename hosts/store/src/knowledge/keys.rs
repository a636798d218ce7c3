//! The keys of the tables, integers big endian, so that what belongs together lies together.

use std::ops::RangeInclusive;

use agentos_hal::StoreKey;

use super::PassageId;

/// The key of a document.
pub fn document(collection: u32, path: &str) -> Vec<u8> {
    let mut key = collection.to_be_bytes().to_vec();
    key.extend_from_slice(path.as_bytes());
    key
}

/// The key after those of a collection's documents, if there can be more, and their first.
pub fn documents(collection: u32) -> (Vec<u8>, Option<Vec<u8>>) {
    let after = collection.checked_add(1).map(|next| next.to_be_bytes().to_vec());
    (collection.to_be_bytes().to_vec(), after)
}

/// The key of a passage.
pub fn passage(id: PassageId) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&id.document.to_be_bytes());
    key[8..].copy_from_slice(&id.passage.to_be_bytes());
    key
}

/// The keys of a document's passages.
pub fn passages(document: u64) -> RangeInclusive<[u8; 12]> {
    passage(PassageId { document, passage: 0 })..=passage(PassageId { document, passage: u32::MAX })
}

/// What passage a key is of.
pub fn passage_id(key: &[u8; 12]) -> PassageId {
    let document = u64::from_be_bytes(std::array::from_fn(|i| key[i]));
    PassageId { document, passage: u32::from_be_bytes(std::array::from_fn(|i| key[8 + i])) }
}

/// The key of the schema of a passage's slice.
pub fn schema(id: PassageId, slice: u8) -> [u8; 13] {
    let mut key = [slice; 13];
    key[..12].copy_from_slice(&passage(id));
    key
}

/// The keys of the schemas of a document.
pub fn schemas(document: u64) -> RangeInclusive<[u8; 13]> {
    schema(PassageId { document, passage: 0 }, 0)..=schema(PassageId { document, passage: u32::MAX }, u8::MAX)
}

/// The key by which a passage names a slice.
pub fn reference(slice: &StoreKey, id: PassageId) -> [u8; 44] {
    let mut key = [0; 44];
    key[..32].copy_from_slice(&slice.0);
    key[32..].copy_from_slice(&passage(id));
    key
}

/// The keys by which passages name a slice.
pub fn references(slice: &StoreKey) -> RangeInclusive<[u8; 44]> {
    let id = |number: u64| PassageId { document: number, passage: number as u32 };
    reference(slice, id(0))..=reference(slice, id(u64::MAX))
}

/// The slice that a key of a reference names.
pub fn referred(key: &[u8; 44]) -> StoreKey {
    StoreKey(std::array::from_fn(|i| key[i]))
}
