//! What the host and a warden tell each other.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::grant::CommandGrant;

/// What a command may use. Limits of a process hold for each of its processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// How long it may take.
    pub wall: Duration,
    /// Processor time of a process, in seconds.
    pub processor_s: u64,
    /// Address space of a process, in bytes.
    pub memory_bytes: u64,
    /// Size of a file that it writes, in bytes.
    pub file_bytes: u64,
    /// Files that a process has open.
    pub open_files: u64,
    /// Processes at once, the command's own with them (Linux).
    pub processes: usize,
    /// Bytes that it writes to its output, and to its errors.
    pub output_bytes: usize,
}

impl Default for RunLimits {
    fn default() -> RunLimits {
        RunLimits {
            wall: Duration::from_secs(20),
            processor_s: 10,
            memory_bytes: 1 << 30,
            file_bytes: 64 << 20,
            open_files: 128,
            processes: 32,
            output_bytes: 64 << 10,
        }
    }
}

impl RunLimits {
    /// The limit whose signal it is.
    pub(super) fn cause(&self, signal: i32) -> String {
        match signal {
            _ if signal == Signal::XCPU.as_raw() => {
                format!(" (more than {} s of processor time)", self.processor_s)
            }
            _ if signal == Signal::XFSZ.as_raw() => {
                format!(" (a file of more than {} bytes)", self.file_bytes)
            }
            _ => String::new(),
        }
    }
}

/// What the first line that a warden's program reads has it be: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// The warden of a command.
    Guard(Spec),
    /// The command.
    Command(Spec),
}

impl Role {
    /// # Errors
    /// A path that was granted is no UTF-8.
    pub fn line(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spec {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub folder: PathBuf,
    pub environment: Vec<(String, String)>,
    pub limits: RunLimits,
}

impl Spec {
    pub fn new(command: &CommandGrant, arguments: &[&str], limits: RunLimits) -> Spec {
        let before = command.before.iter().cloned();
        Spec {
            program: command.program.clone(),
            arguments: before.chain(arguments.iter().map(|&argument| argument.to_owned())).collect(),
            folder: command.folder.clone(),
            environment: environment(&command.folder),
            limits,
        }
    }
}

/// What a command finds in its environment: nothing of the host's.
fn environment(folder: &Path) -> Vec<(String, String)> {
    [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8"), ("HOME", &folder.to_string_lossy())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Exited(i32),
    Signal(i32),
    Time,
    Output,
    Processes,
    #[default]
    GivenUp,
    NotStarted(String),
}

/// Where a command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Output,
    Errors,
}

/// What a warden tells at the end: one line of JSON, behind a line with the number of the command's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub end: End,
    pub output: String,
    pub errors: String,
}

impl Report {
    /// The longest that it can be: every byte may be replaced by three, or written as `\u0000`.
    pub fn most_bytes(output_bytes: usize) -> u64 {
        12 * output_bytes as u64 + (64 << 10)
    }

    /// What was written to a stream.
    pub fn of(&mut self, stream: Stream) -> &mut String {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Errors => &mut self.errors,
        }
    }

    /// What the command wrote, errors apart.
    pub fn text(&self) -> String {
        match (self.output.as_str(), self.errors.as_str()) {
            (output, "") => output.to_owned(),
            ("", errors) => format!("[errors]\n{errors}"),
            (output, errors) => format!("{output}\n[errors]\n{errors}"),
        }
    }
}
