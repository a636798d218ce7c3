//! The kernel itself: `tick` at the top, and what it is made of.
//!
//! * [`config`]: all sizes, one checked value.
//! * [`storage`]: the tables that a host lends. [`memory`]: all of them as one value.
//! * `plan`: who is in the next step, and with which rows. `late`: the masks that it begins without.
//! * `room`: page memory for those who are. [`cold`]: what the cold store has and gets.
//! * `paging`: what bounded agents attend to. `retrace`: how they find in the cold store what they did before.
//! * `commit`: what a step's report means for the agents in it.
//! * `calls`: system calls. `messages`: what agents send each other. `waits`: who waits for whom, and
//!   with whose priority. `forget`: what an agent attends to no more.
//! * `save`, `restore`: agents to bytes and back. `tools`: calls of tools.
//! * `vectors`: what each interrupt does.
//! * [`audit`]: whether the books agree.

pub mod audit;
pub mod cold;
pub mod config;
pub mod latency;
pub mod memory;
pub mod storage;

mod calls;
mod commit;
mod forget;
mod late;
mod messages;
mod paging;
mod plan;
mod restore;
pub(crate) mod retrace;
mod room;
mod save;
mod tools;
mod vectors;
mod waits;

pub use config::Config;
pub use memory::Memory;
pub use storage::{Sizes, Storage, Vocabulary};
pub use vectors::USER_RESUME;

use core::ops::Range;
use core::task::Poll;

use heapless::Vec;

use agentos_hal::{
    Clock, ColdStore, DeviceError, LayerRange, Reg, Step, StepReport, SubmitError, Tap, TensorDevice,
};

use crate::agent::{AgentId, Rcb, State, legal};
use crate::event::{Event, EventRing, Record};
use crate::guard::Guard;
use crate::interrupt::{Interrupts, Posted, VectorId};
use crate::memory::arena::Arena;
use crate::memory::index::Index;
use crate::memory::pack::Packing;
use crate::memory::pager::{Pager, Usage};
use crate::memory::schema::Schemas;
use crate::memory::select::Policy;
use crate::memory::slices::SliceTable;
use crate::memory::{Mapping, SliceHash};
use crate::pool::PagePool;
use crate::sample::Weighed;
use crate::sched::cost::RowCost;
use crate::sched::ready::Ready;
use crate::tool::{Bus, OpenCall};
use latency::Latencies;
use storage::{Rider, Slot};

/// What the kernel drives.
pub struct Devices<'d> {
    /// The tensor machine, prepared with [`Config::device_limits`].
    pub tensor: &'d mut dyn TensorDevice,
    /// The time.
    pub clock: &'d dyn Clock,
    /// The tools; [`NoTools`](crate::tool::NoTools) where there are none.
    pub tools: &'d mut dyn Bus,
    /// What agents that are guarded may say; [`Unguarded`](crate::guard::Unguarded) where none is.
    pub guard: &'d mut dyn Guard,
    /// What slices outlive the system in; [`NoStore`](agentos_hal::NoStore) where there is none. Used only where
    /// [`Config::cold_slices`] is not 0.
    pub store: &'d mut dyn ColdStore,
}

/// What a tick has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Tick {
    /// Nobody has anything to compute. A call or an interrupt is what comes next.
    Idle,
    /// The device has taken a step.
    Submitted {
        /// Its rows.
        rows: u32,
        /// The agents in it.
        agents: u32,
    },
    /// The device is at work on a step or on pages, or time has to pass. Tick again.
    Pending,
    /// A step is done.
    Stepped {
        /// Its rows.
        rows: u32,
    },
    /// The device was lost. Prepare it again and call [`Kernel::device_restored`].
    DeviceLost,
    /// The system was shut down, and no step is under way.
    Halted,
}

/// Agents on their way into bytes or out of them.
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one into")]
#[derive(Debug)]
enum Transfer {
    Out(save::Saver),
    In(restore::Restorer),
}

impl Transfer {
    /// Whether bytes were written or read: from there to its end nothing about any agent changes.
    fn has_begun(&self) -> bool {
        match self {
            Transfer::Out(saver) => saver.has_begun(),
            Transfer::In(restorer) => restorer.has_begun(),
        }
    }
}

/// What the device is doing for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Resting,
    /// Rows are laid out, and the device has not taken them yet.
    Planned,
    /// The device has them since a time in microseconds.
    Running {
        since_us: u64,
    },
    /// Its memory is gone.
    Lost,
}

/// The step that is being laid out or computed.
#[derive(Debug)]
struct StepTables<'m> {
    rows: &'m mut [agentos_hal::Row],
    spans: &'m mut [agentos_hal::Span],
    riders: &'m mut [Rider],
    segments: &'m mut [agentos_hal::Segment],
    pages: &'m mut [agentos_hal::PageId],
    row_count: usize,
    rider_count: usize,
    segment_count: usize,
    page_count: usize,
    /// Masks of a word for each 32 tokens of the vocabulary, one behind the other.
    masks: &'m mut [u32],
    mask_words: usize,
    mask_count: usize,
    /// Those of them that are still to be found, a bit each.
    late: u64,
    /// What is asked of the rows that are exposed.
    tap: [Tap; 1],
    exposed: u32,
    counters: LayerRange,
}

/// Figures of the whole system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Steps computed.
    pub steps: u64,
    /// Steps that failed.
    pub failed_steps: u64,
    /// Rows computed.
    pub rows: u64,
    /// Time that the kernel itself took, in microseconds.
    pub kernel_us: u64,
    /// Time that steps took on the device, in microseconds.
    pub device_us: u64,
    /// Pages promised to agents.
    pub promised: u32,
    /// Pages in use.
    pub usage: Usage,
    /// Pages that came back before the turn of whoever needs them.
    pub ahead_pages: u64,
    /// Where agents found the slices that they looked for.
    pub hits: cold::Hits,
    /// What came from the cold store and went to it.
    pub store: cold::StoreFigures,
}

/// The kernel.
#[derive(Debug)]
pub struct Kernel<'m> {
    config: Config,
    vocabulary: Vocabulary<'m>,
    root: SliceHash,
    model: [u8; 32],
    packing: Packing,
    agents: &'m mut [Slot],
    tokens: &'m mut [u32],
    inbox: &'m mut [u32],
    mappings: &'m mut [Mapping],
    calls: &'m mut [Option<OpenCall>],
    /// The number of the next tool call.
    next_call: u64,
    /// When the last step ended, in microseconds.
    rested_us: u64,
    /// The host was told of calls that are over, and has not had the time to return what came of them.
    calls_told: bool,
    ready: Ready<'m>,
    pager: Pager<'m>,
    step: StepTables<'m>,
    weighed: &'m mut [Weighed],
    /// Per agent, the queries of its latest rows.
    queries: &'m mut [f32],
    /// What relevance is computed in.
    scratch: &'m mut [f32],
    events: EventRing<'m>,
    interrupts: &'m Interrupts,
    policy: Policy,
    cost: RowCost,
    keeper: cold::Keeper,
    phase: Phase,
    now_us: u64,
    pinned: u32,
    /// An interrupt of the kernel's own found its queue full.
    unposted: bool,
    /// A step is over, and what it means for the bounded agents in it is not known yet.
    unsettled: bool,
    /// Working sets were more than page memory holds when that was last looked at.
    thrashing: bool,
    /// Pages were given back: who waits for admission may fit now.
    vacated: bool,
    shutdown: bool,
    /// A checkpoint is being written or read: no step begins.
    transfer: Option<Transfer>,
    figures: Figures,
    dispatch: Latencies,
    paged_in: Latencies,
    /// Time of the kernel itself since the last step began.
    step_kernel_us: u64,
}

/// The storage that was lent does not have the sizes that the configuration calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// The table.
    pub table: &'static str,
    /// Its length.
    pub found: usize,
    /// The length that would fit.
    pub expected: usize,
}

impl core::fmt::Display for StorageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let StorageError { table, found, expected } = self;
        write!(f, "the table of {table} has {found} entries; {expected} would fit")
    }
}

impl core::error::Error for StorageError {}

impl<'m> Kernel<'m> {
    /// A kernel without agents. `model` identifies the model and everything else that results depend
    /// on, such as the tokenizer; `packing` is how its pages are laid out.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn new(
        config: Config,
        storage: Storage<'m>,
        vocabulary: Vocabulary<'m>,
        model: &[u8; 32],
        packing: Packing,
    ) -> Result<Kernel<'m>, StorageError> {
        let config = config.checked();
        check(&config, &storage, &packing)?;
        storage.agents.fill(Slot::default());
        storage.calls.fill(None);
        let arena = Arena::new(
            storage.arena,
            storage.frames,
            (packing.image_bytes(), config.l2_frames),
            (packing.packed_bytes(), config.packed_frames),
        );
        let key = config.attention.map_or(0, |attention| attention.key_width());
        let (mean, scratch) = storage.scratch.split_at_mut(key);
        let pager = Pager::new(
            SliceTable::new(storage.slices),
            Index::new(storage.index),
            PagePool::new(storage.pages),
            arena,
            packing,
            storage.image,
            Schemas::new(storage.schemas, mean, config.relevance_layer),
        );
        let step = StepTables {
            rows: storage.rows,
            spans: storage.spans,
            riders: storage.riders,
            segments: storage.segments,
            pages: storage.segment_pages,
            row_count: 0,
            rider_count: 0,
            segment_count: 0,
            page_count: 0,
            masks: storage.masks,
            mask_words: config.mask_words as usize,
            mask_count: 0,
            late: 0,
            tap: [Tap::Layer(config.relevance_layer, Reg::Query)],
            exposed: 0,
            counters: LayerRange::NONE,
        };
        let mut kernel = Kernel {
            root: SliceHash::root(model, config.kv, config.slice_limits),
            model: *model,
            packing,
            vocabulary,
            agents: storage.agents,
            tokens: storage.tokens,
            inbox: storage.inbox,
            mappings: storage.mappings,
            calls: storage.calls,
            next_call: 1,
            rested_us: 0,
            calls_told: false,
            ready: Ready::new(storage.links),
            pager,
            step,
            weighed: storage.weighed,
            queries: storage.queries,
            scratch,
            events: EventRing::new(storage.events),
            interrupts: storage.interrupts,
            policy: Policy::Relevance,
            cost: RowCost::UNKNOWN,
            keeper: cold::Keeper::default(),
            phase: Phase::Resting,
            now_us: 0,
            pinned: 0,
            unposted: false,
            unsettled: false,
            thrashing: false,
            vacated: false,
            shutdown: false,
            transfer: None,
            figures: Figures::default(),
            dispatch: Latencies::default(),
            paged_in: Latencies::default(),
            step_kernel_us: 0,
            config,
        };
        kernel.emit(Event::Booted {
            agents: config.agents,
            l1_pages: config.l1_pages,
            l2_pages: config.l2_frames,
        });
        Ok(kernel)
    }

    /// Does the next bounded piece of work: ends a step, delivers interrupts, moves pages, begins a
    /// step. Never waits.
    pub fn tick(&mut self, devices: &mut Devices<'_>) -> Tick {
        self.now_us = devices.clock.now().micros;
        if !self.transfer_has_begun() {
            self.look_at_tools(devices.tools);
            self.look_at_store(devices.store);
        }
        let tick = match self.phase {
            Phase::Lost => Tick::DeviceLost,
            Phase::Running { since_us } => self.poll(since_us, devices),
            Phase::Planned => self.submit(devices),
            Phase::Resting => self.rest(devices),
        };
        let end_us = devices.clock.now().micros;
        self.step_kernel_us += end_us.saturating_sub(self.now_us);
        tick
    }

    /// The device was prepared again after [`Tick::DeviceLost`]: what was in page memory is computed
    /// again, and what was in the arena is as it was.
    pub fn device_restored(&mut self) {
        if self.phase == Phase::Lost {
            self.recover();
            self.phase = Phase::Resting;
        }
    }

    /// The next event that nobody has taken yet.
    pub fn next_event(&mut self) -> Option<Record> {
        self.events.pop()
    }

    /// The tokens of an agent's context: prompt, answers and messages. Empty for an unknown agent.
    pub fn tokens(&self, agent: AgentId) -> &[u32] {
        match self.find(agent) {
            Some(index) => self.log(index),
            None => &[],
        }
    }

    /// The slices of an agent's context that are computed, each with its addresses and the mean density of its rows'
    /// attention (paper eq. 2) at the layer of relevance, in their order; without one where its rows were not all
    /// computed by this system. Nothing of an agent that is over.
    pub fn densities(&self, agent: AgentId) -> impl Iterator<Item = (Range<u32>, Option<f32>)> {
        let table = self.find(agent).map_or(&[][..], |index| self.table(index));
        table.iter().map(|mapping| {
            let slice = self.pager.slice(mapping.slice);
            let end = mapping.base + u32::from(slice.computed);
            (mapping.base..end, slice.density.mean(slice.computed))
        })
    }

    /// Where interrupts are posted.
    pub fn interrupts(&self) -> &'m Interrupts {
        self.interrupts
    }

    /// The sizes it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of a page's image.
    pub fn page_bytes(&self) -> usize {
        self.packing.image_bytes()
    }

    /// Figures of the whole system.
    pub fn figures(&self) -> Figures {
        let promised =
            self.agents.iter().filter_map(|slot| slot.rcb.as_ref()).map(|rcb| rcb.promise.pages).sum();
        let (usage, hits, store) = (self.pager.usage(), self.keeper.hits, self.store_figures());
        Figures { promised, usage, hits, store, ..self.figures }
    }

    /// Times from what made agents ready to their first step after it.
    pub fn dispatch_latencies(&self) -> &Latencies {
        &self.dispatch
    }

    /// Times from when agents lacked pages that they attend to, in the arena or the cold store, to the step that had
    /// them.
    pub fn page_in_latencies(&self) -> &Latencies {
        &self.paged_in
    }

    /// Replaces the policy by which bounded agents keep slices. An agent keeps to one from its spawn on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Every agent, in the order of their slots.
    pub fn agents(&self) -> impl Iterator<Item = &Rcb> {
        self.agents.iter().filter_map(|slot| slot.rcb.as_ref())
    }

    /// No step is under way.
    fn rest(&mut self, devices: &mut Devices<'_>) -> Tick {
        if self.transfer_has_begun() {
            return Tick::Pending;
        }
        self.deliver();
        if core::mem::take(&mut self.calls_told) {
            // What came of a call is returned before the next step is laid out, or its agent would miss that one; and
            // before other tools begin, which takes longer.
            return Tick::Pending;
        }
        // Tools begin before the next step does, and work beside it.
        self.look_at_tools(devices.tools);
        match self.pager.go_on(devices.tensor) {
            Poll::Pending => return Tick::Pending,
            Poll::Ready(Err(error)) => return self.page_failed(error),
            Poll::Ready(Ok(_)) => (),
        }
        if self.unsettled {
            // A page from the store that the device is at work on comes first.
            match self.move_cold(devices, false) {
                Poll::Pending => return Tick::Pending,
                Poll::Ready(Err(error)) => return self.page_failed(error),
                Poll::Ready(Ok(())) => (),
            }
            match self.settle(devices.tensor) {
                Poll::Pending => return Tick::Pending,
                Poll::Ready(Err(error)) => return self.page_failed(error),
                Poll::Ready(Ok(())) => (),
            }
        }
        match self.move_cold(devices, !self.shutdown && self.transfer.is_none()) {
            Poll::Pending => return Tick::Pending,
            Poll::Ready(Err(error)) => return self.page_failed(error),
            Poll::Ready(Ok(())) => (),
        }
        if self.shutdown {
            return Tick::Halted;
        }
        if self.transfer.is_some() {
            return Tick::Pending;
        }
        self.admit_waiting();
        match self.plan(devices.tensor, devices.guard, devices.store) {
            plan::Planned::Step => self.submit(devices),
            // What was not delivered yet, for there was so much, may give somebody work; and what is to be stored
            // is not durable yet.
            plan::Planned::Nothing if self.interrupts.is_pending() || self.is_storing() => Tick::Pending,
            plan::Planned::Nothing => Tick::Idle,
            plan::Planned::Paging => Tick::Pending,
            plan::Planned::Failed(error) => {
                self.unplan();
                self.page_failed(error)
            }
        }
    }

    /// Whether a checkpoint may be written or read: no step and no move is under way, and no interrupt
    /// waits that may be delivered. Those that come after it has begun wait for its end.
    fn at_rest(&self) -> bool {
        let resting = self.phase == Phase::Resting && !self.pager.is_paging() && !self.unsettled;
        resting && (self.transfer_has_begun() || !self.interrupts.is_pending())
    }

    fn transfer_has_begun(&self) -> bool {
        self.transfer.as_ref().is_some_and(Transfer::has_begun)
    }

    fn submit(&mut self, devices: &mut Devices<'_>) -> Tick {
        let before = devices.clock.now().micros;
        let result = devices.tensor.submit(&self.step.as_step(&self.step.masks()));
        let after = devices.clock.now().micros;
        self.step_kernel_us = self.step_kernel_us.saturating_sub(after.saturating_sub(before));
        match result {
            Ok(()) => {
                self.phase = Phase::Running { since_us: before };
                self.begun(before);
                Tick::Submitted { rows: self.step.row_count as u32, agents: self.step.rider_count as u32 }
            }
            Err(SubmitError::Busy) => {
                self.phase = Phase::Planned;
                Tick::Pending
            }
            Err(SubmitError::NotPrepared) => {
                self.unplan();
                self.lose()
            }
            Err(SubmitError::Step(fault)) => panic!("the kernel laid out a step that is none: {fault}"),
        }
    }

    fn poll(&mut self, since_us: u64, devices: &mut Devices<'_>) -> Tick {
        let mut polled = devices.tensor.poll();
        if polled.is_pending() && self.step.late != 0 {
            self.give_masks(devices);
            polled = devices.tensor.poll();
        }
        let after = devices.clock.now().micros;
        // What the device did is not the kernel's time.
        self.now_us = after;
        let rows = self.step.row_count as u32;
        match polled {
            Poll::Pending if after.saturating_sub(since_us) < self.config.hang_us => Tick::Pending,
            Poll::Pending
            | Poll::Ready(Err(
                DeviceError::Lost | DeviceError::OutOfMemory | DeviceError::Rejected | DeviceError::Idle,
            )) => {
                self.step_failed(None);
                self.lose()
            }
            Poll::Ready(result) => {
                let device_us = after.saturating_sub(since_us);
                self.figures.device_us += device_us;
                self.phase = Phase::Resting;
                self.rested_us = after;
                match result.and_then(crate::sequence::finite) {
                    Ok(report) => {
                        self.cost = self.cost.after(rows, device_us);
                        self.commit(&report);
                    }
                    Err(error) => self.step_failed(Some(error)),
                }
                Tick::Stepped { rows }
            }
        }
    }

    /// The device's memory is gone.
    fn lose(&mut self) -> Tick {
        self.raise(VectorId::DeviceFault, None, 0);
        self.phase = Phase::Lost;
        Tick::DeviceLost
    }

    fn emit(&mut self, event: Event) {
        self.events.push(self.now_us, event);
    }

    /// Posts an interrupt of the kernel's own. A queue that is full counts it, and what somebody waits for
    /// is posted again when there is room.
    fn raise(&mut self, vector: VectorId, agent: Option<AgentId>, payload: u64) {
        let posted = Posted { vector, agent, payload, at_us: self.now_us };
        self.unposted |= self.interrupts.post(posted).is_err();
    }

    fn find(&self, agent: AgentId) -> Option<usize> {
        let index = usize::from(agent.index);
        let rcb = self.agents.get(index)?.rcb.as_ref()?;
        (rcb.id == agent).then_some(index)
    }

    fn rcb(&self, index: usize) -> &Rcb {
        self.agents[index].rcb.as_ref().expect("the slot is taken")
    }

    fn rcb_mut(&mut self, index: usize) -> &mut Rcb {
        self.agents[index].rcb.as_mut().expect("the slot is taken")
    }

    /// The tokens of an agent's context.
    fn log(&self, index: usize) -> &[u32] {
        let first = index * self.config.context as usize;
        &self.tokens[first..first + self.rcb(index).tokens as usize]
    }

    /// The page table of an agent.
    fn table(&self, index: usize) -> &[Mapping] {
        let first = index * self.config.slices_per_agent() as usize;
        &self.mappings[first..first + self.rcb(index).mapped as usize]
    }

    fn table_mut(&mut self, index: usize) -> &mut [Mapping] {
        let first = index * self.config.slices_per_agent() as usize;
        let mapped = self.rcb(index).mapped as usize;
        &mut self.mappings[first..first + mapped]
    }

    /// Changes an agent's state, and its place in the queues with it.
    ///
    /// # Panics
    /// When the change is not legal: the kernel's own mistake.
    fn change(&mut self, index: usize, to: State) {
        let now_us = self.now_us;
        let rcb = self.rcb_mut(index);
        let (id, from) = (rcb.id, rcb.state);
        if from == to {
            return;
        }
        assert!(legal(from.kind(), to.kind()), "agent {id} went from {from:?} to {to:?}");
        rcb.state = to;
        let effective = rcb.effective;
        match to {
            State::Ready => {
                self.rcb_mut(index).progress_us = now_us;
                self.ready.push(index as u16, effective);
            }
            State::Running => return,
            _ => {
                self.ready.remove(index as u16);
                self.rcb_mut(index).rested_us = now_us;
            }
        }
        self.emit(Event::State { agent: id, from: from.kind(), to: to.kind() });
    }
}

impl StepTables<'_> {
    fn clear(&mut self) {
        (self.row_count, self.rider_count, self.segment_count, self.page_count) = (0, 0, 0, 0);
        (self.mask_count, self.late, self.exposed) = (0, 0, 0);
        self.counters = LayerRange::NONE;
    }

    /// The masks of the step, each on its own; empty where it comes later.
    fn masks(&self) -> Vec<&[u32], { config::MOST_MASKS }> {
        let used = &self.masks[..self.mask_count * self.mask_words];
        let found = used.chunks_exact(self.mask_words.max(1)).enumerate();
        found.map(|(mask, words)| if self.late >> mask & 1 == 1 { &[] } else { words }).collect()
    }

    fn mask_mut(&mut self, mask: u16) -> &mut [u32] {
        let first = usize::from(mask) * self.mask_words;
        &mut self.masks[first..first + self.mask_words]
    }

    fn as_step<'s>(&'s self, masks: &'s [&'s [u32]]) -> Step<'s> {
        Step {
            rows: &self.rows[..self.row_count],
            spans: &self.spans[..self.rider_count],
            segments: &self.segments[..self.segment_count],
            pages: &self.pages[..self.page_count],
            masks,
            taps: if self.exposed > 0 { &self.tap } else { &[] },
            counters: self.counters,
            depth: None,
        }
    }
}

fn check(config: &Config, storage: &Storage<'_>, packing: &Packing) -> Result<(), StorageError> {
    let arena = config.arena_bytes(packing);
    let sizes = Sizes::of(config);
    for (table, found, expected) in [
        ("agents", storage.agents.len(), sizes.agents),
        ("links", storage.links.len(), sizes.agents),
        ("tokens", storage.tokens.len(), sizes.tokens),
        ("inbox", storage.inbox.len(), sizes.inbox),
        ("mappings", storage.mappings.len(), sizes.mappings),
        ("slices", storage.slices.len(), sizes.slices),
        ("index", storage.index.len(), sizes.index),
        ("pages", storage.pages.len(), sizes.pages),
        ("frames", storage.frames.len(), sizes.frames),
        ("arena", storage.arena.len(), arena),
        ("image", storage.image.len(), config.image_bytes(packing)),
        ("rows", storage.rows.len(), sizes.rows),
        ("spans", storage.spans.len(), sizes.spans),
        ("riders", storage.riders.len(), sizes.spans),
        ("segments", storage.segments.len(), sizes.segments),
        ("segment_pages", storage.segment_pages.len(), sizes.segment_pages),
        ("weighed", storage.weighed.len(), sizes.weighed),
        ("events", storage.events.len(), sizes.events),
        ("calls", storage.calls.len(), sizes.calls),
        ("masks", storage.masks.len(), sizes.masks),
        ("schemas", storage.schemas.len(), sizes.schemas),
        ("queries", storage.queries.len(), sizes.queries),
        ("scratch", storage.scratch.len(), sizes.scratch),
    ] {
        if found != expected {
            return Err(StorageError { table, found, expected });
        }
    }
    Ok(())
}

/// What a step's report says, borrowed from the device.
type Report<'r> = StepReport<'r>;

#[cfg(test)]
mod tests;
