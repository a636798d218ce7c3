//! Starting other programs, and why that fails.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// The checkout that the chores work on.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its top folder.
    pub root: PathBuf,
}

impl Repository {
    /// The checkout that this program was started from, wherever below it the user stands.
    pub fn find() -> Repository {
        // Cargo tells where this crate is now; where it was when it was built serves a direct start.
        let here =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&here).parent().expect("this crate lies in a folder of the checkout").to_owned();
        Repository { root }
    }

    /// A cargo command in the top folder, with nothing to read.
    pub fn cargo(&self, args: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        command
    }
}

/// Why a chore did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// A program is not on this machine, or cannot be started.
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended with an error, and has said why.
    Exit {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program did not say what it should have.
    Answer {
        /// The program and its arguments.
        command: String,
        /// What was expected of it.
        expected: &'static str,
    },
    /// A file or folder cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The chore looked at something and found it wrong.
    Found(String),
    /// The chore has printed what it found, and nothing is to follow its last line.
    Told,
}

impl Failure {
    /// The code to end with: the program's own where there is one.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Exit { status, .. } => {
                let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|&code| code != 0);
                ExitCode::from(code.unwrap_or(1))
            }
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Start { program, source } if source.kind() == io::ErrorKind::NotFound => {
                write!(f, "there is no program {program} on this machine; {}", remedy(program))
            }
            Failure::Start { program, source } => write!(f, "cannot start {program}: {source}"),
            Failure::Exit { command, status } => write!(f, "`{command}` failed: {status}"),
            Failure::Answer { command, expected } => {
                write!(f, "`{command}` ended well, but its output has no {expected}")
            }
            Failure::File { path, source } => write!(f, "{}: {source}", path.display()),
            Failure::Found(what) => f.write_str(what),
            Failure::Told => f.write_str("as told above"),
        }
    }
}

fn remedy(program: &str) -> &'static str {
    match Path::new(program).file_stem().and_then(|name| name.to_str()) {
        Some("cargo" | "rustc" | "rustup") => "install Rust with rustup and see that ~/.cargo/bin is in PATH",
        Some("git") => "install git: it says which files belong to the repository",
        _ => "see that it is installed and in PATH",
    }
}

/// The command as a person would type it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let args = command.get_args().map(|arg| arg.to_string_lossy());
    std::iter::once(name.to_string_lossy()).chain(args).collect::<Vec<_>>().join(" ")
}

/// Why `command` could not be started.
pub fn not_started(command: &Command, source: io::Error) -> Failure {
    Failure::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}

/// Runs to the end, with this program's output.
///
/// # Errors
/// [`Failure::Start`], [`Failure::Exit`].
pub fn succeed(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|source| not_started(command, source))?;
    judge(command, status)
}

/// Runs to the end and keeps what it wrote to its output; errors go to this program's.
///
/// # Errors
/// [`Failure::Start`], [`Failure::Exit`].
pub fn output_of(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let (output, status) = output_and_status(command)?;
    judge(command, status)?;
    Ok(output)
}

/// Runs to the end, well or not, and keeps what it wrote to its output; errors go to this program's.
///
/// # Errors
/// [`Failure::Start`].
pub fn output_and_status(command: &mut Command) -> Result<(Vec<u8>, ExitStatus), Failure> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|source| not_started(command, source))?;
    Ok((output.stdout, output.status))
}

/// Whether a program that has ended ended well.
///
/// # Errors
/// [`Failure::Exit`].
pub fn judge(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() { Ok(()) } else { Err(Failure::Exit { command: shown(command), status }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_cargo_is_told_with_a_remedy() {
        let mut command = Command::new("/nowhere/cargo");
        let message = succeed(&mut command).unwrap_err().to_string();
        assert!(message.contains("no program /nowhere/cargo"), "{message}");
        assert!(message.contains("rustup"), "{message}");
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--workspace"]);
        assert_eq!(shown(&command), "cargo test --workspace");
    }

    #[cfg(unix)]
    #[test]
    fn the_exit_code_passes_through() {
        let failure = succeed(Command::new("sh").args(["-c", "exit 7"])).unwrap_err();
        assert_eq!(failure.exit_code(), ExitCode::from(7));
        let killed = succeed(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap_err();
        assert_eq!(killed.exit_code(), ExitCode::from(1));
    }
}
