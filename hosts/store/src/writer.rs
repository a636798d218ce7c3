//! The thread that writes: what comes within a moment goes into one transaction, and what is in the way goes
//! with it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use agentos_hal::{Entry, StoreError, StoreKey};
use agentos_kernel::memory::pack::Packing;
use redb::{ReadTransaction, WriteTransaction};

use crate::counter::{self, count_up};
use crate::encoding::{self, Encoding};
use crate::engine::{Engine, Failure, PIECES, SLICES};
use crate::error::KnowledgeError;
use crate::importance;
use crate::index::{Shared, SliceRecord};
use crate::options::Options;
use crate::pieces::{PIECE_BYTES, PieceKey, piece_key};
use crate::record::{self, Sort};

/// The counter of changes of collections.
const CHANGES: &str = "changes";
/// Records of slices that were used which go along with a transaction.
const DIRTY_RECORDS: usize = 1024;
/// Of a store's room, the share that is made free at once when it is full.
const SPARE_SHARE: u64 = 32;

/// Something to be done, in the order in which it was asked for.
pub enum Job {
    /// A whole slice.
    Put(Put),
    /// A slice that is to go.
    Delete {
        /// The slice.
        key: StoreKey,
        /// The number of this job.
        number: u64,
    },
    /// Something about collections. It is run after all that came before is durable.
    Command(Box<dyn FnOnce(&mut Writer) + Send>),
}

/// A slice that was handed over whole.
pub struct Put {
    /// The slice.
    pub key: StoreKey,
    /// What it is.
    pub entry: Entry,
    /// Its page images.
    pub images: Vec<u8>,
    /// The number of this job.
    pub number: u64,
}

/// What the thread works with.
pub struct Writer {
    /// The file.
    pub engine: Arc<Engine>,
    /// What the others see.
    pub shared: Arc<Shared>,
    /// The sizes of a page image.
    pub packing: Packing,
    /// How the store behaves.
    pub options: Options,
    /// Bytes that slices may take up.
    max_bytes: u64,
    /// Bytes of slices with which the medium was full.
    ceiling: Option<u64>,
}

/// A slice, ready to be written.
struct Encoded {
    key: StoreKey,
    record: SliceRecord,
    bytes: Vec<u8>,
    number: u64,
}

/// What became of a slice.
type Outcome = (StoreKey, Result<(), StoreError>);

impl Writer {
    /// One that has written nothing yet.
    pub fn new(
        (engine, shared): (Arc<Engine>, Arc<Shared>),
        packing: Packing,
        (options, max_bytes): (Options, u64),
    ) -> Writer {
        Writer { engine, shared, packing, options, max_bytes, ceiling: None }
    }

    /// Works until nobody can ask for anything any more.
    pub fn run(mut self, jobs: &Receiver<Job>) {
        let mut left = None;
        while let Some(job) = left.take().or_else(|| jobs.recv().ok()) {
            let (group, command) = self.gather(job, jobs);
            self.process(group);
            if let Some(command) = command {
                command(&mut self);
            }
        }
        // What was used since is worth knowing the next time.
        self.process(Vec::new());
        self.engine.close();
    }

    /// Reads of one snapshot, for something about collections.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn consult<T>(
        &self,
        read: impl FnMut(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, KnowledgeError> {
        self.engine.read(read).map_err(|failure| failure.told(0, 0).into())
    }

    /// Changes collections in one transaction, which happens once. A medium that fails is given a second chance.
    ///
    /// # Errors
    /// [`KnowledgeError::Store`].
    pub fn change<T>(
        &self,
        change: impl Fn(&WriteTransaction) -> Result<T, Failure>,
    ) -> Result<T, KnowledgeError> {
        self.change_once(change).map_err(|failure| failure.told(0, 0).into())
    }

    fn change_once<T>(&self, change: impl Fn(&WriteTransaction) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut made = None;
        let attempt = |made: &mut Option<(u64, T)>| {
            self.engine.write(|transaction| {
                *made = Some((count_up(transaction, CHANGES)?, change(transaction)?));
                Ok(())
            })
        };
        match attempt(&mut made) {
            // It is durable when one behind it is.
            Err(Failure::Io) if self.has_happened(made.as_ref())? => self.engine.write(|_| Ok(()))?,
            Err(Failure::Io) => attempt(&mut made)?,
            result => result?,
        }
        made.map(|(_, value)| value).ok_or(Failure::Io)
    }

    /// Whether a change that was told as failed is in the file: one whose last sync fails may be.
    fn has_happened<T>(&self, change: Option<&(u64, T)>) -> Result<bool, Failure> {
        let Some(&(number, _)) = change else { return Ok(false) };
        self.engine.read(|transaction| Ok(counter::next(transaction, CHANGES)? > number))
    }

    /// All that comes soon and fits one transaction, up to a command.
    #[expect(clippy::type_complexity, reason = "the command is as the job has it")]
    fn gather(
        &self,
        first: Job,
        jobs: &Receiver<Job>,
    ) -> (Vec<Job>, Option<Box<dyn FnOnce(&mut Writer) + Send>>) {
        let deadline = Instant::now() + self.options.batch_wait;
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, first);
        loop {
            match next {
                Job::Command(command) => return (group, Some(command)),
                Job::Put(put) => {
                    bytes += put.images.len();
                    group.push(Job::Put(put));
                }
                Job::Delete { .. } => group.push(next),
            }
            if bytes >= self.options.batch_bytes {
                return (group, None);
            }
            match jobs.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(job) => next = job,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return (group, None),
            }
        }
    }

    /// Writes a group of jobs, and tells what became of each.
    fn process(&mut self, group: Vec<Job>) {
        let mut puts: HashMap<StoreKey, Put> = HashMap::new();
        let mut order = Vec::new();
        let mut deletes = Vec::new();
        let mut queued = 0;
        for job in group {
            match job {
                Job::Put(put) => {
                    queued += put.images.len();
                    order.push(put.key);
                    puts.insert(put.key, put);
                }
                Job::Delete { key, number } => {
                    puts.remove(&key);
                    deletes.push((key, number));
                }
                Job::Command(_) => unreachable!("commands end a group"),
            }
        }
        let puts: Vec<Encoded> =
            order.into_iter().filter_map(|key| Some(self.encode(puts.remove(&key)?))).collect();
        let (puts, known) = self.sort_out(puts);
        let results = self.store(puts, &deletes);
        let mut index = self.shared.index();
        index.queued_bytes -= queued;
        index.done.extend(known.into_iter().map(|key| (key, Ok(()))));
        index.done.extend(results);
    }

    fn encode(&self, put: Put) -> Encoded {
        let Put { key, entry, images, number } = put;
        let encoding = if entry.exact { Encoding::Lossless } else { self.options.encoding };
        let bytes = encoding.encode(&self.packing, entry, images);
        let record = SliceRecord {
            pages: entry.pages,
            tokens: entry.tokens,
            encoding,
            exact: entry.exact,
            bytes: bytes.len() as u64,
            checksum: encoding::checksum(&key, entry, encoding, &bytes),
            mass: 0.0,
            uses: 0,
            used: 0,
        };
        Encoded { key, record, bytes, number }
    }

    /// Those that have to be written, and those that are there already, or are there better.
    fn sort_out(&self, puts: Vec<Encoded>) -> (Vec<Encoded>, Vec<StoreKey>) {
        let mut index = self.shared.index();
        let mut known = Vec::new();
        let mut new = Vec::new();
        for mut put in puts {
            let there = index.get(&put.key).copied();
            let is_known = there.is_some_and(|there| {
                there.checksum == put.record.checksum || (there.exact && !put.record.exact)
            });
            if is_known {
                index.touch(&put.key);
                index.stats.duplicates += 1;
                known.push(put.key);
            } else {
                put.record.used = index.tick();
                if let Some(there) = there {
                    (put.record.mass, put.record.uses) = (there.mass, there.uses);
                }
                new.push(put);
            }
        }
        (new, known)
    }

    /// Writes what is new, deletes what has to go, and says what became of it.
    fn store(&mut self, puts: Vec<Encoded>, deletes: &[(StoreKey, u64)]) -> Vec<Outcome> {
        if self.engine.available().is_none_or(|bytes| bytes > self.options.turnover_bytes()) {
            self.ceiling = None;
        }
        self.shared.index().doomed.extend(deletes.iter().map(|(key, _)| key));
        let (room, held) = (self.room(), self.shared.index().pinned_bytes());
        let beside = room.saturating_sub(held);
        let (fitting, large): (Vec<_>, Vec<_>) =
            puts.into_iter().partition(|put| put.record.allocated() <= beside);
        let mut results: Vec<Outcome> = Vec::new();
        for put in large {
            self.shared.index().stats.refused += 1;
            let needed = put.record.allocated();
            let refusal = if needed > room {
                StoreError::Full { needed, available: room }
            } else {
                StoreError::Held { needed, held, most: room }
            };
            results.push((put.key, Err(refusal)));
        }
        for part in parts(fitting, beside.min(self.spare() / 2)) {
            let told = self.write_part(&part);
            results.extend(part.iter().map(|put| (put.key, told)));
        }
        let mut index = self.shared.index();
        deletes.iter().for_each(|(key, number)| index.deleted(key, *number));
        results
    }

    /// Bytes that are kept free: what a transaction lets go can be used only after the next.
    fn spare(&self) -> u64 {
        self.options.turnover_bytes().min(self.max_bytes / 4)
    }

    /// Bytes that slices may take up now.
    fn room(&self) -> u64 {
        let room = self.max_bytes - self.spare();
        self.ceiling.map_or(room, |ceiling| ceiling.min(room))
    }

    /// Writes slices in one transaction. A medium that fails is given a second chance, and one that is full is
    /// first made to have room.
    fn write_part(&mut self, part: &[Encoded]) -> Result<(), StoreError> {
        let needed = part.iter().map(|put| put.record.allocated()).sum();
        let result = match self.transact(part, needed) {
            Err(Failure::Full) => {
                self.ceiling = Some(self.shared.index().bytes());
                // What is let go is free for use after one more transaction.
                self.transact(&[], needed)
                    .and_then(|()| self.engine.write(|_| Ok(())))
                    .and_then(|()| self.transact(part, needed))
            }
            Err(Failure::Io | Failure::Corrupt) => self.transact(part, needed),
            result => result,
        };
        result.map_err(|failure| {
            self.shared.index().stats.refused += part.len() as u64;
            failure.told(needed, self.ceiling.unwrap_or(0))
        })
    }

    /// One transaction: puts slices, lets go what is in their way and what is doomed, and notes what was used.
    fn transact(&mut self, part: &[Encoded], needed: u64) -> Result<(), Failure> {
        let coming: HashSet<StoreKey> = part.iter().map(|put| put.key).collect();
        let (doomed, victims, dirty) = {
            let mut index = self.shared.index();
            let doomed: Vec<_> = index.doomed.drain(..).filter(|key| !coming.contains(key)).collect();
            let room = self.room();
            let excess = (index.bytes() + needed).saturating_sub(room);
            let victims = match excess {
                0 => Vec::new(),
                _ => {
                    let more = excess.max(room / SPARE_SHARE);
                    importance::victims(index.standings(|key| coming.contains(key)), index.clock(), more)
                }
            };
            (doomed, victims, index.take_dirty(DIRTY_RECORDS))
        };
        if part.is_empty() && doomed.is_empty() && victims.is_empty() && dirty.is_empty() {
            return Ok(());
        }
        let result = self.engine.write(|transaction| {
            doomed.iter().chain(&victims).try_for_each(|key| erase(transaction, key))?;
            let kept = dirty.iter().filter(|(key, _)| !victims.contains(key) && !coming.contains(key));
            kept.into_iter().try_for_each(|(key, record)| note(transaction, key, record))?;
            part.iter().try_for_each(|put| write(transaction, put))
        });
        let mut index = self.shared.index();
        if result.is_err() {
            index.doomed.extend(doomed);
            return result;
        }
        victims.iter().for_each(|key| index.remove(key));
        for put in part {
            if !index.is_deleted_after(&put.key, put.number) {
                index.insert(put.key, put.record);
            }
        }
        index.stats.batches += 1;
        index.stats.evicted += victims.len() as u64;
        index.stats.written += part.len() as u64;
        index.stats.written_bytes += part.iter().map(|put| put.record.bytes).sum::<u64>();
        Ok(())
    }
}

/// Slices in parts of so many bytes, or one slice. There is one part at least, for what else has to be written.
fn parts(puts: Vec<Encoded>, bytes: u64) -> Vec<Vec<Encoded>> {
    let mut parts = vec![Vec::new()];
    let mut filled = 0;
    for put in puts {
        let size = put.record.allocated();
        if filled > 0 && filled + size > bytes {
            parts.push(Vec::new());
            filled = 0;
        }
        filled += size;
        if let Some(part) = parts.last_mut() {
            part.push(put);
        }
    }
    parts
}

/// Writes a slice over whatever is there of it.
fn write(transaction: &WriteTransaction, put: &Encoded) -> Result<(), Failure> {
    erase(transaction, &put.key)?;
    let mut table = transaction.open_table(PIECES)?;
    for (piece, bytes) in put.bytes.chunks(PIECE_BYTES).enumerate() {
        // Sound slices have a few dozen pieces.
        table.insert(&piece_key(&put.key, piece as u16), bytes)?;
    }
    drop(table);
    note(transaction, &put.key, &put.record)
}

/// Writes what is known of a slice.
fn note(transaction: &WriteTransaction, key: &StoreKey, record: &SliceRecord) -> Result<(), Failure> {
    let sealed = record::seal(Sort::Slice, &key.0, record);
    transaction.open_table(SLICES)?.insert(&key.0, sealed.as_slice())?;
    Ok(())
}

/// Takes a slice out, whatever of it is there.
pub fn erase(transaction: &WriteTransaction, key: &StoreKey) -> Result<(), Failure> {
    transaction.open_table(SLICES)?.remove(&key.0)?;
    let (first, last) = (piece_key(key, 0), piece_key(key, u16::MAX));
    transaction.open_table(PIECES)?.retain_in::<&PieceKey, _>(&first..=&last, |_, _| false)?;
    Ok(())
}
