//! Tool calls: from the trap to the return (paper §4, Algorithm 1).
//!
//! `Call::Invoke` traps: the agent is blocked and SIG_TOOL_INVOKE is raised. Delivered, it makes the call
//! due; every tick looks at the calls that are due or running. One that is over raises SIG_TOOL_DONE or
//! SIG_TOOL_TIMEOUT; delivered, the host hears of it, aligns the output and returns it with
//! `Call::Return`, and with its last open call the agent goes on.

use heapless::Vec;

use super::Kernel;
use crate::agent::{AgentId, BlockedOn, MOST_CALLS, Resume, Resuming, State};
use crate::call::{CallError, Tokens};
use crate::checkpoint::CallRecord;
use crate::event::Event;
use crate::interrupt::{Posted, Urgency, VectorId};
use crate::tool::{self, Bus, CallNumber, CallOutcome, CallTimes, Look, OpenCall, Progress, Request};

impl Kernel<'_> {
    /// An agent calls a tool. It is blocked until all its calls are returned.
    pub(super) fn invoke(&mut self, agent: AgentId, request: &Request) -> Result<CallNumber, CallError> {
        let index = self.alive(agent)?;
        let rcb = self.rcb(index);
        let state = match rcb.state {
            State::Ready | State::Blocked(BlockedOn::Message | BlockedOn::Tool) => {
                State::Blocked(BlockedOn::Tool)
            }
            State::Suspended(Resume::Ready | Resume::Blocked(BlockedOn::Message | BlockedOn::Tool)) => {
                State::Suspended(Resume::Blocked(BlockedOn::Tool))
            }
            state => return Err(CallError::State { agent, state }),
        };
        if rcb.promise.pages == 0 || rcb.held.is_some() {
            return Err(CallError::State { agent, state: rcb.state });
        }
        if !rcb.capabilities.tools.contains(request.tool) {
            return Err(CallError::NotPermitted { capability: "the tool" });
        }
        let spent = rcb.metrics.calls >= u64::from(rcb.budget.calls);
        let vacant = self.calls.iter().position(Option::is_none);
        let (Some(place), false) = (vacant, rcb.calls.is_full()) else {
            return Err(CallError::Depth { open: rcb.calls.len(), most: rcb.calls.capacity() });
        };
        let number = self.open(place, agent, *request);
        let rcb = self.rcb_mut(index);
        rcb.calls.push(number.0).expect("there was room");
        rcb.metrics.calls += u64::from(!spent);
        if spent {
            // It is told so as a result, and goes on without.
            self.end_unasked(place, CallOutcome::Budget);
        }
        self.change(index, state);
        Ok(number)
    }

    /// Puts a call into the table under a new number.
    fn open(&mut self, place: usize, agent: AgentId, request: Request) -> CallNumber {
        let number = CallNumber(self.next_call);
        self.next_call += 1;
        self.calls[place] = Some(OpenCall {
            number,
            agent: Some(agent),
            request,
            progress: Progress::Invoked,
            posted: false,
            attempts: 0,
            helped: false,
            since_us: self.now_us,
            times: CallTimes::default(),
        });
        self.post_call(place);
        number
    }

    /// A call is over before its tool is asked. The interrupt that was posted for it says so.
    fn end_unasked(&mut self, place: usize, outcome: CallOutcome) {
        let at_us = self.now_us;
        let call = self.calls[place].as_mut().expect("it was just opened");
        call.progress = Progress::Over { outcome, at_us };
    }

    /// The host returns what a call came to, as tokens for the agent's context. Calls of an agent are
    /// returned in the order in which they were made: what it reads does not depend on which was faster.
    /// `fits` is false where the output broke the tool's schema.
    pub(super) fn return_call(
        &mut self,
        number: CallNumber,
        tokens: Tokens<'_>,
        fits: bool,
    ) -> Result<(), CallError> {
        let place = self.find_call(number).ok_or(CallError::NoCall { number: number.0 })?;
        let call = self.calls[place].expect("it was found");
        let (Some(agent), Progress::Told { outcome, at_us }) = (call.agent, call.progress) else {
            return Err(CallError::NotOver { number: number.0 });
        };
        let index = self.alive(agent)?;
        let rcb = self.rcb(index);
        if rcb.calls.first() != Some(&number.0) {
            return Err(CallError::Order { number: number.0, first: rcb.calls[0] });
        }
        self.check_tokens(tokens)?;
        let budget = u64::from(rcb.budget.tool_tokens).saturating_sub(rcb.metrics.tool_tokens);
        let room = (rcb.context - rcb.tokens) as usize;
        let most = room.min(usize::try_from(budget).unwrap_or(usize::MAX));
        if tokens.len() > most {
            return Err(CallError::TooLong { tokens: tokens.len(), fits: most });
        }
        let to = index * self.config.context as usize + rcb.tokens as usize;
        tokens.copy_to(&mut self.tokens[to..]);
        self.calls[place] = None;
        let now_us = self.now_us;
        let (step_us, align_us) = match call.helped {
            true => (0, now_us.saturating_sub(call.since_us)),
            false => self.parted(call.since_us),
        };
        let (step_us, align_us) = (call.times.step_us + step_us, call.times.align_us + align_us);
        let times = CallTimes { align_us, step_us, ..call.times };
        let rcb = self.rcb_mut(index);
        if !tokens.is_empty() && !rcb.asked {
            rcb.ask();
        }
        rcb.tokens += tokens.len() as u32;
        rcb.metrics.tool_tokens += tokens.len() as u64;
        rcb.calls.remove(0);
        // The turn goes on: an answer that its end token ended does so with what the tool said.
        rcb.turn_over &= tokens.is_empty();
        // The one that was over last is what the agent waited for.
        if rcb.resuming.is_none_or(|resuming| resuming.over_us <= at_us) {
            rcb.resuming = Some(Resuming { number, over_us: at_us, returned_us: now_us, times });
        }
        if let Some(resuming) = &mut rcb.resuming {
            resuming.returned_us = now_us;
        }
        let last = rcb.calls.is_empty();
        self.emit(Event::ToolReturned {
            agent,
            number: number.0,
            outcome,
            tokens: tokens.len() as u32,
            times,
        });
        if !fits {
            self.raise(VectorId::PerceptionErr, Some(agent), number.0);
        }
        if last {
            self.resume_from_tools(index);
        }
        Ok(())
    }

    /// The last call of an agent was returned.
    fn resume_from_tools(&mut self, index: usize) {
        self.stir(index);
        let rcb = self.rcb_mut(index);
        // L_c counts from the interrupt.
        if let Some(resuming) = rcb.resuming {
            rcb.stirred_us = Some(resuming.over_us);
        }
        match rcb.state {
            State::Suspended(_) => self.change(index, State::Suspended(Resume::Ready)),
            _ => self.go_on(index),
        }
    }

    /// Looks at every call. A few at most change in one tick; the rest is a look at a table.
    pub(super) fn look_at_tools(&mut self, bus: &mut dyn Bus) {
        for place in 0..self.calls.len() {
            let Some(call) = self.calls[place] else { continue };
            if call.agent.is_none() {
                bus.cancel(call.number);
                self.calls[place] = None;
                continue;
            }
            match tool::look(&call, bus, self.now_us) {
                Look::Same => (),
                Look::Begun => self.call_begun(place),
                Look::Again => self.call_again(place),
                Look::Over(outcome) => self.call_over(place, outcome),
            }
        }
        self.post_calls();
    }

    /// Posts the interrupts of calls that have come further, the most urgent first; again in the next tick where the
    /// queue is full.
    fn post_calls(&mut self) {
        let waits = |call: &Option<OpenCall>| call.is_some_and(|call| !call.posted);
        if !self.calls.iter().any(waits) {
            return;
        }
        for urgency in Urgency::ALL {
            for place in 0..self.calls.len() {
                if self.calls[place].is_some_and(|call| !call.posted && call.request.urgency == urgency) {
                    self.post_call(place);
                }
            }
        }
    }

    fn call_begun(&mut self, place: usize) {
        let now_us = self.now_us;
        let since_us = self.calls[place].as_ref().expect("it is open").since_us;
        let (step_us, dispatch_us) = self.parted(since_us);
        let call = self.calls[place].as_mut().expect("it is open");
        call.times.step_us += step_us;
        call.times.dispatch_us += dispatch_us;
        call.since_us = now_us;
        call.progress = Progress::Running { since_us: now_us };
        call.attempts += 1;
        let event = call.agent.map(|agent| Event::ToolStarted {
            agent,
            number: call.number.0,
            tool: call.request.tool,
            attempt: call.attempts,
        });
        event.into_iter().for_each(|event| self.emit(event));
    }

    fn call_again(&mut self, place: usize) {
        let now_us = self.now_us;
        let call = self.calls[place].as_mut().expect("it is open");
        call.times.device_us += now_us.saturating_sub(call.since_us);
        call.since_us = now_us;
        call.progress = Progress::Due { since_us: now_us };
    }

    fn call_over(&mut self, place: usize, outcome: CallOutcome) {
        let now_us = self.now_us;
        let call = self.calls[place].as_mut().expect("it is open");
        let waited = now_us.saturating_sub(call.since_us);
        match call.progress {
            Progress::Running { .. } => call.times.device_us += waited,
            _ => call.times.dispatch_us += waited,
        }
        call.since_us = now_us;
        call.progress = Progress::Over { outcome, at_us: now_us };
        call.posted = false;
    }

    /// Posts the interrupt of a call's progress, if it has one and the queue has room.
    fn post_call(&mut self, place: usize) {
        let at_us = self.now_us;
        let call = self.calls[place].as_mut().expect("it is open");
        let vector = match call.progress {
            Progress::Invoked => VectorId::ToolInvoke,
            Progress::Over { outcome: CallOutcome::TimedOut, .. } => VectorId::ToolTimeout,
            Progress::Over { .. } => VectorId::ToolDone,
            _ => return,
        };
        let posted = Posted { vector, agent: call.agent, payload: call.number.0, at_us };
        call.posted = self.interrupts.post(posted).is_ok();
    }

    /// SIG_TOOL_INVOKE, SIG_TOOL_DONE, SIG_TOOL_TIMEOUT: the call of the payload moves on.
    pub(super) fn tool_interrupt(&mut self, posted: &Posted) {
        let Some(place) = self.find_call(CallNumber(posted.payload)) else { return };
        let now_us = self.now_us;
        let since_us = self.calls[place].as_ref().expect("it was found").since_us;
        let (step_us, dispatch_us) = self.parted(since_us);
        let call = self.calls[place].as_mut().expect("it was found");
        let Some(agent) = call.agent else { return };
        match call.progress {
            Progress::Invoked => call.progress = Progress::Due { since_us: now_us },
            Progress::Over { outcome, at_us } => {
                call.progress = Progress::Told { outcome, at_us };
                call.times.step_us += step_us;
                call.times.dispatch_us += dispatch_us;
                call.since_us = now_us;
                self.calls_told = true;
                let (number, attempts, times) = (call.number.0, call.attempts, call.times);
                self.emit(Event::ToolOver { agent, number, outcome, attempts, times });
            }
            _ => (),
        }
    }

    /// An agent waits for another one. Where the host was told what its next call came to, that one works on it.
    pub(super) fn help(&mut self, index: usize) {
        let Some(place) = self.rcb(index).calls.first().and_then(|&call| self.find_call(CallNumber(call)))
        else {
            return;
        };
        let now_us = self.now_us;
        let call = self.calls[place].expect("it was found");
        if matches!(call.progress, Progress::Told { .. }) && !call.helped {
            let (step_us, align_us) = self.parted(call.since_us);
            let call = self.calls[place].as_mut().expect("it was found");
            call.times.step_us += step_us;
            call.times.align_us += align_us;
            (call.since_us, call.helped) = (now_us, true);
        }
    }

    /// The time from a moment to now: what of it went by in a step, which is others' work, and what did not.
    fn parted(&self, since_us: u64) -> (u64, u64) {
        let step_us = self.rested_us.saturating_sub(since_us);
        (step_us, self.now_us.saturating_sub(since_us).saturating_sub(step_us))
    }

    fn find_call(&self, number: CallNumber) -> Option<usize> {
        self.calls.iter().position(|call| call.is_some_and(|call| call.number == number))
    }

    /// Nobody wants the calls of an agent any more: they are cancelled with the next tick.
    pub(super) fn abandon_calls(&mut self, index: usize) {
        let id = self.rcb(index).id;
        for call in self.calls.iter_mut().flatten() {
            if call.agent == Some(id) {
                call.agent = None;
            }
        }
        self.rcb_mut(index).calls.clear();
    }

    /// The open calls of an agent, in the order in which they were made.
    pub fn open_calls(&self, agent: AgentId) -> impl Iterator<Item = &OpenCall> {
        let numbers = self.find(agent).map_or(&[][..], |index| &self.rcb(index).calls[..]);
        numbers.iter().filter_map(|&number| self.calls.iter().flatten().find(|call| call.number.0 == number))
    }

    /// The open calls of an agent, for a checkpoint.
    pub(super) fn call_records(&self, agent: AgentId) -> Vec<CallRecord, MOST_CALLS> {
        let record = |call: &OpenCall| CallRecord {
            number: call.number.0,
            request: call.request,
            over: call.when_restored(),
        };
        self.open_calls(agent).map(record).collect()
    }

    /// A call that was under way when an agent was saved. What may be made is made anew; what may not is over, and the
    /// agent is told why. The host learns its new number.
    pub(super) fn restore_call(&mut self, index: usize, record: &CallRecord) {
        let CallRecord { number: before, request, over } = *record;
        let agent = self.rcb(index).id;
        let place = self.calls.iter().position(Option::is_none).expect("room for it was seen");
        let number = self.open(place, agent, request);
        self.rcb_mut(index).calls.push(number.0).expect("a record has no more");
        if let Some(outcome) = over {
            self.end_unasked(place, outcome);
        }
        let again = over.is_none();
        self.emit(Event::ToolRestored { agent, number: number.0, before, tool: request.tool, again });
    }

    /// Calls that may still be opened.
    pub(super) fn vacant_calls(&self) -> usize {
        self.calls.iter().filter(|call| call.is_none()).count()
    }
}
