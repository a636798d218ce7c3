//! How a command begins: first there is a process that has its number, and is not the command yet.
//!
//! A command may have the right to end its warden, and do so at once. The host can end the command's group then
//! if it knows its number, so it is told before the command begins: the warden starts its own program once more,
//! as the leader of a group, and hands it the command that it becomes when the host has answered.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::spec::{Role, RunLimits, Spec};

/// Bytes that are read of why a command did not begin.
const WHY_BYTES: u64 = 4096;
/// The shortest time that a socket can be told to wait.
const LEAST: Duration = Duration::from_millis(1);

/// A process that is to become a command.
pub struct Begun {
    process: Child,
    /// It reads there what it is to become, and tells there why it could not.
    orders: UnixStream,
}

/// Starts this program once more, with the arguments that it has itself.
///
/// # Errors
/// It cannot be started.
pub fn begin() -> io::Result<Begun> {
    let (orders, theirs) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env_clear().process_group(0);
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(Begun { process: command.spawn()?, orders })
}

impl Begun {
    /// The number of the process, and of its group.
    pub fn number(&self) -> u32 {
        self.process.id()
    }

    /// Has the process become the command.
    ///
    /// # Errors
    /// Why it did not. The process is still to be ended then.
    pub fn become_command(mut self, spec: Spec) -> io::Result<Child> {
        self.orders.set_read_timeout(Some(spec.limits.wall.max(LEAST)))?;
        self.orders.write_all(Role::Command(spec).line()?.as_bytes())?;
        // The other end is closed when the command begins.
        let mut why = String::new();
        self.orders.take(WHY_BYTES).read_to_string(&mut why)?;
        if why.is_empty() { Ok(self.process) } else { Err(io::Error::other(why)) }
    }
}

/// Becomes a command, in the process that [`begin`] started. Returns only when that failed, and is told.
pub fn become_command(spec: &Spec) -> ExitCode {
    // Its standard input is the command's before it is known whether that begins.
    if let Ok(orders) = io::stdin().as_fd().try_clone_to_owned() {
        let why = limit(&spec.limits).map_or_else(|error| error, |()| execute(spec));
        // A warden that is gone has nobody to tell.
        let _gone = UnixStream::from(orders).write_all(why.to_string().as_bytes());
    }
    ExitCode::FAILURE
}

/// Takes the limits on this process, which the command has from its first moment.
fn limit(limits: &RunLimits) -> io::Result<()> {
    let both = |most| Rlimit { current: Some(most), maximum: Some(most) };
    // The first tells the process why it ends, the second ends it.
    let processor = Rlimit { current: Some(limits.processor_s), maximum: Some(limits.processor_s + 1) };
    setrlimit(Resource::Cpu, processor)?;
    setrlimit(Resource::Fsize, both(limits.file_bytes))?;
    setrlimit(Resource::Nofile, both(limits.open_files))?;
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::As, both(limits.memory_bytes))?;
    Ok(())
}

fn execute(spec: &Spec) -> io::Error {
    // The host may have been started with files that are open for every program that it starts.
    close_fds::set_fds_cloexec(3, &[]);
    let mut command = Command::new(&spec.program);
    command.args(&spec.arguments).current_dir(&spec.folder);
    command.env_clear().envs(spec.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).exec()
}
