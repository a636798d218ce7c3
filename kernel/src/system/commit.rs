//! What a step's end means for the agents in it.

use agentos_hal::{DeviceError, Mass, PageError, Row};

use super::storage::Rider;
use super::{Kernel, Report, Tick};
use crate::agent::{AfterStep, BlockedOn, Cursor, Fault, Finish, OnEnd, Received, Resume, Resuming, State};
use crate::event::Event;
use crate::interrupt::VectorId;
use crate::layout::Layout;
use crate::memory::admit::Promise;
use crate::sample::{Choice, Next};
use crate::slicing::density::density;
use crate::watch;

impl Kernel<'_> {
    /// The step is good: its rows are computed, and answers go on by a token.
    pub(super) fn commit(&mut self, report: &Report<'_>) {
        let (mut outcome, mut shown) = (0, report.exposed);
        for number in 0..self.step.rider_count {
            let rider = self.step.riders[number];
            let index = usize::from(rider.agent);
            let first = rider.first_segment as usize;
            if let Some(mass) = report.mass.get(first..first + rider.segments as usize) {
                self.keep_mass(index, rider.rows, mass);
            }
            self.note_density(&rider, report.entropy);
            self.commit_rows(index, rider.rows);
            if let Some(attention) = self.config.attention {
                let (own, rest) = shown.split_at(rider.exposed as usize * attention.query_width());
                self.note_queries(index, own);
                shown = rest;
            }
            if rider.wants {
                let found = &report.outcomes[outcome];
                let next = Next {
                    candidates: report.candidates_of(outcome),
                    log_sum_exp: found.log_sum_exp,
                    entropy: found.entropy,
                };
                outcome += 1;
                self.choose(index, &next);
            }
            self.leave_step(index);
        }
        self.unsettled = self.config.attention.is_some();
        self.ended(true);
    }

    /// The step failed: its rows are not computed. Whoever was in it tries once more, alone; whoever
    /// fails alone is taken out of service.
    pub(super) fn step_failed(&mut self, error: Option<DeviceError>) {
        self.figures.failed_steps += 1;
        let alone = self.step.rider_count == 1;
        for number in 0..self.step.rider_count {
            let index = usize::from(self.step.riders[number].agent);
            self.go_back(index);
            let rcb = self.rcb_mut(index);
            // A device that is gone says nothing of who was in the step.
            let guilty = error.is_some() && alone && rcb.strikes > 0 && rcb.after_step != AfterStep::Kill;
            rcb.strikes = if error.is_some() { rcb.strikes.saturating_add(1) } else { rcb.strikes };
            let id = rcb.id;
            if error.is_some() {
                self.raise(VectorId::DeviceFault, Some(id), 0);
            }
            if guilty {
                let not_finite = matches!(error, Some(DeviceError::NotFinite { .. }));
                let fault = if not_finite { Fault::NotFinite } else { Fault::Device };
                self.rcb_mut(index).after_step = AfterStep::Nothing;
                self.fault(index, fault);
            } else {
                self.leave_step(index);
            }
        }
        self.ended(false);
    }

    /// No step comes of what was laid out: nobody was in it.
    pub(super) fn unplan(&mut self) {
        for number in 0..self.step.rider_count {
            let rider = self.step.riders[number];
            let index = usize::from(rider.agent);
            self.go_back(index);
            self.rcb_mut(index).turn_rows += rider.rows;
            self.leave_step(index);
        }
        self.step.clear();
    }

    /// Page memory is gone: agents go back to what is left of them in the arena.
    pub(super) fn recover(&mut self) {
        for index in 0..self.agents.len() {
            if self.agents[index].rcb.is_some() {
                self.give_retrace_up(index);
            }
        }
        self.pager.lose_device();
        self.unsettled = false;
        for index in 0..self.agents.len() {
            let Some(rcb) = &mut self.agents[index].rcb else { continue };
            rcb.held = None;
            if rcb.state.is_over() {
                continue;
            }
            self.drop_lost_offers(index);
            let table = self.table(index);
            let lost = table.iter().any(|mapping| self.pager.slice(mapping.slice).computed == 0);
            if !lost {
                continue;
            }
            self.go_to_start(index);
        }
    }

    /// An agent goes back to the beginning of its context, and over what is left of it again: not all that it has
    /// gone over is there any more.
    pub(super) fn go_to_start(&mut self, index: usize) {
        let rcb = self.rcb(index);
        if rcb.committed.layout.tokens == rcb.context && rcb.generates() {
            // It has said all that there is room for, and must not say it again.
            return self.stop(index, Finish::Context);
        }
        if rcb.committed.chain.is_none() {
            // What it saw cannot be made again from its tokens alone.
            return self.fault(index, Fault::PagesLost);
        }
        let start = Cursor::start(self.root);
        if self.quota(index).is_some() {
            // It computes all of it anew, and may have no page besides its quota to begin with.
            self.cut(index, start.layout);
        }
        let rcb = self.rcb_mut(index);
        (rcb.cursor, rcb.committed) = (start, start);
        (rcb.strikes, rcb.queries, rcb.known) = (0, 0, 0);
        // Whoever listens goes on listening: its context is computed when a message comes. Its attention counts
        // anew too.
        for mapping in self.table_mut(index) {
            (mapping.mass, mapping.relevant) = (0, mapping.base);
        }
    }

    /// A page could not be moved.
    pub(super) fn page_failed(&mut self, error: PageError) -> Tick {
        match error {
            PageError::Busy => Tick::Pending,
            PageError::Lost | PageError::NotPrepared => self.lose(),
            error => panic!("the kernel named a page that is none: {error}"),
        }
    }

    fn keep_mass(&mut self, index: usize, rows: u32, mass: &[Mass]) {
        let Layout { tokens, slices, .. } = self.rcb(index).cursor.layout;
        let counts = tokens - rows >= self.counts_from(index);
        let slices = slices as usize;
        let table = &mut self.table_mut(index)[..slices];
        let mut focus = None;
        let mut next = 0;
        for mass in mass {
            let mapping = &mut table[next];
            next = mapping.next as usize;
            mapping.mass = mapping.mass.saturating_add(if counts { mass.0 } else { 0 });
            // What falls to the sink says nothing of what the agent attends to.
            if mapping.base > 0 && focus.is_none_or(|(most, _)| mass.0 > most) {
                focus = Some((mass.0, mapping.base));
            }
        }
        self.rcb_mut(index).focus = focus.map(|(_, base)| base);
    }

    /// Counts the density of each row of an agent for its slice.
    fn note_density(&mut self, rider: &Rider, entropy: &[f32]) {
        let index = usize::from(rider.agent);
        let mut entries = self.rcb(index).committed.layout.slices as usize;
        for row in rider.first_row as usize..(rider.first_row + rider.rows) as usize {
            let Some(&entropy) = entropy.get(row) else { return };
            let Row { address, offset, .. } = self.step.rows[row];
            entries += usize::from(offset == 0);
            let slice = self.table(index)[entries - 1].slice;
            self.pager.note_density(slice, offset, density(entropy, address));
        }
    }

    fn commit_rows(&mut self, index: usize, rows: u32) {
        let steps = self.figures.steps;
        let rcb = self.rcb_mut(index);
        let (agent, before, after) = (rcb.id, rcb.committed.layout, rcb.cursor.layout);
        let again = rcb.reached.saturating_sub(after.tokens - rows).min(rows);
        rcb.committed = rcb.cursor;
        rcb.reached = rcb.reached.max(after.tokens);
        rcb.counted.tokens = rcb.counted.tokens.max(after.tokens);
        rcb.metrics.rows += u64::from(rows);
        rcb.metrics.recomputed += u64::from(again);
        rcb.metrics.steps += 1;
        rcb.strikes = 0;
        rcb.last_step = steps;
        self.figures.rows += u64::from(rows);
        let first = (before.slices as usize).saturating_sub(usize::from(before.open > 0));
        for entry in first..after.slices as usize {
            let mapping = self.table(index)[entry];
            self.pager.settle(mapping.slice, true);
            let slice = self.pager.slice(mapping.slice);
            if slice.complete() && !slice.indexed {
                let tokens = u32::from(slice.computed);
                self.pager.publish(mapping.slice);
                self.emit(Event::Sealed { agent, base: mapping.base, tokens });
            }
            self.keep(index, mapping);
        }
    }

    pub(super) fn go_back(&mut self, index: usize) {
        let rcb = self.rcb_mut(index);
        let after = rcb.cursor.layout;
        rcb.cursor = rcb.committed;
        let before = rcb.committed.layout;
        let first = (before.slices as usize).saturating_sub(usize::from(before.open > 0));
        for entry in first..after.slices as usize {
            let slice = self.table(index)[entry].slice;
            self.pager.settle(slice, false);
        }
    }

    /// Chooses the token after an agent's context, and what becomes of the agent with it.
    fn choose(&mut self, index: usize, next: &Next<'_>) {
        let first = index * self.config.context as usize;
        let rcb = self.agents[index].rcb.as_ref().expect("the slot is taken");
        let address = rcb.tokens;
        let past = &self.tokens[first..first + address as usize];
        let choice = rcb.sampler.choose(next, past, address, self.weighed);
        self.answer(index, choice);
    }

    /// An agent says a token.
    pub(super) fn say(&mut self, index: usize, choice: Choice) {
        let first = index * self.config.context as usize;
        let Choice { token, logit, logprob } = choice;
        let rcb = self.rcb(index);
        let address = rcb.tokens;
        let room = address < rcb.context;
        if room {
            self.tokens[first + address as usize] = token;
        }
        let now_us = self.now_us;
        let rcb = self.rcb_mut(index);
        rcb.tokens += u32::from(room);
        rcb.asked = false;
        rcb.turn_tokens += 1;
        rcb.metrics.generated += 1;
        if rcb.metrics.first_token_us == 0 {
            rcb.metrics.first_token_us = now_us.saturating_sub(rcb.spawned_us).max(1);
        }
        if let Some(stirred_us) = rcb.stirred_us.take() {
            rcb.metrics.latency_us = now_us.saturating_sub(stirred_us);
            rcb.metrics.worst_latency_us = rcb.metrics.worst_latency_us.max(rcb.metrics.latency_us);
        }
        let (agent, watchdog, resuming) = (rcb.id, rcb.watchdog, rcb.resuming.take());
        let may_end = rcb.ends;
        let exhausted = rcb.exhausted(now_us);
        self.emit(Event::Token { agent, address, token, logit, logprob });
        if let Some(Resuming { number, returned_us, times, .. }) = resuming {
            let encode_us = now_us.saturating_sub(returned_us);
            self.emit(Event::ToolResumed { agent, number: number.0, times, encode_us });
        }
        if may_end && self.vocabulary.ends.contains(&token) {
            self.finish(index, Finish::Stop);
        } else if let Some(finish) = exhausted {
            self.finish(index, finish);
        } else if room && watch::repeats(self.log(index), watchdog).is_some() {
            self.raise(VectorId::Watchdog, Some(agent), u64::from(address));
        }
    }

    /// An agent whose step is over goes where it belongs.
    fn leave_step(&mut self, index: usize) {
        let rcb = self.rcb_mut(index);
        let turn_over = rcb.turn_rows == 0;
        let after = core::mem::replace(&mut rcb.after_step, AfterStep::Nothing);
        let (running, effective) = (rcb.state == State::Running, rcb.effective);
        if after == AfterStep::Kill {
            return self.remove(index);
        }
        if running {
            // Back to ready, at the end of its level once its turn is over.
            let now_us = self.now_us;
            let rcb = self.rcb_mut(index);
            (rcb.state, rcb.progress_us) = (State::Ready, now_us);
            if turn_over {
                self.ready.push(index as u16, effective);
            }
            let rcb = self.rcb(index);
            if !rcb.waits_for.is_empty() && rcb.generates() && rcb.has_work() {
                let other = rcb.waits_for[0];
                self.change(index, State::Blocked(BlockedOn::Agent(other)));
            } else if !rcb.has_work() {
                self.come_to_rest(index);
            }
        }
        if after == AfterStep::Suspend && !self.rcb(index).state.is_over() {
            self.put_aside(index);
        }
    }

    /// What an agent waited for has come: it goes on with what it has to do.
    pub(super) fn go_on(&mut self, index: usize) {
        if self.rcb(index).has_work() { self.change(index, State::Ready) } else { self.come_to_rest(index) }
    }

    /// Everything of an agent's context is computed, and no answer is under way.
    pub(super) fn come_to_rest(&mut self, index: usize) {
        let rcb = self.rcb(index);
        if rcb.tokens >= rcb.context && rcb.generates() && !rcb.turn_over {
            let (agent, tokens) = (rcb.id, u64::from(rcb.tokens));
            self.change(index, State::Blocked(BlockedOn::Host));
            self.raise(VectorId::ContextFull, Some(agent), tokens);
        } else if rcb.inbox > 0 {
            self.take_inbox(index);
        } else if let Some(&other) = rcb.waits_for.first() {
            self.change(index, State::Blocked(BlockedOn::Agent(other)));
        } else if rcb.on_end == OnEnd::Listen {
            self.change(index, State::Blocked(BlockedOn::Message));
        } else {
            self.stop(index, Finish::Length);
        }
    }

    /// An answer is over. The agent goes on with what came for it meanwhile, listens, or stops.
    pub(super) fn finish(&mut self, index: usize, finish: Finish) {
        let rcb = self.rcb_mut(index);
        let spent = rcb.metrics.generated >= rcb.budget.tokens;
        let last = match finish {
            Finish::Stop | Finish::Length | Finish::Repetition => {
                let told = rcb.inbox > 0;
                spent || rcb.on_end == OnEnd::Stop || rcb.on_end == OnEnd::Drain && !told
            }
            Finish::Context | Finish::Budget | Finish::Stalled | Finish::Shutdown => true,
        };
        if last {
            return self.stop(index, finish);
        }
        rcb.turn_over = true;
        let (agent, generated) = (rcb.id, rcb.metrics.generated);
        self.emit(Event::Finished { agent, finish, generated });
        let rcb = self.rcb_mut(index);
        let rests = rcb.waits_for.first().map_or(BlockedOn::Message, |&other| BlockedOn::Agent(other));
        if let State::Suspended(resume) = &mut rcb.state {
            // It listens, or waits, when it is resumed.
            *resume = Resume::Blocked(rests);
        } else if rcb.inbox > 0 {
            self.take_inbox(index);
        } else {
            self.change(index, State::Blocked(rests));
        }
    }

    /// An agent is done: its pages are for others, its text stays.
    pub(super) fn stop(&mut self, index: usize, finish: Finish) {
        let rcb = self.rcb(index);
        let (agent, generated) = (rcb.id, rcb.metrics.generated);
        self.change(index, State::Stopped(finish));
        self.emit(Event::Finished { agent, finish, generated });
        self.vacate(index);
        self.wake_waiters(agent);
    }

    pub(super) fn fault(&mut self, index: usize, fault: Fault) {
        let agent = self.rcb(index).id;
        self.change(index, State::Faulted(fault));
        self.emit(Event::Faulted { agent, fault });
        self.vacate(index);
        self.wake_waiters(agent);
    }

    /// Gives back everything but the text.
    pub(super) fn vacate(&mut self, index: usize) {
        self.give_retrace_up(index);
        self.weigh(index);
        for entry in 0..self.table(index).len() {
            let mapping = self.table(index)[entry];
            self.unpin(index, entry);
            self.pager.release(mapping.slice);
        }
        self.drop_offers(index, 0);
        self.abandon_calls(index);
        let rcb = self.rcb_mut(index);
        rcb.mapped = 0;
        (rcb.known, rcb.working, rcb.held) = (0, 0, None);
        rcb.received = Received::default();
        rcb.focus = None;
        rcb.resuming = None;
        rcb.promise = Promise::NONE;
        rcb.inbox = 0;
        rcb.waits_for.clear();
        self.vacated = true;
    }

    fn ended(&mut self, good: bool) {
        let step = self.figures.steps;
        let kernel_us = core::mem::take(&mut self.step_kernel_us);
        self.figures.kernel_us += kernel_us;
        let kernel_us = u32::try_from(kernel_us).unwrap_or(u32::MAX);
        self.emit(Event::StepEnded { step, good, kernel_us });
    }
}
