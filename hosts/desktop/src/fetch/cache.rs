//! The per-user folder and where things are in it.
//!
//! ```text
//! <home>/models/<name>.gguf                  the default model
//! <home>/device.json                         the fastest device (see [`crate::choice`])
//! <home>/models/hub/<owner>--<repo>/<file>   files of the hub
//! ```
//! Beside a model lie its `.stamp` (see [`super::stamp`]), its `.lock` and, while it is being fetched, its
//! `.part` file or a folder whose name begins with [`WORK_PREFIX`].

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::FetchError;

/// How the names of folders for work in progress begin.
pub const WORK_PREFIX: &str = ".fetch-";

/// The layout of the per-user folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    home: PathBuf,
}

impl Cache {
    /// The cache of this environment. Nothing is created.
    ///
    /// # Errors
    /// [`FetchError::NoHome`] when no variable says where it is.
    pub fn locate(environment: &Environment) -> Result<Cache, FetchError> {
        environment.home.clone().map(|home| Cache { home }).ok_or(FetchError::NoHome)
    }

    /// Where models are.
    pub fn models(&self) -> PathBuf {
        self.home.join("models")
    }

    /// Where the files of a hub repository are. Both names have been checked by [`super::HubSpec`].
    pub fn hub(&self, owner: &str, repository: &str) -> PathBuf {
        self.models().join("hub").join(format!("{owner}--{repository}"))
    }
}

/// Creates `folder` with all its parents.
///
/// # Errors
/// [`FetchError::Folder`].
pub fn create(folder: &Path) -> Result<(), FetchError> {
    std::fs::create_dir_all(folder).map_err(|source| FetchError::Folder { path: folder.to_owned(), source })
}

/// `path` with `suffix` added to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Refuses work that would not fit on the disk of `folder`.
///
/// # Errors
/// [`FetchError::DiskFull`]. A disk that does not tell its free space is tried.
pub fn check_space(folder: &Path, needed: u64, environment: &Environment) -> Result<(), FetchError> {
    match environment.system.free_bytes(folder) {
        Ok(available) if available < needed => {
            Err(FetchError::DiskFull { path: folder.to_owned(), needed, available: Some(available) })
        }
        _ => Ok(()),
    }
}

/// A folder for work in progress, removed when dropped.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    /// Makes an empty folder in `parent`, which is on the disk where the result will lie. Folders that
    /// earlier runs left behind are removed: the caller holds the lock of what is made here, so nobody
    /// works in them.
    ///
    /// # Errors
    /// [`FetchError::Folder`].
    pub fn create(parent: &Path, label: &str) -> Result<WorkFolder, FetchError> {
        let failed = |path: &Path, source| FetchError::Folder { path: path.to_owned(), source };
        let prefix = format!("{WORK_PREFIX}{label}-");
        for entry in std::fs::read_dir(parent).map_err(|source| failed(parent, source))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_dir_all(entry.path()).map_err(|source| failed(&entry.path(), source))?;
            }
        }
        // A package client that outlived its killed parent may still write into the folder of that run, so
        // each run has its own.
        let path = parent.join(format!("{prefix}{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|source| failed(&path, source))?;
        Ok(WorkFolder { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
