//! Why a checkpoint is not written or not read.

use agentos_hal::PageError;

use crate::memory::admit::Unfit;

/// Why a checkpoint is not written or not read. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CheckpointError {
    /// Nobody has begun one by a system call.
    NotBegun,
    /// The bytes do not begin as a checkpoint does.
    NotACheckpoint,
    /// It was written in another version of the format.
    Version {
        /// Its version.
        found: u16,
        /// The version that would be read.
        expected: u16,
    },
    /// It is not whole, or not as it was written.
    Damaged {
        /// The first byte that makes no sense; `None`: the checksum alone tells.
        at: Option<usize>,
    },
    /// It belongs to another model, tokenizer or layout of memory.
    Foreign {
        /// What differs.
        what: &'static str,
    },
    /// Fewer agents would fit.
    AgentsFull {
        /// Agents in it.
        agents: u16,
        /// Places that are free.
        free: u16,
    },
    /// An agent of it declares more than the system's sizes allow.
    TooLarge {
        /// The agent's number in the checkpoint.
        agent: u16,
        /// Of what.
        what: &'static str,
        /// How much.
        found: u32,
        /// How much would fit.
        fits: u32,
    },
    /// An agent of it does not fit what is left.
    Unfit {
        /// The agent's number in the checkpoint.
        agent: u16,
        /// Why.
        unfit: Unfit,
    },
    /// A page could not be moved.
    Page(PageError),
}

impl core::fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CheckpointError::NotBegun => f.write_str("no checkpoint was begun by a system call"),
            CheckpointError::NotACheckpoint => f.write_str("this is no checkpoint"),
            CheckpointError::Version { found, expected } => write!(
                f,
                "the checkpoint has version {found} of the format and this kernel reads version {expected}"
            ),
            CheckpointError::Damaged { at: None } => {
                f.write_str("the checkpoint is damaged or incomplete: its checksum does not fit")
            }
            CheckpointError::Damaged { at: Some(at) } => {
                write!(f, "the checkpoint makes no sense from byte {at} on")
            }
            CheckpointError::Foreign { what } => {
                write!(f, "the checkpoint was made with another {what} than this system has")
            }
            CheckpointError::AgentsFull { agents, free } => {
                write!(f, "the checkpoint has {agents} agents and {free} would fit")
            }
            CheckpointError::TooLarge { agent, what, found, fits } => {
                write!(f, "agent number {agent} of the checkpoint has {found} {what}; {fits} would fit")
            }
            CheckpointError::Unfit { agent, unfit } => {
                write!(f, "agent number {agent} of the checkpoint does not fit: {unfit}")
            }
            CheckpointError::Page(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CheckpointError {}

impl From<PageError> for CheckpointError {
    fn from(error: PageError) -> Self {
        CheckpointError::Page(error)
    }
}
