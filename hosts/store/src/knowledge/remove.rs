//! Removing documents and collections, and the slices that only they named.

use std::collections::BTreeSet;

use agentos_hal::StoreKey;
use redb::{ReadableTable, WriteTransaction};

use super::aside::discard;
use super::records::{AsideRecord, CollectionRecord, PassageRecord};
use super::{keys, read};
use crate::engine::{COLLECTIONS, DOCUMENTS, Failure, PASSAGES, REFERENCES, SCHEMAS};
use crate::error::KnowledgeError;
use crate::record::{self, Sort};
use crate::store::Store;
use crate::writer::{self, Writer};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Documents.
    pub documents: usize,
    /// Slices that nobody names any more.
    pub slices: usize,
}

impl Store {
    /// Removes a document, what was put aside for it, and the slices that no other passage names. One that is not there
    /// is none.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn remove_document(&self, collection: &str, path: &str) -> Result<Removed, KnowledgeError> {
        let (name, path) = (collection.to_owned(), path.to_owned());
        self.ask(move |writer| {
            let collection = writer.collection(&name)?;
            let found =
                writer.consult(|transaction| read::document(transaction, collection.number, &path))?;
            let aside = writer.consult(|transaction| read::aside(transaction, collection.number, &path))?;
            let documents = found.map(|record| (path.clone(), record.number)).into_iter().collect();
            let asides = aside.map(|record| (path, record)).into_iter().collect();
            remove(writer, &collection, (documents, asides), None)
        })?
    }

    /// Removes a collection with all its documents, and the slices that no other passage names.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn remove_collection(&self, name: &str) -> Result<Removed, KnowledgeError> {
        let name = name.to_owned();
        self.ask(move |writer| {
            let collection = writer.collection(&name)?;
            let documents = writer.consult(|transaction| read::documents(transaction, collection.number))?;
            let documents = documents.into_iter().map(|(path, record)| (path, record.number)).collect();
            let asides = writer.consult(|transaction| read::all_aside(transaction, collection.number))?;
            remove(writer, &collection, (documents, asides), Some(&name))
        })?
    }
}

impl Writer {
    /// The record of a collection.
    pub(super) fn collection(&self, name: &str) -> Result<CollectionRecord, KnowledgeError> {
        let found = self.consult(|transaction| read::collection(transaction, name))?;
        found.ok_or_else(|| read::no_collection(name))
    }
}

/// What leaves a store.
#[derive(Debug, Default)]
pub struct Departure {
    /// The slices that its passages named, each as often as they did.
    pub named: Vec<StoreKey>,
    /// Those that nobody names any more.
    pub slices: BTreeSet<StoreKey>,
}

/// What belongs to paths.
type Named<T> = Vec<(String, T)>;

fn remove(
    writer: &mut Writer,
    collection: &CollectionRecord,
    (documents, asides): (Named<u64>, Named<AsideRecord>),
    name: Option<&str>,
) -> Result<Removed, KnowledgeError> {
    let departure = writer.change(|transaction| {
        let mut departure = Departure::default();
        for (path, document) in &documents {
            take_out(transaction, collection.number, path, *document, &mut departure)?;
        }
        for (path, aside) in &asides {
            discard(transaction, collection.number, path, aside.number)?;
        }
        if let Some(name) = name {
            transaction.open_table(COLLECTIONS)?.remove(name)?;
        }
        release(transaction, &mut departure)?;
        Ok(departure)
    })?;
    let mut index = writer.shared.index();
    departure.slices.iter().for_each(|key| index.remove(key));
    if collection.pinned {
        departure.named.iter().for_each(|key| index.pin(*key, -1));
    }
    Ok(Removed { documents: documents.len(), slices: departure.slices.len() })
}

/// Takes a document out, with its passages, schemas and references.
pub fn take_out(
    transaction: &WriteTransaction,
    collection: u32,
    path: &str,
    document: u64,
    departure: &mut Departure,
) -> Result<(), Failure> {
    transaction.open_table(DOCUMENTS)?.remove(keys::document(collection, path).as_slice())?;
    let mut references = transaction.open_table(REFERENCES)?;
    let mut passages = transaction.open_table(PASSAGES)?;
    let all = keys::passages(document);
    for passage in passages.range::<&[u8; 12]>(all.start()..=all.end())? {
        let (key, bytes) = passage?;
        // Of a passage that is not what was written, the references stay, and with them its slices.
        let Ok(record) = record::open::<PassageRecord>(Sort::Passage, key.value(), bytes.value()) else {
            continue;
        };
        let slices: BTreeSet<_> = record.slices.iter().map(|slice| StoreKey(slice.key)).collect();
        for slice in slices {
            references.remove(&keys::reference(&slice, keys::passage_id(key.value())))?;
            departure.named.push(slice);
        }
    }
    passages.retain_in::<&[u8; 12], _>(all.start()..=all.end(), |_, _| false)?;
    let all = keys::schemas(document);
    transaction.open_table(SCHEMAS)?.retain_in::<&[u8; 13], _>(all.start()..=all.end(), |_, _| false)?;
    Ok(())
}

/// Takes out the slices that were named, and are not any more.
pub fn release(transaction: &WriteTransaction, departure: &mut Departure) -> Result<(), Failure> {
    let references = transaction.open_table(REFERENCES)?;
    for slice in &departure.named {
        let all = keys::references(slice);
        if references.range::<&[u8; 44]>(all.start()..=all.end())?.next().is_none() {
            departure.slices.insert(*slice);
        }
    }
    drop(references);
    departure.slices.iter().try_for_each(|slice| writer::erase(transaction, slice))
}
