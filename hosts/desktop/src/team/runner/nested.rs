//! Agents that ask others: a call whose tool is an agent.
//!
//! Who is asked is spawned with the request as its prompt, and its answer is the result. It answers one request after
//! the other, each in a context of its own. Who asks waits for it as for any tool, and lends it its priority as the
//! kernel's waits do. Where nobody wants the answer any more, who was asked is ended, and those whom it asked with it.

use agentos_hal::{CallNumber, Clock};
use agentos_kernel::call::{Call, CallError};
use agentos_kernel::event::Event;
use agentos_tools::ToolFailure;

use super::error::RunError;
use super::roster::{AskedBy, Phase};
use super::run::{Runner, is_over, is_put_off};
use crate::team::sink::{Sink, ToolNews};
use crate::team::tools::{Caller, Form, Stage};

/// Somebody who asks another one, and waits until that one is free.
pub(super) struct Asking {
    /// Who is asked, by its index in the team.
    pub other: usize,
    /// Who asks.
    pub by: AskedBy,
}

impl Runner<'_> {
    /// Has those answer who are asked and free. Returns whether anybody begins.
    pub(super) fn serve_agents(&mut self, sink: &mut dyn Sink) -> Result<bool, RunError> {
        while let Some((call, asked, request)) = self.desk.next_of_agents() {
            let tools = self.team.agents[asked.member].tools.as_ref();
            let behind = tools.and_then(|tools| asked.tool.checked_sub(tools.grant.tools.len()));
            let other = behind.zip(tools).and_then(|(behind, tools)| tools.asks.get(behind).copied());
            let by = AskedBy { caller: asked.member, call: call.0, request, open: true };
            match (other, self.answered(&by)) {
                // The run goes on from a checkpoint that has the answer, or who is at it.
                (_, Some(answer)) => self.desk.answer_of_agent(call, Ok(answer.into_bytes())),
                (Some(other), None) if self.is_asked(other, &by) => (),
                (Some(other), None) => self.traffic.asking.push_back(Asking { other, by }),
                (None, None) => {
                    self.desk.answer_of_agent(call, Err(ToolFailure::refused("nobody of that name is there")))
                }
            }
        }
        if self.paused {
            // Who would be spawned now would not pause.
            return Ok(false);
        }
        let mut any = false;
        for _ in 0..self.traffic.asking.len() {
            let Some(asking) = self.traffic.asking.pop_front() else { break };
            match self.is_busy(asking.other) {
                true => self.traffic.asking.push_back(asking),
                false => any |= self.ask(asking, sink)?,
            }
        }
        Ok(any)
    }

    /// The answer to a request, if it is there already.
    fn answered(&self, by: &AskedBy) -> Option<String> {
        let Some(Caller { stage: Stage::Calling(open), .. }) = &self.roster.members[by.caller].caller else {
            return None;
        };
        open.iter().find(|open| open.number == by.call)?.answer.clone()
    }

    /// Whether an agent is at the answer to this request.
    fn is_asked(&self, other: usize, by: &AskedBy) -> bool {
        let asked = self.roster.members[other].asked.as_ref();
        asked.is_some_and(|asked| asked.open && (asked.caller, asked.call) == (by.caller, by.call))
    }

    fn is_busy(&self, index: usize) -> bool {
        matches!(self.roster.members[index].phase, Phase::Alive(_))
    }

    /// Spawns who is asked; it waits on while nobody is let in. Returns whether it is there.
    fn ask(&mut self, asking: Asking, sink: &mut dyn Sink) -> Result<bool, RunError> {
        let Asking { other, by } = asking;
        let call = CallNumber(by.call);
        let Some(caller) = self.roster.members[by.caller].id().filter(|&id| !is_over(&self.kernel, id))
        else {
            return Ok(false);
        };
        let now_us = self.clock.now().micros;
        if let Some(before) = self.roster.members[other].id() {
            // What it said to who asked it before is not needed any more.
            match self.kernel.call(None, &Call::Kill(before), now_us) {
                Err(CallError::Held) => {
                    self.traffic.asking.push_back(Asking { other, by });
                    return Ok(false);
                }
                _ => self.roster.members[other].phase = Phase::Held,
            }
        }
        let depth = self.roster.members[by.caller].depth + 1;
        let member = &mut self.roster.members[other];
        (member.form, member.asked) = (None, Some(by.clone()));
        if let Some(answer) = &mut member.answer {
            answer.clear();
        }
        let opened = self.opening(other).and_then(|opening| {
            let tokens = opening.whole();
            self.admit(other, &tokens, tokens.len(), false)
        });
        let (id, _) = match opened {
            Ok(spawned) => spawned,
            Err(error) => {
                // It is not at the answer: a run that is kept now has it asked when it goes on.
                self.roster.members[other].asked = None;
                match is_put_off(&error) {
                    true => self.traffic.asking.push_back(Asking { other, by }),
                    false => self.desk.answer_of_agent(call, Err(ToolFailure::refused(error))),
                }
                return Ok(false);
            }
        };
        let member = &mut self.roster.members[other];
        member.depth = member.depth.max(depth);
        // Nobody asks in a circle, so it can.
        let _ = self.kernel.call(None, &Call::Wait(caller, id), now_us);
        sink.tool(&ToolNews::Asked {
            member: other,
            name: &self.team.agents[other].name,
            at_us: now_us,
            call: by.call,
            by: &self.team.agents[by.caller].name,
            depth,
        })?;
        Ok(true)
    }

    /// An agent that was asked is over: its answer, or why there is none, goes to who asked it.
    pub(super) fn answer_asked(&mut self, index: usize, event: &Event) {
        let member = &mut self.roster.members[index];
        let Some(asked) = member.asked.as_mut().filter(|asked| asked.open) else { return };
        asked.open = false;
        let (caller, call) = (asked.caller, asked.call);
        let answer = member.answer.clone().unwrap_or_default();
        let outcome = match event {
            Event::Faulted { fault, .. } => Err(ToolFailure::failed(format_args!(
                "who was asked was taken out of service ({})",
                fault.name()
            ))),
            _ if member.form == Some(Form::Unfinished) => {
                Err(ToolFailure::failed("the answer was cut before it was whole"))
            }
            _ if answer.trim().is_empty() => Err(ToolFailure::failed("who was asked has said nothing")),
            _ => Ok(answer),
        };
        if let (Ok(answer), Some(Caller { stage: Stage::Calling(open), .. })) =
            (&outcome, &mut self.roster.members[caller].caller)
            && let Some(open) = open.iter_mut().find(|open| open.number == call)
        {
            open.answer = Some(answer.clone());
        }
        self.desk.answer_of_agent(CallNumber(call), outcome.map(String::into_bytes));
    }

    /// Nobody waits any more for what comes of a call.
    pub(super) fn withdraw(&mut self, call: u64) {
        self.end_asked(|by| by.call == call);
    }

    /// An agent waits for nobody's answer any more.
    pub(super) fn withdraw_of(&mut self, caller: usize) {
        self.end_asked(|by| by.caller == caller);
    }

    /// Ends those who were asked, and are asked no more.
    fn end_asked(&mut self, gone: impl Fn(&AskedBy) -> bool) {
        self.traffic.asking.retain(|asking| !gone(&asking.by));
        for index in 0..self.roster.members.len() {
            let member = &mut self.roster.members[index];
            let (Some(asked), Phase::Alive(agent)) = (&mut member.asked, &member.phase) else { continue };
            if asked.open && gone(asked) {
                asked.open = false;
                let (agent, now_us) = (*agent, self.clock.now().micros);
                // It is told of when it is gone. One that a checkpoint keeps says to its end what nobody reads.
                let _ = self.kernel.call(None, &Call::Kill(agent), now_us);
            }
        }
    }

    /// Who was asked before the run was kept is asked by a call that has a new number now.
    pub(super) fn renumber_asked(&mut self) {
        for index in 0..self.roster.members.len() {
            let Some(asked) = self.roster.members[index].asked.as_ref().filter(|asked| asked.open) else {
                continue;
            };
            let number = self.number_now(asked.caller, asked.call);
            if let Some(asked) = &mut self.roster.members[index].asked {
                (asked.open, asked.call) = (number.is_some(), number.unwrap_or(asked.call));
            }
        }
    }

    /// The number that a restored call has now.
    fn number_now(&self, caller: usize, before: u64) -> Option<u64> {
        let member = self.roster.members.get(caller)?;
        let Some(Caller { stage: Stage::Calling(open), .. }) = &member.caller else { return None };
        let place = open.iter().position(|open| open.number == before)?;
        self.kernel.open_calls(member.id()?).nth(place).map(|call| call.number.0)
    }
}
