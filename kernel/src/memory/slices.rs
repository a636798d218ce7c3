//! The slice table: what every slice is, where its pages are, and how many agents map it.

use agentos_hal::{PageId, StoreKey};

use super::arena::FrameId;
use super::hash::SliceHash;
use crate::slicing::density::SliceDensity;

/// Most pages of a slice.
pub const SLICE_PAGES: usize = 8;

/// A slice: an index into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SliceId(pub u32);

/// The end of a list.
pub(super) const NOBODY: u32 = u32::MAX;

/// Where the pages of a slice are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In page memory (L1).
    Device([PageId; SLICE_PAGES]),
    /// In the arena (L2), as they are or packed: a frame knows.
    Arena([FrameId; SLICE_PAGES]),
    /// In the cold store (L3), under the slice's identity: it takes no memory here.
    Cold,
}

impl Place {
    /// No pages yet.
    pub const EMPTY: Place = Place::Device([PageId(u32::MAX); SLICE_PAGES]);
}

/// How far a slice has come on its way into the cold store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nobody has asked for it.
    No,
    /// It waits to be handed over, or is being handed over.
    Queued,
    /// All of it was handed over.
    Handed,
    /// It is there, or is not to be put there.
    Done,
}

/// One slice.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Mappings of it.
    pub refs: u32,
    /// Pages that it has.
    pub pages: u8,
    /// Tokens that it has when it is sealed; `None` while it is open.
    pub sealed: Option<u8>,
    /// Tokens that were put into a step.
    pub planned: u8,
    /// Tokens whose keys and values are in its pages.
    pub computed: u8,
    /// Where the pages are.
    pub place: Place,
    /// Its identity, once that is known.
    pub hash: Option<SliceHash>,
    /// Its identity is that of packed ones (`SliceHash::packed`).
    pub packed: bool,
    /// Whether the index names it.
    pub indexed: bool,
    /// Tokens whose keys its schema is the sum of.
    pub schema: u8,
    /// The density of attention of its rows (paper eq. 2).
    pub density: SliceDensity,
    /// The planning round in which a step last needed it.
    pub needed: u64,
    /// Where a walk over all mappings met it first: an agent's number and an entry.
    pub met: Option<(u16, u32)>,
    /// Whether the cold store has it.
    pub kept: Kept,
    /// What the store has of it, or is to have, need not come back bit for bit.
    pub kept_packed: bool,
    /// It was found in the cold store, and nobody's context has gone over it yet.
    pub recalled: bool,
    /// The attention that it drew in contexts that are over, as a multiple of an even share; 0 once the cold store was
    /// told.
    pub drawn: f32,
    /// Neighbours in the queue of those that are to be handed to the cold store.
    pub(super) queue: (u32, u32),
    /// Neighbours in the list of slices that nobody maps, or in the free list.
    older: u32,
    newer: u32,
}

/// A slot that is not in use: what a table of slices starts with.
pub const VACANT_SLICE: Slice = Slice {
    refs: 0,
    pages: 0,
    sealed: None,
    planned: 0,
    computed: 0,
    place: Place::EMPTY,
    hash: None,
    packed: false,
    indexed: false,
    schema: 0,
    density: SliceDensity::NONE,
    needed: 0,
    met: None,
    kept: Kept::No,
    kept_packed: false,
    recalled: false,
    drawn: 0.0,
    queue: (NOBODY, NOBODY),
    older: NOBODY,
    newer: NOBODY,
};

impl Slice {
    /// Whether its pages are in page memory.
    pub const fn resident(&self) -> bool {
        matches!(self.place, Place::Device(_))
    }

    /// Whether its pages are in the cold store alone.
    pub const fn is_cold(&self) -> bool {
        matches!(self.place, Place::Cold)
    }

    /// Whether every token that it will have is computed.
    pub fn complete(&self) -> bool {
        self.sealed == Some(self.computed)
    }

    /// Whether a step that is under way writes it.
    pub const fn in_flight(&self) -> bool {
        self.planned > self.computed
    }

    /// Under what the cold store has it. `packed`: what need not come back bit for bit.
    ///
    /// # Panics
    /// When it has no identity.
    pub fn key(&self, packed: bool) -> StoreKey {
        let hash = self.hash.expect("only a slice with an identity is stored");
        StoreKey(if packed && !self.packed { hash.packed().0 } else { hash.0 })
    }

    /// Its pages in page memory.
    ///
    /// # Panics
    /// When they are elsewhere.
    pub fn device_pages(&self) -> &[PageId] {
        match &self.place {
            Place::Device(pages) => &pages[..usize::from(self.pages)],
            Place::Arena(_) | Place::Cold => panic!("a slice that is elsewhere has no pages in page memory"),
        }
    }
}

/// All slices.
#[derive(Debug)]
pub struct SliceTable<'m> {
    slots: &'m mut [Slice],
    free: u32,
    /// Kept for their content though nobody maps them; the oldest goes first.
    oldest: u32,
    newest: u32,
}

impl<'m> SliceTable<'m> {
    /// An empty table.
    pub fn new(slots: &'m mut [Slice]) -> SliceTable<'m> {
        let count = slots.len() as u32;
        for (index, slot) in (0u32..).zip(slots.iter_mut()) {
            let next = if index + 1 < count { index + 1 } else { NOBODY };
            *slot = Slice { newer: next, ..VACANT_SLICE };
        }
        let free = if count == 0 { NOBODY } else { 0 };
        SliceTable { slots, free, oldest: NOBODY, newest: NOBODY }
    }

    /// A slice.
    pub fn get(&self, id: SliceId) -> &Slice {
        &self.slots[id.0 as usize]
    }

    /// A slice, to be changed.
    pub fn get_mut(&mut self, id: SliceId) -> &mut Slice {
        &mut self.slots[id.0 as usize]
    }

    /// A new slice without pages that one agent maps.
    ///
    /// # Panics
    /// When the table is full: it has a slot for every page of both tiers and for the cold slices that there may
    /// be, and every other slice has a page.
    pub fn create(&mut self) -> SliceId {
        let id = self.free;
        assert!(id != NOBODY, "there are more slices than pages");
        self.free = self.slots[id as usize].newer;
        self.slots[id as usize] = Slice { refs: 1, ..VACANT_SLICE };
        SliceId(id)
    }

    /// One more mapping.
    pub fn retain(&mut self, id: SliceId) {
        if self.get(id).refs == 0 {
            self.unlink(id);
        }
        self.get_mut(id).refs += 1;
    }

    /// One mapping less. Returns whether the slice is now to be removed: nobody maps it, and it
    /// is of no use to anybody to come.
    #[must_use]
    pub fn release(&mut self, id: SliceId) -> bool {
        let slice = self.get_mut(id);
        slice.refs -= 1;
        if slice.refs > 0 {
            return false;
        }
        if slice.indexed && slice.complete() {
            self.link_newest(id);
            return false;
        }
        true
    }

    /// The slice that has been unmapped for longest, if `want` says so of it.
    pub fn oldest_unmapped(&self, want: impl Fn(SliceId, &Slice) -> bool) -> Option<SliceId> {
        let mut at = self.oldest;
        while at != NOBODY {
            if want(SliceId(at), &self.slots[at as usize]) {
                return Some(SliceId(at));
            }
            at = self.slots[at as usize].newer;
        }
        None
    }

    /// Frees the slot of a slice that nobody maps, whose pages and index entry are gone.
    pub fn remove(&mut self, id: SliceId) {
        let slice = *self.get(id);
        assert!(slice.refs == 0, "a slice that somebody maps is not removed");
        if self.linked(id) {
            self.unlink(id);
        }
        let free = self.free;
        *self.get_mut(id) = Slice { newer: free, ..VACANT_SLICE };
        self.free = id.0;
    }

    /// Changes every slot of which `which` says so.
    pub fn for_each_mut(&mut self, which: impl Fn(&Slice) -> bool, change: impl FnMut(&mut Slice)) {
        self.slots.iter_mut().filter(|slice| which(slice)).for_each(change);
    }

    /// Every slice that is in use.
    pub fn iter(&self) -> impl Iterator<Item = (SliceId, &Slice)> {
        let used = |slice: &Slice| slice.refs > 0 || slice.pages > 0;
        (0u32..).map(SliceId).zip(self.slots.iter()).filter(move |(_, slice)| used(slice))
    }

    fn linked(&self, id: SliceId) -> bool {
        let slice = self.get(id);
        slice.older != NOBODY || slice.newer != NOBODY || self.oldest == id.0
    }

    fn link_newest(&mut self, id: SliceId) {
        let newest = self.newest;
        let slice = self.get_mut(id);
        (slice.older, slice.newer) = (newest, NOBODY);
        match newest {
            NOBODY => self.oldest = id.0,
            before => self.slots[before as usize].newer = id.0,
        }
        self.newest = id.0;
    }

    fn unlink(&mut self, id: SliceId) {
        let Slice { older, newer, .. } = *self.get(id);
        match older {
            NOBODY => self.oldest = newer,
            before => self.slots[before as usize].newer = newer,
        }
        match newer {
            NOBODY => self.newest = older,
            after => self.slots[after as usize].older = older,
        }
        let slice = self.get_mut(id);
        (slice.older, slice.newer) = (NOBODY, NOBODY);
    }
}
