//! What tool calls mean to a run: calls that agents have written are made, and what comes of them goes into
//! their contexts.

use agentos_hal::Clock;
use agentos_kernel::agent::AgentId;
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::event::{Event, Record};
use agentos_kernel::tool::{CallOutcome, Effect as KernelEffect, Request, ToolId};
use agentos_perception::{self as perception, Measures, Misfit};
use agentos_tools::{Descriptor, Effect};

use super::error::RunError;
use super::run::Runner;
use crate::team::prompt::Frame;
use crate::team::sink::{Sink, ToolNews};
use crate::team::tools::{Asked, Caller, Choose, Finished, Open, Policy, Stage, Written, words};
use crate::text::{Message, Role, Special};

/// How long a person may think about a call, in microseconds.
const PERSON_US: u64 = 600_000_000;

/// What came of aligning an output.
struct Taken {
    text: String,
    /// The output was of the form that its tool declares.
    fits: bool,
}

impl Runner<'_> {
    /// Takes note of an event for the agent's calls.
    pub(super) fn note_for_tools(
        &mut self,
        index: usize,
        record: &Record,
        sink: &mut dyn Sink,
    ) -> Result<(), RunError> {
        if self.roster.members[index].caller.is_none() {
            return Ok(());
        }
        match record.event {
            Event::Token { agent, token, .. } => self.heard(index, agent, token, sink),
            Event::ToolOver { agent, number, outcome, .. } => self.over(index, agent, number, outcome, sink),
            Event::ToolRestored { number, before, .. } => {
                self.renumber(index, before, number);
                Ok(())
            }
            Event::Finished { .. } | Event::Faulted { .. } | Event::Killed { .. } => {
                self.desk.forget(index);
                Ok(())
            }
            _ => Ok(()),
        }
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
        if self.callers.hold(index, &caller.stage, said).is_err() {
            // The checkpoint says what no agent said: it goes on without the form.
            caller.stage = Stage::Done;
        }
    }

    /// An agent has said a token: it may be the last of a call.
    fn heard(
        &mut self,
        index: usize,
        agent: AgentId,
        token: u32,
        sink: &mut dyn Sink,
    ) -> Result<(), RunError> {
        let Some(mut caller) = self.roster.members[index].caller.take() else { return Ok(()) };
        let tokenizer = self.chat.tokenizer;
        let decode = |tokens: &[u32]| tokenizer.decode(tokens);
        let log = self.kernel.tokens(agent);
        let said = self.callers.said(index, &mut caller, (token, &self.text), log, &decode);
        // What is not of the form goes on as words: it ends by the agent's budget.
        let written = said.unwrap_or_else(|_| {
            caller.stage = Stage::Done;
            None
        });
        self.roster.members[index].caller = Some(caller);
        match written {
            Some(written) => self.make(index, agent, written, sink),
            None => Ok(()),
        }
    }

    /// Makes a call that an agent has written.
    fn make(
        &mut self,
        index: usize,
        agent: AgentId,
        Written { tool, arguments }: Written,
        sink: &mut dyn Sink,
    ) -> Result<(), RunError> {
        let name = &self.team.agents[index].name;
        let (Some(descriptor), Some(tools)) =
            (self.desk.descriptor(index, tool), &self.team.agents[index].tools)
        else {
            return Ok(());
        };
        let asks = tools.policy == Policy::Ask;
        let request = request(tool, descriptor, asks);
        let called = descriptor.name.clone();
        let question = asks.then(|| format!("{name} wants to call {called} with {arguments}. Agreed? [y/N]"));
        let now_us = self.clock.now().micros;
        let number = match self.kernel.call(None, &Call::Invoke(agent, request), now_us) {
            Ok(Reply::Call(number)) => number,
            // It was over with this very token: what it has written stays as its answer.
            Ok(_) | Err(_) => return Ok(()),
        };
        sink.tool(&ToolNews::Called {
            member: index,
            name,
            at_us: now_us,
            call: number,
            tool: &called,
            arguments: &arguments,
        })?;
        if let Some(caller) = &mut self.roster.members[index].caller {
            caller.stage = Stage::Calling(Open { number, tool, arguments: arguments.clone() });
        }
        self.desk.take_in(number, Asked { member: index, tool, arguments, question });
        Ok(())
    }

    /// A call is over: what came of it goes into the agent's context.
    fn over(
        &mut self,
        index: usize,
        agent: AgentId,
        number: u64,
        outcome: CallOutcome,
        sink: &mut dyn Sink,
    ) -> Result<(), RunError> {
        let Some(mut caller) = self.roster.members[index].caller.take() else { return Ok(()) };
        let finished = self.desk.give_out(number);
        let returned = match &finished {
            Some(finished) => self.give_back(index, agent, number, outcome, finished, &mut caller, sink),
            // Nobody asked for it: the agent goes on with nothing.
            None => {
                let _ = self.put(number, &[], true);
                Ok(())
            }
        };
        self.roster.members[index].caller = Some(caller);
        returned
    }

    #[expect(clippy::too_many_arguments, reason = "all of one call")]
    fn give_back(
        &mut self,
        index: usize,
        agent: AgentId,
        number: u64,
        outcome: CallOutcome,
        finished: &Finished,
        caller: &mut Caller,
        sink: &mut dyn Sink,
    ) -> Result<(), RunError> {
        let tool = finished.asked.tool;
        let Some(descriptor) = self.desk.descriptor(index, tool).cloned() else { return Ok(()) };
        let taken = self.align(index, agent, &descriptor, outcome, &finished.output, &caller.request);
        let again = !taken.fits && caller.repairs == 0 && descriptor.effect != Effect::Irreversible;
        let next = if again {
            words::repair(&descriptor, &taken.text, &caller.request)
        } else {
            words::result(&taken.text, &caller.request)
        };
        let model_calls =
            self.team.agents[index].tools.as_ref().is_some_and(|tools| tools.choose == Choose::Model);
        let mut tokens = if model_calls {
            self.chat.tokenizer.encode(words::CLOSES, Special::AsText).unwrap_or_default()
        } else {
            Vec::new()
        };
        tokens.extend(self.told(caller, &next));
        let fitted = match self.put(number, &tokens, taken.fits) {
            Err(CallError::TooLong { .. }) => self.put(number, &[], taken.fits).map(|_| false),
            other => other.map(|_| true),
        };
        let at_us = self.clock.now().micros;
        let name = &self.team.agents[index].name;
        sink.tool(&ToolNews::Result {
            member: index,
            name,
            at_us,
            call: number,
            tool: &descriptor.name,
            outcome: outcome.name(),
            text: &taken.text,
        })?;
        let Ok(true) = fitted else {
            caller.stage = Stage::Done;
            return Ok(());
        };
        let assistant = Message { role: Role::Assistant, content: finished.asked.arguments.clone() };
        caller.said.extend([assistant, Message { role: Role::User, content: next }]);
        caller.repairs += u8::from(again);
        caller.stage = match (again, model_calls) {
            (_, true) => Stage::Free,
            (true, false) => {
                Stage::Writing { tool: Some(tool), from: self.kernel.tokens(agent).len() as u32 }
            }
            (false, false) => self.last_stage(index, agent),
        };
        let held = self.callers.hold(index, &caller.stage, &[]);
        debug_assert!(held.is_ok(), "nothing was said yet");
        Ok(())
    }

    /// The tokens by which an agent is told something behind what it has said. A template that cannot go on
    /// leaves it without a turn of its own: the agent reads it all the same.
    fn told(&self, caller: &Caller, next: &str) -> Vec<u32> {
        let text = |next| self.chat.text(next).unwrap_or_default();
        match &caller.frame {
            Some(Frame { before, after }) => [&before[..], &text(next), after].concat(),
            None => self.chat.follow_up(&caller.said, next, None).unwrap_or_else(|_| text(next)),
        }
    }

    /// What an agent does that makes no further calls.
    fn last_stage(&self, index: usize, agent: AgentId) -> Stage {
        match self.team.agents[index].response_schema {
            Some(_) => Stage::Answering { from: self.kernel.tokens(agent).len() as u32 },
            None => Stage::Done,
        }
    }

    fn put(&mut self, call: u64, tokens: &[u32], fits: bool) -> Result<Reply, CallError> {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        let now_us = self.clock.now().micros;
        self.kernel.call(None, &Call::Return { call, tokens: Tokens(&bytes), fits }, now_us)
    }

    /// Makes text of an output that fits the agent's context.
    fn align(
        &self,
        index: usize,
        agent: AgentId,
        tool: &Descriptor,
        outcome: CallOutcome,
        output: &[u8],
        about: &str,
    ) -> Taken {
        let failed = outcome != CallOutcome::Done;
        let reason = words::reason(outcome, tool);
        let output = if output.is_empty() && failed { reason.as_bytes() } else { output };
        let allowed = self.team.agents[index].tools.as_ref().map_or(0, |tools| tools.tokens);
        let schema =
            tool.output.as_ref().filter(|_| !failed).and_then(|schema| perception::Schema::new(schema).ok());
        let now_s = self.chat.now_s;
        let taken = crate::text::time_of_day(now_s);
        // The line above a result, which says where it is from, is not the tool's to pay for.
        let room = self.room(agent).min(tool.output_tokens.saturating_add(words::HEADER_TOKENS)).min(allowed)
            as usize;
        let request = perception::Request {
            tool: &tool.name,
            source: "",
            failed,
            taken: &taken,
            about,
            charset: None,
            schema: schema.as_ref(),
            controls: &self.controls,
            limit_bytes: tool.output_bytes,
            budget_tokens: room,
        };
        let tokenizer = self.chat.tokenizer;
        let count =
            |text: &str| tokenizer.encode(text, Special::AsText).map_or(usize::MAX, |tokens| tokens.len());
        let measures = || Measures { count: &count, score: None };
        match perception::align(output, &request, measures()) {
            Ok(aligned) => Taken { text: aligned.text, fits: true },
            Err(misfit) => {
                let fits = !matches!(misfit, Misfit::Schema(_));
                let reason = misfit.to_string();
                let request = perception::Request { failed: true, schema: None, ..request };
                let text = perception::align(reason.as_bytes(), &request, measures())
                    .map_or_else(|_| String::new(), |aligned| aligned.text);
                Taken { text, fits }
            }
        }
    }

    /// Tokens that a result may still take of an agent's context, beside what stands around it.
    fn room(&self, agent: AgentId) -> u32 {
        let rcb = self.kernel.agents().find(|rcb| rcb.id == agent);
        let left = rcb.map_or(0, |rcb| rcb.context.saturating_sub(rcb.tokens));
        left.saturating_sub(words::AROUND_TOKENS)
    }

    /// A call has a new number since its agent was restored.
    fn renumber(&mut self, index: usize, before: u64, number: u64) {
        let Some(Caller { stage: Stage::Calling(open), .. }) = &mut self.roster.members[index].caller else {
            return;
        };
        if open.number != before {
            return;
        }
        open.number = number;
        let (tool, arguments) = (open.tool, open.arguments.clone());
        let asks = self.team.agents[index].tools.as_ref().is_some_and(|tools| tools.policy == Policy::Ask);
        let name = &self.team.agents[index].name;
        let question =
            asks.then(|| format!("{name} wants to make a call again, with {arguments}. Agreed? [y/N]"));
        self.desk.take_in(number, Asked { member: index, tool, arguments, question });
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
