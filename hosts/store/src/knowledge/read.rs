//! Asking a store for what was entered.

use agentos_hal::StoreKey;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableError};
use serde::de::DeserializeOwned;

use super::keys;
use super::records::{AsideRecord, CollectionRecord, DocumentRecord, PassageRecord, SchemaRecord};
use super::{Collection, Document, Passage, PassageId, Schema};
use crate::engine::{ASIDE, COLLECTIONS, DOCUMENTS, Failure, PASSAGES, SCHEMAS};
use crate::error::KnowledgeError;
use crate::record::{self, Sort};
use crate::scan::Rows;
use crate::store::Store;

/// The schemas of all slices of a collection, in order of documents, passages and slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Schemas {
    /// The slice of each row.
    pub places: Vec<SlicePlace>,
    /// Mean keys at the relevance layer.
    pub mean_keys: Rows,
    /// Pooled hidden rows at the slicing layer.
    pub hidden: Rows,
}

/// Where a slice is in a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlicePlace {
    /// The passage.
    pub passage: PassageId,
    /// Which of its slices it is, counted from 0.
    pub slice: u8,
}

impl Store {
    /// All collections, by name.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn collections(&self) -> Result<Vec<Collection>, KnowledgeError> {
        self.consult(|transaction| {
            let mut collections = Vec::new();
            for collection in transaction.open_table(COLLECTIONS)?.iter()? {
                let (name, bytes) = collection?;
                let record: CollectionRecord =
                    unsealed(Sort::Collection, name.value().as_bytes(), bytes.value())?;
                collections.push(record.told(name.value()));
            }
            Ok(collections)
        })
    }

    /// A collection, if there is one of this name.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn collection(&self, name: &str) -> Result<Option<Collection>, KnowledgeError> {
        let record = self.consult(|transaction| collection(transaction, name))?;
        Ok(record.map(|record| record.told(name)))
    }

    /// All documents of a collection, by path.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn documents(&self, name: &str) -> Result<Vec<Document>, KnowledgeError> {
        let found = self.consult(|transaction| {
            let Some(collection) = collection(transaction, name)? else { return Ok(None) };
            let documents = documents(transaction, collection.number)?;
            Ok(Some(documents.into_iter().map(|(path, record)| record.told(&path)).collect()))
        })?;
        found.ok_or_else(|| no_collection(name))
    }

    /// A document of a collection, if there is one at this path.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn document(&self, name: &str, path: &str) -> Result<Option<Document>, KnowledgeError> {
        let found = self.consult(|transaction| {
            let Some(collection) = collection(transaction, name)? else { return Ok(None) };
            Ok(Some(document(transaction, collection.number, path)?))
        })?;
        Ok(found.ok_or_else(|| no_collection(name))?.map(|record| record.told(path)))
    }

    /// All passages of a document, in order; none where there is no such document.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn passages(&self, document: u64) -> Result<Vec<Passage>, KnowledgeError> {
        self.consult(|transaction| {
            let passages = passages(transaction, document)?;
            Ok(passages.into_iter().map(|(_, record)| record.told()).collect())
        })
    }

    /// A passage, if it is there.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn passage(&self, id: PassageId) -> Result<Option<Passage>, KnowledgeError> {
        self.consult(|transaction| {
            let key = keys::passage(id);
            let Some(bytes) = transaction.open_table(PASSAGES)?.get(&key)? else { return Ok(None) };
            let record: PassageRecord = unsealed(Sort::Passage, &key, bytes.value())?;
            Ok(Some(record.told()))
        })
    }

    /// The schemas of all slices of a collection. That is about a megabyte for a thousand slices of a small
    /// model.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn schemas(&self, name: &str) -> Result<Schemas, KnowledgeError> {
        let found = self.consult(|transaction| {
            let Some(collection) = collection(transaction, name)? else { return Ok(None) };
            let (keys, hidden) = collection.widths.unwrap_or((0, 0));
            let mut schemas = Schemas {
                places: Vec::new(),
                mean_keys: Rows::new(keys as usize),
                hidden: Rows::new(hidden as usize),
            };
            let mut numbers: Vec<u64> =
                documents(transaction, collection.number)?.iter().map(|(_, record)| record.number).collect();
            numbers.sort_unstable();
            numbers.into_iter().try_for_each(|document| schemas.read(transaction, document))?;
            Ok(Some(schemas))
        })?;
        found.ok_or_else(|| no_collection(name))
    }

    /// All passages of a document, in order, each with the schemas of its slices; none where there is no such document.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn passages_with_schemas(
        &self,
        document: u64,
    ) -> Result<Vec<(Passage, Vec<Schema>)>, KnowledgeError> {
        self.consult(|transaction| {
            let mut schemas = schemas(transaction, document)?.into_iter().peekable();
            let with_schemas = |(id, record): (PassageId, PassageRecord)| {
                let own = std::iter::from_fn(|| schemas.next_if(|(place, _)| place.passage == id));
                let own: Vec<Schema> = own.map(|(_, schema)| schema.told()).collect();
                let complete = own.len() == record.slices.len();
                complete.then(|| (record.told(), own)).ok_or(Failure::Corrupt)
            };
            passages(transaction, document)?.into_iter().map(with_schemas).collect()
        })
    }

    /// Reads of one snapshot. A record that is not what was written is [`StoreError::Corrupt`].
    pub(crate) fn consult<T>(
        &self,
        read: impl FnMut(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, KnowledgeError> {
        self.engine.read(read).map_err(|failure| failure.told(0, 0).into())
    }
}

impl Schemas {
    fn read(&mut self, transaction: &ReadTransaction, document: u64) -> Result<(), Failure> {
        for (place, record) in schemas(transaction, document)? {
            let fits = self.mean_keys.push(&record.mean_key.0) && self.hidden.push(&record.hidden.0);
            if !fits {
                return Err(Failure::Corrupt);
            }
            self.places.push(place);
        }
        Ok(())
    }
}

impl SlicePlace {
    /// The key of the slice, in its passage.
    pub fn key(&self, passage: &Passage) -> Option<StoreKey> {
        passage.slices.get(usize::from(self.slice)).map(|slice| slice.key)
    }
}

/// A collection's record.
pub fn collection(transaction: &ReadTransaction, name: &str) -> Result<Option<CollectionRecord>, Failure> {
    let Some(bytes) = transaction.open_table(COLLECTIONS)?.get(name)? else { return Ok(None) };
    unsealed(Sort::Collection, name.as_bytes(), bytes.value()).map(Some)
}

/// A document's record.
pub fn document(
    transaction: &ReadTransaction,
    collection: u32,
    path: &str,
) -> Result<Option<DocumentRecord>, Failure> {
    let key = keys::document(collection, path);
    let Some(bytes) = transaction.open_table(DOCUMENTS)?.get(key.as_slice())? else { return Ok(None) };
    unsealed(Sort::Document, &key, bytes.value()).map(Some)
}

/// All documents of a collection, by path.
pub fn documents(
    transaction: &ReadTransaction,
    collection: u32,
) -> Result<Vec<(String, DocumentRecord)>, Failure> {
    of_collection(&transaction.open_table(DOCUMENTS)?, collection, Sort::Document)
}

/// What was put aside for a document.
pub fn aside(
    transaction: &ReadTransaction,
    collection: u32,
    path: &str,
) -> Result<Option<AsideRecord>, Failure> {
    let Some(table) = table_aside(transaction)? else { return Ok(None) };
    let key = keys::document(collection, path);
    let Some(bytes) = table.get(key.as_slice())? else { return Ok(None) };
    unsealed(Sort::Aside, &key, bytes.value()).map(Some)
}

/// What was put aside for all documents of a collection, by path.
pub fn all_aside(
    transaction: &ReadTransaction,
    collection: u32,
) -> Result<Vec<(String, AsideRecord)>, Failure> {
    match table_aside(transaction)? {
        Some(table) => of_collection(&table, collection, Sort::Aside),
        None => Ok(Vec::new()),
    }
}

/// A table by collection and path.
type ByPath = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The table of what was put aside, in files that have one.
fn table_aside(transaction: &ReadTransaction) -> Result<Option<ByPath>, Failure> {
    match transaction.open_table(ASIDE) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(Some(table?)),
    }
}

/// The records of a collection in a table by collection and path.
fn of_collection<T: DeserializeOwned>(
    table: &ByPath,
    collection: u32,
    sort: Sort,
) -> Result<Vec<(String, T)>, Failure> {
    let (first, after) = keys::documents(collection);
    let range = match &after {
        Some(after) => table.range::<&[u8]>(first.as_slice()..after.as_slice())?,
        None => table.range::<&[u8]>(first.as_slice()..)?,
    };
    let mut records = Vec::new();
    for record in range {
        let (key, bytes) = record?;
        let path = key.value().get(4..).and_then(|path| str::from_utf8(path).ok()).ok_or(Failure::Corrupt)?;
        records.push((path.to_owned(), unsealed(sort, key.value(), bytes.value())?));
    }
    Ok(records)
}

/// All passages of a document, in order.
pub fn passages(
    transaction: &ReadTransaction,
    document: u64,
) -> Result<Vec<(PassageId, PassageRecord)>, Failure> {
    let all = keys::passages(document);
    let mut passages = Vec::new();
    for passage in transaction.open_table(PASSAGES)?.range::<&[u8; 12]>(all.start()..=all.end())? {
        let (key, bytes) = passage?;
        passages.push((keys::passage_id(key.value()), unsealed(Sort::Passage, key.value(), bytes.value())?));
    }
    Ok(passages)
}

/// The records of all schemas of a document, in order.
fn schemas(transaction: &ReadTransaction, document: u64) -> Result<Vec<(SlicePlace, SchemaRecord)>, Failure> {
    let all = keys::schemas(document);
    let mut schemas = Vec::new();
    for schema in transaction.open_table(SCHEMAS)?.range::<&[u8; 13]>(all.start()..=all.end())? {
        let (key, bytes) = schema?;
        let [passage @ .., slice] = key.value();
        let place = SlicePlace { passage: keys::passage_id(passage), slice: *slice };
        schemas.push((place, unsealed(Sort::Schema, key.value(), bytes.value())?));
    }
    Ok(schemas)
}

/// What to say where there is no such collection.
pub fn no_collection(name: &str) -> KnowledgeError {
    KnowledgeError::NoCollection { name: name.to_owned() }
}

fn unsealed<T: DeserializeOwned>(sort: Sort, key: &[u8], bytes: &[u8]) -> Result<T, Failure> {
    record::open(sort, key, bytes).map_err(|_| Failure::Corrupt)
}
