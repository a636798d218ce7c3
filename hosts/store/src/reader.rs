//! The thread that reads: a slice at a time, checked, so that whoever asked never waits for a disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;

use agentos_hal::{Entry, StoreError};
use agentos_kernel::memory::pack::Packing;

use crate::encoding::{self, Encoding};
use crate::engine::{self, Engine, Failure};
use crate::index::{Shared, SliceRecord, Version};
use crate::record::{self, Sort};

/// Slices that can be asked for before one is read.
const QUEUE: usize = 4;

/// A slice that was read, all its page images one after the other.
pub struct Loaded {
    /// The slice, as it was when it was asked for.
    pub version: Version,
    /// What it is.
    pub entry: Entry,
    /// Its page images.
    pub images: Vec<u8>,
    /// The last of them was fetched.
    pub fetched: bool,
}

/// What became of a slice that was asked for.
pub struct Answer {
    /// The slice, as it was when it was asked for.
    pub version: Version,
    /// It, or why not.
    pub result: Result<Loaded, StoreError>,
}

/// The caller's end of the thread.
pub struct Reader {
    asked: Option<SyncSender<(Version, Vec<u8>)>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says when there can be no thread.
    pub fn start(engine: Arc<Engine>, shared: Arc<Shared>, packing: Packing) -> std::io::Result<Reader> {
        let (asked, questions) = sync_channel(QUEUE);
        let (answer, answers) = channel();
        let thread = std::thread::Builder::new()
            .name("store reader".to_owned())
            .spawn(move || serve(&engine, &shared, &packing, &questions, &answer))?;
        Ok(Reader { asked: Some(asked), answers, thread: Some(thread) })
    }

    /// Asks for a slice; `images` is memory that is not needed any more. Gives it back when too much was asked
    /// for already.
    ///
    /// # Errors
    /// [`StoreError::Gone`].
    pub fn ask(&self, version: Version, images: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let asked = self.asked.as_ref().ok_or(StoreError::Gone)?;
        match asked.try_send((version, images)) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full((_, images))) => Ok(Some(images)),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Gone),
        }
    }

    /// A slice that was read, if one was.
    pub fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told where it happened; nothing is left to do.
            let _ = thread.join();
        }
    }
}

fn serve(
    engine: &Engine,
    shared: &Shared,
    packing: &Packing,
    questions: &Receiver<(Version, Vec<u8>)>,
    answer: &Sender<Answer>,
) {
    let mut encoded = Vec::new();
    while let Ok((version, images)) = questions.recv() {
        let result = load(engine, packing, version, images, &mut encoded);
        if let Ok((_, bytes)) = &result {
            let mut index = shared.index();
            index.stats.read += 1;
            index.stats.read_bytes += bytes;
        }
        let result = result.map(|(loaded, _)| loaded);
        if answer.send(Answer { version, result }).is_err() {
            return;
        }
    }
}

/// Reads a slice, and says how many bytes it had in the file.
fn load(
    engine: &Engine,
    packing: &Packing,
    version: Version,
    mut images: Vec<u8>,
    encoded: &mut Vec<u8>,
) -> Result<(Loaded, u64), StoreError> {
    let key = &version.key;
    let record = engine.read(|transaction| {
        let Some(record) = engine::record(transaction, key)? else { return Ok(None) };
        let record: SliceRecord = record::open(Sort::Slice, &key.0, &record).map_err(|_| Failure::Corrupt)?;
        if !record.is_sound(packing) {
            return Err(Failure::Corrupt);
        }
        // What is as it was handed over needs no place of its own.
        let bytes = if record.encoding == Encoding::Lossless { &mut images } else { &mut *encoded };
        bytes.resize(record.bytes as usize, 0);
        engine::read_pieces(transaction, key, bytes)?;
        if record.checksum == encoding::checksum(key, record.entry(), record.encoding, bytes) {
            Ok(Some(record))
        } else {
            Err(Failure::Corrupt)
        }
    });
    let record = record.map_err(|failure| failure.told(0, 0))?.ok_or(StoreError::Missing)?;
    let entry = record.entry();
    if record.encoding != Encoding::Lossless {
        images.resize(usize::from(entry.pages) * packing.image_bytes(), 0);
        record.encoding.decode(packing, entry, encoded, &mut images);
    }
    Ok((Loaded { version, entry, images, fetched: false }, record.bytes))
}
