//! The third tier (L3): slices on their way to and from the cold store.
//!
//! A cold slice is one that an agent maps and whose pages are in the store alone. It counts as computed, for it is;
//! its pages come when somebody needs them. One slice comes and one goes at a time, page by page, each through an
//! image of its own, so that a store that takes its time holds up nobody: only a copy that the device is at work on
//! does. What fails to come is a slice that is not computed yet, and whoever maps it computes it.
//!
//! * `load`: slices that come.
//! * `write`: slices that go.
//! * `weigh`: what the store is told of their worth.
//! * [`snapshot`]: the state of a bounded agent, beside its slices.

mod load;
pub mod snapshot;
mod weigh;
mod write;

pub use load::{Arrival, Received};
pub use snapshot::Fetched;
pub use weigh::{Drawn, weights};
pub use write::Handed;

use agentos_hal::StoreError;
use serde::{Deserialize, Serialize};

use super::pager::Pager;
use super::slices::{NOBODY, SliceId};
use load::Load;
use snapshot::Snapshot;
use write::Write;

/// What is wrong with the store, or with what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StoreFault {
    /// It has let the slice go.
    Missing,
    /// It has no room.
    Full,
    /// What it has is not what was stored.
    Corrupt,
    /// Its medium failed.
    Io,
    /// It is only read.
    ReadOnly,
    /// It is not there any more.
    Gone,
    /// It did not answer in time.
    Late,
    /// Its images have another length.
    Length,
}

impl StoreFault {
    /// Its name in lines of events.
    pub const fn name(self) -> &'static str {
        match self {
            StoreFault::Missing => "missing",
            StoreFault::Full => "full",
            StoreFault::Corrupt => "corrupt",
            StoreFault::Io => "io",
            StoreFault::ReadOnly => "read-only",
            StoreFault::Gone => "gone",
            StoreFault::Late => "late",
            StoreFault::Length => "length",
        }
    }

    /// That of an error; `None`: it is only busy.
    fn of(error: StoreError) -> Option<StoreFault> {
        Some(match error {
            StoreError::Busy => return None,
            StoreError::Missing => StoreFault::Missing,
            StoreError::Full { .. } | StoreError::Held { .. } => StoreFault::Full,
            StoreError::Corrupt => StoreFault::Corrupt,
            StoreError::Io => StoreFault::Io,
            StoreError::ReadOnly => StoreFault::ReadOnly,
            StoreError::Gone => StoreFault::Gone,
            StoreError::Length { .. } => StoreFault::Length,
        })
    }
}

/// A time, and how long a store may take to answer, both in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Now.
    pub now_us: u64,
    /// The longest.
    pub most_us: u64,
}

impl Patience {
    /// Whether it has run out for a call that was first made at `asked_us`.
    fn is_over(self, asked_us: u64) -> bool {
        self.now_us.saturating_sub(asked_us) >= self.most_us
    }
}

/// What is between the pager and the store.
#[derive(Debug)]
pub(super) struct Cold<'m> {
    load: Option<Load>,
    write: Option<Write>,
    load_image: &'m mut [u8],
    write_image: &'m mut [u8],
    snapshot: Option<Snapshot>,
    snapshot_image: &'m mut [u8],
    /// Cold slices.
    pub(super) count: u32,
    /// The queue of those that wait to be handed over.
    first: u32,
    last: u32,
    queued: u32,
    /// Slices that were handed over whole, and that nothing was told of yet.
    awaited: u32,
    /// Slices that were on their way and whose pages were needed first.
    given_up: u64,
}

impl<'m> Cold<'m> {
    /// Nothing is on its way. `images` has room for two images and a snapshot, or for nothing where nothing will ever
    /// be.
    pub(super) fn new(images: &'m mut [u8], image_bytes: usize) -> Cold<'m> {
        let image_bytes = if images.is_empty() { 0 } else { image_bytes };
        let (load_image, images) = images.split_at_mut(image_bytes);
        let (write_image, snapshot_image) = images.split_at_mut(image_bytes);
        let (first, last) = (NOBODY, NOBODY);
        let (load, write) = (None, None);
        Cold {
            load,
            write,
            load_image,
            write_image,
            snapshot: None,
            snapshot_image,
            count: 0,
            first,
            last,
            queued: 0,
            awaited: 0,
            given_up: 0,
        }
    }

    /// Whether the device is at work on a page that comes or goes.
    pub(super) fn is_copying(&self) -> bool {
        self.load.is_some_and(|load| load.copying) || self.write.is_some_and(|write| write.copying)
    }

    /// Whether a slice is not to be removed now.
    pub(super) fn holds(&self, id: SliceId) -> bool {
        self.load.is_some_and(|load| load.slice == id)
            || self.write.is_some_and(|write| write.copying && write.slice == id)
    }
}

impl Pager<'_> {
    /// Cold slices that there are.
    pub fn cold(&self) -> u32 {
        self.cold.count
    }

    /// Whether something is on its way to or from the store.
    pub fn is_storing(&self) -> bool {
        self.cold.load.is_some() || self.queued() > 0 || self.cold.awaited > 0 || self.is_snapshot_going()
    }

    /// Page memory is gone: what was to come waits where it is, and what was to go from there is lost.
    pub(super) fn lose_cold(&mut self) {
        self.drop_load();
        if let Some(write) = &mut self.cold.write {
            (write.copying, write.held) = (false, false);
            let id = write.slice;
            if self.slices.get(id).resident() {
                self.give_up(id);
            }
        }
        let mut next = self.cold.first;
        while next != NOBODY {
            let id = SliceId(next);
            next = self.slices.get(id).queue.1;
            if self.slices.get(id).resident() {
                self.give_up(id);
            }
        }
    }
}
