//! What tool calls mean to a run: calls that agents have written are made, and what comes of them goes into
//! their contexts.

use std::collections::VecDeque;
use std::sync::Arc;

use agentos_hal::Clock;
use agentos_kernel::agent::{AgentId, Budget, MOST_CALLS, Rcb};
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::interrupt::Urgency as KernelUrgency;
use agentos_kernel::system::Kernel;
use agentos_kernel::tool::{CallOutcome, Effect as KernelEffect, Request, ToolId};
use agentos_tools::{Access, Descriptor, Effect, Urgency};

use super::error::RunError;
use super::mute::bytes_of;
use super::nested::Asking;
use super::reading::Reading;
use super::roster::Phase;
use super::run::{Runner, is_over};
use crate::team::people;
use crate::team::prompt::Frame;
use crate::team::sink::{Sink, ToolNews};
use crate::team::tools::{
    ANOTHER_TOKENS, Aligned, Asked, Caller, Choose, Coming, Finished, Form, Known, Open, Place, Policy,
    Reduce, Settled, Stage, Terms, Unread, most_of_call, words,
};
use crate::text::{CallFormat, Message, Role};

/// How long a person may think about a call, in microseconds.
const PERSON_US: u64 = 600_000_000;

/// What is under way between agents and tools.
#[derive(Default)]
pub(super) struct Traffic {
    /// Agents that have said something in a form.
    heard: Vec<(usize, AgentId)>,
    /// Agents whose calls were written and not made yet.
    due: Vec<(usize, AgentId)>,
    /// Calls that are over and not returned yet.
    pub(super) over: Vec<Over>,
    /// The result that the model is reading.
    pub(super) reading: Option<Reading>,
    /// Agents that ask others, in the order in which they did.
    pub(super) asking: VecDeque<Asking>,
}

/// A call that was written, on its way to its tool.
struct Wanted<'w> {
    /// The tool, by its number at the desk.
    tool: usize,
    /// Its arguments, as JSON.
    arguments: &'w str,
    /// The address of its agent's context at which it begins.
    from: u32,
    /// Calls that its agent had made before.
    nth: u32,
    /// Which result of its turn it will have, and of how many.
    place: (Place, u32),
    /// Why its tool is not asked, where it is not.
    refusal: Option<String>,
    /// It is made again, after a restore.
    again: bool,
}

/// What became of a call that was to be made.
enum Invoked {
    /// It has this number.
    Call(u64),
    /// Its agent was over with this very token: what it has written stays as its answer.
    Over,
    /// A checkpoint is under way.
    Held,
}

/// A call that is over.
pub(super) struct Over {
    pub(super) index: usize,
    pub(super) agent: AgentId,
    pub(super) number: u64,
    outcome: CallOutcome,
    /// What came of it, once it is aligned.
    pub(super) finished: Option<Finished>,
    /// What the model reads of it first, or has read.
    pub(super) unread: Option<Arc<Unread>>,
    /// What is made of it, now that the model has read it.
    pub(super) made: Option<Coming>,
}

impl Over {
    /// Whether the model is to read what came of it, or is at it.
    pub(super) fn is_unread(&self) -> bool {
        self.made.is_none()
            && self.finished.as_ref().is_some_and(|finished| finished.aligned.unread.is_some())
    }

    /// The model does not read it: what its words have left of it stays. Returns that this is so.
    pub(super) fn leave_to_words(&mut self) -> bool {
        if let Some(finished) = &mut self.finished {
            finished.aligned.unread = None;
        }
        true
    }

    /// Whether what came of it is there, also where the model is to read it first.
    fn is_read(&mut self) -> bool {
        if let (Some(made), Some(finished)) = (&self.made, &mut self.finished)
            && let std::task::Poll::Ready(aligned) = made.poll()
        {
            (finished.aligned, self.made) = (aligned, None);
        }
        self.made.is_none() && !self.is_unread()
    }
}

impl Traffic {
    /// Whether calls could not be made when they were written.
    pub(super) fn owes_calls(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Runner<'_> {
    /// Whether results are on their way to agents: one whose turn it is not waits for another call, and one that the model
    /// is to read takes steps.
    pub(super) fn owes_results(&self) -> bool {
        self.traffic.over.iter().any(|over| self.is_next(over) && !over.is_unread())
    }

    /// Whether the result of a call is the next that its agent reads.
    pub(super) fn is_next(&self, over: &Over) -> bool {
        match &self.roster.members[over.index].caller {
            Some(Caller { stage: Stage::Calling(open), .. }) => {
                open.first().is_none_or(|open| open.number == over.number)
            }
            _ => true,
        }
    }

    /// Takes note of an event for the agent's calls.
    pub(super) fn note_for_tools(&mut self, index: usize, record: &Record) {
        match record.event {
            // It has read what a person said, and answers that in the same form.
            Event::Finished { agent, .. } if !is_over(&self.kernel, agent) => self.answer_again(index, agent),
            Event::Finished { agent, .. } | Event::Faulted { agent, .. } => {
                self.leave(index, agent);
                self.answer_asked(index, &record.event);
            }
            // One that was asked may have been spawned anew meanwhile.
            Event::Killed { agent } if self.roster.members[index].id() == Some(agent) => {
                self.leave(index, agent);
                self.roster.members[index].phase = Phase::Held;
            }
            _ => self.note_for_caller(index, record),
        }
    }

    fn note_for_caller(&mut self, index: usize, record: &Record) {
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        match record.event {
            Event::Token { agent, token, .. } => {
                let from = self.kernel.tokens(agent).len() as u32;
                let most = most_of_call(left(&self.kernel, agent));
                let said = self.callers.said(index, caller, (token, &self.text), (from, most));
                self.traffic.heard.push((index, agent));
                if said.is_err() {
                    caller.stage = Stage::Done;
                }
            }
            Event::ToolOver { agent, number, outcome, .. } => {
                let (finished, unread, made) = (None, None, None);
                self.traffic.over.push(Over { index, agent, number, outcome, finished, unread, made });
                self.withdraw(number);
            }
            Event::ToolRestored { agent, number, before, .. } => self.renumber(index, agent, before, number),
            _ => (),
        }
    }

    /// Makes the calls that were written, and returns the results that are there. Returns whether there were
    /// any: the kernel may have more to tell then.
    pub(super) fn go_on_with_calls(&mut self, sink: &mut dyn Sink) -> Result<bool, RunError> {
        for at in 0..self.traffic.heard.len() {
            let (index, agent) = self.traffic.heard[at];
            if let Some(settled) = self.settle(index, agent) {
                self.go_on_from(index, agent, settled);
            }
        }
        self.traffic.heard.clear();
        let mut any = false;
        self.serve_memory();
        any |= self.serve_agents(sink)?;
        for (index, agent) in std::mem::take(&mut self.traffic.due) {
            match self.make(index, agent, sink)? {
                true => any = true,
                false => self.traffic.due.push((index, agent)),
            }
        }
        for mut over in std::mem::take(&mut self.traffic.over) {
            match self.is_next(&over) && self.give_back(&mut over, sink)? {
                true => any = true,
                false => self.traffic.over.push(over),
            }
        }
        Ok(any | self.go_on_reading())
    }

    /// An agent begins: what it says may be held to a form from its first token on.
    pub(super) fn begin_caller(&mut self, index: usize, agent: AgentId, opening: u32) {
        self.callers.settle(agent, index);
        let team_agent = &self.team.agents[index];
        let context = rcb(&self.kernel, agent).map_or(0, |rcb| rcb.context);
        let most = most_of_call(team_agent.max_tokens.min(context.saturating_sub(opening)));
        let stage =
            match (&team_agent.tools, self.plan.agents[index].chain.first(), &team_agent.response_schema) {
                (Some(_), Some(&tool), _) => Stage::Writing { tool: Some(tool), from: opening, most },
                (Some(_), None, Some(_)) => Stage::Deciding { from: opening, most },
                (Some(_), None, None) => Stage::Free,
                (None, _, Some(_)) => Stage::Answering { from: opening },
                (None, _, None) => return,
            };
        let (said, request) = self.plan.conversation(self.team, index, &self.said(index));
        let own = self.own_format(index).cloned();
        // Found now, so that a result that comes later waits for no template.
        let frame = if own.is_some() { None } else { self.chat.frame(&said).unwrap_or_default() };
        let held = self.callers.hold(index, &stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        let reminder = words::reminder(&request, self.chat.tokenizer);
        let around = self.around(index, frame.as_ref(), &reminder);
        // Calls that cannot be undone are told apart by how many there were before, whoever asks.
        let made = self.roster.members[index].caller.as_ref().map_or(0, |caller| caller.made);
        let caller = Caller { reminder, around, made, ..Caller::new(stage, said, frame, &request) };
        self.roster.members[index].caller = Some(caller);
    }

    /// An agent is over: nobody waits for what it has called.
    pub(super) fn leave(&mut self, index: usize, agent: AgentId) {
        self.desk.forget(index);
        self.callers.leave(index);
        self.traffic.over.retain(|over| over.agent != agent);
        self.forget_reading();
        if let Some(caller) = &mut self.roster.members[index].caller {
            caller.end();
        }
        self.withdraw_of(index);
    }

    /// Whether an agent decides by itself that it calls, and what.
    pub(super) fn writes_calls_itself(&self, index: usize) -> bool {
        self.team.agents[index].tools.as_ref().is_some_and(|tools| tools.choose == Choose::Model)
    }

    /// How the model's own template writes calls, where an agent calls so.
    pub(super) fn own_format(&self, index: usize) -> Option<&Arc<CallFormat>> {
        self.plan.kits[index].as_ref()?.format.as_ref()
    }

    /// An agent of a checkpoint goes on in the form in which it spoke.
    pub(super) fn resume_caller(&mut self, index: usize, agent: AgentId) {
        self.callers.settle(agent, index);
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        if matches!(caller.stage, Stage::Calling(_)) && !caller.written.is_empty() {
            self.traffic.due.push((index, agent));
        }
        let (Stage::Writing { from, .. }
        | Stage::Deciding { from, .. }
        | Stage::Closing { from }
        | Stage::Answering { from }) = caller.stage
        else {
            return;
        };
        let log = self.kernel.tokens(agent);
        let said = &log[(from as usize).min(log.len())..];
        let begun = if matches!(caller.stage, Stage::Writing { .. }) { caller.tail.as_str() } else { "" };
        match self.callers.hold_behind(index, &caller.stage, begun, said) {
            // A call may have been whole when it was kept, and not made.
            Ok(()) => self.traffic.heard.push((index, agent)),
            // The checkpoint says what no agent said: it goes on without the form.
            Err(_) => caller.stage = Stage::Done,
        }
    }

    /// What an agent has come to with what it has said.
    fn settle(&mut self, index: usize, agent: AgentId) -> Option<Settled> {
        let caller = self.roster.members[index].caller.as_mut()?;
        let tokenizer = self.chat.tokenizer;
        let decode = |tokens: &[u32]| tokenizer.decode(tokens);
        let log = self.kernel.tokens(agent);
        // What is not of the form goes on as words: it ends by the agent's budget.
        let begun = if matches!(caller.stage, Stage::Writing { .. }) { caller.tail.as_str() } else { "" };
        self.callers.settled(index, (&caller.stage, begun), log, &decode).unwrap_or_else(|_| {
            caller.stage = Stage::Done;
            None
        })
    }

    /// An agent writes on, or its calls are due.
    fn go_on_from(&mut self, index: usize, agent: AgentId, settled: Settled) {
        let (from, most) = self.room_to_write(agent);
        let another = self.may_write_another(index, agent);
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        caller.closed = settled == Settled::Closed;
        caller.tail.clear();
        caller.stage = match settled {
            Settled::Call(written) => {
                let whole = written.cut.is_none();
                caller.written.push(written);
                if whole && another { Stage::Closing { from } } else { Stage::Calling(Vec::new()) }
            }
            Settled::Another => Stage::Writing { tool: None, from, most },
            Settled::Closed => Stage::Calling(Vec::new()),
        };
        if matches!(caller.stage, Stage::Calling(_)) {
            self.traffic.due.push((index, agent));
        }
        let held = self.callers.hold(index, &caller.stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
    }

    /// Whether an agent that has written a call may write another one behind it, before any is made.
    fn may_write_another(&self, index: usize, agent: AgentId) -> bool {
        let written = self.roster.members[index].caller.as_ref().map_or(0, |caller| caller.written.len() + 1);
        let calls_left = rcb(&self.kernel, agent)
            .map_or(0, |rcb| u64::from(rcb.budget.calls).saturating_sub(rcb.metrics.calls));
        // What stands between two calls and two results only the words of this program say.
        self.writes_calls_itself(index)
            && self.own_format(index).is_none()
            && (written as u64) < calls_left.min(MOST_CALLS as u64)
            && left(&self.kernel, agent) >= ANOTHER_TOKENS
    }

    /// Makes the calls that an agent has written, all of them before any is answered. Returns whether they could be: not
    /// while a checkpoint is under way.
    fn make(&mut self, index: usize, agent: AgentId, sink: &mut dyn Sink) -> Result<bool, RunError> {
        let Some(caller) = &mut self.roster.members[index].caller else { return Ok(true) };
        let (written, before) = (std::mem::take(&mut caller.written), caller.made);
        let count = written.len();
        let mut open: Vec<Open> = Vec::with_capacity(count);
        for (number, one) in written.iter().enumerate() {
            let wanted = Wanted {
                tool: one.tool,
                arguments: &one.arguments,
                from: one.from,
                nth: before + number as u32,
                place: (Place::of(number, count), count as u32),
                refusal: one.cut.map(words::endless),
                again: false,
            };
            match self.invoke(index, agent, &wanted, sink)? {
                Invoked::Call(call) => open.push(Open {
                    number: call,
                    tool: one.tool,
                    arguments: one.arguments.clone(),
                    nth: wanted.nth,
                    place: wanted.place.0,
                    refusal: wanted.refusal.clone(),
                    answer: None,
                    given: None,
                }),
                Invoked::Over => break,
                Invoked::Held => {
                    assert!(open.is_empty(), "no checkpoint begins between two calls of a turn");
                    if let Some(caller) = &mut self.roster.members[index].caller {
                        caller.written = written;
                    }
                    return Ok(false);
                }
            }
        }
        let member = &mut self.roster.members[index];
        if let Some(answer) = &mut member.answer
            && !open.is_empty()
        {
            // What it answers comes behind what comes of these.
            answer.clear();
        }
        if let Some(caller) = &mut member.caller {
            caller.made += open.len() as u32;
            caller.stage = Stage::Calling(open);
        }
        Ok(true)
    }

    /// Has the kernel make a call.
    fn invoke(
        &mut self,
        index: usize,
        agent: AgentId,
        wanted: &Wanted<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Invoked, RunError> {
        let Some(asked) = self.asked(index, agent, wanted) else { return Ok(Invoked::Over) };
        let descriptor = &asked.terms.tool.descriptor;
        let request = request(wanted.tool, descriptor, asked.question.is_some());
        let now_us = self.clock.now().micros;
        let number = match self.kernel.call(None, &Call::Invoke(agent, request), now_us) {
            Ok(Reply::Call(number)) => number,
            Err(CallError::Held) => return Ok(Invoked::Held),
            Ok(_) | Err(_) => return Ok(Invoked::Over),
        };
        sink.tool(&ToolNews::Called {
            member: index,
            name: &self.team.agents[index].name,
            at_us: now_us,
            call: number,
            tool: &descriptor.name,
            arguments: wanted.arguments,
        })?;
        let played = self.desk.play(&asked)?;
        self.desk.take_in(number, asked, played);
        Ok(Invoked::Call(number))
    }

    /// What the desk is told of a call; `None` where the agent has no such tool.
    fn asked(&self, index: usize, agent: AgentId, wanted: &Wanted<'_>) -> Option<Asked> {
        let &Wanted { tool, arguments, from, nth, place: (place, count), ref refusal, again } = wanted;
        let known = self.desk.known(index, tool)?;
        let tools = self.team.agents[index].tools.as_ref()?;
        let caller = self.roster.members[index].caller.as_ref()?;
        // Whoever is asked a question need not agree to be asked.
        let asks =
            tools.policy == Policy::Ask && known.descriptor.access != Access::Person && refusal.is_none();
        let question = asks.then(|| people::Asking::Approval {
            agent: self.team.agents[index].name.clone(),
            tool: known.descriptor.name.clone(),
            arguments: arguments.to_owned(),
            again,
        });
        // The line above a result, which says where it is from, is not the tool's to pay for.
        let most = match refusal {
            None => known.descriptor.output_tokens.saturating_add(words::HEADER_TOKENS),
            Some(_) => u32::MAX,
        };
        // One among several is not asked for again.
        let repairable = caller.repairs == 0 && place == Place::Only && known.is_repairable();
        let then = self.then(index, caller).cloned();
        let around = caller.around.most(repairable, then.as_ref().map(|_| caller.step as usize));
        let terms = Terms {
            aligner: self.aligner.clone()?,
            tool: known.clone(),
            source: words::source(&known.descriptor, arguments),
            about: caller.request.clone(),
            reminder: caller.reminder.clone(),
            caller: tools.choose,
            room: self.room(agent, count, around).min(most).min(tools.tokens),
            reads: if tools.reduce == Reduce::Model { self.reads } else { 0 },
            repairable,
            nth,
            place,
            then,
            format: self.own_format(index).cloned(),
        };
        let (name, arguments) = (self.team.agents[index].name.clone(), arguments.to_owned());
        let (member, refusal) = (index, refusal.clone());
        Some(Asked { member, name, from, tool, arguments, question, nth, refusal, terms })
    }

    /// The tool that an agent calls behind the one that it calls now, where its tools are chosen for it.
    fn then(&self, index: usize, caller: &Caller) -> Option<&Arc<Known>> {
        let next = self.plan.agents[index].chain.get(caller.step as usize + 1)?;
        self.desk.known(index, *next)
    }

    /// What came of a call that is over goes into its agent's context. Returns whether it was there, and could.
    fn give_back(&mut self, over: &mut Over, sink: &mut dyn Sink) -> Result<bool, RunError> {
        if over.finished.is_none() {
            let std::task::Poll::Ready(finished) = self.desk.give_out(over.number, over.outcome) else {
                return Ok(false);
            };
            let Some(finished) = finished else {
                // Nobody asked for it: the agent goes on with nothing.
                return Ok(!matches!(self.put(over.number, &[], true), Err(CallError::Held)));
            };
            (over.outcome, over.unread) = (finished.outcome, finished.aligned.unread.clone());
            over.finished = Some(finished);
        }
        if !over.is_read() {
            return Ok(false);
        }
        let Some(Finished { asked, aligned, .. }) = &over.finished else { return Ok(true) };
        let Some(mut caller) = self.roster.members[over.index].caller.take() else { return Ok(true) };
        let returned = self.tell(over, asked, aligned, &mut caller, sink);
        self.roster.members[over.index].caller = Some(caller);
        returned
    }

    fn tell(
        &mut self,
        over: &Over,
        asked: &Asked,
        aligned: &Aligned,
        caller: &mut Caller,
        sink: &mut dyn Sink,
    ) -> Result<bool, RunError> {
        let &Over { index, agent, number, outcome, .. } = over;
        let put = match self.put(number, &self.told(index, caller, asked, aligned), aligned.fits) {
            // What stands around a result is more than there was room for.
            Err(CallError::TooLong { fits, .. }) => self.put_lost(index, number, asked, caller, fits),
            other => other.map(|_| aligned.clone()),
        };
        let aligned = match &put {
            Err(CallError::Held) => return Ok(false),
            Err(_) => aligned,
            Ok(aligned) => aligned,
        };
        // What the agent could not be told has come to nothing.
        let outcome = match outcome {
            CallOutcome::Done if aligned.lost => CallOutcome::Output,
            outcome => outcome,
        };
        sink.tool(&ToolNews::Result {
            member: index,
            name: &self.team.agents[index].name,
            at_us: self.clock.now().micros,
            call: number,
            tool: &asked.terms.tool.descriptor.name,
            outcome: outcome.name(),
            text: &aligned.text,
            fits: aligned.fits,
            reduced: aligned.reduced.map(Reduce::name),
        })?;
        if put.is_err() {
            caller.stage = Stage::Done;
            return Ok(true);
        }
        // What stands around further results is found in what was said only where it is not always the same.
        if caller.frame.is_none() && asked.terms.format.is_none() {
            keep_said(&mut caller.said, asked, aligned);
        }
        caller.repairs += u8::from(aligned.again);
        caller.tail.clear();
        if aligned.again {
            self.grant_another(agent);
        }
        if let Stage::Calling(open) = &mut caller.stage
            && open.len() > 1
        {
            open.remove(0);
            return Ok(true);
        }
        caller.step += u32::from(aligned.onward);
        let (from, most) = self.room_to_write(agent);
        let next =
            if aligned.onward { self.plan.agents[index].chain.get(caller.step as usize) } else { None };
        caller.stage = match (aligned.again && !self.writes_calls_itself(index), next) {
            (true, _) => Stage::Writing { tool: Some(asked.tool), from, most },
            (false, Some(&tool)) => Stage::Writing { tool: Some(tool), from, most },
            (false, None) => self.next_stage(index, agent),
        };
        let held = self.callers.hold(index, &caller.stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        Ok(true)
    }

    /// The tokens by which an agent is told something behind what it has said. A template that cannot go on
    /// leaves it without a turn of its own: the agent reads it all the same.
    fn told(&self, index: usize, caller: &Caller, asked: &Asked, aligned: &Aligned) -> Vec<u32> {
        let Aligned { next, tokens, .. } = aligned;
        if self.own_format(index).is_some() {
            return tokens.clone();
        }
        let place = asked.terms.place;
        let closes = self.writes_calls_itself(index) && !caller.closed && place.begins();
        let mut told = if closes { self.chat.text(words::CLOSES).unwrap_or_default() } else { Vec::new() };
        let follow_up = match &caller.frame {
            Some(Frame { before, after }) => {
                let before = if place.begins() { &before[..] } else { &[] };
                let after = if place.ends() { &after[..] } else { &[] };
                [before, tokens, after].concat()
            }
            None => self.chat.follow_up(&caller.said, next, None).unwrap_or_else(|_| tokens.clone()),
        };
        let ended = caller.closed && place.begins();
        told.extend_from_slice(if ended { self.chat.behind_end(&follow_up) } else { &follow_up });
        told
    }

    /// Tells an agent that a result does not fit, where so many tokens would, in as few words as that takes. Half of
    /// the room is for its answer: where that is too little, it goes on with nothing.
    fn put_lost(
        &mut self,
        index: usize,
        call: u64,
        asked: &Asked,
        caller: &Caller,
        fits: usize,
    ) -> Result<Aligned, CallError> {
        let lost = asked.terms.lost(u32::try_from(fits).unwrap_or(u32::MAX));
        let alone = self.chat.text(&lost.text).unwrap_or_default();
        let tries = [self.told(index, caller, asked, &lost), alone, Vec::new()];
        let tokens = tries.iter().find(|tokens| tokens.len() <= fits / 2).map_or(&[][..], |tokens| tokens);
        self.put(call, tokens, true).map(|_| lost)
    }

    /// An agent may make a call more than its budget says.
    fn grant_another(&mut self, agent: AgentId) {
        let Some(rcb) = rcb(&self.kernel, agent) else { return };
        let budget = Budget { calls: rcb.budget.calls.saturating_add(1), ..rcb.budget };
        let now_us = self.clock.now().micros;
        // It is there, and nothing is under way that holds it.
        let _ = self.kernel.call(None, &Call::SetBudget(agent, budget), now_us);
    }

    /// Where a call or an answer of an agent begins, and how many tokens a call may take there.
    fn room_to_write(&self, agent: AgentId) -> (u32, u32) {
        (self.kernel.tokens(agent).len() as u32, most_of_call(left(&self.kernel, agent)))
    }

    /// What an agent does next that is not told to call.
    fn next_stage(&self, index: usize, agent: AgentId) -> Stage {
        let (from, most) = self.room_to_write(agent);
        let calls =
            rcb(&self.kernel, agent).is_some_and(|rcb| rcb.metrics.calls < u64::from(rcb.budget.calls));
        match (&self.team.agents[index].response_schema, self.writes_calls_itself(index)) {
            (Some(_), true) if calls => Stage::Deciding { from, most },
            (Some(_), _) => Stage::Answering { from },
            (None, true) => Stage::Free,
            (None, false) => Stage::Done,
        }
    }

    /// An agent goes on with another answer.
    fn answer_again(&mut self, index: usize, agent: AgentId) {
        let stage = self.next_stage(index, agent);
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        caller.tail.clear();
        let answers = matches!(stage, Stage::Answering { .. } | Stage::Deciding { .. });
        // What it has written last goes on behind what it reads now no more.
        let closes = matches!(caller.stage, Stage::Closing { .. });
        if (answers || closes) && !matches!(caller.stage, Stage::Calling(_)) {
            caller.written.clear();
            caller.stage = stage;
            let held = self.callers.hold(index, &caller.stage, &[]);
            debug_assert!(held.is_ok(), "nothing was said yet");
        }
    }

    fn put(&mut self, call: u64, tokens: &[u32], fits: bool) -> Result<Reply, CallError> {
        let bytes = bytes_of(tokens);
        let now_us = self.clock.now().micros;
        self.kernel.call(None, &Call::Return { call, tokens: Tokens(&bytes), fits }, now_us)
    }

    /// What became of what an agent says, now that it ends.
    pub(super) fn form(&self, index: usize) -> Option<Form> {
        let caller = self.roster.members[index].caller.as_ref()?;
        // Whoever is to keep to a form and is in none has left it.
        let left = self.team.agents[index].response_schema.as_ref().map(|_| Form::Unfinished);
        self.callers.form(index, &caller.stage).or(left)
    }

    /// A call has a new number since its agent was restored.
    fn renumber(&mut self, index: usize, agent: AgentId, before: u64, number: u64) {
        let Some(Caller { stage: Stage::Calling(open), .. }) = &mut self.roster.members[index].caller else {
            return;
        };
        let count = open.len() as u32;
        // Calls come in their order, and a new number may be an old one of a call before: the last is this one.
        let Some(open) = open.iter_mut().rev().find(|open| open.number == before) else { return };
        open.number = number;
        let Open { tool, arguments, nth, place, refusal, given, .. } = open.clone();
        let from = self.kernel.tokens(agent).len() as u32;
        let place = (place, count);
        let wanted = Wanted { tool, arguments: &arguments, from, nth, place, refusal, again: true };
        if let Some(asked) = self.asked(index, agent, &wanted) {
            match given {
                Some(output) => self.desk.take_in_given(number, asked, output),
                None => self.desk.take_in(number, asked, None),
            }
        }
    }
}

/// What an agent has called and read belongs to what was said. Results of one turn are one message.
fn keep_said(said: &mut Vec<Message>, asked: &Asked, aligned: &Aligned) {
    let (called, read) = (asked.arguments.clone(), aligned.next.clone());
    match &mut said[..] {
        [.., assistant, user] if !asked.terms.place.begins() => {
            assistant.content.extend(["\n", &called]);
            user.content.push_str(&read);
        }
        _ => said.extend([
            Message { role: Role::Assistant, content: called },
            Message { role: Role::User, content: read },
        ]),
    }
}

pub(super) fn rcb<'k>(kernel: &'k Kernel<'_>, agent: AgentId) -> Option<&'k Rcb> {
    kernel.agents().find(|rcb| rcb.id == agent)
}

/// Tokens that an agent may still say.
fn left(kernel: &Kernel<'_>, agent: AgentId) -> u32 {
    rcb(kernel, agent).map_or(0, |rcb| {
        let of_turn = rcb.budget.turn_tokens.saturating_sub(rcb.turn_tokens);
        of_turn.min(rcb.context.saturating_sub(rcb.tokens))
    })
}

/// What the kernel is told of a call.
fn request(tool: usize, descriptor: &Descriptor, asks: bool) -> Request {
    let timeout_us = u64::try_from(descriptor.timeout.as_micros()).unwrap_or(u64::MAX);
    Request {
        tool: ToolId(tool as u8),
        effect: match descriptor.effect {
            Effect::Irreversible => KernelEffect::Irreversible,
            Effect::None | Effect::Idempotent => KernelEffect::Repeatable,
        },
        timeout_us: timeout_us.saturating_add(if asks { PERSON_US } else { 0 }),
        attempts: descriptor.attempts,
        urgency: match descriptor.urgency {
            Urgency::Critical => KernelUrgency::Critical,
            Urgency::High => KernelUrgency::High,
            Urgency::Medium => KernelUrgency::Medium,
            Urgency::Low => KernelUrgency::Low,
        },
    }
}
