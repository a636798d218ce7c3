//! Downloading one file whole, over as many connections as it takes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{StatusCode, Uri};

use super::address;
use super::client::{Client, Linked, Reply};
use super::error::{ServerError, ServerFault};
use super::part::{self, Part};
use crate::fetch::cache;
use crate::fetch::environment::Environment;
use crate::fetch::error::{FetchError, shown};
use crate::fetch::progress::Progress;
use crate::fetch::stamp::{Digest256, Expected};

/// Waits before the second, third, … attempt.
const DELAYS_S: [u64; 4] = [1, 2, 4, 8];
/// The longest wait that a server can ask for.
const DELAY_MAX_S: u64 = 60;
/// So many new bytes show that a connection is worth more attempts. Since a file is finite, so are they.
const PROGRESS_BYTES: u64 = 1 << 20;
/// How a GGUF file begins.
const MAGIC: &[u8; 4] = b"GGUF";

/// Counts attempts that brought nothing, and waits between them.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: usize,
}

impl Backoff {
    /// Waits before another attempt, or gives `error` back when there is no point in one.
    pub(super) fn wait(
        &mut self,
        error: FetchError,
        environment: &Environment,
        progress: &mut dyn Progress,
    ) -> Result<(), FetchError> {
        let FetchError::Server(ServerError { fault, .. }) = &error else {
            return Err(error);
        };
        let (cause, asked_s) = match fault {
            ServerFault::Network(why) => (why.clone(), 0),
            ServerFault::Unavailable { status, retry_after_s } => {
                (format!("the server is busy or broken ({status})"), retry_after_s.unwrap_or(0))
            }
            ServerFault::Range => ("the server cannot go on where the download stopped".to_owned(), 0),
            _ => return Err(error),
        };
        let Some(delay_s) = DELAYS_S.get(self.failures) else {
            return Err(error);
        };
        let delay_s = asked_s.min(DELAY_MAX_S).max(*delay_s);
        self.failures += 1;
        progress.note(&format!("{cause}; trying again in {delay_s} s"));
        environment.system.sleep(Duration::from_secs(delay_s));
        Ok(())
    }
}

/// Downloads the file at `url`, going on with what an earlier run left, and returns the path and the digest
/// of the finished part of `model`. Its size and, where one is published, its digest are as `expected`.
///
/// # Errors
/// [`FetchError::Server`], [`FetchError::Size`], [`FetchError::Digest`], [`FetchError::DiskFull`],
/// [`FetchError::File`]. Only a wrong digest removes what was downloaded.
pub(super) fn complete(
    client: &Client,
    url: &Uri,
    model: &Path,
    expected: &Expected,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<(PathBuf, Digest256), FetchError> {
    let folder = model.parent().expect("a model's path has a folder");
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if expected.size < MAGIC.len() as u64 {
        return Err(ServerError { url: address::shown(url), fault: ServerFault::NotGguf }.into());
    }
    loop {
        let mut part = Part::open(model, expected, environment)?;
        let left_over = part.bytes();
        cache::check_space(folder, expected.size - left_over, environment)?;
        let mut download = Download { client, url, name: &name, expected, linked: Linked::default() };
        download.run(&mut part, environment, progress)?;
        let (path, found) = part.close();
        match expected.sha256.clone().or(download.linked.sha256) {
            Some(wanted) if wanted != found => {
                part::forget(model);
                // What an earlier run left may have been damaged since; this is worth one fresh start.
                if left_over == 0 {
                    return Err(FetchError::Digest { what: shown(&name), expected: wanted, found });
                }
                progress.note("what was left of an earlier download is damaged; starting again");
            }
            _ => return Ok((path, found)),
        }
    }
}

struct Download<'a> {
    client: &'a Client,
    url: &'a Uri,
    name: &'a str,
    expected: &'a Expected,
    linked: Linked,
}

impl Download<'_> {
    fn run(
        &mut self,
        part: &mut Part<'_>,
        environment: &Environment,
        progress: &mut dyn Progress,
    ) -> Result<(), FetchError> {
        let mut backoff = Backoff::default();
        let mut reached = part.bytes();
        self.begin(part, progress);
        while part.bytes() < self.expected.size {
            match self.attempt(part, progress) {
                Ok(()) => break,
                Err(error) => {
                    if part.bytes() >= reached + PROGRESS_BYTES {
                        reached = part.bytes();
                        backoff = Backoff::default();
                    }
                    backoff.wait(error, environment, progress)?;
                }
            }
        }
        progress.finish();
        Ok(())
    }

    fn begin(&self, part: &Part<'_>, progress: &mut dyn Progress) {
        progress.begin(&format!("downloading {}", shown(self.name)), self.expected.size);
        progress.advance(part.bytes());
    }

    /// One connection: asks for what is missing and stores what comes.
    fn attempt(&mut self, part: &mut Part<'_>, progress: &mut dyn Progress) -> Result<(), FetchError> {
        let mut reply = self.client.file(self.url, part.resume_point())?;
        self.check_announcement(&reply)?;
        if reply.status == StatusCode::OK {
            part.restart(reply.etag())?;
            self.begin(part, progress);
            read_magic(&mut reply, part)?;
            progress.advance(part.bytes());
        } else if !continues(&reply, part, self.expected.size) {
            // The next attempt then asks for the whole file.
            part.restart(None)?;
            return Err(fail(&reply, ServerFault::Range));
        }
        self.receive(&mut reply, part, progress)
    }

    /// Refuses at once what would turn out to be wrong at the end.
    fn check_announcement(&mut self, reply: &Reply) -> Result<(), FetchError> {
        let is_whole = reply.status == StatusCode::OK;
        if is_whole && reply.is_web_page() {
            return Err(fail(reply, ServerFault::WebPage));
        }
        let whole = reply.length().filter(|_| is_whole);
        for found in [reply.linked.size, whole].into_iter().flatten() {
            self.check_size(found)?;
        }
        if let (Some(expected), Some(found)) = (&self.expected.sha256, &reply.linked.sha256)
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(FetchError::Digest { what: shown(self.name), expected, found });
        }
        self.linked = reply.linked.clone();
        Ok(())
    }

    fn check_size(&self, found: u64) -> Result<(), FetchError> {
        match found == self.expected.size {
            true => Ok(()),
            false => Err(FetchError::Size { what: shown(self.name), expected: self.expected.size, found }),
        }
    }

    fn receive(
        &self,
        reply: &mut Reply,
        part: &mut Part<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), FetchError> {
        let mut buffer = vec![0; 1 << 18];
        while part.bytes() < self.expected.size {
            let missing = self.expected.size - part.bytes();
            let room = usize::try_from(missing).map_or(buffer.len(), |missing| missing.min(buffer.len()));
            let count = read_some(reply, &mut buffer[..room])?;
            if count == 0 {
                let why = format!("the connection ended {missing} bytes too early");
                return Err(fail(reply, ServerFault::Network(why)));
            }
            part.append(&buffer[..count])?;
            progress.advance(count as u64);
        }
        // A server that did not say how much it would send may send more than the file has.
        if reply.length().is_none() && matches!(reply.body.read(&mut buffer[..1]), Ok(1)) {
            return self.check_size(self.expected.size + 1);
        }
        Ok(())
    }
}

/// Whether the answer is the part that follows on what is there.
fn continues(reply: &Reply, part: &Part<'_>, size: u64) -> bool {
    let Some((from, etag)) = part.resume_point() else {
        return false;
    };
    let same_version = reply.etag().is_none_or(|found| found == etag);
    reply.status == StatusCode::PARTIAL_CONTENT && reply.range() == Some((from, size)) && same_version
}

/// Stores the first bytes if they are those of a GGUF file.
fn read_magic(reply: &mut Reply, part: &mut Part<'_>) -> Result<(), FetchError> {
    let mut magic = [0; MAGIC.len()];
    let mut bytes = 0;
    while bytes < magic.len() {
        match read_some(reply, &mut magic[bytes..])? {
            0 => {
                let why = "the connection ended before the file began".to_owned();
                return Err(fail(reply, ServerFault::Network(why)));
            }
            count => bytes += count,
        }
    }
    match &magic == MAGIC {
        true => part.append(&magic),
        false => Err(fail(reply, ServerFault::NotGguf)),
    }
}

fn read_some(reply: &mut Reply, buffer: &mut [u8]) -> Result<usize, FetchError> {
    loop {
        match reply.body.read(buffer) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(reply, ServerFault::Network(shown(&error.to_string())))),
        }
    }
}

fn fail(reply: &Reply, fault: ServerFault) -> FetchError {
    ServerError { url: reply.url.clone(), fault }.into()
}
