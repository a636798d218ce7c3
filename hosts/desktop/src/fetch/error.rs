//! Why a model could not be had.

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use super::hub::error::{RequestError, ServerError, ServerFault};
pub use super::package::error::PackageError;
use super::progress::megabytes;
use super::stamp::Digest256;

/// Why a model could not be had. Messages say what to do about it.
#[derive(Debug)]
pub enum FetchError {
    /// No variable says where this user's files are.
    NoHome,
    /// A folder of the cache cannot be made or read.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the cache cannot be worked on.
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A lock cannot be had, for example on a network disk.
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is too little space on the disk.
    DiskFull {
        /// A folder on that disk.
        path: PathBuf,
        /// Bytes that are needed in it.
        needed: u64,
        /// Bytes that are free, where the system tells.
        available: Option<u64>,
    },
    /// The model that was named does not exist.
    MissingModel {
        /// The path that was given.
        path: PathBuf,
    },
    /// What was brought has another size than it should have.
    Size {
        /// The file.
        what: String,
        /// Bytes that were expected.
        expected: u64,
        /// Bytes that were found or announced.
        found: u64,
    },
    /// What was brought has another content than it should have.
    Digest {
        /// The file.
        what: String,
        /// The digest that was expected.
        expected: Digest256,
        /// The digest that was found or announced.
        found: Digest256,
    },
    /// The package client or its package is at fault.
    Package(PackageError),
    /// What was asked of the hub cannot be.
    Request(RequestError),
    /// The hub, or something on the way to it, is at fault.
    Server(ServerError),
}

impl From<PackageError> for FetchError {
    fn from(error: PackageError) -> Self {
        FetchError::Package(error)
    }
}

impl From<RequestError> for FetchError {
    fn from(error: RequestError) -> Self {
        FetchError::Request(error)
    }
}

impl From<ServerError> for FetchError {
    fn from(error: ServerError) -> Self {
        FetchError::Server(error)
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FetchError::Folder { source, .. }
            | FetchError::File { source, .. }
            | FetchError::Lock { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ELSEWHERE: &str = "set AGENTOS_HOME to a folder that you can write to";
        match self {
            FetchError::NoHome => write!(
                f,
                "no folder for models: neither AGENTOS_HOME nor the variables of the user's home are set; \
                 {ELSEWHERE}"
            ),
            FetchError::Folder { path, source } => {
                write!(f, "cannot use the folder {}: {source}; {ELSEWHERE}", path.display())
            }
            FetchError::File { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            FetchError::Lock { path, source } => {
                write!(f, "cannot lock {}: {source}; {ELSEWHERE}, on a local disk", path.display())
            }
            FetchError::DiskFull { path, needed, available } => {
                let path = path.display();
                write!(f, "not enough space on the disk of {path}: {} needed", megabytes(*needed))?;
                if let Some(available) = available {
                    write!(f, ", {} available", megabytes(*available))?;
                }
                f.write_str("; make room, or set AGENTOS_HOME to a folder on another disk")
            }
            FetchError::MissingModel { path } => {
                write!(f, "there is no model file at {}; --model takes a GGUF file", path.display())
            }
            FetchError::Size { what, expected, found } => {
                write!(f, "{what} has {found} bytes where {expected} were expected; nothing was kept of it")
            }
            FetchError::Digest { what, expected, found } => {
                write!(f, "{what} has the SHA-256 {found} where {expected} was expected; ")?;
                f.write_str("nothing was kept of it")
            }
            FetchError::Package(error) => error.fmt(f),
            FetchError::Request(error) => error.fmt(f),
            FetchError::Server(error) => error.fmt(f),
        }
    }
}

/// Text from outside, made fit for a terminal: no control characters, not endless.
pub(super) fn shown(text: &str) -> String {
    const CHARACTERS: usize = 300;
    let mut clean: String =
        text.chars().take(CHARACTERS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(CHARACTERS).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(shown("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(shown(&"é".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn a_full_disk_is_told_with_figures() {
        let error =
            FetchError::DiskFull { path: "/d".into(), needed: 191_225_472, available: Some(5_000_000) };
        let text = error.to_string();
        assert!(text.contains("191.2 MB needed, 5.0 MB available"), "{text}");
    }
}
