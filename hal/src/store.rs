//! The cold store: slices that outlive page memory, the arena and the machine's power (paper §2.2, L3).
//!
//! A store keeps page images (see [`crate::page`]) under the identity of the slice that they belong to, and
//! knows nothing else of them. It belongs to one model, tokenizer, element type and page layout; whoever opens
//! it refuses one that was made for others, so that what is behind this trait always fits.

use core::task::Poll;

/// The identity of what is stored: the bytes of a slice's hash. Two slices of one key have the same tokens behind
/// the same context.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey(pub [u8; 32]);

impl core::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

/// What a store keeps of a slice besides its page images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its pages, at least one.
    pub pages: u8,
    /// Its tokens: more than fit one page less.
    pub tokens: u8,
    /// Its images come back as they were handed over, bit for bit. If not, the store may keep them packed.
    pub exact: bool,
}

/// A place for slices that are not needed now.
///
/// No method waits for a disk: a store that has to does so elsewhere, and says [`Poll::Pending`]. One slice is
/// handed over at a time, and one page fetched at a time, each beside the other. A call with other arguments
/// than those that are pending gives these up.
///
/// A store that says that a slice is durable has it after a crash of the program or the machine; of what it was not
/// done with, nothing is there then. It may let a slice go whenever it needs the room, so whoever finds one can
/// still be told [`StoreError::Missing`].
pub trait ColdStore {
    /// Whether a slice is there, whole and durable. Never waits: keys are in memory.
    fn find(&self, key: &StoreKey) -> Option<Entry>;

    /// Hands over one page image of a slice, pages in order from 0; copied before it is ready. With the last page
    /// the slice is whole, and [`ColdStore::poll`] will say what became of it. Page 0 of any slice drops what was
    /// handed over of one that is not whole. A slice that is there is replaced, once the new one is durable.
    ///
    /// # Errors
    /// * [`StoreError::Busy`]: as many slices are on their way as can be. The same call may be made later.
    /// * [`StoreError::Missing`]: the pages before it were not handed over, or were dropped.
    /// * [`StoreError::Length`]: the image is not as long as this store's are.
    /// * [`StoreError::Full`], [`StoreError::Held`], [`StoreError::Io`], [`StoreError::ReadOnly`],
    ///   [`StoreError::Gone`]: the slice will not be stored, and what was handed over of it is dropped.
    fn put(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Poll<Result<(), StoreError>>;

    /// Fills one page image, checked against what was handed over. What is in `image` after an error has no
    /// meaning.
    ///
    /// # Errors
    /// * [`StoreError::Busy`]: it does too much already. The same call may be made later.
    /// * [`StoreError::Missing`]: the slice, or this page of it, is not there (any more).
    /// * [`StoreError::Corrupt`]: it is there and is not what was handed over.
    /// * [`StoreError::Length`]: the image is not as long as this store's are.
    /// * [`StoreError::Io`], [`StoreError::Gone`].
    fn get(&mut self, key: &StoreKey, page: u8, image: &mut [u8]) -> Poll<Result<(), StoreError>>;

    /// Says that a slice will be fetched soon: a store that reads from a slow medium may read it ahead, as far as it
    /// has memory for that. It answers nothing and changes no answer; a store that reads nothing ahead does nothing.
    fn prefetch(&mut self, key: &StoreKey) {
        let _ = key;
    }

    /// Says how much attention a slice drew of late, as a multiple of an even share of its context. A store that lets
    /// slices go for others keeps those longer that drew more. It answers nothing and changes no answer but
    /// [`StoreError::Missing`]; a slice that is not there is none.
    fn weigh(&mut self, key: &StoreKey, weight: f32) {
        let _ = (key, weight);
    }

    /// Forgets a slice, and drops what is on its way of it. One that is not there is none.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Io`], [`StoreError::ReadOnly`], [`StoreError::Gone`]; it is then as it was.
    fn delete(&mut self, key: &StoreKey) -> Result<(), StoreError>;

    /// What became of a slice that was handed over whole: it is durable, or it is not stored. Each is told once,
    /// in any order; of one that was deleted meanwhile, maybe never.
    ///
    /// # Errors
    /// Within the answer: [`StoreError::Full`], [`StoreError::Held`], [`StoreError::Io`], [`StoreError::ReadOnly`],
    /// [`StoreError::Gone`].
    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)>;
}

/// Why a store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StoreError {
    /// It has as much under way as it can have.
    Busy,
    /// The slice, or a page of it, is not there.
    Missing,
    /// There is no room, and nothing that could go for it.
    Full {
        /// Bytes that the slice needs.
        needed: u64,
        /// Bytes that the store may have.
        available: u64,
    },
    /// There is no room beside what the host said must stay.
    Held {
        /// Bytes that the slice needs.
        needed: u64,
        /// Bytes that must stay.
        held: u64,
        /// Bytes that the store may have.
        most: u64,
    },
    /// What is there is not what was handed over.
    Corrupt,
    /// The medium failed.
    Io,
    /// It is not written to, by a rule.
    ReadOnly,
    /// The store is not there (any more).
    Gone,
    /// An image is not as long as this store's are.
    Length {
        /// Its bytes.
        found: usize,
        /// The bytes that would fit.
        expected: usize,
    },
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StoreError::Busy => {
                f.write_str("the store has as much under way as it can have; try again later")
            }
            StoreError::Missing => f.write_str("the store does not have this slice, or not this page of it"),
            StoreError::Full { needed, available } => {
                write!(f, "the slice needs {needed} bytes; {available} would fit the store")
            }
            StoreError::Held { needed, held, most } => write!(
                f,
                "the slice needs {needed} bytes; of the {most} that the store may have, {held} are held by documents of \
                 collections, which do not go for others: a larger store, or fewer documents, would do"
            ),
            StoreError::Corrupt => f.write_str("what the store has is not what was stored"),
            StoreError::Io => f.write_str("the store's medium failed"),
            StoreError::ReadOnly => f.write_str("the store is only read"),
            StoreError::Gone => f.write_str("the store is not there any more"),
            StoreError::Length { found, expected } => {
                write!(f, "the page image has {found} bytes; {expected} would fit")
            }
        }
    }
}

impl core::error::Error for StoreError {}

/// For hosts without a store: nothing is there, and nothing can be put.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore;

impl ColdStore for NoStore {
    fn find(&self, _: &StoreKey) -> Option<Entry> {
        None
    }

    fn put(&mut self, _: &StoreKey, _: Entry, _: u8, _: &[u8]) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Err(StoreError::Gone))
    }

    fn get(&mut self, _: &StoreKey, _: u8, _: &mut [u8]) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Err(StoreError::Gone))
    }

    fn delete(&mut self, _: &StoreKey) -> Result<(), StoreError> {
        Err(StoreError::Gone)
    }

    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)> {
        None
    }
}

/// A store that is lent.
impl<S: ColdStore + ?Sized> ColdStore for &mut S {
    fn find(&self, key: &StoreKey) -> Option<Entry> {
        (**self).find(key)
    }

    fn put(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Poll<Result<(), StoreError>> {
        (**self).put(key, entry, page, image)
    }

    fn get(&mut self, key: &StoreKey, page: u8, image: &mut [u8]) -> Poll<Result<(), StoreError>> {
        (**self).get(key, page, image)
    }

    fn prefetch(&mut self, key: &StoreKey) {
        (**self).prefetch(key);
    }

    fn weigh(&mut self, key: &StoreKey, weight: f32) {
        (**self).weigh(key, weight);
    }

    fn delete(&mut self, key: &StoreKey) -> Result<(), StoreError> {
        (**self).delete(key)
    }

    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)> {
        (**self).poll()
    }
}
