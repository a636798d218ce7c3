//! What a store has to know before it answers: its slices, and which of them are pinned.

use std::collections::HashSet;

use agentos_hal::StoreKey;
use agentos_kernel::memory::pack::Packing;
use redb::{ReadTransaction, ReadableTable};

use super::keys;
use super::records::CollectionRecord;
use crate::engine::{COLLECTIONS, Failure, REFERENCES, SLICES};
use crate::index::{Index, SliceRecord};
use crate::record::{self, Sort};

/// Reads the index. A record that is not what was written is counted, and its slice goes with the next
/// transaction.
pub fn load(transaction: &ReadTransaction, packing: &Packing) -> Result<Index, Failure> {
    let mut index = Index::default();
    for slice in transaction.open_table(SLICES)?.iter()? {
        let (key, bytes) = slice?;
        let key = StoreKey(*key.value());
        match record::open::<SliceRecord>(Sort::Slice, &key.0, bytes.value()) {
            Ok(record) if record.is_sound(packing) => index.insert(key, record),
            _ => {
                index.stats.corrupt += 1;
                index.doomed.push(key);
            }
        }
    }
    let mut pinned = HashSet::new();
    for collection in transaction.open_table(COLLECTIONS)?.iter()? {
        let (name, bytes) = collection?;
        let record = record::open(Sort::Collection, name.value().as_bytes(), bytes.value());
        if let Ok(CollectionRecord { number, pinned: true, .. }) = record {
            pinned.insert(number);
        }
    }
    if !pinned.is_empty() {
        for reference in transaction.open_table(REFERENCES)?.iter()? {
            let (key, collection) = reference?;
            if pinned.contains(&collection.value()) {
                index.pin(keys::referred(key.value()), 1);
            }
        }
    }
    Ok(index)
}
