//! From a slice's identity to its place in the slice table: a hash table with open addressing and
//! linear probing. Deletion moves what follows back, so that there are no tombstones and a look-up
//! stays short however often slices come and go.

use super::hash::SliceHash;

/// A place of the table.
#[derive(Clone, Copy, Debug)]
pub struct IndexSlot(Option<(SliceHash, u32)>);

/// A place that is not in use: what a table starts with.
pub const VACANT_SLOT: IndexSlot = IndexSlot(None);

/// The index.
#[derive(Debug)]
pub struct Index<'m> {
    slots: &'m mut [IndexSlot],
    count: usize,
}

/// The index holds as much as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexFull {
    /// Entries that it may hold.
    pub capacity: usize,
}

impl core::fmt::Display for IndexFull {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the index of slices holds {} entries and has no room for more", self.capacity)
    }
}

impl core::error::Error for IndexFull {}

impl<'m> Index<'m> {
    /// An empty index.
    ///
    /// # Panics
    /// When the length of the table is no power of two.
    pub fn new(slots: &'m mut [IndexSlot]) -> Index<'m> {
        assert!(slots.len().is_power_of_two(), "the index has a power of two of places");
        slots.fill(VACANT_SLOT);
        Index { slots, count: 0 }
    }

    /// Entries that it may hold: half of its places, so that probes stay short.
    pub fn capacity(&self) -> usize {
        self.slots.len() / 2
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The slice of an identity.
    pub fn get(&self, hash: &SliceHash) -> Option<u32> {
        self.slots[self.place(hash)].0.map(|(_, slice)| slice)
    }

    /// Enters a slice, in the place of another of the same identity if there is one.
    ///
    /// # Errors
    /// [`IndexFull`].
    pub fn insert(&mut self, hash: SliceHash, slice: u32) -> Result<(), IndexFull> {
        let place = self.place(&hash);
        if self.slots[place].0.is_none() {
            if self.count >= self.capacity() {
                return Err(IndexFull { capacity: self.capacity() });
            }
            self.count += 1;
        }
        self.slots[place] = IndexSlot(Some((hash, slice)));
        Ok(())
    }

    /// Removes an identity; returns its slice.
    pub fn remove(&mut self, hash: &SliceHash) -> Option<u32> {
        let mut hole = self.place(hash);
        let (_, slice) = self.slots[hole].0.take()?;
        self.count -= 1;
        let mut at = hole;
        loop {
            at = self.after(at);
            let Some((follower, _)) = self.slots[at].0 else { return Some(slice) };
            // What would not be found from its own place across the hole moves into it.
            let mask = self.slots.len() - 1;
            let own = self.home(&follower);
            if at.wrapping_sub(own) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = core::mem::replace(&mut self.slots[at], VACANT_SLOT);
                hole = at;
            }
        }
    }

    /// Where an identity is, or would be entered.
    fn place(&self, hash: &SliceHash) -> usize {
        let mut at = self.home(hash);
        while self.slots[at].0.is_some_and(|(found, _)| found != *hash) {
            at = self.after(at);
        }
        at
    }

    /// Identities are uniform already: their first bytes are as good as any hash of them.
    fn home(&self, hash: &SliceHash) -> usize {
        let [a, b, c, d, ..] = hash.0;
        u32::from_le_bytes([a, b, c, d]) as usize & (self.slots.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::HashMap;

    use super::*;

    const KEYS: u8 = 24;

    /// Few homes, at both ends of a table, so that entries collide and their runs wrap around; and
    /// identities that differ in the last byte alone, so that only a full comparison tells them apart.
    fn identity(n: u8) -> SliceHash {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&(u32::from(n % 4)).wrapping_sub(2).to_le_bytes());
        bytes[31] = n / 4;
        SliceHash(bytes)
    }

    #[test]
    fn entries_that_wrapped_around_are_found_when_others_go() {
        let mut slots = [VACANT_SLOT; 8];
        let mut index = Index::new(&mut slots);
        // Home is the last place for all of them.
        for n in [1, 5, 9, 13] {
            assert_eq!(index.insert(identity(n), n.into()), Ok(()));
        }
        assert_eq!(index.insert(identity(2), 2), Err(IndexFull { capacity: 4 }));
        assert_eq!(index.remove(&identity(1)), Some(1));
        assert_eq!(index.remove(&identity(1)), None);
        assert_eq!([5, 9, 13].map(|n| index.get(&identity(n))), [Some(5), Some(9), Some(13)]);
        assert!(index.slots[3..7].iter().all(|slot| slot.0.is_none()), "nothing is left behind");
        assert!(index.slots[2].0.is_none(), "nothing is left behind");
    }

    #[test]
    #[should_panic(expected = "a power of two")]
    fn another_length_is_refused() {
        Index::new(&mut [VACANT_SLOT; 6]);
    }

    proptest! {
        #[test]
        fn it_is_a_map(
            bits in 0u32..6,
            changes in proptest::collection::vec((0..KEYS, any::<u32>(), any::<bool>()), 0..200)
        ) {
            let mut slots = [VACANT_SLOT; 32];
            let mut index = Index::new(&mut slots[..1 << bits]);
            let capacity = (1 << bits) / 2;
            prop_assert_eq!(index.capacity(), capacity);
            let mut model: HashMap<u8, u32> = HashMap::new();
            for (key, value, remove) in changes {
                if remove {
                    prop_assert_eq!(index.remove(&identity(key)), model.remove(&key));
                } else if model.len() < capacity || model.contains_key(&key) {
                    prop_assert_eq!(index.insert(identity(key), value), Ok(()));
                    model.insert(key, value);
                } else {
                    prop_assert_eq!(index.insert(identity(key), value), Err(IndexFull { capacity }));
                }
                for key in 0..KEYS {
                    prop_assert_eq!(index.get(&identity(key)), model.get(&key).copied());
                }
                let used = index.slots.iter().filter(|slot| slot.0.is_some()).count();
                prop_assert_eq!(used, model.len());
            }
        }
    }
}
