//! What a store knows without asking its file: its keys, what each is worth, and what it did.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use agentos_hal::{Entry, PAGE_TOKENS, StoreError, StoreKey};
use agentos_kernel::memory::pack::Packing;
use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::importance::Standing;
use crate::pieces;
use crate::stats::Stats;

/// What the file says of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// Pages.
    pub pages: u8,
    /// Tokens.
    pub tokens: u8,
    /// How its images are written.
    pub encoding: Encoding,
    /// Its images came back as they were handed over when this was made.
    pub exact: bool,
    /// Bytes, as they are encoded.
    pub bytes: u64,
    /// The checksum of these bytes.
    pub checksum: [u8; 16],
    /// As in [`Standing`].
    pub mass: f32,
    /// As in [`Standing`].
    pub uses: u32,
    /// As in [`Standing`].
    pub used: u64,
}

impl SliceRecord {
    /// What the kernel is told of it.
    pub fn entry(&self) -> Entry {
        Entry { pages: self.pages, tokens: self.tokens, exact: self.exact }
    }

    /// Whether there are such slices: the file may say anything.
    pub fn is_sound(&self, packing: &Packing) -> bool {
        let pages = usize::from(self.tokens).div_ceil(PAGE_TOKENS);
        self.tokens > 0
            && pages == usize::from(self.pages)
            && self.bytes == self.encoding.bytes(packing, self.entry()) as u64
    }

    /// Bytes that it takes up in the file.
    pub fn allocated(&self) -> u64 {
        pieces::allocated(self.bytes)
    }
}

/// What the threads of a store share. Locked for a few instructions at a time, never over a read or write.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Index>);

impl Shared {
    /// One that begins with this.
    pub fn new(index: Index) -> Shared {
        Shared(Mutex::new(index))
    }

    /// The index, for a moment.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slice as it was put once. What was read of it says nothing of what is put under its key after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The slice.
    pub key: StoreKey,
    number: u64,
}

/// A slice of the index.
#[derive(Debug)]
struct Slice {
    record: SliceRecord,
    version: u64,
}

/// The keys of a store.
#[derive(Debug, Default)]
pub struct Index {
    slices: HashMap<StoreKey, Slice>,
    /// The number of the next version of any slice.
    versions: u64,
    /// Bytes that they take up.
    bytes: u64,
    /// Bytes that those take up which pinned collections name.
    pinned_bytes: u64,
    /// Uses of any slice.
    clock: u64,
    /// Slices whose record is not what the file says.
    dirty: HashSet<StoreKey>,
    /// How many passages of pinned collections name a slice.
    pins: HashMap<StoreKey, u32>,
    /// Until which job a slice is deleted, though jobs before it may still write it.
    deleted: HashMap<StoreKey, u64>,
    /// Slices that have to go with the next transaction.
    pub doomed: Vec<StoreKey>,
    /// What became of slices that were handed over.
    pub done: VecDeque<(StoreKey, Result<(), StoreError>)>,
    /// Bytes that are on their way.
    pub queued_bytes: usize,
    /// What it did.
    pub stats: Stats,
}

impl Index {
    /// What is known of a slice.
    pub fn get(&self, key: &StoreKey) -> Option<&SliceRecord> {
        self.slices.get(key).map(|slice| &slice.record)
    }

    /// A slice as it is now.
    pub fn version(&self, key: &StoreKey) -> Option<Version> {
        self.slices.get(key).map(|slice| Version { key: *key, number: slice.version })
    }

    /// Bytes that all slices take up.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes that the slices of pinned collections take up.
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    /// How many slices there are.
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    /// Adds a slice, or replaces it. What doomed an older one is not held against it.
    pub fn insert(&mut self, key: StoreKey, record: SliceRecord) {
        self.clock = self.clock.max(record.used + 1);
        self.remove(&key);
        self.bytes += record.allocated();
        if self.pins.contains_key(&key) {
            self.pinned_bytes += record.allocated();
        }
        self.doomed.retain(|doomed| *doomed != key);
        self.slices.insert(key, Slice { record, version: self.versions });
        self.versions += 1;
    }

    /// Takes a slice out.
    pub fn remove(&mut self, key: &StoreKey) {
        if let Some(Slice { record, .. }) = self.slices.remove(key) {
            self.bytes -= record.allocated();
            if self.pins.contains_key(key) {
                self.pinned_bytes -= record.allocated();
            }
            self.dirty.remove(key);
        }
    }

    /// Notes that a slice was used once more.
    pub fn touch(&mut self, key: &StoreKey) {
        let now = self.tick();
        if let Some(Slice { record, .. }) = self.slices.get_mut(key) {
            (record.uses, record.used) = (record.uses.saturating_add(1), now);
            self.dirty.insert(*key);
        }
    }

    /// Notes the attention that a slice drew of late: what it drew before counts half.
    pub fn weigh(&mut self, key: &StoreKey, weight: f32) {
        if let Some(Slice { record, .. }) = self.slices.get_mut(key) {
            record.mass = record.mass / 2.0 + weight / 2.0;
            self.dirty.insert(*key);
        }
    }

    /// The number of the next use.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock - 1
    }

    /// Uses of any slice until now.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// Up to `most` slices whose records the file should learn. They count as told.
    pub fn take_dirty(&mut self, most: usize) -> Vec<(StoreKey, SliceRecord)> {
        let keys: Vec<_> = self.dirty.iter().take(most).copied().collect();
        for key in &keys {
            self.dirty.remove(key);
        }
        keys.into_iter().filter_map(|key| Some((key, *self.get(&key)?))).collect()
    }

    /// Adds or takes off passages of pinned collections that name a slice.
    pub fn pin(&mut self, key: StoreKey, by: i32) {
        let before = self.pins.get(&key).copied().unwrap_or(0);
        let pins = before.saturating_add_signed(by);
        let bytes = self.get(&key).map_or(0, SliceRecord::allocated);
        if pins > 0 {
            self.pins.insert(key, pins);
        } else {
            self.pins.remove(&key);
        }
        match (before, pins) {
            (0, 1..) => self.pinned_bytes += bytes,
            (1.., 0) => self.pinned_bytes -= bytes,
            _ => {}
        }
    }

    /// What every slice is worth that may go for others, but for those that `spared` names.
    pub fn standings(&self, spared: impl Fn(&StoreKey) -> bool) -> Vec<(StoreKey, Standing)> {
        let standing = |(key, Slice { record, .. }): (&StoreKey, &Slice)| {
            let SliceRecord { mass, uses, used, .. } = *record;
            (*key, Standing { mass, uses, used, bytes: record.allocated() })
        };
        let may_go = |key: &StoreKey| !self.pins.contains_key(key) && !spared(key);
        self.slices.iter().filter(|(key, _)| may_go(key)).map(standing).collect()
    }

    /// Notes that job number `job` deletes a slice. Until it has, no job before it brings the slice back.
    pub fn delete(&mut self, key: StoreKey, job: u64) {
        self.remove(&key);
        self.deleted.insert(key, job);
    }

    /// Job number `job` has deleted a slice.
    pub fn deleted(&mut self, key: &StoreKey, job: u64) {
        if self.deleted.get(key) == Some(&job) {
            self.deleted.remove(key);
        }
    }

    /// Whether a slice that job number `job` wrote was deleted after that.
    pub fn is_deleted_after(&self, key: &StoreKey, job: u64) -> bool {
        self.deleted.get(key).is_some_and(|&deleted| deleted > job)
    }
}
