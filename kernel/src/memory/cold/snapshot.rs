//! The state of a bounded agent on its way to or from the cold store, beside the slices that it is about.
//!
//! One is on its way at a time, in memory of its own: what it says must not change while pages of it are handed
//! over. It is stored as a slice is, in as many page images as it takes.

use core::task::Poll;

use agentos_hal::{ColdStore, Entry, PAGE_TOKENS, StoreError, StoreKey};

use super::{Handed, Patience, StoreFault};
use crate::memory::hash::SliceHash;
use crate::memory::pager::Pager;
use crate::memory::slices::SliceId;

/// Most page images of one: a store counts tokens in a byte.
pub const SNAPSHOT_PAGES: usize = u8::MAX as usize / PAGE_TOKENS;

/// Where one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is handed to the store.
    Goes,
    /// It comes from the store.
    Comes,
    /// All of it came.
    Here,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    key: StoreKey,
    pages: u8,
    /// The page that is next.
    page: u8,
    asked_us: Option<u64>,
    stage: Stage,
}

/// What came of fetching one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fetched {
    /// The store has not answered yet.
    Waiting,
    /// All of it is here.
    Whole,
    /// It does not come.
    Failed(StoreFault),
}

/// What is stored as a snapshot, as words.
const fn entry(pages: u8) -> Entry {
    Entry { pages, tokens: pages * PAGE_TOKENS as u8, exact: true }
}

impl Pager<'_> {
    /// Whether one could be made now: there is room for one, and none is on its way.
    pub fn can_snapshot(&self) -> bool {
        self.cold.snapshot.is_none() && !self.cold.snapshot_image.is_empty()
    }

    /// Whether one goes to the store.
    pub fn is_snapshot_going(&self) -> bool {
        self.cold.snapshot.is_some_and(|snapshot| snapshot.stage == Stage::Goes)
    }

    /// Whether one comes from the store, or came and is held.
    pub fn is_snapshot_held(&self) -> bool {
        self.cold.snapshot.is_some_and(|snapshot| snapshot.stage != Stage::Goes)
    }

    /// Pages of a stored one, if an entry can be that of one that has room here.
    pub fn snapshot_pages(&self, found: Entry) -> Option<u8> {
        let fits = usize::from(found.pages) * self.image_bytes() <= self.cold.snapshot_image.len();
        let sound = usize::from(found.pages) <= SNAPSHOT_PAGES && found.pages > 0;
        (fits && sound && found == entry(found.pages)).then_some(found.pages)
    }

    /// Makes one under a key: some words, and for each slice some words with its schema behind them. Returns whether
    /// there was room for it.
    pub fn take_snapshot<const N: usize>(
        &mut self,
        key: SliceHash,
        words: impl Iterator<Item = u32>,
        slices: impl Iterator<Item = (SliceId, [u32; N])>,
    ) -> bool {
        let image_bytes = self.image_bytes();
        let schemas = &self.schemas;
        let slices = slices
            .flat_map(|(id, words)| words.into_iter().chain(schemas.row(id).iter().map(|key| key.to_bits())));
        let (mut places, mut filled) = (self.cold.snapshot_image.chunks_exact_mut(4), 0usize);
        for word in words.chain(slices) {
            let Some(place) = places.next() else { return false };
            place.copy_from_slice(&word.to_le_bytes());
            filled += 4;
        }
        let pages = filled.div_ceil(image_bytes);
        let end = pages * image_bytes;
        if end > self.cold.snapshot_image.len() || pages > SNAPSHOT_PAGES {
            return false;
        }
        self.cold.snapshot_image[filled..end].fill(0);
        let (key, pages) = (StoreKey(key.0), pages as u8);
        self.cold.snapshot = Some(Snapshot { key, pages, page: 0, asked_us: None, stage: Stage::Goes });
        true
    }

    /// Begins to fetch one. One that goes to the store gives way to it.
    pub fn begin_fetch(&mut self, key: StoreKey, pages: u8) {
        self.cold.snapshot = Some(Snapshot { key, pages, page: 0, asked_us: None, stage: Stage::Comes });
    }

    /// Goes on fetching one. A store is asked for one page at a time, so a slice that comes is waited for.
    pub fn fetch_snapshot(&mut self, store: &mut dyn ColdStore, patience: Patience) -> Fetched {
        let image_bytes = self.image_bytes();
        let Some(snapshot) = &mut self.cold.snapshot else { return Fetched::Failed(StoreFault::Missing) };
        if snapshot.stage == Stage::Comes && self.cold.load.is_some() {
            return Fetched::Waiting;
        }
        while snapshot.stage == Stage::Comes {
            let place = usize::from(snapshot.page) * image_bytes;
            let image = &mut self.cold.snapshot_image[place..][..image_bytes];
            let asked_us = *snapshot.asked_us.get_or_insert(patience.now_us);
            match store.get(&snapshot.key, snapshot.page, image) {
                Poll::Ready(Ok(())) => (snapshot.page, snapshot.asked_us) = (snapshot.page + 1, None),
                Poll::Pending | Poll::Ready(Err(StoreError::Busy)) if !patience.is_over(asked_us) => {
                    return Fetched::Waiting;
                }
                Poll::Pending => return Fetched::Failed(StoreFault::Late),
                Poll::Ready(Err(error)) => {
                    return Fetched::Failed(StoreFault::of(error).unwrap_or(StoreFault::Late));
                }
            }
            if snapshot.page == snapshot.pages {
                snapshot.stage = Stage::Here;
            }
        }
        Fetched::Whole
    }

    /// The words of the one that is here.
    pub fn snapshot_words(&self) -> impl Iterator<Item = u32> + Clone {
        let pages = self.cold.snapshot.map_or(0, |snapshot| usize::from(snapshot.pages));
        let (words, _) = self.cold.snapshot_image[..pages * self.image_bytes()].as_chunks::<4>();
        words.iter().map(|word| u32::from_le_bytes(*word))
    }

    /// Gives the schema of a slice from the words of the one that is here, from a place on.
    pub fn adopt_schema(&mut self, id: SliceId, tokens: u8, place: usize) {
        self.slices.get_mut(id).schema = tokens;
        let (words, _) = self.cold.snapshot_image.as_chunks::<4>();
        let row = self.schemas.row_mut(id);
        let numbers = words[place..].iter().map(|word| f32::from_bits(u32::from_le_bytes(*word)));
        row.iter_mut().zip(numbers).for_each(|(key, number)| *key = number);
    }

    /// The one that is here, or on its way, is not needed any more.
    pub fn end_snapshot(&mut self) {
        self.cold.snapshot = None;
    }

    /// Hands the next page of one to the store, while no slice is being handed over.
    pub(super) fn hand_snapshot(&mut self, store: &mut dyn ColdStore, patience: Patience) -> Handed {
        let image_bytes = self.image_bytes();
        let Some(snapshot) = self.cold.snapshot.as_mut().filter(|snapshot| snapshot.stage == Stage::Goes)
        else {
            return Handed::Nothing;
        };
        let asked_us = *snapshot.asked_us.get_or_insert(patience.now_us);
        let image = &self.cold.snapshot_image[usize::from(snapshot.page) * image_bytes..][..image_bytes];
        let fault = match store.put(&snapshot.key, entry(snapshot.pages), snapshot.page, image) {
            Poll::Ready(Ok(())) if snapshot.page + 1 == snapshot.pages => {
                self.cold.snapshot = None;
                self.cold.awaited += 1;
                return Handed::Whole;
            }
            Poll::Ready(Ok(())) => {
                (snapshot.page, snapshot.asked_us) = (snapshot.page + 1, None);
                return Handed::Page;
            }
            Poll::Pending | Poll::Ready(Err(StoreError::Busy)) if !patience.is_over(asked_us) => {
                return Handed::Waiting;
            }
            Poll::Pending => StoreFault::Late,
            Poll::Ready(Err(error)) => StoreFault::of(error).unwrap_or(StoreFault::Late),
        };
        self.cold.snapshot = None;
        Handed::Failed(fault)
    }
}
