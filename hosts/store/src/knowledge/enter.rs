//! Entering collections and documents.

use std::collections::{BTreeMap, BTreeSet};

use agentos_hal::{StoreError, StoreKey};
use redb::{ReadableTable, WriteTransaction};

use super::aside::discard;
use super::records::{CollectionRecord, DocumentRecord, PassageRecord, SchemaRecord};
use super::remove::{Departure, release, take_out};
use super::{
    Collection, Draft, HEAVY_TOKENS, Modified, NAME_BYTES, PASSAGE_SLICES, PASSAGE_TOKENS, PATH_BYTES,
    PLACE_BYTES, Passage, PassageId, SCHEMA_NUMBERS, SETTINGS_BYTES, Schema, keys, read,
};
use crate::counter::count_up;
use crate::engine::{COLLECTIONS, DOCUMENTS, Failure, PASSAGES, REFERENCES, SCHEMAS};
use crate::error::KnowledgeError;
use crate::record::{self, Sort};
use crate::store::Store;
use crate::writer::Writer;

/// The counter of documents in the table of counters.
const NEXT_DOCUMENT: &str = "next document";
/// The counter of collections.
const NEXT_COLLECTION: &str = "next collection";

/// What entering a document came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The number of the document.
    pub document: u64,
    /// It took the place of one with the same path.
    pub replaced: bool,
    /// Slices of that one which nobody names any more, and which went.
    pub slices_removed: usize,
}

impl Store {
    /// Makes a collection, or gives one that is there behind the same prefix other settings.
    ///
    /// # Errors
    /// [`KnowledgeError::Prefix`], [`KnowledgeError::TooLong`], [`KnowledgeError::Store`].
    pub fn create_collection(&self, collection: &Collection) -> Result<(), KnowledgeError> {
        fits("the name of a collection", collection.name.len(), NAME_BYTES)?;
        fits("the settings of a collection", collection.settings.len(), SETTINGS_BYTES)?;
        let collection = collection.clone();
        self.ask(move |writer| create(writer, &collection))?
    }

    /// Enters a document with all its passages, in the place of one with the same path. It is entered whole and
    /// durably, or not at all. Its slices were put before, and are durable. What was put aside for it goes.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::NoSlice`], [`KnowledgeError::TooLong`],
    /// [`KnowledgeError::Schemas`], [`KnowledgeError::Store`].
    pub fn enter(&self, collection: &str, draft: Draft) -> Result<Entered, KnowledgeError> {
        fits("the path of a document", draft.path.len(), PATH_BYTES)?;
        check(&draft.passages)?;
        let name = collection.to_owned();
        self.ask(move |writer| enter(writer, &name, &draft))?
    }

    /// Notes what the file of a document looks like now, when its content is still the same.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`]; with [`StoreError::Missing`] when there is no
    /// such document.
    pub fn set_modified(
        &self,
        collection: &str,
        path: &str,
        modified: Modified,
    ) -> Result<(), KnowledgeError> {
        let (name, path) = (collection.to_owned(), path.to_owned());
        self.ask(move |writer| {
            let collection = writer.collection(&name)?;
            let found =
                writer.consult(|transaction| read::document(transaction, collection.number, &path))?;
            let record = found.ok_or(StoreError::Missing)?;
            let record = DocumentRecord { modified, ..record };
            writer.change(|transaction| note_document(transaction, collection.number, &path, &record))
        })?
    }
}

fn create(writer: &mut Writer, collection: &Collection) -> Result<(), KnowledgeError> {
    let Collection { name, prefix, pinned, settings } = collection;
    let there = writer.consult(|transaction| read::collection(transaction, name))?;
    if there.as_ref().is_some_and(|there| there.prefix != *prefix) {
        return Err(KnowledgeError::Prefix { name: name.clone() });
    }
    let number = writer.change(|transaction| {
        let (number, widths) = match &there {
            Some(there) => (there.number, there.widths),
            None => (count_up(transaction, NEXT_COLLECTION)? as u32, None),
        };
        let record =
            CollectionRecord { number, prefix: *prefix, pinned: *pinned, settings: settings.clone(), widths };
        note_collection(transaction, name, &record)?;
        Ok(number)
    })?;
    let was_pinned = there.is_some_and(|there| there.pinned);
    if was_pinned != *pinned {
        let slices = writer.consult(|transaction| {
            let mut slices = Vec::new();
            for reference in redb::ReadTransaction::open_table(transaction, REFERENCES)?.iter()? {
                let (key, collection) = reference?;
                if collection.value() == number {
                    slices.push(keys::referred(key.value()));
                }
            }
            Ok(slices)
        })?;
        let mut index = writer.shared.index();
        slices.into_iter().for_each(|key| index.pin(key, if *pinned { 1 } else { -1 }));
    }
    Ok(())
}

fn enter(writer: &mut Writer, name: &str, draft: &Draft) -> Result<Entered, KnowledgeError> {
    let collection = writer.collection(name)?;
    let widths = widths(collection.widths, &draft.passages)?;
    has_slices(writer, draft)?;
    let old = writer.consult(|transaction| read::document(transaction, collection.number, &draft.path))?;
    let aside = writer.consult(|transaction| read::aside(transaction, collection.number, &draft.path))?;
    let (document, departure) = writer.change(|transaction| {
        let mut departure = Departure::default();
        if let Some(aside) = &aside {
            discard(transaction, collection.number, &draft.path, aside.number)?;
        }
        if let Some(old) = &old {
            take_out(transaction, collection.number, &draft.path, old.number, &mut departure)?;
        }
        let number = next_document(transaction)?;
        let record = DocumentRecord {
            number,
            content: draft.content,
            modified: draft.modified,
            passages: draft.passages.len() as u32,
        };
        note_document(transaction, collection.number, &draft.path, &record)?;
        for (passage, (what, schemas)) in draft.passages.iter().enumerate() {
            let id = PassageId { document: number, passage: passage as u32 };
            note_passage(transaction, id, what, schemas)?;
            refer(transaction, collection.number, id, what)?;
        }
        if collection.widths != widths {
            note_collection(transaction, name, &CollectionRecord { widths, ..collection.clone() })?;
        }
        release(transaction, &mut departure)?;
        Ok((number, departure))
    })?;
    let mut index = writer.shared.index();
    departure.slices.iter().for_each(|key| index.remove(key));
    if collection.pinned {
        departure.named.iter().for_each(|key| index.pin(*key, -1));
        named(draft).for_each(|key| index.pin(key, 1));
    }
    Ok(Entered { document, replaced: old.is_some(), slices_removed: departure.slices.len() })
}

/// The slices that the passages of a draft name, each as often as they do.
fn named(draft: &Draft) -> impl Iterator<Item = StoreKey> {
    draft.passages.iter().flat_map(|(passage, _)| {
        let slices: BTreeSet<_> = passage.slices.iter().map(|slice| slice.key).collect();
        slices.into_iter()
    })
}

fn note_document(
    transaction: &WriteTransaction,
    collection: u32,
    path: &str,
    record: &DocumentRecord,
) -> Result<(), Failure> {
    let key = keys::document(collection, path);
    let sealed = record::seal(Sort::Document, &key, record);
    transaction.open_table(DOCUMENTS)?.insert(key.as_slice(), sealed.as_slice())?;
    Ok(())
}

fn note_collection(
    transaction: &WriteTransaction,
    name: &str,
    record: &CollectionRecord,
) -> Result<(), Failure> {
    let sealed = record::seal(Sort::Collection, name.as_bytes(), record);
    transaction.open_table(COLLECTIONS)?.insert(name, sealed.as_slice())?;
    Ok(())
}

/// Writes a passage and the schemas of its slices.
pub(super) fn note_passage(
    transaction: &WriteTransaction,
    id: PassageId,
    passage: &Passage,
    schemas: &[Schema],
) -> Result<(), Failure> {
    let key = keys::passage(id);
    let sealed = record::seal(Sort::Passage, &key, &PassageRecord::of(passage.clone()));
    transaction.open_table(PASSAGES)?.insert(&key, sealed.as_slice())?;
    let mut table = transaction.open_table(SCHEMAS)?;
    for (slice, schema) in schemas.iter().enumerate() {
        let key = keys::schema(id, slice as u8);
        let sealed = record::seal(Sort::Schema, &key, &SchemaRecord::of(schema));
        table.insert(&key, sealed.as_slice())?;
    }
    Ok(())
}

/// Notes that a passage of a collection names its slices.
fn refer(
    transaction: &WriteTransaction,
    collection: u32,
    id: PassageId,
    passage: &Passage,
) -> Result<(), Failure> {
    let mut references = transaction.open_table(REFERENCES)?;
    for slice in &passage.slices {
        references.insert(&keys::reference(&slice.key, id), collection)?;
    }
    Ok(())
}

/// The number of the next document.
pub(super) fn next_document(transaction: &WriteTransaction) -> Result<u64, Failure> {
    count_up(transaction, NEXT_DOCUMENT)
}

pub(super) fn fits(what: &'static str, found: usize, most: usize) -> Result<(), KnowledgeError> {
    if found <= most { Ok(()) } else { Err(KnowledgeError::TooLong { what, found, most }) }
}

/// Refuses passages that are larger than what is kept, or have other schemas than slices.
pub(super) fn check(passages: &[(Passage, Vec<Schema>)]) -> Result<(), KnowledgeError> {
    fits("the number of passages of a document", passages.len(), u32::MAX as usize)?;
    for (number, (passage, schemas)) in passages.iter().enumerate() {
        fits("the number of tokens of a passage", passage.tokens.len(), PASSAGE_TOKENS)?;
        fits("the number of slices of a passage", passage.slices.len(), PASSAGE_SLICES)?;
        fits("the place of a passage", passage.place.len(), PLACE_BYTES)?;
        for slice in &passage.slices {
            fits("the list of heavy tokens of a slice", slice.heavy.len(), HEAVY_TOKENS)?;
        }
        for schema in schemas {
            fits("the mean key of a slice", schema.mean_key.len(), SCHEMA_NUMBERS)?;
            fits("the hidden row of a slice", schema.hidden.len(), SCHEMA_NUMBERS)?;
        }
        let (found, expected) = (schemas.len(), passage.slices.len());
        if found != expected {
            return Err(KnowledgeError::Schemas { passage: number, found, expected });
        }
    }
    Ok(())
}

/// How many numbers the vectors of all schemas have: those of the collection, or of the first that comes.
pub(super) fn widths(
    known: Option<(u32, u32)>,
    passages: &[(Passage, Vec<Schema>)],
) -> Result<Option<(u32, u32)>, KnowledgeError> {
    let mut widths = known.map(|(keys, hidden)| (keys as usize, hidden as usize));
    for (passage, (_, schemas)) in passages.iter().enumerate() {
        for Schema { mean_key, hidden } in schemas {
            let (keys, rows) = *widths.get_or_insert((mean_key.len(), hidden.len()));
            for (found, expected) in [(mean_key.len(), keys), (hidden.len(), rows)] {
                if found != expected {
                    return Err(KnowledgeError::Schemas { passage, found, expected });
                }
            }
        }
    }
    Ok(widths.map(|(keys, hidden)| (keys as u32, hidden as u32)))
}

fn has_slices(writer: &Writer, draft: &Draft) -> Result<(), KnowledgeError> {
    let index = writer.shared.index();
    let mut asked: BTreeMap<StoreKey, usize> = BTreeMap::new();
    for (number, (passage, _)) in draft.passages.iter().enumerate() {
        for slice in &passage.slices {
            asked.entry(slice.key).or_insert(number);
        }
    }
    match asked.into_iter().find(|(key, _)| index.get(key).is_none()) {
        Some((key, passage)) => Err(KnowledgeError::NoSlice { key, passage }),
        None => Ok(()),
    }
}
