//! A medium that fails by a seed: any read, write, sync or change of length; one that is full; one that fails when it
//! has done what it was asked for; and one that is slow.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentos_store::medium::{Access, Backend, FileMedium, Medium};
use redb::{BackendError, StorageBackend};

use super::Random;

/// What goes wrong with a file.
#[derive(Debug)]
pub struct Faults {
    random: Mutex<u64>,
    /// Odds of each operation, in 1/10,000.
    odds: u64,
    armed: AtomicBool,
    /// Operations that failed.
    pub failed: AtomicU64,
    /// Bytes that the file may have.
    pub most_bytes: AtomicU64,
    /// Which sync from now on is told as failed, though it was done; 0 for none.
    pub false_sync: AtomicU64,
    /// The thread that reads waits for the file.
    pub held: AtomicBool,
}

impl Faults {
    pub fn new(seed: u64, odds: u64) -> Arc<Faults> {
        Arc::new(Faults {
            random: Mutex::new(seed),
            odds,
            armed: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            most_bytes: AtomicU64::new(u64::MAX),
            false_sync: AtomicU64::new(0),
            held: AtomicBool::new(false),
        })
    }

    pub fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    pub fn count(&self) -> u64 {
        self.failed.load(Ordering::SeqCst)
    }

    fn strike(&self) -> io::Result<()> {
        if !self.armed.load(Ordering::SeqCst) || self.draw(10_000) >= self.odds {
            return Ok(());
        }
        self.failed.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::other("injected"))
    }

    fn draw(&self, count: u64) -> u64 {
        let mut state = self.random.lock().unwrap();
        let mut random = Random(*state);
        let word = random.below(count);
        *state = random.0;
        word
    }

    /// Whether this sync is the one that is told as failed.
    fn is_false_sync(&self) -> bool {
        let count_down = |left: u64| left.checked_sub(1);
        self.false_sync.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count_down) == Ok(1)
    }

    fn wait_while_held(&self) {
        let is_reader = std::thread::current().name() == Some("store reader");
        while is_reader && self.held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn fits(&self, end: u64) -> io::Result<()> {
        if end <= self.most_bytes.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

/// A file with faults.
pub struct FaultyMedium {
    path: PathBuf,
    faults: Arc<Faults>,
}

impl FaultyMedium {
    pub fn new(path: &Path, faults: &Arc<Faults>) -> FaultyMedium {
        if !path.exists() {
            std::fs::write(path, b"").unwrap();
        }
        FaultyMedium { path: path.to_owned(), faults: Arc::clone(faults) }
    }
}

impl Medium for FaultyMedium {
    fn open(&self, access: Access) -> io::Result<Backend> {
        self.faults.strike()?;
        let inner = FileMedium::new(&self.path).open(access)?;
        Ok(Backend(Box::new(Faulty { inner, faults: Arc::clone(&self.faults) })))
    }

    fn available(&self) -> Option<u64> {
        let length = std::fs::metadata(&self.path).ok()?.len();
        Some(self.faults.most_bytes.load(Ordering::SeqCst).saturating_sub(length))
    }
}

#[derive(Debug)]
struct Faulty {
    inner: Backend,
    faults: Arc<Faults>,
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.faults.strike()?;
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.faults.wait_while_held();
        self.faults.strike()?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.strike()?;
        self.faults.fits(len)?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.strike()?;
        self.inner.sync_data()?;
        if self.faults.is_false_sync() { Err(io::Error::other("injected")) } else { Ok(()) }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.fits(offset + data.len() as u64)?;
        if let Err(error) = self.faults.strike() {
            // A write that fails may have written some of it.
            let written = self.faults.draw(data.len() as u64 + 1) as usize;
            self.inner.write(offset, &data[..written])?;
            return Err(error);
        }
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
