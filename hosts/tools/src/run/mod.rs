//! The tool `run`: granted commands, without a shell, and with nothing of them left when a call is over.
//!
//! Between the host and a command stands a process of its own, the [`warden`]: it adopts whatever the command
//! leaves behind, so that it can end it. It ends all of it when the command ends, when a limit is reached, when
//! the host gives up the call, and when the host itself is gone. The process that becomes the command takes the
//! limits on itself first, so that the command never has less of them, and waits until the host knows its number.
//!
//! What this covers: all processes that descend from the command, also those that made themselves a session or
//! a group of their own, or lost their parents (on Linux; elsewhere, those that stayed in the command's group).
//! What it does not: what left the command's group, when a command has the right to kill the warden and does so;
//! the group itself the host ends. And what the operating system lets its user reach; a grant decides which
//! programs there are.

mod spec;
mod start;
mod tree;
pub mod warden;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::grant::{CommandGrant, Grant};
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;
use crate::worker::Function;

pub use spec::RunLimits;
use spec::{End, Report, Role, Spec};

/// How the warden is started: a program that calls [`warden::serve`] when it gets these arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warden {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// How long a warden may take to end what it started.
const ENDING: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody gave up.
const LOOK: Duration = Duration::from_millis(10);

/// The tool `run`.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn run(grant: Grant, limits: RunLimits, warden: Warden, pool: &Pool) -> Result<Tool, SchemaError> {
    crate::worker::tool(descriptor(&grant, &limits), Run { grant, limits, warden }, pool)
}

struct Run {
    grant: Grant,
    limits: RunLimits,
    warden: Warden,
}

impl Run {
    fn permitted<'v>(&self, call: &'v Value) -> Result<(&CommandGrant, Vec<&'v str>), ToolFailure> {
        let command = call["command"].as_str().unwrap_or_default();
        let given = call.get("arguments").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let arguments: Vec<&str> = given.iter().filter_map(Value::as_str).collect();
        let command = self.grant.command(command, &arguments).map_err(ToolFailure::refused)?;
        Ok((command, arguments))
    }
}

impl Function for Run {
    fn check(&self, arguments: &Value) -> Result<(), ToolFailure> {
        self.permitted(arguments).map(drop)
    }

    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        let (command, arguments) = self.permitted(arguments)?;
        let spec = Spec::new(command, &arguments, self.limits);
        let broke = |error: io::Error| ToolFailure::Failed(format!("the warden cannot be started: {error}"));
        let mut guarded = Guarded::start(&self.warden, spec).map_err(broke)?;
        let report = guarded.report(self.limits.wall + ENDING, stop);
        outcome(&command.name, &self.limits, report)
    }
}

/// A warden at work. Nothing of it is left when this is dropped.
struct Guarded {
    warden: Child,
    answers: Receiver<String>,
    /// The command's process: it is known before the command begins.
    command: Option<u32>,
}

impl Guarded {
    fn start(warden: &Warden, spec: Spec) -> io::Result<Guarded> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(&warden.program);
        command.args(&warden.arguments).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // What a terminal sends to the host is not meant for what it runs.
        command.process_group(0);
        let (send, answers) = channel();
        let most = Report::most_bytes(spec.limits.output_bytes);
        let line = Role::Guard(spec).line()?;
        let mut guarded = Guarded { warden: command.spawn()?, answers, command: None };
        if let Some(output) = guarded.warden.stdout.take() {
            std::thread::Builder::new().name("warden".to_owned()).spawn(move || {
                let mut lines = BufReader::new(output.take(most)).lines().map_while(Result::ok);
                let _gone = lines.try_for_each(|line| send.send(line));
            })?;
        }
        if let Some(input) = &mut guarded.warden.stdin {
            input.write_all(line.as_bytes())?;
        }
        Ok(guarded)
    }

    /// What the warden reports; none when it is gone, or takes longer than it ever does.
    fn report(&mut self, at_most: Duration, stop: &Stop) -> Option<Report> {
        let mut deadline = Instant::now() + at_most;
        loop {
            match self.answers.recv_timeout(LOOK) {
                Ok(line) if self.command.is_none() => {
                    self.command = Some(line.trim().parse().ok()?);
                    self.answer();
                }
                Ok(line) => return serde_json::from_str(&line).ok(),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => (),
            }
            if stop.is_raised() && self.warden.stdin.take().is_some() {
                // It hears that its input ends, and ends the command.
                deadline = deadline.min(Instant::now() + ENDING);
            }
            if Instant::now() > deadline {
                return None;
            }
        }
    }
}

impl Guarded {
    /// Lets the command begin.
    fn answer(&mut self) {
        if let Some(input) = &mut self.warden.stdin {
            // A warden that is gone tells nothing more, which is noticed.
            let _gone = input.write_all(b"\n");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let deadline = Instant::now() + ENDING;
        while Instant::now() < deadline {
            if !matches!(self.warden.try_wait(), Ok(None)) {
                return self.end_command();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _gone = self.warden.kill();
        let _reaped = self.warden.wait();
        self.end_command();
    }
}

impl Guarded {
    /// Ends what a warden that was killed could not.
    fn end_command(&mut self) {
        let clean = matches!(self.warden.try_wait(), Ok(Some(status)) if status.success());
        if let Some(command) = self.command.take().filter(|_| !clean) {
            tree::end_group(command);
        }
    }
}

fn outcome(name: &str, limits: &RunLimits, report: Option<Report>) -> Result<Vec<u8>, ToolFailure> {
    let Some(report) = report else {
        return Err(ToolFailure::Failed(format!("{name}: its warden went away, and the command with it")));
    };
    let why = match &report.end {
        End::Exited(0) => return Ok(report.text().into_bytes()),
        End::Exited(status) => format!("{name} ended with status {status}"),
        End::Signal(signal) => format!("{name} was ended by signal {signal}{}", limits.cause(*signal)),
        End::Time => format!("{name} took longer than {:?}, and was ended", limits.wall),
        End::Output => format!("{name} wrote more than {} bytes, and was ended", limits.output_bytes),
        End::Processes => format!("{name} had more than {} processes, and was ended", limits.processes),
        End::GivenUp => format!("{name} was given up"),
        End::NotStarted(why) => format!("{name} cannot be started: {why}"),
    };
    let text = report.text();
    Err(ToolFailure::Failed(if text.is_empty() { why } else { format!("{why}\n{text}") }))
}

fn descriptor(grant: &Grant, limits: &RunLimits) -> Descriptor {
    let names: Vec<&str> = grant.commands.iter().map(|command| command.name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    let example = |request: String, arguments: Value| Example { request, arguments };
    // A grammar that is made of it names no other command.
    let mut command = json!({ "type": "string" });
    if !names.is_empty() {
        command["enum"] = json!(names);
    }
    Descriptor {
        name: "run".to_owned(),
        description: format!("Runs a command and gives what it writes. The commands: {}.", names.join(", ")),
        arguments: json!({
            "type": "object",
            "properties": {
                "command": command,
                "arguments": {
                    "type": "array",
                    "items": { "type": "string", "maxLength": 4096 },
                    "maxItems": 64,
                    "description": "each by itself; there is no shell",
                },
            },
            "required": ["command"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Commands,
        // What a command does, nobody here knows.
        effect: Effect::Irreversible,
        urgency: Urgency::Medium,
        timeout: limits.wall + 2 * ENDING,
        attempts: 1,
        output_bytes: 2 * limits.output_bytes + 1024,
        output_tokens: 512,
        examples: vec![
            example(format!("Run {first}."), json!({ "command": first })),
            example(
                format!("Call {first} with the argument report."),
                json!({ "command": first, "arguments": ["report"] }),
            ),
            example(
                format!("Use the command {first} on a.txt and b.txt."),
                json!({ "command": first, "arguments": ["a.txt", "b.txt"] }),
            ),
        ],
    }
}
