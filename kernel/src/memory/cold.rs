//! The third tier (L3): slices on their way to and from the cold store.
//!
//! A cold slice is one that an agent maps and whose pages are in the store alone. It counts as computed, for it is;
//! its pages come when somebody needs them. One slice comes and one goes at a time, page by page, each through an
//! image of its own, so that a store that takes its time holds up nobody: only a copy that the device is at work on
//! does. What fails to come is a slice that is not computed yet, and whoever maps it computes it.

use core::task::Poll;

use agentos_hal::{ColdStore, Entry, PAGE_TOKENS, PageError, PageId, StoreError, StoreKey, TensorDevice};
use serde::{Deserialize, Serialize};

use super::hash::SliceHash;
use super::pager::Pager;
use super::slices::{Kept, NOBODY, Place, SLICE_PAGES, SliceId};
use crate::agent::AgentId;

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
            StoreError::Full { .. } => StoreFault::Full,
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

/// A slice that comes from the store.
#[derive(Clone, Copy, Debug)]
struct Load {
    slice: SliceId,
    arrival: Arrival,
    /// The pages that it is to have.
    to: Place,
    /// Pages that are in page memory.
    copied: u8,
    /// The image holds the next page.
    held: bool,
    /// The device is at work on it.
    copying: bool,
    /// When the page was first asked for.
    asked_us: Option<u64>,
    fault: Option<StoreFault>,
}

/// What is known of a slice that comes, beside where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who needed it first.
    pub agent: AgentId,
    /// Its tokens.
    pub tokens: u8,
    /// Its pages.
    pub pages: u8,
    /// When it was first asked for, in microseconds.
    pub since_us: u64,
    /// What the device had computed until then, in microseconds.
    pub device_us: u64,
}

/// A slice that goes to the store.
#[derive(Clone, Copy, Debug)]
struct Write {
    slice: SliceId,
    /// The page that is handed over next.
    page: u8,
    held: bool,
    copying: bool,
    asked_us: Option<u64>,
}

/// What is between the pager and the store.
#[derive(Debug)]
pub(super) struct Cold<'m> {
    load: Option<Load>,
    write: Option<Write>,
    load_image: &'m mut [u8],
    write_image: &'m mut [u8],
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
    /// Nothing is on its way. `images` has room for two images, or for none where nothing will ever be.
    pub(super) fn new(images: &'m mut [u8]) -> Cold<'m> {
        let (load_image, write_image) = images.split_at_mut(images.len() / 2);
        let (first, last) = (NOBODY, NOBODY);
        let (load, write) = (None, None);
        Cold {
            load,
            write,
            load_image,
            write_image,
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

/// What came of receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Received {
    /// Nothing is on its way.
    Nothing,
    /// The store has not answered yet, or has failed: [`Pager::take_failure`].
    Waiting,
    /// A slice is whole in page memory.
    Whole(Arrival),
}

/// What came of handing over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Handed {
    /// There is no image to hand over.
    Nothing,
    /// The store has not answered yet.
    Waiting,
    /// It has taken a page.
    Page,
    /// It has taken the last page of a slice.
    Whole,
    /// It will not store the slice.
    Failed(StoreFault),
}

impl Pager<'_> {
    /// Cold slices that there are.
    pub fn cold(&self) -> u32 {
        self.cold.count
    }

    /// Slices that wait to be handed to the store, or are being handed over.
    pub fn queued(&self) -> u32 {
        self.cold.queued + u32::from(self.cold.write.is_some())
    }

    /// Slices that the store has all of, and has not told to be durable.
    pub fn awaited(&self) -> u32 {
        self.cold.awaited
    }

    /// Slices that were on their way to the store and whose pages were needed first.
    pub fn given_up(&self) -> u64 {
        self.cold.given_up
    }

    /// Whether something is on its way to or from the store.
    pub fn is_storing(&self) -> bool {
        self.cold.load.is_some() || self.queued() > 0 || self.cold.awaited > 0
    }

    /// The slice that comes from the store.
    pub fn loading(&self) -> Option<SliceId> {
        self.cold.load.map(|load| load.slice)
    }

    /// The pages that the slice is to have that comes, and how many.
    pub(super) fn loading_to(&self) -> Option<(&Place, usize)> {
        self.cold.load.as_ref().map(|load| (&load.to, usize::from(load.arrival.pages)))
    }

    /// A slice that the store has, mapped by one agent.
    pub fn create_cold(&mut self, hash: SliceHash, tokens: u8) -> SliceId {
        let id = self.create(Some((hash, tokens)));
        let slice = self.slices.get_mut(id);
        slice.pages = usize::from(tokens).div_ceil(PAGE_TOKENS) as u8;
        (slice.planned, slice.computed, slice.place) = (tokens, tokens, Place::Cold);
        (slice.kept, slice.recalled) = (Kept::Done, true);
        self.cold.count += 1;
        id
    }

    /// Whether nobody's context has gone over a slice since it was found in the store. Asking ends that.
    pub fn take_recalled(&mut self, id: SliceId) -> bool {
        core::mem::take(&mut self.slices.get_mut(id).recalled)
    }

    /// Begins to bring a cold slice in; its pages are free, and no other is under way.
    ///
    /// # Panics
    /// When they are not, or another is.
    pub fn begin_load(&mut self, id: SliceId, agent: AgentId, since_us: u64, device_us: u64) {
        assert!(self.cold.load.is_none(), "one slice comes at a time");
        let slice = *self.slices.get(id);
        assert!(slice.is_cold(), "what comes from the store is there");
        let mut to = [PageId(u32::MAX); SLICE_PAGES];
        self.pool.take(&mut to[..usize::from(slice.pages)]);
        let arrival = Arrival { agent, tokens: slice.computed, pages: slice.pages, since_us, device_us };
        self.cold.load = Some(Load {
            slice: id,
            arrival,
            to: Place::Device(to),
            copied: 0,
            held: false,
            copying: false,
            asked_us: None,
            fault: None,
        });
    }

    /// Gives up bringing a slice in, unless a step of this round needs it or the device is at work on it. Returns
    /// whether pages became free.
    pub fn cancel_load(&mut self) -> bool {
        match self.cold.load {
            Some(load) if !load.copying && !self.is_needed(load.slice) => self.drop_load(),
            _ => return false,
        }
        true
    }

    fn drop_load(&mut self) {
        let Some(load) = self.cold.load.take() else { return };
        self.give(load.to, usize::from(load.arrival.pages));
        self.forget_if_unwanted(load.slice);
    }

    /// Asks the store for the next page of what comes. Needs no device.
    pub fn fetch(&mut self, store: &mut dyn ColdStore, patience: Patience) {
        let Some(load) = &mut self.cold.load else { return };
        if load.held || load.fault.is_some() {
            return;
        }
        let hash = self.slices.get(load.slice).hash.expect("a cold slice has an identity");
        let asked_us = *load.asked_us.get_or_insert(patience.now_us);
        match store.get(&StoreKey(hash.0), load.copied, self.cold.load_image) {
            Poll::Ready(Ok(())) => (load.held, load.asked_us) = (true, None),
            Poll::Pending | Poll::Ready(Err(StoreError::Busy)) if !patience.is_over(asked_us) => (),
            Poll::Pending => load.fault = Some(StoreFault::Late),
            Poll::Ready(Err(error)) => load.fault = StoreFault::of(error).or(Some(StoreFault::Late)),
        }
    }

    /// Goes on with what comes from the store. Pending while the device is at work on a page of it.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_in`]; what came so far stays.
    pub fn receive(
        &mut self,
        device: &mut dyn TensorDevice,
        store: &mut dyn ColdStore,
        patience: Patience,
    ) -> Poll<Result<Received, PageError>> {
        loop {
            self.fetch(store, patience);
            let Some(load) = &mut self.cold.load else { return Poll::Ready(Ok(Received::Nothing)) };
            if !load.held {
                return Poll::Ready(Ok(Received::Waiting));
            }
            load.copying = false;
            let Place::Device(to) = load.to else { panic!("a slice comes into page memory") };
            match device.copy_in(to[usize::from(load.copied)], self.cold.load_image) {
                Poll::Ready(Ok(())) => (load.copied, load.held) = (load.copied + 1, false),
                Poll::Ready(Err(PageError::Busy)) => return Poll::Ready(Ok(Received::Waiting)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    load.copying = true;
                    return Poll::Pending;
                }
            }
            if load.copied == load.arrival.pages {
                let load = self.cold.load.take().expect("it was just there");
                self.slices.get_mut(load.slice).place = load.to;
                self.cold.count -= 1;
                self.forget_if_unwanted(load.slice);
                return Poll::Ready(Ok(Received::Whole(load.arrival)));
            }
        }
    }

    /// The slice that does not come, if one failed: it has pages, and is to be computed like one that never was.
    pub fn take_failure(&mut self) -> Option<(SliceId, Arrival, StoreFault)> {
        let load = self.cold.load.filter(|load| !load.copying)?;
        let fault = load.fault?;
        self.cold.load = None;
        self.cold.count -= 1;
        let slice = self.slices.get_mut(load.slice);
        (slice.place, slice.planned, slice.computed) = (load.to, 0, 0);
        (slice.kept, slice.recalled) = (Kept::No, false);
        self.forget_if_unwanted(load.slice);
        Some((load.slice, load.arrival, fault))
    }

    /// Queues a whole slice that has an identity to be handed to the store, unless that was done.
    pub fn keep(&mut self, id: SliceId) {
        let last = self.cold.last;
        let slice = self.slices.get_mut(id);
        if slice.kept != Kept::No || !slice.complete() || !slice.indexed || slice.hash.is_none() {
            return;
        }
        (slice.kept, slice.queue) = (Kept::Queued, (last, NOBODY));
        match last {
            NOBODY => self.cold.first = id.0,
            last => self.slices.get_mut(SliceId(last)).queue.1 = id.0,
        }
        self.cold.last = id.0;
        self.cold.queued += 1;
    }

    fn unqueue(&mut self, id: SliceId) {
        let slice = self.slices.get_mut(id);
        let (before, behind) = core::mem::replace(&mut slice.queue, (NOBODY, NOBODY));
        match before {
            NOBODY => self.cold.first = behind,
            before => self.slices.get_mut(SliceId(before)).queue.1 = behind,
        }
        match behind {
            NOBODY => self.cold.last = before,
            behind => self.slices.get_mut(SliceId(behind)).queue.0 = before,
        }
        self.cold.queued -= 1;
    }

    /// Begins to hand over the next slice that the store does not have, unless one is being handed over.
    fn begin_write(&mut self, store: &dyn ColdStore) {
        while self.cold.write.is_none() && self.cold.first != NOBODY {
            let id = SliceId(self.cold.first);
            self.unqueue(id);
            let slice = self.slices.get_mut(id);
            let hash = slice.hash.expect("only a slice with an identity is queued");
            if store.find(&StoreKey(hash.0)).is_some_and(|entry| entry.exact) {
                slice.kept = Kept::Done;
                continue;
            }
            self.cold.write = Some(Write { slice: id, page: 0, held: false, copying: false, asked_us: None });
        }
    }

    /// Makes the image of the page that is handed over next. Returns whether there is one; pending while the
    /// device is at work on it.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_out`].
    pub fn next_image(
        &mut self,
        device: &mut dyn TensorDevice,
        store: &dyn ColdStore,
    ) -> Poll<Result<bool, PageError>> {
        self.begin_write(store);
        let Some(write) = &mut self.cold.write else { return Poll::Ready(Ok(false)) };
        let slice = self.slices.get(write.slice);
        let Place::Device(pages) = slice.place else { return Poll::Ready(Ok(true)) };
        if write.held {
            return Poll::Ready(Ok(true));
        }
        write.copying = false;
        match device.copy_out(pages[usize::from(write.page)], self.cold.write_image) {
            Poll::Ready(Ok(())) => {
                write.held = true;
                let id = write.slice;
                self.forget_if_unwanted(id);
                Poll::Ready(Ok(self.cold.write.is_some()))
            }
            Poll::Ready(Err(PageError::Busy)) => Poll::Ready(Ok(false)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                write.copying = true;
                Poll::Pending
            }
        }
    }

    /// Hands the image that is there to the store. Needs no device.
    pub fn hand_over(&mut self, store: &mut dyn ColdStore, patience: Patience) -> Handed {
        let Some(mut write) = self.cold.write else { return Handed::Nothing };
        let slice = *self.slices.get(write.slice);
        let image = match slice.place {
            _ if write.held => &*self.cold.write_image,
            Place::Arena(frames) => self.arena.image(frames[usize::from(write.page)]),
            Place::Device(_) | Place::Cold => return Handed::Nothing,
        };
        let hash = slice.hash.expect("only a slice with an identity is queued");
        let entry = Entry { pages: slice.pages, tokens: slice.computed, exact: true };
        let asked_us = *write.asked_us.get_or_insert(patience.now_us);
        let fault = match store.put(&StoreKey(hash.0), entry, write.page, image) {
            Poll::Ready(Ok(())) if write.page + 1 == slice.pages => {
                self.cold.write = None;
                self.cold.awaited += 1;
                self.slices.get_mut(write.slice).kept = Kept::Handed;
                return Handed::Whole;
            }
            Poll::Ready(Ok(())) => {
                (write.page, write.held, write.asked_us) = (write.page + 1, false, None);
                self.cold.write = Some(write);
                return Handed::Page;
            }
            Poll::Pending | Poll::Ready(Err(StoreError::Busy)) if !patience.is_over(asked_us) => {
                self.cold.write = Some(write);
                return Handed::Waiting;
            }
            Poll::Pending => StoreFault::Late,
            Poll::Ready(Err(error)) => StoreFault::of(error).unwrap_or(StoreFault::Late),
        };
        self.cold.write = None;
        self.slices.get_mut(write.slice).kept = Kept::No;
        Handed::Failed(fault)
    }

    /// The store has told what became of a slice.
    ///
    /// # Errors
    /// What is wrong.
    pub fn told(&mut self, key: StoreKey, result: Result<(), StoreError>) -> Result<(), StoreFault> {
        self.cold.awaited = self.cold.awaited.saturating_sub(1);
        let handed = self.find(SliceHash(key.0)).filter(|&id| self.slices.get(id).kept == Kept::Handed);
        if let Some(id) = handed {
            self.slices.get_mut(id).kept = if result.is_ok() { Kept::Done } else { Kept::No };
        }
        result.map_err(|error| StoreFault::of(error).unwrap_or(StoreFault::Late))
    }

    /// Waits no longer for what the store has not told; returns of how many slices.
    pub fn wait_no_longer(&mut self) -> u32 {
        core::mem::take(&mut self.cold.awaited)
    }

    /// Hands nothing over any more: the store takes nothing.
    pub fn stop_keeping(&mut self) {
        if let Some(write) = self.cold.write.filter(|write| !write.copying) {
            self.give_up(write.slice);
        }
        while self.cold.first != NOBODY {
            self.give_up(SliceId(self.cold.first));
        }
    }

    /// A slice that is on its way to the store does not go there, if it is.
    pub(super) fn give_up(&mut self, id: SliceId) {
        if self.slices.get(id).kept != Kept::Queued {
            return;
        }
        match self.cold.write {
            Some(write) if write.slice == id => self.cold.write = None,
            _ => self.unqueue(id),
        }
        self.slices.get_mut(id).kept = Kept::No;
        self.cold.given_up += 1;
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
