//! Slices that come from the cold store.

use core::task::Poll;

use agentos_hal::{ColdStore, PAGE_TOKENS, PageError, PageId, StoreError, StoreKey, TensorDevice};

use super::{Patience, StoreFault};
use crate::agent::AgentId;
use crate::memory::hash::Identity;
use crate::memory::pager::Pager;
use crate::memory::slices::{Kept, Place, SLICE_PAGES, SliceId};

/// A slice that comes from the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) slice: SliceId,
    pub(super) arrival: Arrival,
    /// The pages that it is to have.
    pub(super) to: Place,
    /// Pages that are in page memory.
    copied: u8,
    /// The image holds the next page.
    held: bool,
    /// The device is at work on it.
    pub(super) copying: bool,
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

impl Pager<'_> {
    /// The slice that comes from the store.
    pub fn loading(&self) -> Option<SliceId> {
        self.cold.load.map(|load| load.slice)
    }

    /// The pages that the slice is to have that comes, and how many.
    pub(in crate::memory) fn loading_to(&self) -> Option<(&Place, usize)> {
        self.cold.load.as_ref().map(|load| (&load.to, usize::from(load.arrival.pages)))
    }

    /// A slice that the store has, mapped by one agent.
    pub fn create_cold(&mut self, identity: Identity) -> SliceId {
        let id = self.create(Some(identity));
        let tokens = identity.tokens;
        let slice = self.slices.get_mut(id);
        slice.pages = usize::from(tokens).div_ceil(PAGE_TOKENS) as u8;
        (slice.planned, slice.computed, slice.place) = (tokens, tokens, Place::Cold);
        (slice.kept, slice.kept_packed, slice.recalled) = (Kept::Done, identity.packed, true);
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

    pub(super) fn drop_load(&mut self) {
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
            // A device that copies a page out for the store is asked for that one until it is there.
            if !load.held || self.cold.write.is_some_and(|write| write.copying) {
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
        (slice.place, slice.planned, slice.computed, slice.schema) = (load.to, 0, 0, 0);
        (slice.kept, slice.kept_packed, slice.recalled) = (Kept::No, false, false);
        self.forget_if_unwanted(load.slice);
        Some((load.slice, load.arrival, fault))
    }
}
