//! System calls.

use agentos_hal::PAGE_TOKENS;

use super::Kernel;
use super::storage::Slot;
use crate::agent::{
    Admission, AfterStep, AgentId, BlockedOn, Budget, Counted, Cursor, MOST_WAITS, MemoryMode, Priority, Rcb,
    Resume, Spec, State,
};
use crate::call::{Call, CallError, Reply, Stat, Tokens};
use crate::event::Event;
use crate::layout::Layout;
use crate::memory::admit::{self, Capacity, Demand, Promise, Unfit};
use crate::memory::relevance::KEPT;
use crate::memory::select;
use crate::memory::slices::Place;
use crate::sample::Sampler;
use crate::tool::CallNumber;

impl Kernel<'_> {
    /// Does what an agent (or, with `None`, the host) asks. What is refused changed nothing.
    ///
    /// # Errors
    /// Any [`CallError`].
    pub fn call(
        &mut self,
        caller: Option<AgentId>,
        call: &Call<'_>,
        now_us: u64,
    ) -> Result<Reply, CallError> {
        self.now_us = self.now_us.max(now_us);
        self.permit(caller, call)?;
        if self.transfer.is_some() && !matches!(call, Call::Stat(_)) {
            return Err(CallError::Held);
        }
        match *call {
            Call::Spawn(spec, tokens) => self.spawn(&spec, tokens).map(Reply::Agent),
            Call::Fork(agent, spec) => self.fork(agent, &spec).map(Reply::Agent),
            Call::Kill(agent) => self.kill(agent).map(|()| Reply::Done),
            Call::Suspend(agent) => self.suspend(agent).map(|()| Reply::Done),
            Call::Resume(agent) => self.resume(agent).map(|()| Reply::Done),
            Call::Send(agent, tokens) => self.send(caller, agent, tokens).map(|()| Reply::Done),
            Call::Forward(ref forward) => self.forward(forward).map(|()| Reply::Done),
            Call::Invoke(agent, ref request) => {
                self.invoke(agent, request).map(|number| Reply::Call(number.0))
            }
            Call::Return { call, tokens, fits } => {
                self.return_call(CallNumber(call), tokens, fits).map(|()| Reply::Done)
            }
            Call::Wait(agent, other) => self.wait(agent, other).map(|()| Reply::Done),
            Call::SetPriority(agent, priority) => self.set_priority(agent, priority).map(|()| Reply::Done),
            Call::Pin { agent, start, end, keep } => self.pin(agent, start, end, keep).map(|()| Reply::Done),
            Call::Forget { agent, start, end } => self.forget(agent, start, end).map(|()| Reply::Done),
            Call::SetBudget(agent, budget) => self.set_budget(agent, budget).map(|()| Reply::Done),
            Call::Checkpoint(agent, contents) => self.begin_save(agent, contents).map(|()| Reply::Done),
            Call::Restore => self.begin_restore().map(|()| Reply::Done),
            Call::Stat(agent) => self.stat(agent).map(Reply::Stat),
        }
    }

    fn permit(&self, caller: Option<AgentId>, call: &Call<'_>) -> Result<(), CallError> {
        let Some(caller) = caller else { return Ok(()) };
        let capabilities = self.rcb(self.known(caller)?).capabilities;
        let (permitted, capability) = match *call {
            Call::Spawn(..) | Call::Fork(..) => (capabilities.spawn, "spawn"),
            Call::Send(..) => (capabilities.send, "send"),
            // Its own context an agent may send to others.
            Call::Forward(ref forward) => (capabilities.send && forward.from == caller, "send"),
            Call::Stat(_) => (true, ""),
            // The rest an agent may do to itself only.
            Call::Kill(agent)
            | Call::Suspend(agent)
            | Call::Resume(agent)
            | Call::Wait(agent, _)
            | Call::Invoke(agent, _)
            | Call::Pin { agent, .. }
            | Call::Forget { agent, .. } => (agent == caller, "control of other agents"),
            Call::SetPriority(..) | Call::SetBudget(..) => (false, "control of budgets"),
            Call::Return { .. } => (false, "returns of tools"),
            Call::Checkpoint(..) | Call::Restore => (false, "checkpoints"),
        };
        if permitted { Ok(()) } else { Err(CallError::NotPermitted { capability }) }
    }

    fn spawn(&mut self, spec: &Spec, tokens: Tokens<'_>) -> Result<AgentId, CallError> {
        self.check_tokens(tokens)?;
        if tokens.is_empty() {
            return Err(CallError::Empty);
        }
        if tokens.len() > spec.context as usize {
            return Err(CallError::TooLong { tokens: tokens.len(), fits: spec.context as usize });
        }
        let (index, mut rcb) = self.declare(spec)?;
        let thrashing = self.is_thrashing(spec.priority);
        if spec.admission == Admission::Wait && (thrashing || self.is_waited_for(spec.priority)) {
            // What was given back meanwhile is for those who waited for it, if they are as urgent.
            self.admit_waiting();
            let overtakes = self.is_waited_for(spec.priority);
            let fits = self.fits(spec.context, spec.memory).ok().filter(|_| !overtakes && !thrashing);
            rcb.promise = fits.unwrap_or(Promise::NONE);
            // Who waits only for others to page less is looked at again at every step.
            self.vacated |= thrashing;
        }
        let first = index * self.config.context as usize;
        tokens.copy_to(&mut self.tokens[first..]);
        let id = self.settle_in(index, rcb, None, tokens.len() as u32);
        self.begin(index);
        Ok(id)
    }

    fn fork(&mut self, parent: AgentId, spec: &Spec) -> Result<AgentId, CallError> {
        let from = self.alive(parent)?;
        if self.rcb(from).promise.pages == 0 {
            return Err(CallError::State { agent: parent, state: self.rcb(from).state });
        }
        let tokens = self.rcb(from).tokens;
        if tokens > spec.context {
            return Err(CallError::TooLong { tokens: tokens as usize, fits: spec.context as usize });
        }
        // The same memory, or what the child sees would not be what its parent saw: it is what has to fit.
        let (memory, packed) = (self.rcb(from).memory, self.rcb(from).packed);
        let spec = &Spec { memory, packed, ..*spec };
        let (index, mut rcb) = self.declare(spec)?;
        if rcb.promise.pages == 0 {
            // A copy that waits would have to keep its parent's pages.
            return Err(self.refusal(spec));
        }
        let source = self.rcb(from);
        let all = source.committed.layout.tokens == tokens;
        // What follows the last token was not wanted by a parent that only computes its context.
        let cursor = if all && rcb.generates() { self.before_last(from) } else { source.committed };
        let cursor = Cursor { trail: None, ..cursor };
        (rcb.committed, rcb.cursor, rcb.reached) = (cursor, cursor, cursor.layout.tokens);
        rcb.received = source.received;
        (rcb.asked, rcb.replays, rcb.choices) = (source.asked, source.replays, source.choices);
        // The last row is computed again, with the same query.
        rcb.queries = source.queries.saturating_sub(source.committed.layout.tokens - cursor.layout.tokens);
        let slices = cursor.layout.slices as usize;
        // Nor does its attention count again.
        let dropped =
            self.table(from)[slices..].iter().take(source.committed.layout.slices as usize - slices);
        let begun = dropped.fold(source.counted.begun, |sum, mapping| sum.saturating_add(mapping.mass));
        rcb.counted = Counted { begun, ..source.counted };
        rcb.known = source.known.min(slices as u32 - u32::from(cursor.layout.open > 0));
        let (context, per_agent) = (self.config.context as usize, self.config.slices_per_agent() as usize);
        self.tokens.copy_within(from * context..from * context + tokens as usize, index * context);
        self.mappings.copy_within(from * per_agent..from * per_agent + slices, index * per_agent);
        rcb.mapped = slices as u32;
        let id = self.settle_in(index, rcb, Some(parent), tokens);
        for entry in 0..slices {
            let mapping = &mut self.table_mut(index)[entry];
            mapping.pinned = false;
            let slice = mapping.slice;
            self.pager.retain(slice);
        }
        select::link(self.table_mut(index));
        if let Some(attention) = self.config.attention {
            let width = KEPT * attention.query_width();
            self.queries.copy_within(from * width..(from + 1) * width, index * width);
        }
        self.fork_offers(from, index);
        self.begin(index);
        Ok(id)
    }

    /// Where an agent was before the last token of a context that is computed.
    fn before_last(&self, index: usize) -> Cursor {
        let after = self.rcb(index).committed;
        let last = self.table(index)[after.layout.slices as usize - 1];
        // The last slice is open without its last token, or not begun.
        let open = after.layout.tokens - last.base - 1;
        let layout = Layout {
            tokens: after.layout.tokens - 1,
            slices: after.layout.slices - u32::from(open == 0),
            pages: after.layout.pages - u32::from(open.is_multiple_of(PAGE_TOKENS as u32)),
            open,
        };
        // A slice that the last token sealed is open again.
        let sealed_before = (after.layout.slices as usize).checked_sub(2);
        let chain = match (after.chain, sealed_before) {
            (Some(chain), _) if after.layout.open > 0 => Some(chain),
            // What its slices are found by says nothing of what they stand for.
            (Some(_), _) if after.packed => None,
            (Some(_), Some(entry)) => self.pager.slice(self.table(index)[entry].slice).hash,
            (Some(_), None) => Some(self.root),
            (None, _) => None,
        };
        Cursor { layout, chain, trail: None, ..after }
    }

    /// The name that the next agent has; `None` while every slot is taken.
    pub(super) fn vacancy(&self) -> Option<AgentId> {
        let index = self.agents.iter().position(|slot| slot.rcb.is_none())?;
        Some(AgentId { index: index as u16, generation: self.agents[index].generation })
    }

    /// Finds a slot and the pages that an agent declares; they are taken when it settles in.
    fn declare(&self, spec: &Spec) -> Result<(usize, Rcb), CallError> {
        if self.shutdown {
            return Err(CallError::Shutdown);
        }
        let sampler = Sampler::new(spec.sampling)?;
        let most = self.config.most_context(spec.memory);
        if spec.context > most || spec.context == 0 {
            return Err(CallError::Context { declared: spec.context, most });
        }
        let id = self.vacancy().ok_or(CallError::AgentsFull { slots: self.config.agents })?;
        let mut rcb = Rcb::new(id, spec, sampler, self.root, self.now_us);
        rcb.promise = match (self.fits(spec.context, spec.memory), spec.admission) {
            (Ok(promise), _) => promise,
            (Err(Unfit::Now { .. }), Admission::Wait) => Promise::NONE,
            (Err(unfit), _) => return Err(unfit.into()),
        };
        Ok((usize::from(id.index), rcb))
    }

    fn refusal(&self, spec: &Spec) -> CallError {
        match self.fits(spec.context, spec.memory) {
            Err(unfit) => unfit.into(),
            Ok(_) => CallError::AgentsFull { slots: self.config.agents },
        }
    }

    pub(super) fn fits(&self, context: u32, memory: MemoryMode) -> Result<Promise, Unfit> {
        let promised = self.agents().map(|rcb| rcb.promise.lossless(rcb.memory)).sum();
        let promised_packed = self.agents().map(|rcb| rcb.promise.packed()).sum();
        if let MemoryMode::Bounded { pages, .. } = memory {
            let most = self.config.trained_context / PAGE_TOKENS as u32;
            if pages > most && context > self.config.trained_context {
                return Err(Unfit::Beyond { pages, most });
            }
        }
        // Pins stay, so no working set may count on their pages.
        let pins = self.pin_limit();
        let (l1, l2) = (self.config.l1_pages - pins, self.config.l2_frames + pins);
        let packed = self.config.packed_frames;
        let capacity = Capacity { l1, l2, promised, packed, promised_packed };
        admit::admit(Demand { context, memory }, capacity, self.config.slice_limits)
    }

    /// Pages that may be pinned in all.
    fn pin_limit(&self) -> u32 {
        self.config.pinned_pages
    }

    fn settle_in(&mut self, index: usize, mut rcb: Rcb, parent: Option<AgentId>, tokens: u32) -> AgentId {
        let agent = rcb.id;
        rcb.tokens = tokens;
        rcb.parent = parent;
        self.agents[index].rcb = Some(rcb);
        self.emit(Event::Spawned { agent, parent, tokens });
        agent
    }

    /// A new agent goes on the schedule, if it is admitted.
    fn begin(&mut self, index: usize) {
        let rcb = self.rcb(index);
        if rcb.promise.pages == 0 {
            return;
        }
        self.go_on(index);
    }

    /// Whether somebody who is as urgent waits to be admitted already: nobody who can wait overtakes them.
    fn is_waited_for(&self, priority: Priority) -> bool {
        self.agents().any(|rcb| rcb.state == State::New && rcb.effective.level() >= priority.level())
    }

    /// Admits who waits, the most urgent first, as far as they fit.
    pub(super) fn admit_waiting(&mut self) {
        if !core::mem::take(&mut self.vacated) {
            return;
        }
        loop {
            let waiting = |rcb: &&Rcb| rcb.state == State::New;
            let urgency =
                |rcb: &&Rcb| (core::cmp::Reverse(rcb.effective.level()), rcb.spawned_us, rcb.id.index);
            let Some(first) = self.agents().filter(waiting).min_by_key(urgency) else { return };
            let (index, context, memory) = (usize::from(first.id.index), first.context, first.memory);
            if self.is_thrashing(first.effective) {
                // It is looked at again at every step.
                self.vacated = true;
                return;
            }
            let Ok(promise) = self.fits(context, memory) else { return };
            self.rcb_mut(index).promise = promise;
            self.begin(index);
        }
    }

    fn kill(&mut self, agent: AgentId) -> Result<(), CallError> {
        let index = self.known(agent)?;
        if self.rcb(index).state == State::Running {
            self.rcb_mut(index).after_step = AfterStep::Kill;
        } else {
            self.remove(index);
        }
        Ok(())
    }

    /// Forgets an agent.
    pub(super) fn remove(&mut self, index: usize) {
        let agent = self.rcb(index).id;
        self.ready.remove(index as u16);
        self.vacate(index);
        let generation = self.agents[index].generation.wrapping_add(1);
        self.agents[index] = Slot { generation, rcb: None };
        self.emit(Event::Killed { agent });
        self.wake_waiters(agent);
    }

    fn suspend(&mut self, agent: AgentId) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        self.put_aside(index);
        Ok(())
    }

    /// Takes an agent off the schedule; one that runs, at the end of its step, unless it is killed there.
    pub(super) fn put_aside(&mut self, index: usize) {
        let rcb = self.rcb_mut(index);
        match rcb.state {
            State::Running if rcb.after_step == AfterStep::Kill => (),
            State::Running => rcb.after_step = AfterStep::Suspend,
            State::Blocked(on) => self.change(index, State::Suspended(Resume::Blocked(on))),
            State::Suspended(_) => (),
            _ => self.change(index, State::Suspended(Resume::Ready)),
        }
    }

    fn resume(&mut self, agent: AgentId) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        let rcb = self.rcb_mut(index);
        match rcb.state {
            State::Suspended(_) => self.take_up(index),
            State::Running if rcb.after_step == AfterStep::Suspend => rcb.after_step = AfterStep::Nothing,
            state => return Err(CallError::State { agent, state }),
        }
        Ok(())
    }

    /// Puts a suspended agent back to what it did.
    pub(super) fn take_up(&mut self, index: usize) {
        self.stir(index);
        let rcb = self.rcb(index);
        let waits = rcb.waits_for.first().copied();
        match (rcb.state, waits) {
            _ if rcb.promise.pages == 0 => {
                // It was never admitted: it waits for that again.
                self.vacated = true;
                self.change(index, State::New);
            }
            (State::Suspended(Resume::Blocked(BlockedOn::Agent(_))), Some(other)) => {
                self.change(index, State::Blocked(BlockedOn::Agent(other)));
            }
            (State::Suspended(Resume::Blocked(BlockedOn::Message)), _) if rcb.inbox == 0 => {
                self.change(index, State::Blocked(BlockedOn::Message));
            }
            (State::Suspended(Resume::Blocked(BlockedOn::Host)), _) if rcb.tokens < rcb.context => {
                self.change(index, State::Blocked(BlockedOn::Host));
            }
            (State::Suspended(Resume::Blocked(BlockedOn::Tool)), _) if !rcb.calls.is_empty() => {
                self.change(index, State::Blocked(BlockedOn::Tool));
            }
            _ => self.go_on(index),
        }
    }

    /// Something from outside made an agent go on: its latency counts from here.
    pub(super) fn stir(&mut self, index: usize) {
        let now_us = self.now_us;
        let rcb = self.rcb_mut(index);
        rcb.stirred_us = Some(now_us);
        (rcb.dispatched, rcb.ahead) = (false, Some(0));
    }

    fn wait(&mut self, agent: AgentId, other: AgentId) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        let other_index = self.known(other)?;
        if self.rcb(other_index).state.is_over() {
            return Ok(());
        }
        if agent == other || self.waits_through(other, agent) {
            return Err(CallError::Cycle { waiting: other });
        }
        let rcb = self.rcb_mut(index);
        if !rcb.waits_for.contains(&other) {
            rcb.waits_for.push(other).map_err(|_| CallError::Waits { most: MOST_WAITS })?;
        }
        match rcb.state {
            State::Blocked(BlockedOn::Message) => self.change(index, State::Blocked(BlockedOn::Agent(other))),
            State::Ready if rcb.generates() => self.change(index, State::Blocked(BlockedOn::Agent(other))),
            // The rest wait when they come to rest, or to the end of their step.
            _ => (),
        }
        self.help(index);
        self.inherit();
        Ok(())
    }

    fn set_priority(&mut self, agent: AgentId, priority: Priority) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        self.rcb_mut(index).priority = priority;
        self.inherit();
        Ok(())
    }

    fn set_budget(&mut self, agent: AgentId, budget: Budget) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        self.rcb_mut(index).budget = budget;
        Ok(())
    }

    fn pin(&mut self, agent: AgentId, start: u32, end: u32, keep: bool) -> Result<(), CallError> {
        let index = self.alive(agent)?;
        // A slice that is not complete still grows; it can be pinned once it is.
        let concerned = |kernel: &Self, entry: usize| {
            let mapping = kernel.table(index)[entry];
            let slice = kernel.pager.slice(mapping.slice);
            let pins = kernel.touches(index, entry, start, end) && slice.complete() && !mapping.pinned;
            pins.then_some(u32::from(slice.pages))
        };
        let rcb = self.rcb(index);
        // What is mapped ahead of an agent that goes where the store brings it, is not its own yet.
        let entries = match rcb.retrace {
            Some(_) => rcb.cursor.layout.slices as usize,
            None => self.table(index).len(),
        };
        if !keep {
            for entry in 0..entries {
                if self.touches(index, entry, start, end) {
                    self.unpin(index, entry);
                }
            }
            return Ok(());
        }
        let pages: u32 = (0..entries).filter_map(|entry| concerned(self, entry)).sum();
        let rcb = self.rcb(index);
        let most = (rcb.budget.pinned_pages.saturating_sub(rcb.pinned))
            .min(self.pin_limit().saturating_sub(self.pinned));
        if pages > most {
            return Err(CallError::Pins { pages, most });
        }
        if pages > 0 {
            self.give_retrace_up(index);
            self.leave_trail(index);
        }
        for entry in 0..entries {
            let Some(pages) = concerned(self, entry) else { continue };
            self.table_mut(index)[entry].pinned = true;
            self.rcb_mut(index).pinned += pages;
            self.pinned += pages;
        }
        Ok(())
    }

    /// Whether what is computed of an entry of an agent's page table has to do with a range of addresses.
    pub(super) fn touches(&self, index: usize, entry: usize, start: u32, end: u32) -> bool {
        let mapping = self.table(index)[entry];
        mapping.base < end && mapping.base + u32::from(self.pager.slice(mapping.slice).computed) > start
    }

    /// Lets a pinned slice go.
    pub(super) fn unpin(&mut self, index: usize, entry: usize) {
        let mapping = &mut self.table_mut(index)[entry];
        if core::mem::take(&mut mapping.pinned) {
            let slice = mapping.slice;
            let pages = u32::from(self.pager.slice(slice).pages);
            self.rcb_mut(index).pinned -= pages;
            self.pinned -= pages;
        }
    }

    fn stat(&self, agent: AgentId) -> Result<Stat, CallError> {
        let index = self.known(agent)?;
        let rcb = self.rcb(index);
        let (mut l1_pages, mut l2_pages) = (0, 0);
        for mapping in self.table(index) {
            let slice = self.pager.slice(mapping.slice);
            match slice.place {
                Place::Device(_) => l1_pages += u32::from(slice.pages),
                Place::Arena(_) => l2_pages += u32::from(slice.pages),
                Place::Cold => (),
            }
        }
        Ok(Stat {
            agent,
            tag: rcb.tag,
            state: rcb.state,
            priority: rcb.priority,
            effective: rcb.effective,
            tokens: rcb.tokens,
            computed: rcb.committed.layout.tokens,
            slices: rcb.mapped,
            l1_pages,
            l2_pages,
            reserved: rcb.promise.pages,
            metrics: rcb.metrics,
        })
    }

    pub(super) fn check_tokens(&self, tokens: Tokens<'_>) -> Result<(), CallError> {
        let vocab = self.vocabulary.delimiters.len();
        match tokens.iter().enumerate().find(|&(_, token)| token as usize >= vocab) {
            Some((index, token)) => Err(CallError::Token { index, token, vocab }),
            None => Ok(()),
        }
    }

    /// The slot of an agent.
    pub(super) fn known(&self, agent: AgentId) -> Result<usize, CallError> {
        self.find(agent).ok_or(CallError::NoAgent(agent))
    }

    /// The slot of an agent that is not over.
    pub(super) fn alive(&self, agent: AgentId) -> Result<usize, CallError> {
        let index = self.known(agent)?;
        match self.rcb(index).state {
            state if state.is_over() => Err(CallError::State { agent, state }),
            _ => Ok(index),
        }
    }
}
