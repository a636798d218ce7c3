//! `cargo xtask model`: gets the default model.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::agentos;
use crate::process::{Failure, Repository, output_of, succeed};

/// Builds `agentos` and runs its `model` command.
///
/// # Errors
/// Those of [`agentos::build`] and of starting it.
pub fn model(repository: &Repository, args: &[OsString]) -> Outcome {
    let program = agentos::build(repository)?;
    let mut command = Command::new(program);
    command.arg("model").args(args);
    Err(agentos::become_it(command))
}

/// Sees that the default model is on this machine. Progress goes to our errors; the path, to which
/// the command's output amounts, to nowhere.
///
/// # Errors
/// [`Failure::Start`], [`Failure::Exit`]: `agentos` has said why, and
/// what to do.
pub fn ensure(program: &Path) -> Outcome {
    let mut command = Command::new(program);
    command.arg("model").stdin(Stdio::null()).stdout(Stdio::null());
    succeed(&mut command)
}

/// Where the default model is, which the program gets if it is not there.
///
/// # Errors
/// As [`ensure`].
pub fn path(program: &Path) -> Result<PathBuf, Failure> {
    let path = output_of(Command::new(program).arg("model"))?;
    Ok(PathBuf::from(String::from_utf8_lossy(&path).trim()))
}
