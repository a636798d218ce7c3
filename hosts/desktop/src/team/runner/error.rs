//! Why a run ends before its agents do.

use std::path::PathBuf;

use agentos_hal::PrepareError;

use crate::team::TeamError;
use crate::team::checkpoint::CheckpointFileError;
use crate::team::tools::Mismatch;

/// Why a run ends before its agents do.
#[derive(Debug)]
pub enum RunError {
    /// The team cannot be run.
    Team(TeamError),
    /// The team's memory is more than the machine can give.
    Memory {
        /// What is needed, in bytes.
        needed: MemoryUse,
        /// Bytes that the machine can give.
        available: u64,
        /// Tokens of page memory that would fit beside the rest; `None` if none would.
        fits_l1_tokens: Option<u64>,
    },
    /// What happens cannot be told to anybody.
    Output(std::io::Error),
    /// The trace cannot be written.
    Trace {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The run cannot be kept in a file, or gone on with from one.
    Checkpoint(CheckpointFileError),
    /// The device lost its memory, and cannot be had again.
    DeviceLost {
        /// Losses since the last step that succeeded.
        losses: u32,
        /// How often it was prepared again; 0: it was not tried any more.
        tries: u32,
        /// What it said to the last try.
        error: Option<PrepareError>,
    },
    /// An agent makes another call than in the run whose results are played.
    Recording(Mismatch),
    /// The kernel has nothing to do, and agents that are not done.
    Stuck {
        /// Their names.
        agents: Vec<String>,
    },
}

/// The memory of a run, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryUse {
    /// The model's weights.
    pub weights: u64,
    /// Page memory (L1).
    pub l1: u64,
    /// The arena (L2).
    pub l2: u64,
    /// The kernel's tables.
    pub tables: u64,
    /// What else the device needs.
    pub scratch: u64,
}

impl MemoryUse {
    /// All of it.
    pub const fn total(&self) -> u64 {
        self.weights + self.l1 + self.l2 + self.tables + self.scratch
    }
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RunError::Team(error) => error.fmt(f),
            RunError::Memory { needed, available, fits_l1_tokens } => {
                write!(
                    f,
                    "the team needs {} MB for weights, {} MB of page memory (L1), {} MB for the arena (L2), {} \
                     MB of tables and {} MB of scratch, and this machine can give {} MB; ",
                    needed.weights / MEGA,
                    needed.l1 / MEGA,
                    needed.l2 / MEGA,
                    needed.tables / MEGA,
                    needed.scratch / MEGA,
                    available / MEGA
                )?;
                match fits_l1_tokens {
                    Some(tokens) => write!(f, "[memory] l1_tokens = {tokens} would fit"),
                    None => f.write_str("a smaller [memory] l2_mb or a smaller model would fit"),
                }
            }
            RunError::Output(source) => write!(f, "cannot write to standard output: {source}"),
            RunError::Trace { path, source } => {
                write!(f, "cannot write the trace {}: {source}", path.display())
            }
            RunError::Checkpoint(error) => error.fmt(f),
            RunError::Recording(mismatch) => mismatch.fmt(f),
            RunError::DeviceLost { losses, error: None, .. } => write!(
                f,
                "the device was lost {losses} times without a step between; another --backend may compute the team"
            ),
            RunError::DeviceLost { tries, error: Some(error), .. } => write!(
                f,
                "the device was lost, and after {tries} tries it cannot be prepared again: {error}; another --backend \
                 may compute the team"
            ),
            RunError::Stuck { agents } => {
                write!(f, "nothing goes on, and these agents are not done: {}", agents.join(", "))
            }
        }
    }
}

const MEGA: u64 = 1_000_000;

impl std::error::Error for RunError {}

impl From<CheckpointFileError> for RunError {
    fn from(error: CheckpointFileError) -> RunError {
        RunError::Checkpoint(error)
    }
}

impl From<Mismatch> for RunError {
    fn from(mismatch: Mismatch) -> RunError {
        RunError::Recording(mismatch)
    }
}

impl From<TeamError> for RunError {
    fn from(error: TeamError) -> RunError {
        RunError::Team(error)
    }
}
