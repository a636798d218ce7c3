//! Slices that go to the cold store.

use core::task::Poll;

use agentos_hal::{ColdStore, Entry, PageError, StoreError, StoreKey, TensorDevice};

use super::{Patience, StoreFault};
use crate::memory::hash::SliceHash;
use crate::memory::pager::Pager;
use crate::memory::slices::{Kept, NOBODY, Place, SliceId};

/// A slice that goes to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) slice: SliceId,
    /// It need not come back bit for bit.
    packed: bool,
    /// The page that is handed over next.
    page: u8,
    pub(super) held: bool,
    pub(super) copying: bool,
    asked_us: Option<u64>,
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

    /// Queues a whole slice that has an identity to be handed to the store, unless that was done. `packed`: it need not
    /// come back bit for bit; who asks for it as it is gets that, whatever others asked for before.
    pub fn keep(&mut self, id: SliceId, packed: bool) {
        let last = self.cold.last;
        let slice = self.slices.get_mut(id);
        let packed = packed || slice.packed;
        if slice.kept == Kept::Queued {
            slice.kept_packed &= packed;
            return;
        }
        let is_better = slice.kept_packed && !packed;
        if slice.kept != Kept::No && !is_better || !slice.complete() || !slice.indexed || slice.hash.is_none()
        {
            return;
        }
        (slice.kept, slice.kept_packed, slice.queue) = (Kept::Queued, packed, (last, NOBODY));
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
        while self.cold.write.is_none() && !self.is_snapshot_going() && self.cold.first != NOBODY {
            let id = SliceId(self.cold.first);
            self.unqueue(id);
            let slice = self.slices.get_mut(id);
            let packed = slice.kept_packed;
            let hash = slice.hash.expect("only a slice with an identity is queued");
            let is_there = store.find(&StoreKey(hash.0)).is_some_and(|entry| entry.exact || slice.packed)
                || packed && store.find(&slice.key(packed)).is_some();
            if is_there {
                slice.kept = Kept::Done;
                continue;
            }
            let write = Write { slice: id, packed, page: 0, held: false, copying: false, asked_us: None };
            self.cold.write = Some(write);
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
        let page = usize::from(write.page);
        match self.packing.copy_out(device, pages[page], (slice.computed, page), self.cold.write_image) {
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
        let Some(mut write) = self.cold.write else { return self.hand_snapshot(store, patience) };
        let slice = *self.slices.get(write.slice);
        let image = match slice.place {
            _ if write.held => &*self.cold.write_image,
            Place::Arena(frames) => self.arena.image(frames[usize::from(write.page)]),
            Place::Device(_) | Place::Cold => return Handed::Nothing,
        };
        let key = slice.key(write.packed);
        let entry = Entry { pages: slice.pages, tokens: slice.computed, exact: !write.packed };
        let asked_us = *write.asked_us.get_or_insert(patience.now_us);
        let fault = match store.put(&key, entry, write.page, image) {
            Poll::Ready(Ok(())) if write.page + 1 == slice.pages => {
                self.cold.write = None;
                self.cold.awaited += 1;
                self.handed(write, &key);
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

    /// The store has all of a slice.
    fn handed(&mut self, write: Write, key: &StoreKey) {
        let slice = self.slices.get_mut(write.slice);
        // What the store will say of it names the slice only where it has that identity.
        let is_named = slice.hash == Some(SliceHash(key.0));
        slice.kept = if is_named { Kept::Handed } else { Kept::Done };
        if write.packed && !core::mem::replace(&mut slice.kept_packed, write.packed) {
            // Meanwhile somebody has asked for it as it is.
            self.keep(write.slice, false);
        }
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
        if self.is_snapshot_going() {
            self.end_snapshot();
        }
    }

    /// A slice that is on its way to the store does not go there, if it is.
    pub(in crate::memory) fn give_up(&mut self, id: SliceId) {
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
}
