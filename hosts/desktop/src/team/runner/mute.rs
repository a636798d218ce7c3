//! Agents of the runner's own, which no file declares: each computes a context and says nothing.

use agentos_hal::Clock;
use agentos_kernel::agent::{
    Admission, AgentId, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::sample::Sampling;

use super::run::Runner;

/// What such an agent is to do. It has room of its own (see `size`), or is refused.
pub(super) struct Mute<'c> {
    /// How urgent it is.
    pub(super) priority: Priority,
    /// The tokens that it computes.
    pub(super) context: &'c [u32],
    /// How long that may take, in microseconds.
    pub(super) time_us: u64,
    /// Slices that were packed may stand for what it would compute.
    pub(super) packed: bool,
}

impl Runner<'_> {
    /// Spawns an agent that says nothing and waits once its context is computed. Its name is one that no agent of a file
    /// has.
    ///
    /// # Errors
    /// Those of a spawn.
    pub(super) fn spawn_mute(&mut self, mute: &Mute<'_>, name: &str) -> Result<AgentId, CallError> {
        let spec = Spec {
            priority: mute.priority,
            context: u32::try_from(mute.context.len()).unwrap_or(u32::MAX),
            memory: MemoryMode::Exact,
            admission: Admission::Refuse,
            sampling: Sampling::GREEDY,
            budget: Budget { turn_tokens: 0, time_us: mute.time_us, ..Budget::UNBOUNDED },
            capabilities: Capabilities::NONE,
            watchdog: Watchdog::OFF,
            on_end: OnEnd::Listen,
            receive: Receive::Copied,
            guarded: false,
            persist: Persist::Nothing,
            packed: mute.packed,
            tag: self.team.agents.len() as u64,
        };
        let call = Call::Spawn(spec, Tokens(&bytes_of(mute.context)));
        let Reply::Agent(id) = self.kernel.call(None, &call, self.clock.now().micros)? else {
            unreachable!("a spawn is answered with a name")
        };
        self.names.insert(id, name);
        self.slots[usize::from(id.index)] = None;
        Ok(id)
    }
}

/// Tokens as the kernel takes them.
pub(super) fn bytes_of(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}
