//! What tool calls mean to a run: calls that agents have written are made, and what comes of them goes into
//! their contexts.

use std::sync::Arc;

use agentos_hal::Clock;
use agentos_kernel::agent::{AgentId, Budget, Rcb};
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::system::Kernel;
use agentos_kernel::tool::{CallOutcome, Effect as KernelEffect, Request, ToolId};
use agentos_tools::{Access, Descriptor, Effect};

use super::error::RunError;
use super::run::{Runner, is_over};
use crate::team::people::Asking;
use crate::team::prompt::Frame;
use crate::team::sink::{Sink, ToolNews};
use crate::team::tools::{
    Aligned, Asked, Caller, Choose, Finished, Form, Open, Policy, Stage, Terms, Written, most_of_call, words,
};
use crate::text::{CallFormat, Message, Role};

/// How long a person may think about a call, in microseconds.
const PERSON_US: u64 = 600_000_000;

/// What is under way between agents and tools.
#[derive(Default)]
pub(super) struct Traffic {
    /// Agents that have said something in a form.
    heard: Vec<(usize, AgentId)>,
    /// Calls that were written and not made yet.
    written: Vec<(usize, AgentId, Written)>,
    /// Calls that are over and not returned yet.
    over: Vec<Over>,
}

/// A call that is over.
struct Over {
    index: usize,
    agent: AgentId,
    number: u64,
    outcome: CallOutcome,
    /// What came of it, once it is aligned.
    finished: Option<Finished>,
}

impl Traffic {
    /// Whether calls could not be made when they were written.
    pub(super) fn owes_calls(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether results are waited for.
    pub(super) fn owes_results(&self) -> bool {
        !self.over.is_empty()
    }
}

impl Runner<'_> {
    /// Takes note of an event for the agent's calls.
    pub(super) fn note_for_tools(&mut self, index: usize, record: &Record) {
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
                self.traffic.over.push(Over { index, agent, number, outcome, finished: None });
            }
            Event::ToolRestored { agent, number, before, .. } => self.renumber(index, agent, before, number),
            // It has read what a person said, and answers that in the same form.
            Event::Finished { agent, .. } if !is_over(&self.kernel, agent) => self.answer_again(index, agent),
            Event::Finished { .. } | Event::Faulted { .. } | Event::Killed { .. } => self.desk.forget(index),
            _ => (),
        }
    }

    /// Makes the calls that were written, and returns the results that are there. Returns whether there were
    /// any: the kernel may have more to tell then.
    pub(super) fn go_on_with_calls(&mut self, sink: &mut dyn Sink) -> Result<bool, RunError> {
        for at in 0..self.traffic.heard.len() {
            let (index, agent) = self.traffic.heard[at];
            if let Some(written) = self.settle(index, agent) {
                self.traffic.written.push((index, agent, written));
            }
        }
        self.traffic.heard.clear();
        let mut any = false;
        self.serve_memory();
        for (index, agent, written) in std::mem::take(&mut self.traffic.written) {
            match self.make(index, agent, written, sink)? {
                Some(later) => self.traffic.written.push((index, agent, later)),
                None => any = true,
            }
        }
        for mut over in std::mem::take(&mut self.traffic.over) {
            match self.give_back(&mut over, sink)? {
                true => any = true,
                false => self.traffic.over.push(over),
            }
        }
        Ok(any)
    }

    /// An agent begins: what it says may be held to a form from its first token on.
    pub(super) fn begin_caller(&mut self, index: usize, agent: AgentId, opening: u32) {
        self.callers.settle(agent, index);
        let team_agent = &self.team.agents[index];
        let context = rcb(&self.kernel, agent).map_or(0, |rcb| rcb.context);
        let most = most_of_call(team_agent.max_tokens.min(context.saturating_sub(opening)));
        let stage = match (&team_agent.tools, self.plan.agents[index].tool, &team_agent.response_schema) {
            (Some(_), Some(tool), _) => Stage::Writing { tool: Some(tool), from: opening, most },
            (Some(_), None, Some(_)) => Stage::Deciding { from: opening, most },
            (Some(_), None, None) => Stage::Free,
            (None, _, Some(_)) => Stage::Answering { from: opening },
            (None, _, None) => return,
        };
        let said: Vec<&str> = team_agent
            .after
            .iter()
            .map(|&other| self.roster.members[other].answer.as_deref().unwrap_or_default())
            .collect();
        let (said, request) = self.plan.conversation(self.team, index, &said);
        let own = self.own_format(index).cloned();
        // Found now, so that a result that comes later waits for no template.
        let frame = if own.is_some() { None } else { self.chat.frame(&said).unwrap_or_default() };
        let held = self.callers.hold(index, &stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        let reminder = words::reminder(&request, self.chat.tokenizer);
        let closes = if self.writes_calls_itself(index) { words::CLOSES.len() as u32 } else { 0 };
        let around = match &own {
            Some(format) => self.chat.around_own("", format),
            None => self.chat.around(&words::result("", &reminder), frame.as_ref()).saturating_add(closes),
        };
        let caller = Caller { reminder, around, ..Caller::new(stage, said, frame, &request) };
        self.roster.members[index].caller = Some(caller);
    }

    /// Whether an agent decides by itself that it calls, and what.
    fn writes_calls_itself(&self, index: usize) -> bool {
        self.team.agents[index].tools.as_ref().is_some_and(|tools| tools.choose == Choose::Model)
    }

    /// How the model's own template writes calls, where an agent calls so.
    fn own_format(&self, index: usize) -> Option<&Arc<CallFormat>> {
        self.plan.kits[index].as_ref()?.format.as_ref()
    }

    /// An agent of a checkpoint goes on in the form in which it spoke.
    pub(super) fn resume_caller(&mut self, index: usize, agent: AgentId) {
        self.callers.settle(agent, index);
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        let (Stage::Writing { from, .. } | Stage::Deciding { from, .. } | Stage::Answering { from }) =
            caller.stage
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

    /// The call that is whole with what an agent has said.
    fn settle(&mut self, index: usize, agent: AgentId) -> Option<Written> {
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

    /// Makes a call that an agent has written; gives it back while a checkpoint is under way.
    fn make(
        &mut self,
        index: usize,
        agent: AgentId,
        written: Written,
        sink: &mut dyn Sink,
    ) -> Result<Option<Written>, RunError> {
        let Written { tool, arguments, cut } = &written;
        let refusal = cut.map(words::endless);
        let Some(asked) = self.asked(index, agent, (*tool, arguments), refusal, false) else {
            return Ok(None);
        };
        let descriptor = &asked.terms.tool.descriptor;
        let request = request(*tool, descriptor, asked.question.is_some());
        let now_us = self.clock.now().micros;
        let number = match self.kernel.call(None, &Call::Invoke(agent, request), now_us) {
            Ok(Reply::Call(number)) => number,
            Err(CallError::Held) => return Ok(Some(written)),
            // It was over with this very token: what it has written stays as its answer.
            Ok(_) | Err(_) => return Ok(None),
        };
        sink.tool(&ToolNews::Called {
            member: index,
            name: &self.team.agents[index].name,
            at_us: now_us,
            call: number,
            tool: &descriptor.name,
            arguments,
        })?;
        let played = self.desk.play(&asked)?;
        self.desk.take_in(number, asked, played);
        if let Some(answer) = &mut self.roster.members[index].answer {
            // What it answers comes behind what comes of this.
            answer.clear();
        }
        if let Some(caller) = &mut self.roster.members[index].caller {
            let (Written { tool, arguments, .. }, nth) = (written, caller.made);
            caller.made += 1;
            caller.stage = Stage::Calling(Open { number, tool, arguments, nth });
        }
        Ok(None)
    }

    /// What the desk is told of a call; `None` where the agent has no such tool.
    fn asked(
        &self,
        index: usize,
        agent: AgentId,
        (tool, arguments): (usize, &str),
        refusal: Option<String>,
        again: bool,
    ) -> Option<Asked> {
        let known = self.desk.known(index, tool)?;
        let tools = self.team.agents[index].tools.as_ref()?;
        let caller = self.roster.members[index].caller.as_ref()?;
        // Whoever is asked a question need not agree to be asked.
        let asks =
            tools.policy == Policy::Ask && known.descriptor.access != Access::Person && refusal.is_none();
        let question = asks.then(|| Asking::Approval {
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
        let repairable = caller.repairs == 0 && known.is_repairable();
        let format = self.own_format(index);
        let terms = Terms {
            aligner: self.aligner.clone()?,
            tool: known.clone(),
            source: words::source(&known.descriptor, arguments),
            about: caller.request.clone(),
            reminder: caller.reminder.clone(),
            caller: tools.choose,
            room: self
                .room(
                    agent,
                    caller,
                    (&known.descriptor, tools.choose),
                    (repairable, format.map(|own| &**own)),
                )
                .min(most)
                .min(tools.tokens),
            repairable,
            format: format.cloned(),
        };
        let here = self.kernel.tokens(agent).len() as u32;
        let (from, nth) = match &caller.stage {
            Stage::Writing { from, .. } | Stage::Deciding { from, .. } => (*from, caller.made),
            Stage::Calling(open) => (here, open.nth),
            _ => (here, caller.made),
        };
        let (name, arguments) = (self.team.agents[index].name.clone(), arguments.to_owned());
        Some(Asked { member: index, name, from, tool, arguments, question, nth, refusal, terms })
    }

    /// What came of a call that is over goes into its agent's context. Returns whether it was there, and could.
    fn give_back(&mut self, over: &mut Over, sink: &mut dyn Sink) -> Result<bool, RunError> {
        if over.finished.is_none() {
            let std::task::Poll::Ready(finished) = self.desk.give_out(over.number, over.outcome) else {
                return Ok(false);
            };
            over.finished = finished;
        }
        let Some(Finished { asked, aligned }) = &over.finished else {
            // Nobody asked for it: the agent goes on with nothing.
            return Ok(!matches!(self.put(over.number, &[], true), Err(CallError::Held)));
        };
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
        let put = match self.put(number, &self.told(index, caller, aligned), aligned.fits) {
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
        })?;
        if put.is_err() {
            caller.stage = Stage::Done;
            return Ok(true);
        }
        let assistant = Message { role: Role::Assistant, content: asked.arguments.clone() };
        caller.said.extend([assistant, Message { role: Role::User, content: aligned.next.clone() }]);
        caller.repairs += u8::from(aligned.again);
        caller.tail.clear();
        if aligned.again {
            self.grant_another(agent);
        }
        caller.stage = match aligned.again && !self.writes_calls_itself(index) {
            true => {
                let (from, most) = self.room_to_write(agent);
                Stage::Writing { tool: Some(asked.tool), from, most }
            }
            false => self.next_stage(index, agent),
        };
        let held = self.callers.hold(index, &caller.stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        Ok(true)
    }

    /// The tokens by which an agent is told something behind what it has said. A template that cannot go on
    /// leaves it without a turn of its own: the agent reads it all the same.
    fn told(&self, index: usize, caller: &Caller, aligned: &Aligned) -> Vec<u32> {
        let Aligned { next, tokens, .. } = aligned;
        if self.own_format(index).is_some() {
            return tokens.clone();
        }
        let mut told = match self.writes_calls_itself(index) {
            true => self.chat.text(words::CLOSES).unwrap_or_default(),
            false => Vec::new(),
        };
        told.extend(match &caller.frame {
            Some(Frame { before, after }) => [&before[..], tokens, after].concat(),
            None => self.chat.follow_up(&caller.said, next, None).unwrap_or_else(|_| tokens.clone()),
        });
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
        let tries = [self.told(index, caller, &lost), alone, Vec::new()];
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
        if answers && !matches!(caller.stage, Stage::Calling(_)) {
            caller.stage = stage;
            let held = self.callers.hold(index, &caller.stage, &[]);
            debug_assert!(held.is_ok(), "nothing was said yet");
        }
    }

    fn put(&mut self, call: u64, tokens: &[u32], fits: bool) -> Result<Reply, CallError> {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        let now_us = self.clock.now().micros;
        self.kernel.call(None, &Call::Return { call, tokens: Tokens(&bytes), fits }, now_us)
    }

    /// Tokens that a result may still take of an agent's context, beside what stands around it, whichever way it is
    /// told.
    fn room(
        &self,
        agent: AgentId,
        caller: &Caller,
        (tool, choose): (&Descriptor, Choose),
        (repairable, format): (bool, Option<&CallFormat>),
    ) -> u32 {
        let repair = match (repairable, format) {
            (true, Some(format)) => {
                self.chat.around_own(&words::repair_as_before(tool, "", &caller.reminder), format)
            }
            (true, None) => {
                self.chat.around(&words::repair(tool, "", &caller.reminder, choose), caller.frame.as_ref())
            }
            (false, _) => 0,
        };
        let left = rcb(&self.kernel, agent).map_or(0, |rcb| rcb.context.saturating_sub(rcb.tokens));
        left.saturating_sub(caller.around.max(repair))
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
        if open.number != before {
            return;
        }
        open.number = number;
        let (tool, arguments) = (open.tool, open.arguments.clone());
        if let Some(asked) = self.asked(index, agent, (tool, &arguments), None, true) {
            self.desk.take_in(number, asked, None);
        }
    }
}

fn rcb<'k>(kernel: &'k Kernel<'_>, agent: AgentId) -> Option<&'k Rcb> {
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
    }
}
