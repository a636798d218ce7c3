//! What an agent declares when it is spawned.

use serde::{Deserialize, Serialize};

use super::Priority;
use crate::sample::Sampling;
use crate::tool::ToolSet;

/// What becomes of a context that is longer than page memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryMode {
    /// Every token attends to every token before it. The whole context is resident while it runs.
    Exact,
    /// At most so many pages are attended to: the first slice, the latest ones, and the most relevant of the
    /// others. The rest is paged out when its pages are needed. Unless `packed`, results depend on the number of
    /// pages and on nothing else.
    Bounded {
        /// Pages, of `PAGE_TOKENS` tokens.
        pages: u32,
        /// Whether what is paged out may be packed (int8 per token and head) rather than kept as it is. What was
        /// packed comes back a little different, and when that happens depends on who else needs pages: so do
        /// results then.
        packed: bool,
    },
}

/// What happens when what an agent declares does not fit what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admission {
    /// It is refused, and told what would fit.
    Refuse,
    /// It waits in [`State::New`](super::State::New) until others have left. What could never fit is
    /// refused all the same.
    Wait,
}

/// What an agent does when the model says that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnEnd {
    /// It stops.
    Stop,
    /// It waits for a message.
    Listen,
    /// It goes on with what came for it while it spoke, and stops once nothing did.
    Drain,
}

/// How much of everything an agent may use. Crossing one raises an interrupt and stops the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Tokens generated since the last message or since spawn.
    pub turn_tokens: u32,
    /// Tokens generated in all.
    pub tokens: u64,
    /// Steps taken part in.
    pub steps: u64,
    /// Time since spawn in microseconds.
    pub time_us: u64,
    /// Pages pinned.
    pub pinned_pages: u32,
    /// Tool calls.
    pub calls: u32,
    /// Tokens that came from tools.
    pub tool_tokens: u32,
}

impl Budget {
    /// No bound but the context's.
    pub const UNBOUNDED: Budget = Budget {
        turn_tokens: u32::MAX,
        tokens: u64::MAX,
        steps: u64::MAX,
        time_us: u64::MAX,
        pinned_pages: 0,
        calls: u32::MAX,
        tool_tokens: u32::MAX,
    };
}

/// What an agent may do to others, and outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// It may send messages to other agents.
    pub send: bool,
    /// It may spawn and fork.
    pub spawn: bool,
    /// Tools that it may call.
    pub tools: ToolSet,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Capabilities = Capabilities { send: true, spawn: true, tools: ToolSet::ALL };
    /// Nothing.
    pub const NONE: Capabilities = Capabilities { send: false, spawn: false, tools: ToolSet::NONE };
}

/// When an agent counts as repeating itself, or as making no progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// Longest period looked for, in tokens; 0 never barks.
    pub period: u16,
    /// Times in a row that a period has to appear.
    pub repeats: u16,
    /// Most microseconds that the agent may have something to do and be in no step; `u64::MAX` never
    /// barks. Time in which it waits for others, or is suspended, does not count.
    pub stall_us: u64,
}

/// How slices of other agents come into an agent's context when they are sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receive {
    /// As tokens, which are computed behind the agent's own context: what it would have made of them.
    Copied,
    /// As slices, mapped where the message comes (see `Fidelity::Relocated`): nothing is computed, and
    /// what they say was made behind the sender's context. Only a bounded agent or one that accepts an
    /// approximation should ask for it. What cannot be mapped whole is copied.
    Mapped,
}

/// What of an agent's context outlives it in the cold store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Persist {
    /// Nothing.
    Nothing,
    /// Its slices, bit for bit, for whoever has the same tokens later; of a bounded agent, for whoever has the same quota
    /// and is asked at the same places too.
    Exact,
    /// Its slices, which the store may pack, for whoever has the same tokens later and accepts that
    /// ([`Spec::packed`]). The first one stays as it is: all that comes behind it attends to it most.
    Packed,
}

impl Watchdog {
    /// Never barks.
    pub const OFF: Watchdog = Watchdog { period: 0, repeats: 0, stall_us: u64::MAX };
}

/// What an agent declares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// How urgent it is.
    pub priority: Priority,
    /// Most tokens that its context will ever have, prompt and answers.
    pub context: u32,
    /// What becomes of what does not fit page memory.
    pub memory: MemoryMode,
    /// What happens when it does not fit now.
    pub admission: Admission,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What it may use.
    pub budget: Budget,
    /// What it may do.
    pub capabilities: Capabilities,
    /// When it counts as repeating itself.
    pub watchdog: Watchdog,
    /// What it does when the model is done.
    pub on_end: OnEnd,
    /// How slices of others come into its context.
    pub receive: Receive,
    /// The host's [`Guard`](crate::guard::Guard) says what its next token may be.
    pub guarded: bool,
    /// What of its context outlives it.
    pub persist: Persist,
    /// Slices that were packed, and what was computed behind such, may stand for what it would have computed itself
    /// (`Fidelity::Packed`): it need not compute them, and its results depend on what is found.
    pub packed: bool,
    /// A number that the host knows it by, carried and never read.
    pub tag: u64,
}
