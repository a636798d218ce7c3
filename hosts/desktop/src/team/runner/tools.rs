//! What tool calls mean to a run: calls that agents have written are made, and what comes of them goes into
//! their contexts.

use agentos_hal::Clock;
use agentos_kernel::agent::AgentId;
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::tool::{CallOutcome, Effect as KernelEffect, Request, ToolId};
use agentos_tools::{Access, Descriptor, Effect};

use super::error::RunError;
use super::run::{Runner, is_over};
use crate::team::people::Asking;
use crate::team::prompt::Frame;
use crate::team::sink::{Sink, ToolNews};
use crate::team::tools::{
    Aligned, Asked, Caller, Choose, Finished, Open, Policy, Stage, Terms, Written, words,
};
use crate::text::{Message, Role, Special};

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
                let said = self.callers.said(index, caller, (token, &self.text), from);
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
        let stage = match (&team_agent.tools, self.plan.agents[index].tool, &team_agent.response_schema) {
            (Some(_), Some(tool), _) => Stage::Writing { tool: Some(tool), from: opening },
            (Some(_), None, _) => Stage::Free,
            (None, _, Some(_)) => Stage::Answering { from: opening },
            (None, _, None) => return,
        };
        let said: Vec<&str> = team_agent
            .after
            .iter()
            .map(|&other| self.roster.members[other].answer.as_deref().unwrap_or_default())
            .collect();
        let (said, request) = self.plan.conversation(self.team, index, &said);
        // Found now, so that a result that comes later waits for no template.
        let frame = self.chat.frame(&said).unwrap_or_default();
        let held = self.callers.hold(index, &stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        self.roster.members[index].caller = Some(Caller::new(stage, said, frame, &request));
    }

    /// An agent of a checkpoint goes on in the form in which it spoke.
    pub(super) fn resume_caller(&mut self, index: usize, agent: AgentId) {
        self.callers.settle(agent, index);
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        let (Stage::Writing { from, .. } | Stage::Answering { from }) = caller.stage else { return };
        let log = self.kernel.tokens(agent);
        let said = &log[(from as usize).min(log.len())..];
        match self.callers.hold(index, &caller.stage, said) {
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
        self.callers.settled(index, &caller.stage, log, &decode).unwrap_or_else(|_| {
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
        let Written { tool, arguments } = &written;
        let Some(asked) = self.asked(index, agent, *tool, arguments, false) else { return Ok(None) };
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
            let Written { tool, arguments } = written;
            caller.stage = Stage::Calling(Open { number, tool, arguments });
        }
        Ok(None)
    }

    /// What the desk is told of a call; `None` where the agent has no such tool.
    fn asked(
        &self,
        index: usize,
        agent: AgentId,
        tool: usize,
        arguments: &str,
        again: bool,
    ) -> Option<Asked> {
        let known = self.desk.known(index, tool)?;
        let tools = self.team.agents[index].tools.as_ref()?;
        let caller = self.roster.members[index].caller.as_ref()?;
        // Whoever is asked a question need not agree to be asked.
        let asks = tools.policy == Policy::Ask && known.descriptor.access != Access::Person;
        let question = asks.then(|| Asking::Approval {
            agent: self.team.agents[index].name.clone(),
            tool: known.descriptor.name.clone(),
            arguments: arguments.to_owned(),
            again,
        });
        // The line above a result, which says where it is from, is not the tool's to pay for.
        let most = known.descriptor.output_tokens.saturating_add(words::HEADER_TOKENS);
        let terms = Terms {
            aligner: self.aligner.clone()?,
            tool: known.clone(),
            about: caller.request.clone(),
            room: self.room(agent).min(most).min(tools.tokens),
            repairable: caller.repairs == 0,
        };
        let from = match caller.stage {
            Stage::Writing { from, .. } => from,
            _ => self.kernel.tokens(agent).len() as u32,
        };
        let (name, arguments) = (self.team.agents[index].name.clone(), arguments.to_owned());
        Some(Asked { member: index, name, from, tool, arguments, question, terms })
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
        let model_calls =
            self.team.agents[index].tools.as_ref().is_some_and(|tools| tools.choose == Choose::Model);
        let mut tokens = if model_calls {
            self.chat.tokenizer.encode(words::CLOSES, Special::AsText).unwrap_or_default()
        } else {
            Vec::new()
        };
        tokens.extend(self.told(caller, aligned));
        let fitted = match self.put(number, &tokens, aligned.fits) {
            Err(CallError::Held) => return Ok(false),
            Err(CallError::TooLong { .. }) => self.put(number, &[], aligned.fits).map(|_| false),
            other => other.map(|_| true),
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
        let Ok(true) = fitted else {
            caller.stage = Stage::Done;
            return Ok(true);
        };
        let assistant = Message { role: Role::Assistant, content: asked.arguments.clone() };
        caller.said.extend([assistant, Message { role: Role::User, content: aligned.next.clone() }]);
        caller.repairs += u8::from(aligned.again);
        caller.stage = match (aligned.again, model_calls) {
            (_, true) => Stage::Free,
            (true, false) => {
                Stage::Writing { tool: Some(asked.tool), from: self.kernel.tokens(agent).len() as u32 }
            }
            (false, false) => self.last_stage(index, agent),
        };
        let held = self.callers.hold(index, &caller.stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        Ok(true)
    }

    /// The tokens by which an agent is told something behind what it has said. A template that cannot go on
    /// leaves it without a turn of its own: the agent reads it all the same.
    fn told(&self, caller: &Caller, aligned: &Aligned) -> Vec<u32> {
        let Aligned { next, tokens, .. } = aligned;
        match &caller.frame {
            Some(Frame { before, after }) => [&before[..], tokens, after].concat(),
            None => self.chat.follow_up(&caller.said, next, None).unwrap_or_else(|_| tokens.clone()),
        }
    }

    /// What an agent does that makes no further calls.
    fn last_stage(&self, index: usize, agent: AgentId) -> Stage {
        match self.team.agents[index].response_schema {
            Some(_) => Stage::Answering { from: self.kernel.tokens(agent).len() as u32 },
            None => Stage::Done,
        }
    }

    /// An agent goes on with another answer.
    fn answer_again(&mut self, index: usize, agent: AgentId) {
        let stage = self.last_stage(index, agent);
        let Some(caller) = &mut self.roster.members[index].caller else { return };
        if let (Stage::Done | Stage::Answering { .. }, Stage::Answering { .. }) = (&caller.stage, &stage) {
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

    /// Tokens that a result may still take of an agent's context, beside what stands around it.
    fn room(&self, agent: AgentId) -> u32 {
        let rcb = self.kernel.agents().find(|rcb| rcb.id == agent);
        let left = rcb.map_or(0, |rcb| rcb.context.saturating_sub(rcb.tokens));
        left.saturating_sub(words::AROUND_TOKENS)
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
        if let Some(asked) = self.asked(index, agent, tool, &arguments, true) {
            self.desk.take_in(number, asked, None);
        }
    }
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
