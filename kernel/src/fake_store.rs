//! A cold store of which everything is known: it does what a script says, and then what a store should.

use core::task::Poll;
use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use crate::fake::values_mut;
use agentos_hal::{ColdStore, Entry, StoreError, StoreKey};

/// What a call of `put` or `get` meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Pending,
    Fails(StoreError),
}

#[derive(Debug, Default)]
pub struct FakeStore {
    /// What calls of `get` meet before they succeed.
    pub gets: VecDeque<Option<Trouble>>,
    /// What calls of `put` meet before they succeed.
    pub puts: VecDeque<Option<Trouble>>,
    /// What is told of slices instead of that they are durable.
    pub verdicts: VecDeque<Option<StoreError>>,
    /// Nothing is told.
    pub silent: bool,
    /// What need not come back bit for bit does not.
    pub packs: bool,
    /// What is durable.
    pub kept: BTreeMap<StoreKey, (Entry, Vec<Vec<u8>>)>,
    /// Keys that were asked for a first page, and that were deleted.
    pub fetched: Vec<StoreKey>,
    /// Keys that were told ahead before they were asked for.
    pub ahead: Vec<StoreKey>,
    pub deleted: Vec<StoreKey>,
    /// What was told of the attention that slices drew.
    pub weights: Vec<(StoreKey, f32)>,
    /// Pages that were put.
    pub pages: usize,
    whole: VecDeque<(StoreKey, Entry, Vec<Vec<u8>>)>,
    partial: Option<(StoreKey, Entry, Vec<Vec<u8>>)>,
}

impl FakeStore {
    /// A store that has just this.
    pub fn with(kept: BTreeMap<StoreKey, (Entry, Vec<Vec<u8>>)>) -> FakeStore {
        FakeStore { kept, ..FakeStore::default() }
    }

    /// A store that packs what need not come back bit for bit.
    pub fn packing() -> FakeStore {
        FakeStore { packs: true, ..FakeStore::default() }
    }

    /// The machine stops: what was not told is gone.
    pub fn crash(&mut self) {
        (self.partial, _) = (None, self.whole.clear());
        (self.gets, self.puts, self.verdicts) = Default::default();
    }
}

fn meet(troubles: &mut VecDeque<Option<Trouble>>) -> Option<Poll<Result<(), StoreError>>> {
    Some(match troubles.pop_front()?? {
        Trouble::Pending => Poll::Pending,
        Trouble::Fails(error) => Poll::Ready(Err(error)),
    })
}

impl ColdStore for FakeStore {
    fn find(&self, key: &StoreKey) -> Option<Entry> {
        self.kept.get(key).map(|(entry, _)| *entry)
    }

    fn put(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Poll<Result<(), StoreError>> {
        if let Some(trouble) = meet(&mut self.puts) {
            if trouble.is_ready() && trouble != Poll::Ready(Err(StoreError::Busy)) {
                self.partial = None;
            }
            return trouble;
        }
        if page == 0 {
            self.partial = Some((*key, entry, Vec::new()));
        }
        let begun = |(partial, of, pages): &&mut (StoreKey, Entry, Vec<Vec<u8>>)| {
            (*partial, *of, pages.len()) == (*key, entry, usize::from(page))
        };
        let Some((_, _, pages)) = self.partial.as_mut().filter(begun) else {
            return Poll::Ready(Err(StoreError::Missing));
        };
        let mut image = image.to_vec();
        if self.packs && !entry.exact {
            // What each token saw, as the fake device has it.
            values_mut(&mut image).for_each(|value| value[0] ^= 1);
        }
        pages.push(image);
        self.pages += 1;
        if pages.len() == usize::from(entry.pages) {
            self.whole.extend(self.partial.take());
        }
        Poll::Ready(Ok(()))
    }

    fn get(&mut self, key: &StoreKey, page: u8, image: &mut [u8]) -> Poll<Result<(), StoreError>> {
        image.fill(0xff);
        if let Some(trouble) = meet(&mut self.gets) {
            return trouble;
        }
        if page == 0 {
            self.fetched.push(*key);
        }
        let found = self.kept.get(key).and_then(|(_, pages)| pages.get(usize::from(page)));
        let Some(found) = found else { return Poll::Ready(Err(StoreError::Missing)) };
        image.copy_from_slice(found);
        Poll::Ready(Ok(()))
    }

    fn prefetch(&mut self, key: &StoreKey) {
        assert!(self.kept.contains_key(key), "what is told ahead was found");
        if !self.ahead.contains(key) && !self.fetched.contains(key) {
            self.ahead.push(*key);
        }
    }

    fn weigh(&mut self, key: &StoreKey, weight: f32) {
        self.weights.push((*key, weight));
    }

    fn delete(&mut self, key: &StoreKey) -> Result<(), StoreError> {
        self.kept.remove(key);
        self.deleted.push(*key);
        Ok(())
    }

    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)> {
        if self.silent {
            return None;
        }
        let (key, entry, pages) = self.whole.pop_front()?;
        if let Some(Some(error)) = self.verdicts.pop_front() {
            return Some((key, Err(error)));
        }
        self.kept.insert(key, (entry, pages));
        Some((key, Ok(())))
    }
}
