//! Putting a finished file under its name, and keeping two processes from doing so at once.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::cache::beside;
use super::environment::Environment;
use super::error::FetchError;
use super::progress::Progress;
use crate::aside::sync_folder;

/// The right to write one model; given back when dropped, or by the system when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other process fetches `model`. The lock file stays: removing it would let two
    /// processes lock two files of the same name.
    ///
    /// # Errors
    /// [`FetchError::Lock`].
    pub(super) fn take(model: &Path, progress: &mut dyn Progress) -> Result<Lock, FetchError> {
        let path = beside(model, ".lock");
        let failed = |source| FetchError::Lock { path: path.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.note(&format!("another process is fetching {}; waiting for it", model.display()));
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        Ok(Lock { _file: file })
    }
}

/// Gives the finished file at `temporary` the name `path`, on the same disk, so that a crash leaves the old
/// file or the whole new one.
///
/// # Errors
/// [`FetchError::File`].
pub(super) fn publish(temporary: &Path, path: &Path) -> Result<(), FetchError> {
    let failed = |action, source| FetchError::File { action, path: path.to_owned(), source };
    File::options()
        .write(true)
        .open(temporary)
        .and_then(|file| file.sync_all())
        .map_err(|source| failed("flush", source))?;
    std::fs::rename(temporary, path).map_err(|source| failed("put in place", source))?;
    let folder = path.parent().expect("a model's path has a folder");
    sync_folder(folder).map_err(|source| failed("flush the folder of", source))
}

/// What a failed write of model bytes means: a full disk is told with figures.
pub(super) fn write_failure(
    path: &Path,
    needed: u64,
    source: io::Error,
    environment: &Environment,
) -> FetchError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let folder = path.parent().unwrap_or(path);
            let available = environment.system.free_bytes(folder).ok();
            FetchError::DiskFull { path: folder.to_owned(), needed, available }
        }
        _ => FetchError::File { action: "write", path: path.to_owned(), source },
    }
}
