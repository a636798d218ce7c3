//! What happened: the closed list of kernel events, in a fixed ring that hosts drain.

mod log;
mod ring;

pub use ring::{EventRing, FRAME_BYTES, VACANT_RECORD, decode};

use serde::{Deserialize, Serialize};

use crate::agent::{AgentId, Fault, Finish, StateKind};
use crate::interrupt::VectorId;
use crate::memory::cold::StoreFault;
use crate::tool::{CallOutcome, CallTimes, ToolId};

/// Something that happened in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event {
    /// The kernel is ready.
    Booted {
        /// Agents that there is room for.
        agents: u16,
        /// Pages of page memory (L1).
        l1_pages: u32,
        /// Pages of the arena (L2).
        l2_pages: u32,
    },
    /// An agent was spawned or forked.
    Spawned {
        /// The agent.
        agent: AgentId,
        /// Whom it was forked from.
        parent: Option<AgentId>,
        /// Tokens of its context so far.
        tokens: u32,
    },
    /// An agent went from one state to another.
    State {
        /// The agent.
        agent: AgentId,
        /// Its state before.
        from: StateKind,
        /// Its state now.
        to: StateKind,
    },
    /// An agent's next token was chosen.
    Token {
        /// The agent.
        agent: AgentId,
        /// Its address.
        address: u32,
        /// The token.
        token: u32,
        /// Its logit.
        logit: f32,
        /// The log of its probability under the model.
        logprob: f32,
    },
    /// A slice is complete, computed and indexed.
    Sealed {
        /// The agent that completed it.
        agent: AgentId,
        /// Its first address.
        base: u32,
        /// Its tokens.
        tokens: u32,
    },
    /// A slice that another agent's tokens had made was mapped instead of computed.
    Shared {
        /// The agent.
        agent: AgentId,
        /// The slice's first address.
        base: u32,
        /// Tokens that were not computed again.
        tokens: u32,
    },
    /// A slice that another agent sent was mapped where its message came.
    Relocated {
        /// The agent.
        agent: AgentId,
        /// The slice's address there.
        base: u32,
        /// Its tokens, none of which was computed.
        tokens: u32,
    },
    /// An agent came out of a checkpoint.
    Restored {
        /// The agent, under its new name.
        agent: AgentId,
        /// Tokens of its context.
        tokens: u32,
        /// Tokens of those that need not be computed again.
        computed: u32,
    },
    /// An agent that could have gone on was left out of a step for the sake of more urgent ones.
    Preempted {
        /// The agent.
        agent: AgentId,
    },
    /// Pages left page memory for the arena.
    PagedOut {
        /// Whose they were (the agent that was evicted).
        agent: AgentId,
        /// Pages.
        pages: u32,
    },
    /// Pages came back into page memory.
    PagedIn {
        /// Who needed them.
        agent: AgentId,
        /// Pages.
        pages: u32,
    },
    /// A slice that an agent looks for was left out of what it attends to, and comes back.
    PageFault {
        /// The agent.
        agent: AgentId,
        /// The slice's first address.
        base: u32,
        /// Its tokens.
        tokens: u32,
        /// Its question looks for it and is computed again; else it comes back for what follows.
        question: bool,
    },
    /// A question is computed again, with all slices that it looks for.
    Replayed {
        /// The agent.
        agent: AgentId,
        /// The address from which on.
        base: u32,
        /// Rows that are computed again.
        tokens: u32,
    },
    /// What the running agents take turns with no longer fits page memory. Whoever waits to be admitted waits
    /// on until it does.
    Thrashing {
        /// Pages of all working sets.
        working: u32,
        /// Pages of page memory.
        pages: u32,
    },
    /// A slice came from the cold store into page memory: nobody computed it.
    Recalled {
        /// Who needed it first.
        agent: AgentId,
        /// Its tokens.
        tokens: u32,
        /// Its pages.
        pages: u32,
        /// Time from needing it to having it, in microseconds.
        load_us: u32,
    },
    /// A slice that the cold store had does not come: it is computed.
    RecallFailed {
        /// Who needed it first.
        agent: AgentId,
        /// Its tokens.
        tokens: u32,
        /// What is wrong.
        fault: StoreFault,
    },
    /// The cold store has told that a slice is durable.
    Stored {
        /// Slices that are still on their way to it.
        waiting: u32,
    },
    /// The cold store does not store a slice.
    StoreFailed {
        /// What is wrong.
        fault: StoreFault,
    },
    /// Slices are not fetched from the cold store any more, because computing them is quicker; or they are again.
    StoreSlow {
        /// Whether it is slower than computing.
        slow: bool,
    },
    /// A message arrived in an agent's context.
    Message {
        /// Who sent it; `None`: the host.
        from: Option<AgentId>,
        /// Who got it.
        to: AgentId,
        /// Tokens of it.
        tokens: u32,
    },
    /// A tool has begun with a call.
    ToolStarted {
        /// Who called.
        agent: AgentId,
        /// The call.
        number: u64,
        /// The tool.
        tool: ToolId,
        /// Which attempt it is, from 1.
        attempt: u8,
    },
    /// A call is over: the host is to return what came of it.
    ToolOver {
        /// Who called.
        agent: AgentId,
        /// The call.
        number: u64,
        /// What came of it.
        outcome: CallOutcome,
        /// Attempts that were begun.
        attempts: u8,
        /// Where its time went so far.
        times: CallTimes,
    },
    /// What a call came to is in its agent's context.
    ToolReturned {
        /// Who called.
        agent: AgentId,
        /// The call.
        number: u64,
        /// What came of it.
        outcome: CallOutcome,
        /// Tokens of the agent's context that it took.
        tokens: u32,
        /// Where its time went.
        times: CallTimes,
    },
    /// An agent has said the first token after its calls were returned: with this L_c is over (paper §5.1).
    ToolResumed {
        /// The agent.
        agent: AgentId,
        /// The call that was over last.
        number: u64,
        /// Where that call's time went.
        times: CallTimes,
        /// From the return to the token, in microseconds: encoding what came, beside others.
        encode_us: u64,
    },
    /// A call that was open when its agent was saved has a new number.
    ToolRestored {
        /// Who called.
        agent: AgentId,
        /// The call.
        number: u64,
        /// Its number when it was saved.
        before: u64,
        /// The tool.
        tool: ToolId,
        /// It is made anew; if not, it is over, and nobody knows what came of it.
        again: bool,
    },
    /// An agent is done.
    Finished {
        /// The agent.
        agent: AgentId,
        /// Why.
        finish: Finish,
        /// Tokens that it generated.
        generated: u64,
    },
    /// An agent was taken out of service.
    Faulted {
        /// The agent.
        agent: AgentId,
        /// Why.
        fault: Fault,
    },
    /// An agent was killed; its id names nothing any more.
    Killed {
        /// The agent.
        agent: AgentId,
    },
    /// An interrupt was delivered.
    Interrupt {
        /// Its vector.
        vector: VectorId,
        /// The agent concerned.
        agent: Option<AgentId>,
        /// Microseconds from posting to delivery.
        latency_us: u32,
    },
    /// The device has taken a step.
    StepBegun {
        /// The step, counted from 1.
        step: u64,
        /// Its rows.
        rows: u32,
        /// Agents in it.
        agents: u32,
    },
    /// The device has finished a step.
    StepEnded {
        /// The step.
        step: u64,
        /// Whether its report was good.
        good: bool,
        /// Time that the kernel itself took for it, in microseconds.
        kernel_us: u32,
    },
    /// Events were lost because nobody drained the ring.
    Lost {
        /// How many.
        count: u64,
    },
}

/// An event and when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record {
    /// Counts all events from 0, lost ones included.
    pub number: u64,
    /// Microseconds on the kernel's clock.
    pub at_us: u64,
    /// What happened.
    pub event: Event,
}
