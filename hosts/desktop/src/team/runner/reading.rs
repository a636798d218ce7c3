//! Long results that the running model reads before their agents do (`reduce = "model"`).
//!
//! What a tool gave may be longer than there is room for. Then an agent that says nothing is spawned with the parts that
//! promise most as its context; how dense the slices of that are (paper eq. 2) tells which parts stay. Who called waits
//! for it as for its tool, and lends it its priority: so nobody who is more urgent than that one is held up, and nobody
//! who is less urgent holds the result up. One result is read at a time, that of the most urgent first; the others' agents
//! lend their priority to the one that is being read.
//!
//! The reader has a slot and room of its own (see `size`). Where it cannot be had all the same, or takes too long, the words
//! of the text decide alone, as they do with `reduce = "words"`.

use agentos_hal::Clock;
use agentos_kernel::agent::{AgentId, BlockedOn, Priority, State};
use agentos_kernel::call::{Call, CallError};

use super::mute::Mute;
use super::roster::Roster;
use super::run::Runner;
use super::tools::Over;
use crate::team::tools::{Caller, Stage};

/// How long a text may be read, in microseconds: machines that compute a hundred tokens a second read the longest.
const READ_US: u64 = 20_000_000;

/// A result that is being read.
pub(super) struct Reading {
    /// The call that it is of.
    call: u64,
    /// Who reads it.
    reader: AgentId,
    /// Calls whose agents have lent the reader their priority.
    lent: Vec<u64>,
}

impl Runner<'_> {
    /// Ends a reading that is over, and begins the next. Returns whether anybody's result has come further.
    pub(super) fn go_on_reading(&mut self) -> bool {
        let over = self.traffic.reading.as_ref().and_then(|reading| match self.state_of(reading.reader) {
            State::Blocked(BlockedOn::Message) => Some(true),
            state => state.is_over().then_some(false),
        });
        let mut any = over.is_some_and(|is_read| self.end_reading(is_read));
        // Who would read now would not pause.
        if self.traffic.reading.is_none()
            && !self.paused
            && let Some(at) = self.next_unread()
        {
            any |= self.begin_reading(at);
        }
        self.lend_to_reader();
        any
    }

    /// Nobody waits any more for what an agent has called.
    pub(super) fn forget_reading(&mut self) {
        let wanted = |call| self.traffic.over.iter().any(|over| over.number == call);
        if let Some(Reading { call, reader, .. }) = self.traffic.reading
            && !wanted(call)
            && !self.is_held_kill(reader)
        {
            self.traffic.reading = None;
        }
    }

    /// Notes in what is kept of a run what tools gave that the model is to read yet: it is read again, and no tool is asked
    /// again.
    pub(super) fn keep_unread(&self, roster: &mut Roster) {
        for over in &self.traffic.over {
            let Some(unread) = &over.unread else { continue };
            let Some(Caller { stage: Stage::Calling(open), .. }) = &mut roster.members[over.index].caller
            else {
                continue;
            };
            for open in open.iter_mut().filter(|open| open.number == over.number) {
                open.given = Some(unread.output.to_vec());
            }
        }
    }

    /// Whether a result that is next at its agent is to be read.
    fn is_unread(&self, over: &Over) -> bool {
        over.is_unread() && self.is_next(over)
    }

    /// The result that is read next: that of the most urgent agent.
    fn next_unread(&self) -> Option<usize> {
        let urgency = |over: &Over| {
            let rcb = self.kernel.agents().find(|rcb| rcb.id == over.agent);
            rcb.map(|rcb| rcb.effective.level())
        };
        let unread = self.traffic.over.iter().enumerate().filter(|(_, over)| self.is_unread(over));
        // Of equals the one that was over first.
        unread.rev().max_by_key(|(_, over)| urgency(over)).map(|(at, _)| at)
    }

    fn begin_reading(&mut self, at: usize) -> bool {
        let over = &self.traffic.over[at];
        let Some(unread) = over.unread.clone() else { return false };
        let (agent, call) = (over.agent, over.number);
        let name = format!("{}/read", self.team.agents[over.index].name);
        let context = &unread.candidates.tokens[..];
        let mute = Mute { priority: Priority::LOWEST, context, time_us: READ_US, packed: false };
        match self.spawn_mute(&mute, &name) {
            Ok(reader) => {
                // It is there, so it can be waited for.
                let _ = self.kernel.call(None, &Call::Wait(agent, reader), self.clock.now().micros);
                self.traffic.reading = Some(Reading { call, reader, lent: vec![call] });
                false
            }
            // A checkpoint is under way.
            Err(CallError::Held) => false,
            Err(_) => self.traffic.over[at].leave_to_words(),
        }
    }

    /// A result was read, or is not going to be.
    fn end_reading(&mut self, is_read: bool) -> bool {
        let Some(reading) = self.traffic.reading.take() else { return false };
        let at = self.traffic.over.iter().position(|over| over.number == reading.call);
        let unread = at.and_then(|at| self.traffic.over[at].unread.clone());
        let densities = self.kernel.densities(reading.reader);
        let scores =
            unread.as_ref().filter(|_| is_read).and_then(|unread| unread.candidates.scores(densities));
        if self.is_held_kill(reading.reader) {
            self.traffic.reading = Some(reading);
            return false;
        }
        let Some(at) = at else { return true };
        let over = &mut self.traffic.over[at];
        match (&over.finished, unread, scores) {
            (Some(finished), Some(unread), Some(scores)) => {
                over.made = Some(self.desk.make_read(finished, unread, scores));
                true
            }
            _ => over.leave_to_words(),
        }
    }

    /// Lets a reader go. Returns whether it has to stay, for a checkpoint is under way.
    fn is_held_kill(&mut self, reader: AgentId) -> bool {
        let now_us = self.clock.now().micros;
        matches!(self.kernel.call(None, &Call::Kill(reader), now_us), Err(CallError::Held))
    }

    /// Whoever waits for its turn lends its priority to the reader that has it.
    fn lend_to_reader(&mut self) {
        let Some(mut reading) = self.traffic.reading.take() else { return };
        for over in &self.traffic.over {
            if self.is_unread(over) && !reading.lent.contains(&over.number) {
                let wait = Call::Wait(over.agent, reading.reader);
                // Who waits for too many lends nothing.
                if self.kernel.call(None, &wait, self.clock.now().micros) != Err(CallError::Held) {
                    reading.lent.push(over.number);
                }
            }
        }
        self.traffic.reading = Some(reading);
    }
}
