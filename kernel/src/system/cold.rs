//! The cold store (L3) as the kernel uses it: read through, and written behind.
//!
//! An agent that comes to a slice that nobody here has computed looks into the store (a bounded one as `retrace` says). What is found there is
//! mapped at once, for all who have the same tokens, and its pages come when they are needed, as a slice's do that is
//! in the arena. A slice that does not come after all is computed by whoever maps it: the store can make things
//! slower or quicker, and can change no result.
//!
//! That does not hold for an agent that accepts packed slices (`Spec::packed`). Those have a name of their own
//! (`SliceHash::packed`), and so has all that is computed behind one: whoever does not ask for such names never meets
//! such a slice, in whatever tier it is. The agent's chain goes on naming what its slices stand for, so that it finds
//! those behind them.
//!
//! What agents that persist have computed goes to the store between steps, a page at a time.

use core::task::Poll;

use agentos_hal::{ColdStore, PAGE_TOKENS, PageError, StoreKey, TensorDevice};

use super::latency::Latencies;
use super::{Devices, Kernel};
use crate::agent::{AgentId, MemoryMode, Persist};
use crate::event::Event;
use crate::interrupt::VectorId;
use crate::memory::cold::{Arrival, Drawn, Handed, Patience, Received, StoreFault, weights};
use crate::memory::{Fidelity, Identity, Mapping, SLICE_PAGES, SliceId};
use crate::sched::cost::LoadCost;

/// Slices that are looked up without being fetched because the store is slow, until one is fetched to see whether
/// it still is.
const TRY_AGAIN: u64 = 64;

/// Slices that the store is told of ahead.
const AHEAD: usize = 2;

/// Answers of the store that are taken in one tick at most.
const ANSWERS: usize = 32;

/// Where the slices were found that agents looked for by their identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// In page memory, or about to be computed there.
    pub l1: u64,
    /// In the arena.
    pub l2: u64,
    /// In the cold store.
    pub l3: u64,
    /// Nowhere: whoever looked computes it.
    pub none: u64,
}

/// What came from the cold store and went to it. Bytes are pages times [`Kernel::page_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Slices that came.
    pub loaded: u64,
    /// Their pages.
    pub loaded_pages: u64,
    /// Their tokens: none of them was computed again.
    pub loaded_tokens: u64,
    /// Slices that were there and did not come.
    pub load_failures: u64,
    /// Slices that were there and were computed all the same, because that is quicker.
    pub slower: u64,
    /// Slices that were there and were computed all the same, because as many were on their way as there may be.
    pub crowded: u64,
    /// Slices that the store was handed, states of bounded agents among them.
    pub handed: u64,
    /// Pages of them, and of those that it did not take to the end.
    pub handed_pages: u64,
    /// Slices that it told to be durable.
    pub durable: u64,
    /// Slices that it did not take, or told not to be durable, or told nothing of in time.
    pub store_failures: u64,
    /// Slices whose pages were needed before the store had them.
    pub given_up: u64,
}

/// What the kernel knows of its store.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    cost: Option<LoadCost>,
    /// It went away: it is asked nothing any more.
    gone: bool,
    /// It takes nothing.
    read_only: bool,
    /// It was found to be slower than computing.
    slow: bool,
    /// What agents' slices drew that it is not told of yet.
    drawn: Drawn,
    /// When it last took a slice or told something, in microseconds.
    told_us: u64,
    pub hits: Hits,
    pub figures: StoreFigures,
    pub latencies: Latencies,
}

impl Keeper {
    fn cost(&self) -> LoadCost {
        self.cost.unwrap_or(LoadCost::UNKNOWN)
    }
}

impl Kernel<'_> {
    /// Times from needing a slice that was in the cold store to having it.
    pub fn load_latencies(&self) -> &Latencies {
        &self.keeper.latencies
    }

    pub(super) fn store_figures(&self) -> StoreFigures {
        StoreFigures { given_up: self.pager.given_up(), ..self.keeper.figures }
    }

    /// Whether the store is asked nothing any more.
    pub(super) fn store_is_gone(&self) -> bool {
        self.keeper.gone
    }

    /// Whether the store takes something.
    pub(super) fn keeps(&self) -> bool {
        self.config.cold_slices > 0 && !self.keeper.gone && !self.keeper.read_only
    }

    /// Whether so many pages are fetched more quickly than so many tokens are computed, as far as is known.
    pub(super) fn loading_pays(&self, tokens: u32, pages: u32) -> bool {
        self.keeper.cost().pays(self.cost, tokens, pages)
    }

    pub(super) fn patience(&self) -> Patience {
        Patience { now_us: self.now_us, most_us: self.config.hang_us }
    }

    /// Whether something is on its way to or from the store.
    pub(super) fn is_storing(&self) -> bool {
        self.pager.is_storing()
    }

    /// Whether an agent maps slices that are in the store alone.
    pub(super) fn has_cold(&self, index: usize) -> bool {
        self.any_cold(self.table(index))
    }

    /// Whether slices of these are in the store alone.
    pub(super) fn any_cold(&self, mappings: &[Mapping]) -> bool {
        self.pager.cold() > 0 && mappings.iter().any(|mapping| self.pager.slice(mapping.slice).is_cold())
    }

    /// Maps, for an agent that attends to all before it, the slice of an identity that the store has, if it is worth fetching.
    pub(super) fn recall(&mut self, identity: Identity, store: &dyn ColdStore) -> Option<SliceId> {
        if self.config.cold_slices == 0 || self.keeper.gone {
            return None;
        }
        let Identity { hash, tokens, packed } = identity;
        let pages = usize::from(tokens).div_ceil(PAGE_TOKENS) as u8;
        let entry = store.find(&StoreKey(hash.0))?;
        // What the store says of a slice follows from its tokens; one that says otherwise has another.
        if !(entry.exact || packed) || (entry.pages, entry.tokens) != (pages, tokens) {
            return None;
        }
        if self.pager.cold() >= self.config.cold_slices {
            self.keeper.figures.crowded += 1;
            return None;
        }
        let pays = self.keeper.cost().pays(self.cost, u32::from(tokens), u32::from(pages));
        if pays == self.keeper.slow {
            self.keeper.slow = !pays;
            self.emit(Event::StoreSlow { slow: !pays });
        }
        if !pays {
            self.keeper.figures.slower += 1;
            if !self.keeper.figures.slower.is_multiple_of(TRY_AGAIN) {
                return None;
            }
        }
        Some(self.pager.create_cold(identity))
    }

    /// An agent goes on behind a whole slice: it goes to the store, if the agent says so.
    pub(super) fn keep(&mut self, index: usize, mapping: Mapping) {
        let is_packed = self.pager.slice(mapping.slice).packed;
        let wanted = match (self.rcb(index).persist, mapping.fidelity) {
            (Persist::Nothing, _) | (_, Fidelity::Relocated) => false,
            // Of a bounded agent, what has an identity is as exact.
            (Persist::Exact | Persist::Packed, Fidelity::Exact) => true,
            // What left page memory packed has no identity any more.
            (persist, Fidelity::Packed) => is_packed && persist == Persist::Packed,
        };
        if wanted && self.keeps() {
            let packed = self.rcb(index).persist == Persist::Packed && mapping.base > 0;
            self.pager.keep(mapping.slice, packed);
        }
    }

    /// Weighs the slices of an agent that is over by what they drew.
    pub(super) fn weigh(&mut self, index: usize) {
        if self.config.cold_slices == 0 || self.keeper.gone {
            return;
        }
        let first = index * self.config.slices_per_agent() as usize;
        let mapped = self.rcb(index).mapped as usize;
        for (slice, weight) in weights(&self.mappings[first..first + mapped]) {
            self.pager.note_drawn(slice, weight);
            self.keeper.drawn = Drawn::Something;
        }
    }

    /// Does with the store what needs no device, so that it works beside a step.
    pub(super) fn look_at_store(&mut self, store: &mut dyn ColdStore) {
        if self.config.cold_slices == 0 {
            return;
        }
        for _ in 0..ANSWERS {
            let Some((key, result)) = store.poll() else { break };
            self.keeper.told_us = self.now_us;
            match self.pager.told(key, result) {
                Ok(()) => {
                    self.keeper.figures.durable += 1;
                    if self.keeper.drawn == Drawn::Later {
                        self.keeper.drawn = Drawn::Something;
                    }
                    let waiting = self.pager.queued() + self.pager.awaited();
                    self.emit(Event::Stored { waiting });
                    self.raise(VectorId::StoreDone, None, u64::from(waiting));
                }
                Err(fault) => self.not_stored(fault),
            }
        }
        let waited_us = self.now_us.saturating_sub(self.keeper.told_us);
        if self.pager.awaited() > 0 && (waited_us >= self.config.hang_us || self.keeper.gone) {
            for _ in 0..self.pager.wait_no_longer() {
                self.not_stored(StoreFault::Late);
            }
        }
        self.pager.fetch(store, self.patience());
        self.hand_over(store);
        if self.keeper.drawn == Drawn::Something {
            self.keeper.drawn = self.pager.tell_drawn(store);
        }
    }

    /// Moves pages that come from the store and that go there. `begin`: new ones too, not only the one that the device
    /// is at work on. Pending while it is.
    pub(super) fn move_cold(
        &mut self,
        devices: &mut Devices<'_>,
        begin: bool,
    ) -> Poll<Result<(), PageError>> {
        if !self.is_storing() || !begin && !self.pager.is_paging() {
            return Poll::Ready(Ok(()));
        }
        match self.receive(devices.tensor, devices.store) {
            Poll::Ready(Ok(_)) => (),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        if let Some((slice, arrival, fault)) = self.pager.take_failure() {
            self.not_loaded(slice, arrival, fault, devices.store);
        }
        if !begin && !self.pager.is_paging() {
            return Poll::Ready(Ok(()));
        }
        // While somebody could go on, a step begins no later than by a page.
        let most = if self.ready.first().is_some() { 1 } else { SLICE_PAGES };
        for _ in 0..most {
            match self.pager.next_image(devices.tensor, devices.store) {
                Poll::Ready(Ok(true)) => (),
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            if !begin || !self.hand_over(devices.store) {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Hands a page over, if its image is there. Returns whether the store has taken it.
    fn hand_over(&mut self, store: &mut dyn ColdStore) -> bool {
        match self.pager.hand_over(store, self.patience()) {
            Handed::Nothing | Handed::Waiting => return false,
            Handed::Page => (),
            Handed::Whole => {
                self.keeper.figures.handed += 1;
                self.keeper.told_us = self.now_us;
            }
            Handed::Failed(fault) => {
                self.not_stored(fault);
                return false;
            }
        }
        self.keeper.figures.handed_pages += 1;
        true
    }

    /// Goes on with what comes from the store. Returns whether a slice is whole; pending while the device is at work.
    pub(super) fn receive(
        &mut self,
        device: &mut dyn TensorDevice,
        store: &mut dyn ColdStore,
    ) -> Poll<Result<bool, PageError>> {
        match self.pager.receive(device, store, self.patience()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(Received::Whole(arrival))) => {
                self.loaded(arrival);
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Ok(Received::Nothing | Received::Waiting)) => Poll::Ready(Ok(false)),
        }
    }

    /// Tells the store which slices an agent needs behind an entry of its page table, so that it reads on while the
    /// one that comes is copied.
    pub(super) fn tell_ahead(&self, index: usize, entry: &Mapping, store: &mut dyn ColdStore) {
        let table = self.table(index);
        let behind = core::iter::successors(table.get(entry.next as usize), |at| table.get(at.next as usize));
        let slices = behind.map(|mapping| self.pager.slice(mapping.slice)).filter(|slice| slice.is_cold());
        for hash in slices.filter_map(|slice| slice.hash).take(AHEAD) {
            store.prefetch(&StoreKey(hash.0));
        }
    }

    fn loaded(&mut self, arrival: Arrival) {
        let Arrival { agent, tokens, pages, since_us, device_us } = arrival;
        let (tokens, pages) = (u32::from(tokens), u32::from(pages));
        let waited_us = self.now_us.saturating_sub(since_us);
        let others_us = self.figures.device_us.saturating_sub(device_us);
        self.keeper.cost = Some(self.keeper.cost().after(pages, waited_us.saturating_sub(others_us)));
        self.keeper.latencies.note(waited_us);
        let figures = &mut self.keeper.figures;
        figures.loaded += 1;
        figures.loaded_pages += u64::from(pages);
        figures.loaded_tokens += u64::from(tokens);
        if let Some(index) = self.find(agent) {
            let metrics = &mut self.rcb_mut(index).metrics;
            metrics.recalled += u64::from(tokens);
            metrics.paged_in += u64::from(pages);
        }
        let load_us = u32::try_from(waited_us).unwrap_or(u32::MAX);
        self.emit(Event::Recalled { agent, tokens, pages, load_us });
    }

    /// A slice that agents have gone over does not come: they go back, and one of them computes it.
    fn not_loaded(&mut self, slice: SliceId, arrival: Arrival, fault: StoreFault, store: &mut dyn ColdStore) {
        let Arrival { agent, tokens, .. } = arrival;
        self.count_not_loaded(agent, u32::from(tokens), fault);
        if let (StoreFault::Corrupt, Some(hash)) = (fault, self.pager.slice(slice).hash) {
            // It is stored anew once it is computed; if it cannot be deleted, it is found and fails again.
            let _deleted = store.delete(&StoreKey(hash.0));
        }
        for index in 0..self.agents.len() {
            let Some(rcb) = self.agents[index].rcb.as_ref().filter(|rcb| !rcb.state.is_over()) else {
                continue;
            };
            let (gone_over, exact) = (rcb.cursor.layout.tokens, rcb.memory == MemoryMode::Exact);
            self.lost_on_the_way(index, slice);
            let lost = |mapping: &Mapping| mapping.slice == slice && mapping.base < gone_over;
            if self.table(index).iter().any(lost) {
                // It keeps nothing of what it had mapped, and would find the same slice again.
                self.rcb_mut(index).forsaken = !exact;
                self.go_to_start(index);
            }
        }
    }

    pub(super) fn count_not_loaded(&mut self, agent: AgentId, tokens: u32, fault: StoreFault) {
        self.keeper.figures.load_failures += 1;
        self.failed(fault);
        self.emit(Event::RecallFailed { agent, tokens, fault });
    }

    fn not_stored(&mut self, fault: StoreFault) {
        self.keeper.figures.store_failures += 1;
        self.failed(fault);
        self.emit(Event::StoreFailed { fault });
    }

    fn failed(&mut self, fault: StoreFault) {
        self.keeper.gone |= fault == StoreFault::Gone;
        self.keeper.read_only |= fault == StoreFault::ReadOnly;
        if !self.keeps() {
            self.pager.stop_keeping();
        }
        self.raise(VectorId::StoreErr, None, 0);
    }
}
