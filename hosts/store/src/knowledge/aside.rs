//! Passages that were computed for a document that is not entered yet.
//!
//! Whoever enters a long document puts its passages aside as they are computed, so that an interruption costs no more
//! than what was computed since. They are listed nowhere, and name no slice: one of theirs may go for others, and whoever
//! takes them up looks whether it is there. They go with the entering or the removal of their document.

use std::sync::mpsc::Receiver;

use agentos_hal::StoreError;
use redb::WriteTransaction;

use super::enter::{check, fits, next_document, note_passage, widths};
use super::records::AsideRecord;
use super::{PATH_BYTES, Passage, PassageId, Schema, keys, read};
use crate::engine::{ASIDE, Failure, PASSAGES, SCHEMAS};
use crate::error::KnowledgeError;
use crate::record::{self, Sort};
use crate::store::Store;
use crate::writer::Writer;

/// Passages that are being put aside.
#[derive(Debug)]
#[must_use = "whether they are durable is told by waiting"]
pub struct PuttingAside(Receiver<Result<(), KnowledgeError>>);

impl PuttingAside {
    /// Waits until they are durable.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Schemas`], [`KnowledgeError::Store`]: they are not put aside.
    pub fn wait(self) -> Result<(), KnowledgeError> {
        self.0.recv().map_err(|_| StoreError::Gone)?
    }
}

impl Store {
    /// Puts passages of a document aside, behind those that were before. They become durable after the slices that were
    /// put before, all or none; the answer tells.
    ///
    /// # Errors
    /// [`KnowledgeError::TooLong`], [`KnowledgeError::Schemas`], [`KnowledgeError::Store`].
    pub fn put_aside(
        &self,
        collection: &str,
        path: &str,
        passages: Vec<(Passage, Vec<Schema>)>,
    ) -> Result<PuttingAside, KnowledgeError> {
        fits("the path of a document", path.len(), PATH_BYTES)?;
        check(&passages)?;
        let (name, path) = (collection.to_owned(), path.to_owned());
        Ok(PuttingAside(self.order(move |writer| put_aside(writer, &name, &path, &passages))?))
    }

    /// The passages that were put aside for a document, each with the schemas of its slices.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn aside(&self, collection: &str, path: &str) -> Result<Vec<(Passage, Vec<Schema>)>, KnowledgeError> {
        let found = self.consult(|transaction| {
            let Some(collection) = read::collection(transaction, collection)? else { return Ok(None) };
            Ok(Some(read::aside(transaction, collection.number, path)?))
        })?;
        match found.ok_or_else(|| read::no_collection(collection))? {
            Some(record) => self.passages_with_schemas(record.number),
            None => Ok(Vec::new()),
        }
    }

    /// The paths of all documents of a collection that passages were put aside for.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn paths_aside(&self, collection: &str) -> Result<Vec<String>, KnowledgeError> {
        let found = self.consult(|transaction| {
            let Some(collection) = read::collection(transaction, collection)? else { return Ok(None) };
            Ok(Some(read::all_aside(transaction, collection.number)?))
        })?;
        let found = found.ok_or_else(|| read::no_collection(collection))?;
        Ok(found.into_iter().map(|(path, _)| path).collect())
    }

    /// Forgets what was put aside for a document. Where there is nothing, nothing is done.
    ///
    /// # Errors
    /// [`KnowledgeError::NoCollection`], [`KnowledgeError::Store`].
    pub fn forget_aside(&self, collection: &str, path: &str) -> Result<(), KnowledgeError> {
        let (name, path) = (collection.to_owned(), path.to_owned());
        self.ask(move |writer| {
            let collection = writer.collection(&name)?.number;
            match writer.consult(|transaction| read::aside(transaction, collection, &path))? {
                Some(aside) => {
                    writer.change(|transaction| discard(transaction, collection, &path, aside.number))
                }
                None => Ok(()),
            }
        })?
    }
}

fn put_aside(
    writer: &mut Writer,
    name: &str,
    path: &str,
    passages: &[(Passage, Vec<Schema>)],
) -> Result<(), KnowledgeError> {
    let collection = writer.collection(name)?;
    widths(collection.widths, passages)?;
    let there = writer.consult(|transaction| read::aside(transaction, collection.number, path))?;
    writer.change(|transaction| {
        let AsideRecord { number, passages: before } = match there {
            Some(there) => there,
            None => AsideRecord { number: next_document(transaction)?, passages: 0 },
        };
        let mut next = before;
        for (passage, schemas) in passages {
            note_passage(transaction, PassageId { document: number, passage: next }, passage, schemas)?;
            next = next.checked_add(1).ok_or(Failure::Corrupt)?;
        }
        let key = keys::document(collection.number, path);
        let sealed = record::seal(Sort::Aside, &key, &AsideRecord { number, passages: next });
        transaction.open_table(ASIDE)?.insert(key.as_slice(), sealed.as_slice())?;
        Ok(())
    })
}

/// Takes out what was put aside for a document, under this number.
pub fn discard(
    transaction: &WriteTransaction,
    collection: u32,
    path: &str,
    document: u64,
) -> Result<(), Failure> {
    transaction.open_table(ASIDE)?.remove(keys::document(collection, path).as_slice())?;
    let all = keys::passages(document);
    transaction.open_table(PASSAGES)?.retain_in::<&[u8; 12], _>(all.start()..=all.end(), |_, _| false)?;
    let all = keys::schemas(document);
    transaction.open_table(SCHEMAS)?.retain_in::<&[u8; 13], _>(all.start()..=all.end(), |_, _| false)?;
    Ok(())
}
