//! Agents as the kernel sees them: who they are, what they are doing, and what they may use.
//!
//! * [`AgentId`]: a slot and its generation.
//! * [`State`]: what an agent is doing, and which changes are legal.
//! * [`Spec`]: what an agent declares when it is spawned.
//! * [`Rcb`]: the Reasoning Control Block (paper §2.1), all that is known of one agent.

mod id;
mod rcb;
mod spec;
mod state;

pub use id::{AgentId, NoSuchLevel, Priority};
pub use rcb::{
    AfterStep, Counted, Cursor, MOST_CALLS, MOST_WAITS, Metrics, Rcb, Received, Restoring, Resuming, Retrace,
};
pub use spec::{Admission, Budget, Capabilities, MemoryMode, OnEnd, Persist, Receive, Spec, Watchdog};
pub use state::{BlockedOn, Fault, Finish, Resume, State, StateKind, legal};
