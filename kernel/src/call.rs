//! System calls: what agents and hosts may ask of the kernel, and what it answers. All of it can be
//! encoded with postcard; tokens travel as little-endian words, borrowed.

use serde::{Deserialize, Serialize};

use crate::agent::{AgentId, Budget, Metrics, Priority, Spec, State};
use crate::checkpoint::Contents;
use crate::memory::admit::Unfit;
use crate::tool::Request;

/// Tokens as they travel: four bytes each, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens<'a>(#[serde(borrow)] pub &'a [u8]);

impl<'a> Tokens<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts each of them into a place, as far as there are places.
    pub fn copy_to(&self, places: &mut [u32]) {
        for (place, token) in places.iter_mut().zip(self.iter()) {
            *place = token;
        }
    }

    /// Each of them; bytes behind the last whole token are none.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// A part of one agent's context for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward<'a> {
    /// Whose context it is.
    pub from: AgentId,
    /// Its first address.
    pub start: u32,
    /// One past its last.
    pub end: u32,
    /// Who gets it.
    pub to: AgentId,
    /// Tokens that go before it.
    #[serde(borrow)]
    pub before: Tokens<'a>,
    /// Tokens that go after it. Without any, the last slice is copied even where slices are to be
    /// mapped, because the row of the last token has to be computed.
    #[serde(borrow)]
    pub after: Tokens<'a>,
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call<'a> {
    /// A new agent with a context of these tokens. [`Reply::Agent`].
    Spawn(Spec, #[serde(borrow)] Tokens<'a>),
    /// An agent that goes on from where another is, under its own name and seed. Copies no page.
    /// [`Reply::Agent`].
    Fork(AgentId, Spec),
    /// Ends an agent and forgets it. [`Reply::Done`].
    Kill(AgentId),
    /// Takes an agent off the schedule: one whose step is under way, at the end of it, unless it ends its answer
    /// with that step and stops. [`Reply::Done`].
    Suspend(AgentId),
    /// Puts it back; [`CallError::State`] for one that was not put aside. [`Reply::Done`].
    Resume(AgentId),
    /// Appends tokens to an agent's context: at once when it rests, else at the end of its answer.
    /// [`Reply::Done`].
    Send(AgentId, #[serde(borrow)] Tokens<'a>),
    /// Sends a part of one agent's context to another, as the receiver declared that it wants it (see
    /// [`crate::agent::Receive`]). [`Reply::Done`].
    Forward(#[serde(borrow)] Forward<'a>),
    /// An agent calls a tool: it is blocked until all its calls are returned; [`CallError::State`] while its step is
    /// under way, or an answer to what it was asked, and for one that is not admitted. [`Reply::Call`].
    Invoke(AgentId, Request),
    /// The host returns what a tool call came to. The calls of an agent are returned in the order in which
    /// they were made. [`Reply::Done`].
    Return {
        /// The number of the call.
        call: u64,
        /// What the agent reads of it.
        #[serde(borrow)]
        tokens: Tokens<'a>,
        /// Whether the output was of the form that the tool declares; if not, SIG_PERCEPTION_ERR is raised.
        fits: bool,
    },
    /// The agent waits for the end of the other. [`Reply::Done`].
    Wait(AgentId, AgentId),
    /// Changes an agent's priority. [`Reply::Done`].
    SetPriority(AgentId, Priority),
    /// Keeps the slices that a range of addresses touches in page memory, or lets them go again.
    /// [`Reply::Done`].
    Pin {
        /// The agent.
        agent: AgentId,
        /// The first address.
        start: u32,
        /// One past the last.
        end: u32,
        /// Whether to keep them.
        keep: bool,
    },
    /// A bounded agent attends no more to the slices that a range of addresses touches; [`CallError::State`] while its
    /// step is under way, or slices of it come from the store. [`Reply::Done`].
    Forget {
        /// The agent.
        agent: AgentId,
        /// The first address.
        start: u32,
        /// One past the last.
        end: u32,
    },
    /// Changes what an agent may use. [`Reply::Done`].
    SetBudget(AgentId, Budget),
    /// Writes an agent, or with `None` all of them, into a checkpoint. From here on no step begins and
    /// nothing but [`Call::Stat`] is done until the host has read it to its end with
    /// `Kernel::read_checkpoint`, or gives it up with `Kernel::end_transfer`. [`Reply::Done`].
    Checkpoint(Option<AgentId>, Contents),
    /// Makes agents of a checkpoint. From here on it is as with [`Call::Checkpoint`] until the host has
    /// handed it over with `Kernel::write_checkpoint`. [`Reply::Done`].
    Restore,
    /// What an agent is doing. [`Reply::Stat`].
    Stat(AgentId),
}

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stat {
    /// Its name.
    pub agent: AgentId,
    /// The host's number.
    pub tag: u64,
    /// Its state.
    pub state: State,
    /// Its own priority.
    pub priority: Priority,
    /// The priority that it runs at.
    pub effective: Priority,
    /// Tokens of its context.
    pub tokens: u32,
    /// Tokens of those that are computed.
    pub computed: u32,
    /// Slices that it maps.
    pub slices: u32,
    /// Pages of it that are in page memory.
    pub l1_pages: u32,
    /// Pages of it that are in the arena.
    pub l2_pages: u32,
    /// Pages promised to it.
    pub reserved: u32,
    /// What it used and saw.
    pub metrics: Metrics,
}

/// What a system call answers.
#[expect(clippy::large_enum_variant, reason = "there is no heap, and one reply at a time")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// An agent's name.
    Agent(AgentId),
    /// The number of a tool call.
    Call(u64),
    /// What an agent is doing.
    Stat(Stat),
}

/// Why a system call is refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CallError {
    /// There is no such agent (any more).
    NoAgent(AgentId),
    /// Every slot is taken.
    AgentsFull {
        /// Slots that there are.
        slots: u16,
    },
    /// What it declares does not fit.
    Unfit(Unfit),
    /// There is nothing to go on from; at least one token is needed.
    Empty,
    /// A token is not in the vocabulary.
    Token {
        /// Its index among those given.
        index: usize,
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// Tokens do not fit.
    TooLong {
        /// Tokens given.
        tokens: usize,
        /// Tokens that would fit.
        fits: usize,
    },
    /// An agent's declared context is longer than any may be.
    Context {
        /// Tokens declared.
        declared: u32,
        /// The most that would be accepted.
        most: u32,
    },
    /// A sampling parameter is not in its range.
    Sampling(crate::sample::SamplingError),
    /// The agent is over, or not in a state for this.
    State {
        /// The agent.
        agent: AgentId,
        /// What it is doing.
        state: State,
    },
    /// The two would wait for each other.
    Cycle {
        /// The agent that waits already.
        waiting: AgentId,
    },
    /// An agent waits for too many others.
    Waits {
        /// For how many it may wait.
        most: usize,
    },
    /// More pages would be pinned than the agent, or the system, may.
    Pins {
        /// Pages that would be pinned.
        pages: u32,
        /// Pages that may be.
        most: u32,
    },
    /// The agent attends to all of its context.
    NotBounded {
        /// The agent.
        agent: AgentId,
    },
    /// A part of a context is empty, or not within it.
    Range {
        /// The first address.
        start: u32,
        /// One past the last.
        end: u32,
        /// Tokens of the context.
        tokens: u32,
    },
    /// Too many tool calls are open.
    Depth {
        /// Calls of the agent that are open.
        open: usize,
        /// Calls of an agent that may be.
        most: usize,
    },
    /// There is no such tool call (any more).
    NoCall {
        /// Its number.
        number: u64,
    },
    /// The tool call is under way.
    NotOver {
        /// Its number.
        number: u64,
    },
    /// An earlier tool call of the agent has to be returned first.
    Order {
        /// The call.
        number: u64,
        /// The one that comes first.
        first: u64,
    },
    /// A checkpoint is being read or written.
    Held,
    /// The caller may not do this.
    NotPermitted {
        /// What it lacks.
        capability: &'static str,
    },
    /// The system is shutting down.
    Shutdown,
}

impl core::fmt::Display for CallError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CallError::NoAgent(id) => write!(f, "there is no agent {id} (any more)"),
            CallError::AgentsFull { slots } => {
                write!(f, "all {slots} places for agents are taken; kill one that is done, or boot with more")
            }
            CallError::Unfit(unfit) => unfit.fmt(f),
            CallError::Empty => f.write_str("there are no tokens; at least one is needed"),
            CallError::Token { index, token, vocab } => {
                write!(f, "token {token} at index {index} is not in the vocabulary of {vocab} tokens")
            }
            CallError::TooLong { tokens, fits } => write!(f, "{tokens} tokens do not fit; {fits} would"),
            CallError::Context { declared, most } => {
                write!(f, "a context of {declared} tokens was declared; at most {most} would be accepted")
            }
            CallError::Sampling(error) => error.fmt(f),
            CallError::State { agent, state } => write!(f, "agent {agent} is {:?}", state.kind()),
            CallError::Cycle { waiting } => write!(f, "agent {waiting} already waits for this one"),
            CallError::Waits { most } => write!(f, "an agent can wait for {most} others at most"),
            CallError::Pins { pages, most } => {
                write!(f, "{pages} pages would be pinned; at most {most} may be")
            }
            CallError::NotBounded { agent } => {
                write!(f, "agent {agent} attends to all of its context; a bounded one would not have to")
            }
            CallError::Range { start, end, tokens } => {
                write!(f, "addresses {start} to {end} are no part of a context of {tokens} tokens")
            }
            CallError::Depth { open, most } => {
                write!(
                    f,
                    "{open} tool calls of the agent are open; {most} may be, as far as the system has room"
                )
            }
            CallError::NoCall { number } => write!(f, "there is no tool call {number} (any more)"),
            CallError::NotOver { number } => write!(f, "tool call {number} is under way"),
            CallError::Order { number, first } => {
                write!(f, "tool call {number} cannot be returned before {first}, which was made before it")
            }
            CallError::Held => {
                f.write_str("a checkpoint is being read or written; try again when it is done")
            }
            CallError::NotPermitted { capability } => {
                write!(f, "the caller lacks the capability {capability}")
            }
            CallError::Shutdown => f.write_str("the system is shutting down"),
        }
    }
}

impl core::error::Error for CallError {}

impl From<Unfit> for CallError {
    fn from(unfit: Unfit) -> Self {
        CallError::Unfit(unfit)
    }
}

impl From<crate::sample::SamplingError> for CallError {
    fn from(error: crate::sample::SamplingError) -> Self {
        CallError::Sampling(error)
    }
}
