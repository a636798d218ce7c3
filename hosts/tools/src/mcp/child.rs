//! A server that is a program: started in a process group of its own, watched, and ended with all that it started.

use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use agentos_perception::text::visible;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::declaration::McpError;

/// Bytes of standard error that are remembered.
const LAST_WORDS: usize = 512;
/// How long it may take to end once its standard input is closed.
const GRACE: Duration = Duration::from_secs(2);

/// A program that runs.
pub(super) struct Program {
    child: Child,
    /// Its process group, which is its own.
    #[cfg(unix)]
    group: Option<rustix::process::Pid>,
    words: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

/// Its ends of the pipes.
pub(super) type Pipes = (Watched, ChildStdin);

impl Program {
    /// Starts it. `too_long` is told when it writes a line of more than `line_bytes`.
    pub(super) fn start(
        program: &PathBuf,
        arguments: &[String],
        environment: &[String],
        folder: Option<&PathBuf>,
        line_bytes: usize,
        too_long: Arc<Notify>,
    ) -> Result<(Program, Pipes), McpError> {
        let failed = |why: String| McpError::Spawn { program: program.clone(), why };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().kill_on_drop(true);
        for name in environment.iter().map(String::as_str).chain(["PATH"]) {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("it has no standard input and output".to_owned()));
        };
        #[cfg(unix)]
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        let words = Arc::default();
        let listener = tokio::spawn(listen(stderr, Arc::clone(&words)));
        let watched = Watched { inner: stdout, line: 0, limit: line_bytes, too_long };
        let program = Program {
            child,
            #[cfg(unix)]
            group,
            words,
            listener,
        };
        Ok((program, (watched, stdin)))
    }

    /// The last that it said on its standard error, with nothing in it hidden.
    pub(super) fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        visible(String::from_utf8_lossy(&words).trim()).0.replace('\n', " / ")
    }

    /// Waits a little for what it says while it ends.
    pub(super) async fn hear(&mut self) {
        // A pipe that it handed on to another process may never close.
        if !self.listener.is_finished() {
            let _ = tokio::time::timeout(Duration::from_millis(200), &mut self.listener).await;
        }
    }

    /// Ends it: it had its standard input closed; after a while it and all that it started are killed. Tells
    /// how it ended.
    pub(super) async fn end(mut self) -> String {
        let waited = tokio::time::timeout(GRACE, self.child.wait()).await;
        // The processes that it started may have outlived it.
        #[cfg(unix)]
        self.kill_group();
        let status = match waited {
            Ok(status) => status,
            Err(_) => {
                let _ = self.child.start_kill();
                self.child.wait().await
            }
        };
        self.hear().await;
        let said = self.last_words();
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        if said.is_empty() { status } else { format!("{status}; it last said: {said}") }
    }

    #[cfg(unix)]
    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        #[cfg(unix)]
        self.kill_group();
        self.listener.abort();
    }
}

async fn listen(mut stderr: ChildStderr, words: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&chunk[..read]);
        let old = words.len().saturating_sub(LAST_WORDS);
        words.drain(..old);
    }
}

/// Standard output, whose lines are measured as they come.
pub(super) struct Watched {
    inner: ChildStdout,
    /// Bytes of the line so far.
    line: usize,
    limit: usize,
    too_long: Arc<Notify>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        for part in buffer.filled()[before..].split_inclusive(|&byte| byte == b'\n') {
            let fitted = self.line <= self.limit;
            self.line += part.len();
            if fitted && self.line > self.limit {
                self.too_long.notify_one();
            }
            if part.ends_with(b"\n") {
                self.line = 0;
            }
        }
        polled
    }
}
