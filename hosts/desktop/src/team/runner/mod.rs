//! A team on a kernel, from its openings to its summary.
//!
//! * [`Plan`]: what the agents open with and declare. [`config`]: the memory that they get.
//! * [`Machine`]: what computes, and where its model comes from when it was lost.
//! * [`Runner`]: spawns agents, ticks the kernel, tells a [`Sink`](super::sink::Sink) what happens.
//! * [`Roster`]: how far the team has come, as plain data.
//! * [`RunClock`]: the time, or that of a replay.
//! * [`Saving`]: keeping a run in a file, so that it can be gone on with.
//!
//! What happens when is a matter of the kernel. What this adds: an agent that waits for others is spawned
//! when they are done, with their answers in its opening, and lends them its priority until then; an agent that
//! is given passages as they were computed is sent them before it speaks; one that is on call is spawned for whoever
//! asks it; and a long result is read before its agent has it.

mod around;
mod clock;
mod error;
mod gather;
mod lend;
mod machine;
mod masks;
mod memory;
mod mute;
mod nested;
mod plan;
mod plausible;
mod reading;
mod roster;
mod run;
mod save;
mod size;
mod spoken;
mod summary;
mod tools;

pub use clock::RunClock;
pub use error::{MemoryUse, RunError};
pub use machine::Machine;
pub use plan::{Kit, Plan, Planned, Sent};
pub use roster::{AskedBy, Member, Phase, Roster, Tiers};
pub use run::{Ending, Flow, Runner, Stop, Tooling};
pub use save::Saving;
pub use size::{DEFAULT_L1_TOKENS, DEFAULT_L2_BYTES, config, default_config};
pub use spoken::SPOKEN_TOKENS;
