//! Runs the program, on a model of a few kilobytes that is made here.

// Each test file uses its own part of this.
#![allow(dead_code)]

pub mod tiny;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub use tiny::Tiny;

/// A folder with a model in it.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    /// With this file as the model.
    pub fn new(model: &[u8]) -> Desk {
        let desk = Desk { folder: tempfile::tempdir().unwrap() };
        desk.put("model.gguf", model);
        desk
    }

    /// With the small model as it is by itself.
    pub fn tiny() -> Desk {
        Desk::new(&Tiny::default().gguf())
    }

    /// Writes a file.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn model(&self) -> PathBuf {
        self.path("model.gguf")
    }

    /// `agentos generate` on the model, with some text on standard input.
    pub fn generate(&self, arguments: &[&str], stdin: &str) -> Ran {
        run(command(self.folder.path(), ["generate", "--model"]).arg(self.model()).args(arguments), stdin)
    }

    /// `agentos run` of a team on the model.
    pub fn team(&self, team: &str, arguments: &[&str]) -> Ran {
        run(&mut self.team_command(team, arguments), "")
    }

    /// [`Desk::team`], not started yet.
    pub fn team_command(&self, team: &str, arguments: &[&str]) -> Command {
        self.put("team.toml", team.as_bytes());
        let mut command = self.command(["run", "team.toml", "--model"]);
        command.arg(self.model()).args(arguments);
        command
    }

    /// Any command line.
    pub fn agentos<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        run(&mut command(self.folder.path(), arguments), "")
    }

    /// A command line that is not started yet.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        command(self.folder.path(), arguments)
    }
}

/// The program, which finds no model and no hub by itself, and computes on the CPU unless it is told
/// otherwise.
fn command<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentos"));
    command.env_clear().env("AGENTOS_BACKEND", "cpu").current_dir(folder).args(arguments);
    command
}

/// What became of a run.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

pub fn run(command: &mut Command, stdin: &str) -> Ran {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    Ran::new(child.wait_with_output().unwrap())
}

impl Ran {
    fn new(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(!stderr.contains("panicked"), "{stderr}");
        Ran { code: output.status.code().expect("the program ends by itself"), stdout, stderr }
    }

    /// What it printed; it has succeeded.
    #[track_caller]
    pub fn printed(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// The JSON object that it printed.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.printed()).unwrap()
    }

    /// It has failed with this exit code and a message that has all of these parts.
    #[track_caller]
    pub fn refuses(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in {:?}", self.stderr);
        }
        assert!(self.stdout.is_empty(), "{}", self.stdout);
    }
}
