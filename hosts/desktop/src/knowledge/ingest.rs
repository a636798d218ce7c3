//! Entering documents into a collection: read, cut, computed once, stored.
//!
//! A document is entered whole or not at all, so a run that is ended in the middle is gone on with by the next
//! one. A file that looks as it did is not read; one whose content is the same is not computed. Of one that changed, the
//! passages that it had before are not, and of one that a run was ended within, those that it had put aside.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::task::Poll;
use std::time::UNIX_EPOCH;

use agentos_documents::{Document, DocumentError, Limits, Place, apart};
use agentos_hal::{ColdStore, Entry, StoreError, StoreKey};
use agentos_kernel::memory::SliceHash;
use agentos_store::knowledge::aside::PuttingAside;
use agentos_store::{Draft, KnowledgeError, Modified, PassageSlice, Schema, Store};
use sha2::{Digest, Sha256};

use super::compute::{ComputeError, Computed, Computer};
use super::library::{Library, LibraryError, Settings, chain};
use super::passage::Passage;
use super::walk::Found;

/// Counted into every content's hash: what makes the same bytes give other passages.
const CUT_VERSION: &[u8] = b"agentos passages 1";

/// Tokens of passages that are computed before they are put aside. Each time is two transactions of the store, and what
/// was not put aside yet is computed again after a crash.
const ASIDE_TOKENS: usize = 1024;

/// Computes what passages are kept as.
pub trait Computes {
    /// The slices of what all passages stand behind.
    ///
    /// # Errors
    /// [`ComputeError`].
    fn beginning(&mut self) -> Result<Vec<Computed>, ComputeError>;

    /// The slices of a text behind that.
    ///
    /// # Errors
    /// [`ComputeError`].
    fn behind(&mut self, text: &[u32]) -> Result<Vec<Computed>, ComputeError>;
}

impl Computes for Computer<'_, '_, '_> {
    fn beginning(&mut self) -> Result<Vec<Computed>, ComputeError> {
        Computer::beginning(self)
    }

    fn behind(&mut self, text: &[u32]) -> Result<Vec<Computed>, ComputeError> {
        Computer::behind(self, text)
    }
}

/// A file as it was seen, before it is read as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there as it is.
    Unchanged,
    /// It is new, or another than it was.
    Changed,
    /// It cannot be read, or is larger than what is read.
    Refused(DocumentError),
}

/// A file that was read as a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// What it looked like.
    pub modified: Modified,
    /// The hash of its content.
    pub content: [u8; 32],
    /// What it says.
    pub document: Document,
}

/// What a document came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Passages of it.
    pub passages: usize,
    /// Those of them that the document had before, or that an earlier run had computed; they were not computed again.
    pub known: usize,
    /// Tokens that were computed.
    pub tokens: usize,
    /// An older one of its path went for it.
    pub replaced: bool,
}

/// What a passage of a document is kept as.
struct Kept {
    slices: Vec<PassageSlice>,
    schemas: Vec<Schema>,
}

/// Passages of a document under way that wait to be put aside.
struct Aside<'p> {
    path: &'p str,
    fresh: Vec<(agentos_store::Passage, Vec<Schema>)>,
    /// Their tokens.
    tokens: usize,
    under_way: Option<PuttingAside>,
}

impl Aside<'_> {
    /// Puts those aside that wait, once those before them are.
    fn put(&mut self, store: &Store, collection: &str) -> Result<(), LibraryError> {
        self.wait()?;
        if !self.fresh.is_empty() {
            self.tokens = 0;
            let fresh = std::mem::take(&mut self.fresh);
            self.under_way = Some(store.put_aside(collection, self.path, fresh)?);
        }
        Ok(())
    }

    /// Waits until those are durable that were put aside.
    fn wait(&mut self) -> Result<(), LibraryError> {
        Ok(self.under_way.take().map_or(Ok(()), PuttingAside::wait)?)
    }
}

/// A collection that documents are entered into.
pub struct Shelf<'l> {
    /// The library.
    pub library: &'l mut Library,
    /// The collection's name.
    pub collection: &'l str,
    /// What its passages have in common.
    pub settings: &'l Settings,
    /// How much of a file is read.
    pub limits: Limits,
    /// The program whose processes read documents: this one, as a rule.
    pub reader: &'l Path,
    /// Slices of passages are written as the library packs them. Those of the beginning, which all attend to, are not.
    pub packed: bool,
    /// What passages are chained to, once it is known that the collection's beginning is stored.
    pub stored_beginning: Option<SliceHash>,
}

impl Shelf<'_> {
    /// Looks at a file. A file that was only touched is noted as it looks now.
    ///
    /// # Errors
    /// [`LibraryError::Store`].
    pub fn see(&mut self, found: &Found) -> Result<Seen, LibraryError> {
        let path = found.path.to_string_lossy();
        let there = self.library.store.document(self.collection, &path)?;
        let (modified, bytes) = match self.look(found, there.as_ref().map(|document| document.modified)) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(Seen::Unchanged),
            Err(error) => return Ok(Seen::Refused(error)),
        };
        if there.is_some_and(|document| document.content == content(found, &bytes)) {
            self.library.store.set_modified(self.collection, &path, modified)?;
            return Ok(Seen::Unchanged);
        }
        Ok(Seen::Changed)
    }

    /// What a file looks like, and its bytes; nothing where it looks as `known`.
    fn look(
        &self,
        found: &Found,
        known: Option<Modified>,
    ) -> Result<Option<(Modified, Vec<u8>)>, DocumentError> {
        let system = |error: std::io::Error| DocumentError::System {
            action: "read the file".to_owned(),
            error: error.to_string(),
        };
        let file = File::open(&found.path).map_err(system)?;
        let metadata = file.metadata().map_err(system)?;
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let at_ns = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        let modified = Modified { bytes: metadata.len(), at_ns };
        if known == Some(modified) && at_ns != 0 {
            return Ok(None);
        }
        let limit = self.limits.source_bytes;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(system)?;
        if bytes.len() as u64 > limit {
            return Err(DocumentError::TooLarge { found: metadata.len().max(bytes.len() as u64), limit });
        }
        Ok(Some((modified, bytes)))
    }

    /// Reads a file as a document, in a process of its own.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read(&self, found: &Found) -> Result<ReadFile, DocumentError> {
        let Some((modified, bytes)) = self.look(found, None)? else { return Err(DocumentError::Empty) };
        let content = content(found, &bytes);
        let document = apart::read(self.reader, &bytes, &found.path, &self.limits)?;
        Ok(ReadFile { modified, content, document })
    }

    /// Computes the passages of a document, stores their slices and enters it. `goes_on` is told before each passage how
    /// many are behind it.
    ///
    /// # Errors
    /// [`LibraryError`]; the document is not entered then, and what was computed of it is found by the next try.
    pub fn enter(
        &mut self,
        found: &Found,
        read: &ReadFile,
        passages: Vec<Passage>,
        computes: &mut dyn Computes,
        goes_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Entered, LibraryError> {
        let entered = self.enter_computed(found, read, passages, computes, goes_on);
        entered.map_err(|error| self.full(error))
    }

    /// An error, or that the library is full where it comes of that: a document that is too large for what is left takes
    /// the room of its own first slices.
    fn full(&self, error: LibraryError) -> LibraryError {
        use KnowledgeError::{NoSlice, Store};
        let LibraryError::Store(Store(StoreError::Full { .. } | StoreError::Held { .. }) | NoSlice { .. }) =
            error
        else {
            return error;
        };
        let stats = self.library.store.stats();
        LibraryError::Full { bytes: stats.bytes, most: stats.max_bytes }
    }

    fn enter_computed(
        &mut self,
        found: &Found,
        read: &ReadFile,
        passages: Vec<Passage>,
        computes: &mut dyn Computes,
        goes_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Entered, LibraryError> {
        let before = self.beginning(computes)?;
        let path = found.path.to_string_lossy().into_owned();
        let known = self.known(&path)?;
        let mut entered = Entered { passages: passages.len(), known: 0, tokens: 0, replaced: false };
        let mut drafts = Vec::with_capacity(passages.len());
        let mut aside = Aside { path: &path, fresh: Vec::new(), tokens: 0, under_way: None };
        for (number, passage) in passages.into_iter().enumerate() {
            if !goes_on(number) {
                aside.put(&self.library.store, self.collection)?;
                aside.wait()?;
                return Err(LibraryError::Interrupted);
            }
            if let Some(Kept { slices, schemas }) = known.get(&passage.tokens)
                && slices.iter().all(|slice| self.library.store.find(&slice.key).is_some())
            {
                entered.known += 1;
                drafts.push((stored(passage, slices.clone()), schemas.clone()));
                continue;
            }
            if aside.tokens >= ASIDE_TOKENS {
                aside.put(&self.library.store, self.collection)?;
            }
            let computed = computes.behind(&passage.tokens)?;
            let keys = chain(before, &passage.tokens, computed.iter().map(|slice| slice.tokens));
            let keys = put_all(&mut self.library.store, keys, &computed, self.packed)?;
            entered.tokens += passage.tokens.len();
            aside.tokens += passage.tokens.len();
            let draft = draft(passage, &keys, computed);
            aside.fresh.push(draft.clone());
            drafts.push(draft);
        }
        aside.wait()?;
        self.library.store.flush()?;
        told(&mut self.library.store)?;
        let draft = Draft { path, content: read.content, modified: read.modified, passages: drafts };
        entered.replaced = self.library.store.enter(self.collection, draft)?.replaced;
        Ok(entered)
    }

    /// The passages that a document has now, and those that were put aside for it, by their tokens: what they are kept as.
    fn known(&self, path: &str) -> Result<HashMap<Vec<u32>, Kept>, LibraryError> {
        let store = &self.library.store;
        let mut known = store.aside(self.collection, path)?;
        if let Some(document) = store.document(self.collection, path)? {
            known.extend(store.passages_with_schemas(document.number)?);
        }
        let kept = |(passage, schemas): (agentos_store::Passage, Vec<Schema>)| {
            (passage.tokens, Kept { slices: passage.slices, schemas })
        };
        Ok(known.into_iter().map(kept).collect())
    }

    /// What stands behind the collection's beginning, whose slices are stored if they are not there.
    fn beginning(&mut self, computes: &mut dyn Computes) -> Result<SliceHash, LibraryError> {
        if let Some(hash) = self.stored_beginning {
            return Ok(hash);
        }
        let tokens = &self.settings.frame.before;
        let computed = computes.beginning()?;
        let keys = chain(self.library.root, tokens, computed.iter().map(|slice| slice.tokens));
        let keys = put_all(&mut self.library.store, keys, &computed, false)?;
        let hash = keys.last().map_or(self.library.root, |last| SliceHash(last.0));
        self.stored_beginning = Some(hash);
        Ok(hash)
    }
}

/// The hash of a document: of its bytes, of the name that stands in its passages, and of how they are cut.
fn content(found: &Found, bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(CUT_VERSION);
    hash.update((found.name.len() as u64).to_le_bytes());
    hash.update(&found.name);
    hash.update(bytes);
    hash.finalize().into()
}

fn draft(
    passage: Passage,
    keys: &[StoreKey],
    computed: Vec<Computed>,
) -> (agentos_store::Passage, Vec<Schema>) {
    let slice = |(key, slice): (&StoreKey, &Computed)| PassageSlice {
        key: *key,
        tokens: slice.tokens as u8,
        heavy: slice.heavy.clone(),
    };
    let slices = keys.iter().zip(&computed).map(slice).collect();
    let schemas = computed.into_iter().map(|slice| Schema { mean_key: slice.mean_key, hidden: slice.pooled });
    (stored(passage, slices), schemas.collect())
}

/// A passage as it is kept.
fn stored(passage: Passage, slices: Vec<PassageSlice>) -> agentos_store::Passage {
    let bytes = match &passage.place {
        Place::Characters { bytes, .. } => bytes.clone(),
        Place::Page(_) => 0..0,
    };
    let content = SliceHash::content(&passage.tokens).0;
    let place = passage.place.to_string();
    agentos_store::Passage { tokens: passage.tokens, bytes, place, content, slices }
}

/// Hands over the slices that the store does not have. Returns under what it has them: packed ones have names of their
/// own, and what is there as it is stays so.
fn put_all(
    store: &mut Store,
    mut keys: Vec<StoreKey>,
    computed: &[Computed],
    packed: bool,
) -> Result<Vec<StoreKey>, LibraryError> {
    for (key, slice) in keys.iter_mut().zip(computed) {
        if packed && store.find(key).is_none() {
            *key = StoreKey(SliceHash(key.0).packed().0);
        }
        if store.find(key).is_some() {
            continue;
        }
        let pages = agentos_hal::page::pages_for(slice.tokens).max(1);
        let entry = Entry { pages: pages as u8, tokens: slice.tokens as u8, exact: !packed };
        for (page, image) in slice.images.chunks_exact(slice.images.len() / pages as usize).enumerate() {
            put(store, key, entry, page as u8, image)?;
        }
    }
    told(store)?;
    Ok(keys)
}

fn put(store: &mut Store, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Result<(), LibraryError> {
    loop {
        match store.put(key, entry, page, image) {
            Poll::Ready(Ok(())) => return Ok(()),
            Poll::Ready(Err(StoreError::Busy)) | Poll::Pending => told(store)?,
            Poll::Ready(Err(error)) => return Err(error.into()),
        }
        std::thread::yield_now();
    }
}

/// Hears what became of slices that were handed over.
fn told(store: &mut Store) -> Result<(), LibraryError> {
    while let Some((_, outcome)) = store.poll() {
        outcome?;
    }
    Ok(())
}
