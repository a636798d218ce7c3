//! What `agentos run --json` tells: one object on a line for every event, and a summary at the end.

use std::borrow::Cow;

use agentos_kernel::agent::{Rcb, State};
use agentos_kernel::event::{Event, Record};
use serde::Serialize;

use super::name::Names;
pub use super::paging_summary::{PagingSummary, TierHits};
use super::runner::Member;
use super::spec::Agent;
pub use super::store_summary::StoreSummary;
use super::tools::Form;

/// A line: an event with its time on the kernel's clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line<'a> {
    /// When it happened, in microseconds.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: LineEvent<'a>,
}

/// What people are asked: an agent's question, or a call that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Asked<'a> {
    /// The question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<&'a str>,
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<&'a str>,
    /// The call's exact arguments, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<&'a str>,
    /// The call is made once more, after a restore.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

/// What a line tells. Agents go by their names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LineEvent<'a> {
    /// An agent was spawned.
    Spawned {
        /// The agent.
        agent: Cow<'a, str>,
        /// Whom it was forked from.
        parent: Option<Cow<'a, str>>,
        /// Tokens of its opening.
        tokens: u32,
    },
    /// An agent's next token.
    Token {
        /// The agent.
        agent: Cow<'a, str>,
        /// Its place in the context.
        address: u32,
        /// The token.
        id: u32,
        /// The text that it makes whole; empty for a control token or the beginning of a character.
        text: &'a str,
        /// The log of its probability under the model.
        logprob: f32,
    },
    /// A slice is complete.
    Sealed {
        /// Who completed it.
        agent: Cow<'a, str>,
        /// Its first address.
        base: u32,
        /// Its tokens.
        tokens: u32,
    },
    /// A slice of others was mapped instead of computed.
    Shared {
        /// The agent.
        agent: Cow<'a, str>,
        /// Its first address.
        base: u32,
        /// Tokens that were not computed again.
        tokens: u32,
    },
    /// A slice that another agent sent was mapped.
    Relocated {
        /// The agent.
        agent: Cow<'a, str>,
        /// Its address there.
        base: u32,
        /// Its tokens.
        tokens: u32,
    },
    /// An agent came out of a checkpoint.
    Restored {
        /// The agent.
        agent: Cow<'a, str>,
        /// Tokens of its context.
        tokens: u32,
        /// Tokens of those that need not be computed again.
        computed: u32,
    },
    /// An agent was left out of a step for more urgent ones.
    Preempted {
        /// The agent.
        agent: Cow<'a, str>,
    },
    /// Pages went between page memory and the arena.
    Paged {
        /// Whose pages.
        agent: Cow<'a, str>,
        /// Into page memory, or out of it.
        direction: Direction,
        /// Pages.
        pages: u32,
    },
    /// A slice that an agent looks for was left out of what it attends to, and comes back.
    PageFault {
        /// The agent.
        agent: Cow<'a, str>,
        /// The slice's first address.
        base: u32,
        /// Its tokens.
        tokens: u32,
        /// Its question looks for it and is computed again; else it comes back for what follows.
        question: bool,
    },
    /// A question is computed again, with what it looks for.
    Replayed {
        /// The agent.
        agent: Cow<'a, str>,
        /// From this address on.
        base: u32,
        /// Tokens.
        tokens: u32,
    },
    /// What the running agents take turns with no longer fits page memory.
    Thrashing {
        /// Pages of it.
        working: u32,
        /// Pages of page memory.
        pages: u32,
    },
    /// A slice came from the cold store (L3): nobody computed it.
    Recalled {
        /// Who needed it first.
        agent: Cow<'a, str>,
        /// Its tokens.
        tokens: u32,
        /// Its pages.
        pages: u32,
        /// Microseconds from needing it to having it.
        load_us: u32,
    },
    /// A slice that the cold store had does not come: it is computed.
    RecallFailed {
        /// Who needed it first.
        agent: Cow<'a, str>,
        /// Its tokens.
        tokens: u32,
        /// What is wrong: the names of [`agentos_kernel::memory::cold::StoreFault`].
        reason: &'static str,
    },
    /// A slice is durable in the cold store.
    Stored {
        /// Slices that are still on their way to it.
        waiting: u32,
    },
    /// The cold store does not store a slice.
    StoreFailed {
        /// What is wrong: the names of [`agentos_kernel::memory::cold::StoreFault`].
        reason: &'static str,
    },
    /// Slices are computed rather than fetched from the cold store, or fetched again.
    StoreSlow {
        /// Whether computing is quicker.
        slow: bool,
    },
    /// A message arrived.
    Message {
        /// Who sent it; null for the host.
        from: Option<Cow<'a, str>>,
        /// Who got it.
        to: Cow<'a, str>,
        /// Its tokens.
        tokens: u32,
    },
    /// An agent is done.
    Finished {
        /// The agent.
        agent: Cow<'a, str>,
        /// Why: the names of [`agentos_kernel::agent::Finish`].
        reason: &'static str,
        /// Tokens that it generated.
        generated: u64,
        /// What became of its answer, if that was to keep to a form, or of a call that it was writing when it ended:
        /// the names of [`Form`].
        form: Option<&'static str>,
    },
    /// An agent was not let in.
    Refused {
        /// The agent.
        agent: Cow<'a, str>,
        /// Why, and what would fit.
        reason: String,
    },
    /// An agent was taken out of service.
    Faulted {
        /// The agent.
        agent: Cow<'a, str>,
        /// Why: the names of [`agentos_kernel::agent::Fault`].
        reason: &'static str,
    },
    /// An agent has written a call, which is made.
    ToolCalled {
        /// The agent.
        agent: Cow<'a, str>,
        /// The call.
        call: u64,
        /// The tool.
        tool: String,
        /// The arguments, as JSON.
        arguments: String,
    },
    /// An agent that is on call was spawned to answer another one.
    Asked {
        /// The agent.
        agent: Cow<'a, str>,
        /// Who asks.
        by: Cow<'a, str>,
        /// The call of who asks.
        call: u64,
        /// Agents that wait for its answer, one for the next.
        depth: u32,
    },
    /// An agent reads what came of a call.
    ToolResult {
        /// The agent.
        agent: Cow<'a, str>,
        /// The call.
        call: u64,
        /// The tool.
        tool: String,
        /// What came of it: the names of [`agentos_kernel::tool::CallOutcome`].
        outcome: &'static str,
        /// What it reads.
        text: String,
        /// Whether the output was of the form that the tool declares.
        fits: bool,
        /// What decided what of a long text is there: `model` or `words`; null where nothing of a text was left out.
        reduced: Option<&'static str>,
    },
    /// People are asked something.
    PersonAsked {
        /// Who asks, or whose call it is; nobody where all pause.
        agent: Option<Cow<'a, str>>,
        /// The call.
        call: Option<u64>,
        /// `question`, `approval` or `pause`.
        kind: &'static str,
        /// What is asked.
        #[serde(flatten)]
        what: Asked<'a>,
    },
    /// What people were asked is asked no more.
    PersonAnswered {
        /// Who asked.
        agent: Option<Cow<'a, str>>,
        /// The call.
        call: Option<u64>,
        /// `question`, `approval` or `pause`.
        kind: &'static str,
        /// Why not: `answered`, `nobody` (is there any more to answer) or `withdrawn` (nobody wants to know any more).
        reply: &'static str,
        /// What somebody said.
        answer: Option<&'a str>,
    },
    /// A tool has begun with a call.
    ToolStarted {
        /// Who called.
        agent: Cow<'a, str>,
        /// The call.
        call: u64,
        /// Which attempt it is, from 1.
        attempt: u8,
    },
    /// A tool call is over.
    ToolOver {
        /// Who called.
        agent: Cow<'a, str>,
        /// The call.
        call: u64,
        /// What came of it: the names of [`agentos_kernel::tool::CallOutcome`].
        outcome: &'static str,
        /// Attempts that were begun.
        attempts: u8,
        /// Microseconds from the trap to the start of the tool, and from its end to the interrupt: the kernel's.
        dispatch_us: u64,
        /// Microseconds from the tool's end to that of the step that was under way.
        step_us: u64,
        /// Microseconds with the tool.
        device_us: u64,
    },
    /// What a tool call came to is in its agent's context.
    ToolReturned {
        /// Who called.
        agent: Cow<'a, str>,
        /// The call.
        call: u64,
        /// Tokens that it took.
        tokens: u32,
        /// Microseconds that the alignment took.
        align_us: u64,
    },
    /// An agent has said the first token after its calls were returned.
    ToolResumed {
        /// The agent.
        agent: Cow<'a, str>,
        /// The call that was over last.
        call: u64,
        /// Microseconds from the return to the token.
        encode_us: u64,
    },
    /// A tool call that was open when its agent was saved goes on under a new number.
    ToolRestored {
        /// Who called.
        agent: Cow<'a, str>,
        /// The call.
        call: u64,
        /// Its number before.
        before: u64,
        /// It is made anew; if not, nobody knows what came of it.
        again: bool,
    },
    /// An agent was given passages to read, the one that fits its prompt best last.
    Knowledge {
        /// The agent.
        agent: Cow<'a, str>,
        /// The passages.
        passages: Vec<LinePassage>,
    },
    /// An interrupt was delivered.
    Interrupt {
        /// Its vector's name.
        vector: &'static str,
        /// The agent concerned.
        agent: Option<Cow<'a, str>>,
        /// Microseconds from posting to delivery.
        latency_us: u32,
    },
    /// The device lost its memory, and what the agents had computed there.
    DeviceLost {
        /// Losses since the last step that succeeded, with this one.
        losses: u32,
    },
    /// The device was prepared again: agents go on.
    DeviceRestored {
        /// How often it was tried.
        tries: u32,
        /// Microseconds since the loss.
        took_us: u64,
    },
    /// Events that nobody took in time.
    Lost {
        /// How many.
        count: u64,
    },
    /// The end of the run.
    Summary(Box<Summary>),
}

/// A passage that an agent was given.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinePassage {
    /// The collection.
    pub collection: String,
    /// The file of its document.
    pub path: String,
    /// Where it stands in it.
    pub place: String,
    /// Its tokens.
    pub tokens: usize,
    /// How well it fits the prompt.
    pub score: f64,
    /// How it comes into the context: "exact" where it stands as it did when it was computed, "computed" behind those
    /// before it, or "relocated", mapped as it is.
    pub how: &'static str,
}

/// Which way pages went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into page memory.
    In,
    /// Out of page memory.
    Out,
}

/// The line of a kernel's event; `None` for those that are the kernel's own business: its boot, states
/// and steps. `text` is what a token's event makes whole of its agent's answer, and `form` what has become of that.
pub fn line<'a>(
    record: &Record,
    names: &'a Names,
    (text, form): (&'a str, Option<Form>),
) -> Option<Line<'a>> {
    let of = |agent| names.of(agent);
    let event = match record.event {
        Event::Spawned { agent, parent, tokens } => {
            LineEvent::Spawned { agent: of(agent), parent: parent.map(of), tokens }
        }
        Event::Token { agent, address, token: id, logprob, .. } => {
            LineEvent::Token { agent: of(agent), address, id, text, logprob }
        }
        Event::Sealed { agent, base, tokens } => LineEvent::Sealed { agent: of(agent), base, tokens },
        Event::Shared { agent, base, tokens } => LineEvent::Shared { agent: of(agent), base, tokens },
        Event::Relocated { agent, base, tokens } => LineEvent::Relocated { agent: of(agent), base, tokens },
        Event::Restored { agent, tokens, computed } => {
            LineEvent::Restored { agent: of(agent), tokens, computed }
        }
        Event::Preempted { agent } => LineEvent::Preempted { agent: of(agent) },
        Event::PagedOut { agent, pages } => {
            LineEvent::Paged { agent: of(agent), direction: Direction::Out, pages }
        }
        Event::PagedIn { agent, pages } => {
            LineEvent::Paged { agent: of(agent), direction: Direction::In, pages }
        }
        Event::PageFault { agent, base, tokens, question } => {
            LineEvent::PageFault { agent: of(agent), base, tokens, question }
        }
        Event::Replayed { agent, base, tokens } => LineEvent::Replayed { agent: of(agent), base, tokens },
        Event::Thrashing { working, pages } => LineEvent::Thrashing { working, pages },
        Event::Recalled { agent, tokens, pages, load_us } => {
            LineEvent::Recalled { agent: of(agent), tokens, pages, load_us }
        }
        Event::RecallFailed { agent, tokens, fault } => {
            LineEvent::RecallFailed { agent: of(agent), tokens, reason: fault.name() }
        }
        Event::Stored { waiting } => LineEvent::Stored { waiting },
        Event::StoreFailed { fault } => LineEvent::StoreFailed { reason: fault.name() },
        Event::StoreSlow { slow } => LineEvent::StoreSlow { slow },
        Event::Message { from, to, tokens } => LineEvent::Message { from: from.map(of), to: of(to), tokens },
        Event::Finished { agent, finish, generated } => {
            let form = form.map(Form::name);
            LineEvent::Finished { agent: of(agent), reason: finish.name(), generated, form }
        }
        Event::Faulted { agent, fault } => LineEvent::Faulted { agent: of(agent), reason: fault.name() },
        Event::Interrupt { vector, agent, latency_us } => {
            LineEvent::Interrupt { vector: vector.info().name, agent: agent.map(of), latency_us }
        }
        Event::ToolStarted { agent, number: call, attempt, .. } => {
            LineEvent::ToolStarted { agent: of(agent), call, attempt }
        }
        Event::ToolOver { agent, number: call, outcome, attempts, times } => LineEvent::ToolOver {
            agent: of(agent),
            call,
            outcome: outcome.name(),
            attempts,
            dispatch_us: times.dispatch_us,
            step_us: times.step_us,
            device_us: times.device_us,
        },
        Event::ToolReturned { agent, number: call, tokens, times, .. } => {
            LineEvent::ToolReturned { agent: of(agent), call, tokens, align_us: times.align_us }
        }
        Event::ToolResumed { agent, number: call, encode_us, .. } => {
            LineEvent::ToolResumed { agent: of(agent), call, encode_us }
        }
        Event::ToolRestored { agent, number: call, before, again, .. } => {
            LineEvent::ToolRestored { agent: of(agent), call, before, again }
        }
        Event::Lost { count } => LineEvent::Lost { count },
        Event::Booted { .. }
        | Event::State { .. }
        | Event::Killed { .. }
        | Event::StepBegun { .. }
        | Event::StepEnded { .. } => return None,
    };
    Some(Line { at_us: record.at_us, event })
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The agents, in the order of the file; those that were never spawned are not there.
    pub agents: Vec<AgentSummary>,
    /// What the sampling seeds of the file were moved by.
    pub seed: u64,
    /// From the first spawn to the end, in microseconds.
    pub time_us: u64,
    /// Time of that which steps took on the device.
    pub device_us: u64,
    /// Time of that which the kernel took itself.
    pub kernel_us: u64,
    /// Tokens generated.
    pub generated: u64,
    /// Steps of the device.
    pub steps: u64,
    /// Rows of all steps.
    pub rows: u64,
    /// Pages of page memory.
    pub l1: Tier,
    /// Pages of the arena.
    pub l2: Tier,
    /// Contextual utilisation η of all agents together.
    pub utilization: f32,
    /// Where agents found what they attend to.
    pub paging: PagingSummary,
    /// What masks added to steps; null where no agent's words were held to a form.
    pub masks: Option<MaskSummary>,
    /// The cold store; null without one.
    pub store: Option<StoreSummary>,
}

/// What masks added to the steps that had any: how long those waited for them, beside what they took. Of a device
/// that computes by itself only the wait before a step is known, and not whether it waited for masks that came later.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MaskSummary {
    /// Such steps.
    pub steps: u64,
    /// Masks that came after their step had begun.
    pub later: u64,
    /// In half of them at most, in percent.
    pub p50_percent: f32,
    /// In 99 of 100.
    pub p99_percent: f32,
}

/// Pages of a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// In all.
    pub pages: u32,
    /// In use at the most.
    pub peak: u32,
}

/// What an agent came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgentSummary {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: usize,
    /// Agents that waited for its answer, one for the next, at most.
    pub depth: u32,
    /// Why it stopped, why it was taken out of service, or "unfinished".
    pub reason: &'static str,
    /// What became of its answer, if that was to keep to a form, or of a call that it was writing when it ended: the
    /// names of [`Form`].
    pub form: Option<&'static str>,
    /// Tokens of its context.
    pub tokens: u32,
    /// Tokens that it generated.
    pub generated: u64,
    /// From its spawn to its first token; null without one.
    pub first_token_us: Option<u64>,
    /// The last cognitive latency L_c: from what last made it ready to the first token after.
    pub latency_us: u64,
    /// The worst L_c.
    pub worst_latency_us: u64,
    /// Times that it was left out of a step for more urgent ones.
    pub preemptions: u64,
    /// Tokens that were computed again.
    pub recomputed: u64,
    /// Tokens that were mapped from others instead of computed.
    pub shared: u64,
    /// Tokens whose slices it brought in from the cold store instead of computing them.
    pub recalled: u64,
    /// Tokens that were mapped from slices that others sent.
    pub relocated: u64,
    /// Pages of it in page memory at most; those that it shares count.
    pub l1_pages: u32,
    /// Pages of it in the arena at most.
    pub l2_pages: u32,
    /// Pages of it that left page memory.
    pub paged_out: u64,
    /// Pages that came back.
    pub paged_in: u64,
    /// Slices that its questions looked for and that were left out of what it attends to.
    pub faults: u64,
    /// Times that a question was computed again for their sake.
    pub replays: u64,
    /// Tokens of those questions.
    pub replayed: u64,
    /// Slices that its choices brought back after others had left them out, those that questions looked for included.
    pub returned: u64,
    /// Attention coverage: the share of its latest queries' attention, estimated over all of its context, that falls
    /// on what it attends to, on average over its choices; null without one.
    pub coverage: Option<f32>,
    /// Contextual utilisation η: rows that brought new content, of all rows.
    pub utilization: f32,
    /// What it used of what it may use.
    pub budget: BudgetUse,
}

/// What an agent used of what it may use. Null where there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetUse {
    /// Tokens generated.
    pub tokens: u64,
    /// Tokens of an answer at most.
    pub max_tokens: Option<u64>,
    /// Steps taken part in.
    pub steps: u64,
    /// Steps at most.
    pub max_steps: Option<u64>,
    /// Time since its spawn.
    pub time_us: u64,
    /// Time at most.
    pub max_time_us: Option<u64>,
}

impl AgentSummary {
    /// Of what the kernel knows of an agent of a team that ran for `time_us` and had `peak` pages at most, and of what
    /// became of its answer.
    pub fn new(agent: &Agent, rcb: &Rcb, time_us: u64, member: &Member) -> AgentSummary {
        let (peak, form) = (member.peak, member.form);
        let (metrics, budget) = (&rcb.metrics, &rcb.budget);
        let bound = |most: u64| (most != u64::MAX).then_some(most);
        AgentSummary {
            name: agent.name.clone(),
            // Its own: it may have run at a more urgent one that was lent to it.
            priority: agent.priority.level(),
            depth: member.depth,
            reason: match rcb.state {
                State::Stopped(finish) => finish.name(),
                State::Faulted(fault) => fault.name(),
                _ => "unfinished",
            },
            form: form.map(Form::name),
            tokens: rcb.tokens,
            generated: metrics.generated,
            first_token_us: (metrics.first_token_us > 0).then_some(metrics.first_token_us),
            latency_us: metrics.latency_us,
            worst_latency_us: metrics.worst_latency_us,
            preemptions: metrics.preemptions,
            recomputed: metrics.recomputed,
            shared: metrics.shared,
            recalled: metrics.recalled,
            relocated: metrics.relocated,
            l1_pages: peak.l1,
            l2_pages: peak.l2,
            paged_out: metrics.paged_out,
            paged_in: metrics.paged_in,
            faults: metrics.faults,
            replays: metrics.replays,
            replayed: metrics.replayed,
            returned: metrics.returned,
            coverage: metrics.coverage(),
            utilization: metrics.utilization(),
            budget: BudgetUse {
                tokens: metrics.generated,
                max_tokens: (budget.turn_tokens != u32::MAX).then_some(u64::from(budget.turn_tokens)),
                steps: metrics.steps,
                max_steps: bound(budget.steps),
                time_us,
                max_time_us: bound(budget.time_us),
            },
        }
    }
}
