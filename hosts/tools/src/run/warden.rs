//! The process between a host and a command.
//!
//! It reads what to run from its input, and goes on reading: when the input ends, the host has given up, or is
//! gone. It writes a line with the number of the command's process, begins the command when it reads a line in
//! answer, and writes at the end a line with its report.

use std::io::{self, BufRead, Read, Write};
use std::process::{Child, ExitCode};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};

use super::spec::{End, Report, Role, RunLimits, Spec, Stream};
use super::{start, tree};

/// Bytes of what to run: more than the arguments of a command ever have.
const SPEC_BYTES: u64 = 1 << 20;
/// Bytes of the host's answer.
const ANSWER_BYTES: u64 = 16;
/// How often it looks after the command.
const LOOK: Duration = Duration::from_millis(5);
/// How many looks there are between two at all processes.
const LOOKS: u32 = 10;
/// How long processes may take to be gone after they were killed.
const ENDING: Duration = Duration::from_secs(3);

/// Runs one command as its input says, and ends all that is left of it, or becomes that command. A host's `main`
/// calls this, and nothing else, when it is started as a [`Warden`](super::Warden).
pub fn serve() -> ExitCode {
    let mut line = String::new();
    let role = match io::stdin().lock().take(SPEC_BYTES).read_line(&mut line) {
        Ok(_) => serde_json::from_str::<Role>(&line),
        Err(_) => return ExitCode::FAILURE,
    };
    let report = match role {
        Ok(Role::Guard(spec)) => run(spec),
        Ok(Role::Command(spec)) => return start::become_command(&spec),
        Err(_) => return ExitCode::FAILURE,
    };
    let told = serde_json::to_string(&report).map(|line| writeln!(io::stdout(), "{line}"));
    if matches!(told, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What happens beside the command.
enum Event {
    GivenUp,
    Wrote(Stream, Written),
}

/// All that was written to a stream, and whether it was more than is taken.
struct Written {
    bytes: Vec<u8>,
    full: bool,
}

fn run(spec: Spec) -> Report {
    let not_started = |error: io::Error| End::NotStarted(error.to_string());
    let begun = match prepare().and_then(|()| start::begin()) {
        Ok(begun) => begun,
        Err(error) => {
            // The host waits for a number, whatever it is.
            let _gone = writeln!(io::stdout(), "0");
            return Report { end: not_started(error), ..Report::default() };
        }
    };
    let (command, limits) = (begun.number(), spec.limits);
    // If nobody reads this, the input ends, too.
    let _gone = writeln!(io::stdout(), "{command}");
    let started = match is_answered() {
        true => begun.become_command(spec).map_err(not_started),
        false => Err(End::GivenUp),
    };
    let mut child = match started {
        Ok(child) => child,
        Err(end) => {
            end_all(command, &end);
            return Report { end, ..Report::default() };
        }
    };
    let (send, events) = channel();
    let open = watch(&mut child, &send, limits.output_bytes);
    let mut gathered = Gathered { report: Report::default(), open };
    let end = attend(command, &limits, &events, &mut gathered);
    end_all(command, &end);
    gathered.report.end = end;
    // Nobody has the pipes open any more, so what was written is all there soon.
    while gathered.open > 0 {
        let Ok(event) = events.recv_timeout(ENDING) else { break };
        if let (Some(End::Output), End::Exited(_)) = (gathered.take(event), &gathered.report.end) {
            gathered.report.end = End::Output;
        }
    }
    gathered.report
}

/// What came of the command so far.
struct Gathered {
    report: Report,
    /// Streams that may still bring something.
    open: usize,
}

impl Gathered {
    /// Takes an event in; tells whether it ends the command.
    fn take(&mut self, event: Event) -> Option<End> {
        match event {
            Event::GivenUp => Some(End::GivenUp),
            Event::Wrote(stream, Written { bytes, full }) => {
                self.open -= 1;
                *self.report.of(stream) = String::from_utf8_lossy(&bytes).into_owned();
                full.then_some(End::Output)
            }
        }
    }
}

/// What holds for all that descends from this process.
fn prepare() -> io::Result<()> {
    tree::adopt()?;
    // No program that it starts gets more rights than it has.
    #[cfg(target_os = "linux")]
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Waits for the host's answer; tells whether there is one.
fn is_answered() -> bool {
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER_BYTES).read_line(&mut answer);
    read.is_ok() && answer.ends_with('\n')
}

/// Has threads read what the command writes, and wait for the end of the input. Tells how many streams there
/// are.
fn watch(child: &mut Child, send: &Sender<Event>, most: usize) -> usize {
    let output = child.stdout.take().map(|pipe| (Stream::Output, Box::new(pipe) as Box<dyn Read + Send>));
    let errors = child.stderr.take().map(|pipe| (Stream::Errors, Box::new(pipe) as Box<dyn Read + Send>));
    let streams = output.into_iter().chain(errors).map(|(stream, pipe)| {
        let send = send.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error counts.
            let _error = pipe.take(most as u64 + 1).read_to_end(&mut bytes);
            let full = bytes.len() > most;
            bytes.truncate(most);
            let _gone = send.send(Event::Wrote(stream, Written { bytes, full }));
        });
    });
    let streams = streams.count();
    let send = send.clone();
    thread::spawn(move || {
        let _ended = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _gone = send.send(Event::GivenUp);
    });
    streams
}

/// Waits for the command to end, or to have to.
fn attend(command: u32, limits: &RunLimits, events: &Receiver<Event>, gathered: &mut Gathered) -> End {
    let deadline = Instant::now() + limits.wall;
    let mut looks = 0;
    loop {
        if let Some(end) = reap(command) {
            return end;
        }
        if let Some(end) = events.recv_timeout(LOOK).ok().and_then(|event| gathered.take(event)) {
            return end;
        }
        if Instant::now() > deadline {
            return End::Time;
        }
        looks += 1;
        if looks % LOOKS == 0 && tree::descendants() > limits.processes {
            return End::Processes;
        }
    }
}

/// Ends the command and all that descends from it.
fn end_all(command: u32, end: &End) {
    // A second way to those that stayed in its group. Its number is no other's as long as it was not reaped.
    if !matches!(end, End::Exited(_) | End::Signal(_)) {
        tree::end_group(command);
    }
    let deadline = Instant::now() + ENDING;
    while tree::end_descendants(command) && Instant::now() < deadline {
        reap(command);
        thread::sleep(Duration::from_millis(1));
    }
    reap(command);
}

/// Reaps processes that ended, of the command or left to this one by others; tells how the command ended.
fn reap(command: u32) -> Option<End> {
    let mut end = None;
    while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
        if process.as_raw_nonzero().get().unsigned_abs() == command {
            end = match (status.exit_status(), status.terminating_signal()) {
                (Some(status), _) => Some(End::Exited(status)),
                (None, Some(signal)) => Some(End::Signal(signal)),
                (None, None) => None,
            };
        }
    }
    end
}
