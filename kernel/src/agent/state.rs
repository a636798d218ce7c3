//! What an agent is doing, and which changes are legal.

use serde::{Deserialize, Serialize};

use super::AgentId;

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Waits to be admitted: what it declared does not fit what is left yet.
    New,
    /// Has tokens to compute and waits for its turn.
    Ready,
    /// Rows of it are in the device's step.
    Running,
    /// Waits for something that happens elsewhere.
    Blocked(BlockedOn),
    /// Taken off the schedule until it is resumed; what it waited for may come meanwhile.
    Suspended(Resume),
    /// Done; its text can be read until it is killed.
    Stopped(Finish),
    /// Taken out of service; its text can be read until it is killed.
    Faulted(Fault),
}

/// What a blocked agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BlockedOn {
    /// A message.
    Message,
    /// The end of another agent.
    Agent(AgentId),
    /// The host: a device or a person behind it.
    Host,
    /// The return of its tool calls.
    Tool,
}

/// What a suspended agent does when it is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Resume {
    /// It goes on.
    Ready,
    /// It waits on.
    Blocked(BlockedOn),
}

/// Why an agent stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Finish {
    /// The model said that it is done.
    Stop,
    /// A budget of tokens is used up.
    Length,
    /// What it declared as its context is full.
    Context,
    /// Its watchdog found it repeating itself.
    Repetition,
    /// Its watchdog found it making no progress.
    Stalled,
    /// A budget of time or steps is used up.
    Budget,
    /// The system shut down.
    Shutdown,
}

impl Finish {
    /// The name in machine-readable output.
    pub const fn name(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
            Finish::Context => "context",
            Finish::Repetition => "repetition",
            Finish::Stalled => "stalled",
            Finish::Budget => "budget",
            Finish::Shutdown => "shutdown",
        }
    }
}

/// Why an agent was taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fault {
    /// The device failed twice on its rows, the second time with nobody else's beside them.
    Device,
    /// The device computed no number for its rows, twice.
    NotFinite,
    /// Its pages were lost with the device, and they cannot be computed again with the same result.
    PagesLost,
}

impl Fault {
    /// The name in machine-readable output.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Device => "device",
            Fault::NotFinite => "not-finite",
            Fault::PagesLost => "pages-lost",
        }
    }
}

/// A state without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StateKind {
    /// [`State::New`].
    New,
    /// [`State::Ready`].
    Ready,
    /// [`State::Running`].
    Running,
    /// [`State::Blocked`].
    Blocked,
    /// [`State::Suspended`].
    Suspended,
    /// [`State::Stopped`].
    Stopped,
    /// [`State::Faulted`].
    Faulted,
}

impl State {
    /// The state without what it carries.
    pub const fn kind(&self) -> StateKind {
        match self {
            State::New => StateKind::New,
            State::Ready => StateKind::Ready,
            State::Running => StateKind::Running,
            State::Blocked(_) => StateKind::Blocked,
            State::Suspended(_) => StateKind::Suspended,
            State::Stopped(_) => StateKind::Stopped,
            State::Faulted(_) => StateKind::Faulted,
        }
    }

    /// Whether nothing more will come of the agent.
    pub const fn is_over(&self) -> bool {
        matches!(self, State::Stopped(_) | State::Faulted(_))
    }

    /// Whether the agent has open tool calls, and goes on when they are returned.
    pub const fn waits_for_tools(&self) -> bool {
        matches!(self, State::Blocked(BlockedOn::Tool) | State::Suspended(Resume::Blocked(BlockedOn::Tool)))
    }
}

/// Whether an agent may go from one state to another.
pub const fn legal(from: StateKind, to: StateKind) -> bool {
    use StateKind::*;
    match (from, to) {
        // Over is over.
        (Stopped | Faulted, _) => false,
        // It was suspended while it waited for admission, and waits for it again.
        (Suspended, New) => true,
        (_, New) => false,
        (New, Ready | Blocked | Suspended | Stopped | Faulted) => true,
        (New, Running) => false,
        // Only the schedule makes an agent run, and a running agent leaves through a step's end.
        (Ready, Running | Blocked | Suspended | Stopped | Faulted) => true,
        (Running, Ready | Blocked | Suspended | Stopped | Faulted) => true,
        (Blocked, Ready | Blocked | Suspended | Stopped | Faulted) => true,
        (Suspended, Ready | Blocked | Suspended | Stopped | Faulted) => true,
        (Blocked | Suspended, Running) => false,
        (Ready, Ready) | (Running, Running) => false,
    }
}
