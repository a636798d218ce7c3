//! What the tests of fetching share: an environment of their own, and a progress that remembers.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentos_desktop::fetch::environment::Platform;
use agentos_desktop::fetch::{Environment, Progress, System};

/// A machine with a disk of any size, on which waiting is quick.
#[derive(Clone)]
pub struct TestSystem {
    /// What the disk says is free.
    pub free: Arc<AtomicU64>,
    /// Bytes that can still be written before the disk is full.
    pub room: Arc<AtomicU64>,
    /// The waits that were asked for.
    pub waits: Arc<Mutex<Vec<Duration>>>,
}

impl Default for TestSystem {
    fn default() -> Self {
        TestSystem {
            free: Arc::new(AtomicU64::new(u64::MAX)),
            room: Arc::new(AtomicU64::new(u64::MAX)),
            waits: Arc::default(),
        }
    }
}

impl System for TestSystem {
    fn sleep(&self, time: Duration) {
        self.waits.lock().unwrap().push(time);
        // Enough not to spin while another program works.
        std::thread::sleep(time.min(Duration::from_millis(5)));
    }

    fn free_bytes(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::Relaxed))
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::Relaxed);
        let fits = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        file.write_all(&bytes[..fits])?;
        self.room.store(room - fits as u64, Ordering::Relaxed);
        if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

/// An environment in which nothing of this process is visible.
pub fn environment(home: &Path, system: &TestSystem) -> Environment {
    let mut environment = Environment::from_variables(Platform::HERE, &|_| None);
    environment.home = Some(home.to_owned());
    environment.pythons = vec![];
    environment.system = Box::new(system.clone());
    environment
}

/// Remembers what it was told.
#[derive(Default)]
pub struct Recorder {
    /// The pieces of work: name, total and bytes done.
    pub works: Vec<(String, u64, u64)>,
    /// The notes.
    pub notes: Vec<String>,
}

impl Progress for Recorder {
    fn begin(&mut self, what: &str, total: u64) {
        self.works.push((what.to_owned(), total, 0));
    }

    fn advance(&mut self, bytes: u64) {
        self.works.last_mut().expect("work begins before it goes on").2 += bytes;
    }

    fn finish(&mut self) {}

    fn note(&mut self, line: &str) {
        self.notes.push(line.to_owned());
    }
}

/// Names in `folder`, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return vec![];
    };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// `length` bytes that begin as a GGUF file does and repeat nowhere soon.
pub fn model_bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes = b"GGUF".to_vec();
    while bytes.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend(state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}
