//! A cold store in memory that the caller lends.

use core::task::Poll;

use agentos_hal::{ColdStore, Entry, StoreError, StoreKey};

/// A slice of a [`RamStore`].
#[derive(Clone, Copy, Debug)]
pub struct RamSlot(Option<Kept>);

/// A place that is not in use: what a table of slots starts with.
pub const VACANT_RAM_SLOT: RamSlot = RamSlot(None);

#[derive(Clone, Copy, Debug)]
struct Kept {
    key: StoreKey,
    entry: Entry,
    /// Pages that are there.
    pages: u8,
    stage: Stage,
    /// Counts slices as they come: the oldest goes first.
    age: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Pages are still to come.
    Partial,
    /// All pages are there, and that is not told yet.
    Whole,
    Durable,
}

/// Most pages of a slice.
const PAGES: usize = 8;

/// A store of as many slices as the caller has slots for, each of up to eight images. When it is full, the slice
/// goes that came first of those that are durable.
///
/// It is as durable as a disk as long as [`RamStore::crash`] is what a crash is: what was told to be durable stays, and
/// nothing else.
#[derive(Debug)]
pub struct RamStore<'m> {
    slots: &'m mut [RamSlot],
    images: &'m mut [u8],
    image_bytes: usize,
    came: u64,
    /// Slices that went because others came.
    evicted: u64,
}

impl<'m> RamStore<'m> {
    /// An empty store for images of `image_bytes` bytes. `images` has room for eight of them per slot.
    ///
    /// # Panics
    /// When it has not.
    pub fn new(slots: &'m mut [RamSlot], images: &'m mut [u8], image_bytes: usize) -> RamStore<'m> {
        assert_eq!(images.len(), slots.len() * PAGES * image_bytes, "eight images per slot");
        slots.fill(VACANT_RAM_SLOT);
        RamStore { slots, images, image_bytes, came: 0, evicted: 0 }
    }

    /// The machine stops and starts again: what was not told to be durable is gone.
    pub fn crash(&mut self) {
        let lost = |slot: &&mut RamSlot| slot.0.is_some_and(|kept| kept.stage != Stage::Durable);
        self.slots.iter_mut().filter(lost).for_each(|slot| *slot = VACANT_RAM_SLOT);
    }

    /// Slices that are there and durable.
    pub fn len(&self) -> usize {
        let durable = |slot: &&RamSlot| slot.0.is_some_and(|kept| kept.stage == Stage::Durable);
        self.slots.iter().filter(durable).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slices that went because others came.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn place(&self, which: impl Fn(&Kept) -> bool) -> Option<usize> {
        self.slots.iter().position(|slot| slot.0.as_ref().is_some_and(&which))
    }

    fn image(&mut self, slot: usize, page: u8) -> &mut [u8] {
        let first = (slot * PAGES + usize::from(page)) * self.image_bytes;
        &mut self.images[first..first + self.image_bytes]
    }

    /// A place for one more slice.
    fn make_room(&mut self, entry: Entry) -> Result<usize, StoreError> {
        if let Some(free) = self.slots.iter().position(|slot| slot.0.is_none()) {
            return Ok(free);
        }
        let ages = self.slots.iter().enumerate().filter_map(|(at, slot)| {
            let kept = slot.0.filter(|kept| kept.stage == Stage::Durable)?;
            Some((kept.age, at))
        });
        let full = StoreError::Full {
            needed: u64::from(entry.pages) * self.image_bytes as u64,
            available: self.images.len() as u64,
        };
        let (_, oldest) = ages.min().ok_or(full)?;
        self.evicted += 1;
        Ok(oldest)
    }

    fn begin(&mut self, key: &StoreKey, entry: Entry) -> Result<usize, StoreError> {
        if let Some(partial) = self.place(|kept| kept.stage == Stage::Partial) {
            self.slots[partial] = VACANT_RAM_SLOT;
        }
        if usize::from(entry.pages) > PAGES {
            let needed = u64::from(entry.pages) * self.image_bytes as u64;
            return Err(StoreError::Full { needed, available: (PAGES * self.image_bytes) as u64 });
        }
        let at = self.make_room(entry)?;
        self.came += 1;
        let kept = Kept { key: *key, entry, pages: 0, stage: Stage::Partial, age: self.came };
        self.slots[at] = RamSlot(Some(kept));
        Ok(at)
    }

    fn check_length(&self, found: usize) -> Result<(), StoreError> {
        let expected = self.image_bytes;
        if found == expected { Ok(()) } else { Err(StoreError::Length { found, expected }) }
    }

    fn put_now(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Result<(), StoreError> {
        self.check_length(image.len())?;
        let at = match page {
            0 => self.begin(key, entry)?,
            page => {
                let begun = |kept: &Kept| {
                    kept.stage == Stage::Partial && (kept.key, kept.entry, kept.pages) == (*key, entry, page)
                };
                self.place(begun).ok_or(StoreError::Missing)?
            }
        };
        self.image(at, page).copy_from_slice(image);
        let kept = self.slots[at].0.as_mut().expect("it was just found");
        kept.pages = page + 1;
        if kept.pages == entry.pages {
            kept.stage = Stage::Whole;
        }
        Ok(())
    }
}

impl ColdStore for RamStore<'_> {
    fn find(&self, key: &StoreKey) -> Option<Entry> {
        let at = self.place(|kept| kept.key == *key && kept.stage == Stage::Durable)?;
        self.slots[at].0.map(|kept| kept.entry)
    }

    fn put(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Poll<Result<(), StoreError>> {
        Poll::Ready(self.put_now(key, entry, page, image))
    }

    fn get(&mut self, key: &StoreKey, page: u8, image: &mut [u8]) -> Poll<Result<(), StoreError>> {
        let found = self.place(|kept| kept.key == *key && kept.stage == Stage::Durable && page < kept.pages);
        Poll::Ready(match (self.check_length(image.len()), found) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(StoreError::Missing),
            (Ok(()), Some(at)) => {
                image.copy_from_slice(self.image(at, page));
                Ok(())
            }
        })
    }

    fn delete(&mut self, key: &StoreKey) -> Result<(), StoreError> {
        while let Some(at) = self.place(|kept| kept.key == *key) {
            self.slots[at] = VACANT_RAM_SLOT;
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)> {
        let at = self.place(|kept| kept.stage == Stage::Whole)?;
        let key = self.slots[at].0.expect("it was just found").key;
        while let Some(before) = self.place(|kept| kept.key == key && kept.stage == Stage::Durable) {
            self.slots[before] = VACANT_RAM_SLOT;
        }
        self.slots[at].0.as_mut().expect("it is another one").stage = Stage::Durable;
        Some((key, Ok(())))
    }
}
