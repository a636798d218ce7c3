//! A file that is not whole yet.
//!
//! `<model>.part` holds the first bytes of the model; `<model>.part.json` says of which version of it they
//! are, so that a later run can go on where this one stops.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fetch::cache::beside;
use crate::fetch::environment::Environment;
use crate::fetch::error::FetchError;
use crate::fetch::place;
use crate::fetch::stamp::{Digest256, Expected};

const SIDECAR_BYTES_MAX: u64 = 4096;

/// Which version of a model a part belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    etag: Option<String>,
    size: u64,
    sha256: Option<Digest256>,
}

/// The first bytes of a model, on disk and in the hash.
pub(super) struct Part<'e> {
    environment: &'e Environment,
    path: PathBuf,
    sidecar: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
    version: Version,
}

impl<'e> Part<'e> {
    /// Opens the part of `model` that an earlier run left, if it belongs to what is `expected`, or starts an
    /// empty one.
    ///
    /// # Errors
    /// [`FetchError::File`].
    pub(super) fn open(
        model: &Path,
        expected: &Expected,
        environment: &'e Environment,
    ) -> Result<Part<'e>, FetchError> {
        let (path, sidecar) = (part_path(model), sidecar_path(model));
        let fail = |source| FetchError::File { action: "open", path: path.clone(), source };
        let fresh = Version { etag: None, size: expected.size, sha256: expected.sha256.clone() };
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut part = Part {
            environment,
            file: file.map_err(fail)?,
            hasher: Sha256::new(),
            bytes: 0,
            version: fresh.clone(),
            path: path.clone(),
            sidecar,
        };
        let version = read_version(&part.sidecar).filter(|version| {
            version.size == fresh.size && version.sha256 == fresh.sha256 && version.etag.is_some()
        });
        let length = part.file.metadata().map_err(fail)?.len();
        match version {
            Some(version) if length <= expected.size => {
                part.version = version;
                part.bytes = part.hash_what_is_there().map_err(fail)?;
            }
            _ => part.restart(None)?,
        }
        Ok(part)
    }

    /// Bytes that are there.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where to go on and of which version, for a server that is to send the rest. Not before the four
    /// bytes that tell what kind of file it is.
    pub(super) fn resume_point(&self) -> Option<(u64, &str)> {
        let etag = self.version.etag.as_deref()?;
        (self.bytes >= 4).then_some((self.bytes, etag))
    }

    /// Throws away what is there; what follows is of the version `etag`.
    ///
    /// # Errors
    /// [`FetchError::File`], [`FetchError::DiskFull`].
    pub(super) fn restart(&mut self, etag: Option<&str>) -> Result<(), FetchError> {
        let empty = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        empty.map_err(|source| self.write_failure(source))?;
        self.hasher = Sha256::new();
        self.bytes = 0;
        // A weak tag promises the same meaning, not the same bytes.
        self.version.etag = etag.filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
        let text = serde_json::to_vec(&self.version).expect("three plain fields are JSON");
        std::fs::write(&self.sidecar, text).map_err(|source| self.write_failure(source))
    }

    /// Adds bytes at the end. The caller has checked that there are not too many.
    ///
    /// # Errors
    /// [`FetchError::File`], [`FetchError::DiskFull`].
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        assert!(self.bytes + bytes.len() as u64 <= self.version.size, "more bytes than the model has");
        let system = &self.environment.system;
        system.write(&mut self.file, bytes).map_err(|source| self.write_failure(source))?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// The digest of what is there, and its path.
    pub(super) fn close(self) -> (PathBuf, Digest256) {
        (self.path, Digest256::of(self.hasher))
    }

    fn hash_what_is_there(&mut self) -> io::Result<u64> {
        let mut buffer = vec![0; 1 << 18];
        let mut bytes = 0;
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(bytes),
                Ok(count) => {
                    self.hasher.update(&buffer[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_failure(&self, source: io::Error) -> FetchError {
        place::write_failure(&self.path, self.version.size - self.bytes, source, self.environment)
    }
}

/// Removes what is left of the part of `model`.
pub(super) fn forget(model: &Path) {
    let _ = std::fs::remove_file(part_path(model));
    forget_sidecar(model);
}

/// Removes the sidecar of the part of `model`, which has become the model.
pub(super) fn forget_sidecar(model: &Path) {
    let _ = std::fs::remove_file(sidecar_path(model));
}

fn part_path(model: &Path) -> PathBuf {
    beside(model, ".part")
}

fn sidecar_path(model: &Path) -> PathBuf {
    beside(model, ".part.json")
}

fn read_version(sidecar: &Path) -> Option<Version> {
    let mut text = Vec::new();
    File::open(sidecar).ok()?.take(SIDECAR_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
