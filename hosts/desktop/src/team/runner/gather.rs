//! Agents whose further passages are mapped as they are (`fidelity = "relocated"`).
//!
//! Each such passage is sent by an agent that says nothing, whose context is the collection's beginning and that
//! passage: where the library has its slices, they come from there, and else they are computed once. Meanwhile the
//! agent computes what it opens with, the first passage, and waits. Then all are sent at once, the question behind
//! the last, and those that sent them go.
//!
//! One agent at a time is sent passages: those who send have room of their own (see `size`), so two that each hold
//! what the other lacks cannot come about.

use agentos_hal::Clock;
use agentos_kernel::agent::{AgentId, BlockedOn, Budget, Priority, Receive, Spec, State};
use agentos_kernel::call::{Call, CallError, Forward, Reply, Tokens};

use super::error::RunError;
use super::mute::{Mute, bytes_of};
use super::roster::Phase;
use super::run::{Runner, Spawned};
use crate::team::knowledge::SentPassage;
use crate::team::sink::Sink;
use crate::team::{Problem, TeamError};

/// An agent that passages are being sent to.
#[derive(Debug)]
pub struct Gathering {
    /// Its index in the team.
    pub index: usize,
    agent: AgentId,
    /// What it may use once it speaks.
    budget: Budget,
    /// Who sends which passage.
    senders: Vec<(AgentId, SentPassage)>,
    /// What is sent behind the last of them.
    after: Vec<u32>,
}

/// What an agent declares that is to be sent passages before it speaks.
pub(super) fn silent(spec: Spec) -> Spec {
    Spec { budget: Budget { turn_tokens: 0, ..spec.budget }, receive: Receive::Mapped, ..spec }
}

impl Runner<'_> {
    /// Whether an agent has to wait until others have what is sent to them, or have left.
    pub(super) fn gathers_later(&self, index: usize) -> bool {
        self.plan.agents[index].sent.is_some() && (self.gathering.is_some() || self.crowded)
    }

    /// Spawns an agent with what it opens with, and those who send it the rest.
    pub(super) fn gather(&mut self, index: usize) -> Result<Spawned, TeamError> {
        let opening = self.opening(index)?;
        let tokens = opening.tokens.len() + opening.sent_tokens();
        let priority = self.priorities()[index];
        let mut senders = Vec::with_capacity(opening.sent.len());
        for passage in opening.sent {
            match self.spawn_sender(index, senders.len(), &passage, priority) {
                Ok(sender) => senders.push((sender, passage)),
                Err(error) => {
                    self.dismiss(&senders);
                    if self.roster.any_alive() {
                        self.crowded = true;
                        return Ok(Spawned::Later);
                    }
                    return Err(self.refused(index, error));
                }
            }
        }
        let spawned = self.admit(index, &opening.tokens, tokens, true);
        let waits = spawned.and_then(|(agent, budget)| {
            // So that it waits once its opening is computed, and does not end.
            let waits = senders.first().map_or(Ok(Reply::Done), |&(sender, _)| {
                self.kernel.call(None, &Call::Wait(agent, sender), self.clock.now().micros)
            });
            waits.map(|_| (agent, budget)).map_err(|error| self.refused(index, error))
        });
        match waits {
            Ok((agent, budget)) => {
                self.gathering = Some(Gathering { index, agent, budget, senders, after: opening.after });
                Ok(Spawned::Now)
            }
            Err(error) => {
                self.dismiss(&senders);
                Err(error)
            }
        }
    }

    /// Sends the passages once all are there, and lets go who sent them.
    pub(super) fn go_on_gathering(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        let Some(gathering) = &self.gathering else { return Ok(()) };
        let state = self.state_of(gathering.agent);
        // What could not be computed is sent as its tokens.
        let is_there = |&(sender, _): &(AgentId, SentPassage)| {
            let state = self.state_of(sender);
            state == State::Blocked(BlockedOn::Message) || state.is_over()
        };
        let is_over = state.is_over();
        let waits = matches!(state, State::Blocked(BlockedOn::Agent(_)));
        let is_ready = waits && gathering.senders.iter().all(is_there);
        let Some(gathering) = self.gathering.take_if(|_| is_over || is_ready) else { return Ok(()) };
        // Others may have waited for this to be over.
        self.ended = true;
        let index = gathering.index;
        let faulted =
            |&(sender, _): &(AgentId, SentPassage)| matches!(self.state_of(sender), State::Faulted(_));
        if is_over && gathering.senders.iter().any(faulted) {
            // It ended with who it waited for, and was asked nothing.
            self.roster.members[index].phase = Phase::Faulted(gathering.agent);
        }
        let sent = if is_over { Ok(()) } else { self.send(&gathering) };
        self.dismiss(&gathering.senders);
        if let Err(error) = sent {
            let _ = self.kernel.call(None, &Call::Kill(gathering.agent), self.clock.now().micros);
            self.refuse(index, self.refused(index, error).to_string(), sink)?;
        }
        self.drain(sink)?;
        Ok(())
    }

    /// Who is being sent passages, if anybody is.
    pub(super) fn gathers(&self) -> Option<usize> {
        self.gathering.as_ref().map(|gathering| gathering.index)
    }

    fn send(&mut self, gathering: &Gathering) -> Result<(), CallError> {
        let now_us = self.clock.now().micros;
        let &Gathering { agent, budget, .. } = gathering;
        // It speaks once all is there that it is going to have.
        self.kernel.call(None, &Call::SetBudget(agent, budget), now_us)?;
        let after = bytes_of(&gathering.after);
        for (number, (sender, passage)) in gathering.senders.iter().enumerate() {
            let is_last = number + 1 == gathering.senders.len();
            let forward = Forward {
                from: *sender,
                start: passage.start as u32,
                end: passage.context.len() as u32,
                to: agent,
                before: Tokens(&[]),
                after: Tokens(if is_last { &after } else { &[] }),
            };
            self.kernel.call(None, &Call::Forward(forward), now_us)?;
        }
        Ok(())
    }

    fn spawn_sender(
        &mut self,
        index: usize,
        number: usize,
        passage: &SentPassage,
        priority: Priority,
    ) -> Result<AgentId, CallError> {
        // The first passage is the agent's own.
        let name = format!("{}/{}", self.team.agents[index].name, number + 2);
        // Its slices are somebody else's approximation anyway.
        let mute = Mute { priority, context: &passage.context, time_us: u64::MAX, packed: true };
        self.spawn_mute(&mute, &name)
    }

    fn dismiss(&mut self, senders: &[(AgentId, SentPassage)]) {
        let now_us = self.clock.now().micros;
        for &(sender, _) in senders {
            // In good order there is nothing to refuse; what is gone is gone.
            let _ = self.kernel.call(None, &Call::Kill(sender), now_us);
        }
    }

    fn refused(&self, index: usize, error: CallError) -> TeamError {
        let agent = &self.team.agents[index];
        let name = agent.name.clone();
        let problem = match error {
            CallError::Unfit(unfit) => Problem::Unfit { name, unfit, remedy: None },
            error => Problem::Refused { name, error },
        };
        self.team.error(agent.context_place, problem)
    }

    /// How an agent is; one that is forgotten is over, as one that was shut down.
    pub(super) fn state_of(&self, agent: AgentId) -> State {
        let found = self.kernel.agents().find(|rcb| rcb.id == agent);
        found.map_or(State::Stopped(agentos_kernel::agent::Finish::Shutdown), |rcb| rcb.state)
    }
}
