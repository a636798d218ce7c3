//! A model file in memory, mapped rather than read: the one place of this crate that holds `unsafe`.
//!
//! **Hazard.** The map shows the file as it is at the moment of each read. Another process that writes
//! into a model while it is open can make the numbers wrong, and one that cuts it short can have the
//! system end this process (`SIGBUS`). Nothing here can prevent that without copying the file; the
//! cache replaces models by renaming, which leaves an open one alone.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

/// A file that is mapped for reading.
#[derive(Debug)]
pub struct ModelMap {
    map: Mmap,
}

/// Why a file cannot be opened as a model.
#[derive(Debug)]
pub enum OpenError {
    /// The system refuses to open, inspect or map it.
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder or a device.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// It is larger than what this machine can address.
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        bytes: u64,
    },
    /// Its size changed while it was opened: something writes to it.
    Changed {
        /// The file.
        path: PathBuf,
        /// Its size in bytes before.
        before: u64,
        /// Its size in bytes after.
        after: u64,
    },
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OpenError::System { action, path, source } => {
                write!(f, "cannot {action} the model {}: {source}", path.display())
            }
            OpenError::NotAFile { path } => {
                write!(f, "{} is not a regular file; a GGUF file would fit", path.display())
            }
            OpenError::TooLarge { path, bytes } => write!(
                f,
                "the model {} has {bytes} bytes; this machine can address {}",
                path.display(),
                usize::MAX
            ),
            OpenError::Changed { path, before, after } => write!(
                f,
                "the model {} grew or shrank from {before} to {after} bytes while it was opened; \
                 wait until it is whole",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl ModelMap {
    /// Maps a file. See the module for what must not happen to the file meanwhile.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn open(path: &Path) -> Result<ModelMap, OpenError> {
        let failed = |action| move |source| OpenError::System { action, path: path.to_owned(), source };
        let size = |file: &File| file.metadata().map_err(failed("inspect"));
        let file = File::open(path).map_err(failed("open"))?;
        let before = size(&file)?;
        if !before.is_file() {
            return Err(OpenError::NotAFile { path: path.to_owned() });
        }
        let before = before.len();
        if isize::try_from(before).is_err() {
            return Err(OpenError::TooLarge { path: path.to_owned(), bytes: before });
        }
        // SAFETY: the map is read only, so nothing in this process writes to it. That no other process
        // changes the file is the hazard that the module's documentation states.
        let map = unsafe { Mmap::map(&file) }.map_err(failed("map"))?;
        let after = size(&file)?.len();
        if after != before || map.len() as u64 != before {
            return Err(OpenError::Changed { path: path.to_owned(), before, after });
        }
        Ok(ModelMap { map })
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Drops the memory behind a part of [`ModelMap::bytes`] that is not needed for now, and up to
    /// `FAULT_BYTES` of its neighbours. All of it can still be read, and is then taken from the
    /// system's cache of the file again. Where the system has no such thing, nothing happens.
    ///
    /// # Panics
    /// When `part` is not part of the map.
    pub fn release(&self, part: &[u8]) {
        let start = (part.as_ptr().addr()).checked_sub(self.map.as_ptr().addr());
        let start = start.expect("the part begins inside the map");
        assert!(start + part.len() <= self.map.len(), "the part ends inside the map");
        if !part.is_empty() {
            self.release_range(around(start..start + part.len(), self.map.len()));
        }
    }

    #[cfg(unix)]
    fn release_range(&self, range: Range<usize>) {
        // SAFETY: the map is of a file and never written to, so dropping pages loses nothing: the next
        // read finds the file's bytes again, and references into the map stay valid.
        let advised = unsafe {
            self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
        };
        // Advice that is refused leaves the pages where they are, which is only less lean.
        let _ = advised;
    }

    #[cfg(not(unix))]
    fn release_range(&self, _range: Range<usize>) {}
}

/// Linux maps so much around a page that is read, and so brings back the end of a tensor that was
/// released when the beginning of its neighbour is read. Releasing as much around a tensor gets rid of
/// that too; a neighbour that is still to be read costs one more fault.
const FAULT_BYTES: usize = 1 << 16;

/// The range, rounded outwards.
fn around(range: Range<usize>, len: usize) -> Range<usize> {
    range.start - range.start % FAULT_BYTES..range.end.next_multiple_of(FAULT_BYTES).min(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_rounded_outwards_and_end_with_the_file() {
        assert_eq!(around(0..1, 1 << 20), 0..FAULT_BYTES);
        assert_eq!(around(FAULT_BYTES + 1..2 * FAULT_BYTES, 1 << 20), FAULT_BYTES..2 * FAULT_BYTES);
        assert_eq!(around(70_000..99_000, 100_000), FAULT_BYTES..100_000);
    }

    #[test]
    fn released_bytes_can_be_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let map = ModelMap::open(&path).unwrap();
        assert_eq!(map.bytes(), content);
        map.release(&map.bytes()[100..299_000]);
        map.release(map.bytes());
        map.release(&map.bytes()[300_000..]);
        assert_eq!(map.bytes(), content);
    }

    #[test]
    fn what_is_no_file_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| ModelMap::open(path).unwrap_err().to_string();
        assert!(refusal(folder.path()).ends_with("is not a regular file; a GGUF file would fit"));
        let missing = folder.path().join("missing.gguf");
        assert!(refusal(&missing).starts_with("cannot open the model "));
    }

    #[test]
    fn an_empty_file_is_mapped_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, "").unwrap();
        let map = ModelMap::open(&path).unwrap();
        assert!(map.bytes().is_empty());
        map.release(map.bytes());
    }
}
