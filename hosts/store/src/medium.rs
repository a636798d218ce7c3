//! Where the bytes of a store are.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use redb::{BackendError, StorageBackend};

/// A place that can be opened, and opened again after it has failed.
pub trait Medium: Send + Sync + 'static {
    /// Opens it. An empty medium is a new store.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, access: Access) -> io::Result<Backend>;

    /// Bytes that it could grow by; `None` where nobody knows.
    fn available(&self) -> Option<u64>;
}

/// What a medium is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// One program writes, and no other does.
    Write,
    /// Any number of programs read, also beside one that writes.
    Read,
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileMedium {
    path: PathBuf,
}

impl FileMedium {
    /// The file at this path, which exists.
    pub fn new(path: &Path) -> FileMedium {
        FileMedium { path: path.to_owned() }
    }
}

impl Medium for FileMedium {
    fn open(&self, access: Access) -> io::Result<Backend> {
        let file: File = OpenOptions::new().read(true).write(access == Access::Write).open(&self.path)?;
        let backend = redb::backends::FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Backend(Box::new(backend)))
    }

    fn available(&self) -> Option<u64> {
        fs4::available_space(self.path.parent()?).ok()
    }
}

/// An open medium.
pub struct Backend(pub Box<dyn StorageBackend>);

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
