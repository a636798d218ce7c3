//! Why a team's checkpoint is not written or read.

use std::path::PathBuf;

use agentos_kernel::call::CallError;
use agentos_kernel::checkpoint::CheckpointError;

use super::journal;

/// Why a checkpoint is not written or read, and which.
#[derive(Debug)]
pub struct CheckpointFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a checkpoint.
#[derive(Debug)]
pub enum Problem {
    /// The file cannot be read.
    Read(std::io::Error),
    /// The file cannot be written.
    Write(std::io::Error),
    /// The file is longer than any checkpoint of this team.
    TooLong {
        /// Bytes that would fit.
        limit: u64,
    },
    /// The calls that were begun behind it cannot be read or noted.
    Journal(std::io::Error),
    /// It is something else.
    NotACheckpoint,
    /// It was written in another version of the format.
    Version {
        /// Its version.
        found: u16,
        /// The version that would be read.
        expected: u16,
    },
    /// It is not whole, or not as it was written.
    Damaged,
    /// It was made of another team file, or of this one before it was changed.
    OtherTeam,
    /// It was made in a run with another `--replay`.
    OtherReplay {
        /// The seed of that run.
        found: Option<u64>,
    },
    /// What it says of agents does not fit what the kernel says.
    Contradiction,
    /// The kernel refuses it, or the call for it.
    Kernel(CheckpointError),
    /// The kernel does nothing of the kind now.
    Call(CallError),
}

impl std::fmt::Display for CheckpointFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Read(source) => write!(f, "cannot read the checkpoint {path}: {source}"),
            Problem::Write(source) => write!(f, "cannot write the checkpoint {path}: {source}"),
            Problem::Journal(source) => write!(
                f,
                "cannot read or write {}, which says what calls were begun after the checkpoint {path}: {source}; \
                 without that file it would go on, and might make them again",
                journal::beside(&self.path).display()
            ),
            Problem::TooLong { limit } => {
                write!(f, "{path} is longer than the {limit} bytes that a checkpoint of this team can have")
            }
            Problem::NotACheckpoint => write!(f, "{path} is no checkpoint of a team"),
            Problem::Version { found, expected } => write!(
                f,
                "the checkpoint {path} has version {found} of the format; version {expected} would be read"
            ),
            Problem::Damaged => write!(f, "the checkpoint {path} is damaged or incomplete"),
            Problem::OtherTeam => write!(
                f,
                "the checkpoint {path} was made of another team file than this, or before this one was changed"
            ),
            Problem::OtherReplay { found: Some(seed) } => {
                write!(f, "the checkpoint {path} was made with --replay {seed}; the same would fit")
            }
            Problem::OtherReplay { found: None } => {
                write!(f, "the checkpoint {path} was made without --replay; leave it out")
            }
            Problem::Contradiction => write!(f, "the checkpoint {path} contradicts itself"),
            Problem::Kernel(error) => write!(f, "the checkpoint {path}: {error}"),
            Problem::Call(error) => write!(f, "the checkpoint {path}: {error}"),
        }
    }
}

impl std::error::Error for CheckpointFileError {}
