//! Reading in a process of its own.
//!
//! What a hostile file can do to the library that reads it (unpack to gigabytes, go round in circles, run out of
//! stack, find a mistake) it does to a process that may take so much memory and time and no more. Whoever asked
//! gets a [`DocumentError`] and goes on.
//!
//! A program that uses this begins with a look at its first argument: where that is [`READER`], it returns what
//! [`serve`] does. The file's bytes go in through the standard input and the answer comes out of the standard
//! output, both in `postcard`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::error::DocumentError;
use crate::limits::Limits;

/// The first argument of a process that reads one document.
pub const READER: &str = "__read-document";

/// What a process is asked to read, before the bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    name: PathBuf,
    limits: Limits,
    bytes: u64,
}

type Answer = Result<Document, DocumentError>;

/// Reads a document in a process of `program`, which is to call [`serve`]: this very program as a rule.
///
/// # Errors
/// Any [`DocumentError`].
pub fn read(program: &Path, bytes: &[u8], name: &Path, limits: &Limits) -> Result<Document, DocumentError> {
    if bytes.len() as u64 > limits.source_bytes {
        return Err(DocumentError::TooLarge { found: bytes.len() as u64, limit: limits.source_bytes });
    }
    let started = Instant::now();
    let system = |action: &str, error: &dyn std::fmt::Display| DocumentError::System {
        action: action.to_owned(),
        error: error.to_string(),
    };
    let request = Request { name: name.to_owned(), limits: *limits, bytes: bytes.len() as u64 };
    let head = postcard::to_stdvec(&request).map_err(|error| system("write the request", &error))?;
    let mut child = Command::new(program)
        .arg(READER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| system("start a process to read it", &error))?;
    let answer = converse(&mut child, &head, bytes, limits, started);
    // It has answered or it has to go; in both cases nothing is left behind.
    let _ = child.kill();
    let ended = child.wait();
    match answer {
        Ok(Some(answer)) => answer,
        Ok(None) => Err(DocumentError::TooSlow { limit_s: limits.time.as_secs() }),
        Err(()) => {
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(DocumentError::Ended { how })
        }
    }
}

/// Gives a process what it is to read and waits for its answer; none when its time is up, an error when it ends
/// without one.
fn converse(
    child: &mut Child,
    head: &[u8],
    bytes: &[u8],
    limits: &Limits,
    started: Instant,
) -> Result<Option<Answer>, ()> {
    let (Some(mut input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(());
    };
    // An answer has the text, its places and little else.
    let most = limits.text_bytes.saturating_mul(8).saturating_add(1 << 20);
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        scope.spawn(move || {
            let mut answer = Vec::new();
            let read = output.by_ref().take(most).read_to_end(&mut answer);
            // Nobody listens any more when the time is up.
            let _ = tell.send(read.is_ok().then_some(answer));
        });
        scope.spawn(move || {
            // A process that ends early closes its end, which its missing answer tells.
            let _ = input.write_all(&(head.len() as u32).to_le_bytes());
            let _ = input.write_all(head).and_then(|()| input.write_all(bytes));
        });
        let answer = told.recv_timeout(limits.time.saturating_sub(started.elapsed()));
        // What the threads wait for ends with the process.
        let _ = child.kill();
        match answer {
            Ok(answer) => answer.and_then(|answer| postcard::from_bytes(&answer).ok()).map(Some).ok_or(()),
            Err(_) => Ok(None),
        }
    })
}

/// Reads the one document that the standard input has, within bounds that this process sets itself.
pub fn serve() -> ExitCode {
    match answer(&mut std::io::stdin().lock()) {
        Some(answer) => {
            let written = postcard::to_stdvec(&answer).ok();
            let written = written.and_then(|bytes| std::io::stdout().lock().write_all(&bytes).ok());
            if written.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        None => ExitCode::FAILURE,
    }
}

fn answer(input: &mut dyn Read) -> Option<Answer> {
    const MOST_HEAD_BYTES: u32 = 1 << 16;
    let mut length = [0; 4];
    input.read_exact(&mut length).ok()?;
    let length = u32::from_le_bytes(length);
    let mut head = vec![0; (length <= MOST_HEAD_BYTES).then_some(length)? as usize];
    input.read_exact(&mut head).ok()?;
    let request: Request = postcard::from_bytes(&head).ok()?;
    bound(&request.limits);
    let mut bytes = Vec::new();
    input.take(request.bytes).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 != request.bytes {
        return None;
    }
    Some(crate::read(&bytes, &request.name, &request.limits))
}

/// Bounds this process. Where the system knows no such bounds, the time still ends it from outside.
#[cfg(unix)]
fn bound(limits: &Limits) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let set = |resource, most: u64| {
        // A bound that cannot be set leaves the others.
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    };
    set(Resource::As, limits.memory_bytes);
    set(Resource::Cpu, limits.time.as_secs().saturating_add(1));
    set(Resource::Core, 0);
    // It writes no file and opens none.
    set(Resource::Fsize, 0);
    set(Resource::Nofile, 3);
}

#[cfg(not(unix))]
fn bound(_: &Limits) {}
