//! What each interrupt does.

use super::Kernel;
use crate::agent::{AgentId, BlockedOn, Finish, State};
use crate::event::Event;
use crate::interrupt::{Posted, QUEUE_DEPTH, VectorId};
use crate::watch;

/// What a vector does.
type Handler = for<'k, 'm> fn(&'k mut Kernel<'m>, &Posted);

/// The vector table. What pages, devices and the cold store do is done where it happens: their interrupts are counted
/// and reported. Synchronisation has no device in this kernel yet.
const fn handler(vector: VectorId) -> Handler {
    match vector {
        VectorId::ContextFull => context_full,
        VectorId::Timer => timer,
        VectorId::Ipc => message,
        VectorId::User => user,
        VectorId::Watchdog => watchdog,
        VectorId::Shutdown => shutdown,
        VectorId::ToolInvoke | VectorId::ToolDone | VectorId::ToolTimeout => tool,
        VectorId::PageFault | VectorId::DeviceFault | VectorId::StoreDone | VectorId::StoreErr => reported,
        VectorId::SyncDrift | VectorId::PerceptionErr => reported,
    }
}

/// Interrupts delivered in one tick at most: what bounds a tick.
const DELIVERIES: usize = 64;

/// The payload of SIG_USER that resumes instead of suspending.
pub const USER_RESUME: u64 = 1;

/// The payload of SIG_WATCHDOG that says that an agent makes no progress; others are the address at
/// which it repeats itself.
pub const STALLED: u64 = u64::MAX;

impl Kernel<'_> {
    /// Delivers what was posted, the most urgent first.
    pub(super) fn deliver(&mut self) {
        self.check_time();
        for _ in 0..DELIVERIES {
            let Some(delivered) = self.interrupts.next(self.now_us) else { break };
            let Posted { vector, agent, .. } = delivered.posted;
            let latency_us = u32::try_from(delivered.latency_us).unwrap_or(u32::MAX);
            self.emit(Event::Interrupt { vector, agent, latency_us });
            handler(vector)(self, &delivered.posted);
        }
        self.post_again();
    }

    /// Nobody waits for ever because somebody else filled a queue: who waits for an interrupt that was
    /// refused gets another.
    fn post_again(&mut self) {
        if !core::mem::take(&mut self.unposted) {
            return;
        }
        for index in 0..self.agents.len() {
            let Some(rcb) = &self.agents[index].rcb else { continue };
            let (id, payload) = (rcb.id, u64::from(rcb.inbox));
            let vector = match rcb.state {
                State::Blocked(BlockedOn::Message) if rcb.inbox > 0 => VectorId::Ipc,
                State::Blocked(BlockedOn::Host) if rcb.tokens >= rcb.context => VectorId::ContextFull,
                _ => continue,
            };
            let stats = self.interrupts.stats(vector);
            if (stats.posted.wrapping_sub(stats.delivered) as usize) < QUEUE_DEPTH {
                self.raise(vector, Some(id), payload);
            } else {
                self.unposted = true;
            }
        }
    }

    /// Raises the timer when an agent's steps or its time are used up, and the watchdog when one that has something to do
    /// has been in no step for too long.
    fn check_time(&mut self) {
        let now_us = self.now_us;
        for index in 0..self.agents.len() {
            let Some(rcb) = &self.agents[index].rcb else { continue };
            let up = rcb.is_used_up(now_us);
            let (id, state, stalled) = (rcb.id, rcb.state, rcb.is_stalled(now_us));
            if up && !state.is_over() {
                self.raise(VectorId::Timer, Some(id), 0);
            } else if stalled {
                self.raise(VectorId::Watchdog, Some(id), STALLED);
            }
        }
    }

    /// The slot of an agent that an interrupt concerns, unless it is over.
    fn concerned(&self, agent: Option<AgentId>) -> Option<usize> {
        self.find(agent?).filter(|&index| !self.rcb(index).state.is_over())
    }
}

/// Its effect is elsewhere: the counts and the event are the delivery.
fn reported(_: &mut Kernel<'_>, _: &Posted) {}

fn context_full(kernel: &mut Kernel<'_>, posted: &Posted) {
    if let Some(index) = kernel.concerned(posted.agent) {
        kernel.stop(index, Finish::Context);
    }
}

fn timer(kernel: &mut Kernel<'_>, posted: &Posted) {
    let Some(index) = kernel.concerned(posted.agent) else { return };
    if kernel.rcb(index).exhausted(kernel.now_us).is_some() {
        kernel.stop(index, Finish::Budget);
    }
}

fn message(kernel: &mut Kernel<'_>, posted: &Posted) {
    let Some(index) = kernel.concerned(posted.agent) else { return };
    if kernel.rcb(index).inbox > 0 && kernel.rcb(index).state == State::Blocked(BlockedOn::Message) {
        kernel.take_inbox(index);
    }
}

/// A person speaks: the agent concerned, or every one, pauses or goes on.
fn user(kernel: &mut Kernel<'_>, posted: &Posted) {
    for index in 0..kernel.agents.len() {
        let Some(rcb) = &kernel.agents[index].rcb else { continue };
        let (id, state) = (rcb.id, rcb.state);
        if state.is_over() || posted.agent.is_some_and(|agent| agent != id) {
            continue;
        }
        match (posted.payload, state) {
            (USER_RESUME, State::Suspended(_)) => kernel.take_up(index),
            (USER_RESUME, _) | (_, State::Suspended(_)) => (),
            _ => kernel.put_aside(index),
        }
    }
}

fn watchdog(kernel: &mut Kernel<'_>, posted: &Posted) {
    let Some(index) = kernel.concerned(posted.agent) else { return };
    let rcb = kernel.rcb(index);
    if posted.payload == STALLED {
        // It may have been in a step since.
        if rcb.is_stalled(kernel.now_us) {
            kernel.finish(index, Finish::Stalled);
        }
    } else if !rcb.turn_over
        && rcb.calls.is_empty()
        && watch::repeats(kernel.log(index), rcb.watchdog).is_some()
    {
        // It may have been told before, or have read something since, or be about to.
        kernel.finish(index, Finish::Repetition);
    }
}

fn tool(kernel: &mut Kernel<'_>, posted: &Posted) {
    kernel.tool_interrupt(posted);
}

/// No further step begins. Agents stay as they are, so that they can be saved.
fn shutdown(kernel: &mut Kernel<'_>, _: &Posted) {
    kernel.shutdown = true;
}
