//! A store: what a caller has of it, beside the two threads that wait for the file.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::Poll;
use std::thread::JoinHandle;

use agentos_hal::{ColdStore, Entry, PAGE_TOKENS, StoreError, StoreKey};

use crate::create::create;
use crate::engine::{Engine, Failure};
use crate::error::OpenError;
use crate::index::{Shared, Version};
use crate::knowledge;
use crate::medium::{Access, FileMedium, Medium};
use crate::options::{Kind, Options};
use crate::owner;
use crate::reader::{Answer, Loaded, Reader};
use crate::stats::Stats;
use crate::writer::{Job, Put, Writer};

/// Jobs that can wait for the thread that writes.
const QUEUE: usize = 256;
/// Results that can wait to be told; before they are, nothing more is taken.
const RESULTS: usize = 1024;
/// Slices that were read and are kept, so that their pages can be fetched one by one; with those that are being read
/// ahead not more either.
const LOADED: usize = 4;
/// Slices that are read ahead at a time.
const AHEAD: usize = 2;

/// A store of slices and of knowledge, in a file.
///
/// As a [`ColdStore`] it never waits. What it offers beside that, about collections, waits for the file, and is
/// meant for hosts. When it is dropped it first writes what it was given.
pub struct Store {
    kind: Kind,
    options: Options,
    /// Bytes that slices may take up.
    max_bytes: u64,
    pub(crate) engine: Arc<Engine>,
    shared: Arc<Shared>,
    reader: Reader,
    /// The slice that is waited for.
    wanted: Option<StoreKey>,
    /// Slices that the thread that reads was asked for.
    fetching: Vec<Version>,
    /// Slices that were read, the latest last.
    loaded: Vec<Loaded>,
    /// Slices that could not be read, and whoever fetches them is told why.
    unread: Vec<(Version, StoreError)>,
    /// Memory of those that are not needed any more.
    spare: Vec<Vec<u8>>,
    /// The slice that is being handed over.
    assembly: Option<Assembly>,
    /// Jobs that were given to the thread that writes.
    jobs: u64,
    writer: Option<(SyncSender<Job>, JoinHandle<()>)>,
}

struct Assembly {
    key: StoreKey,
    entry: Entry,
    images: Vec<u8>,
}

impl Store {
    /// Opens the store in a file, or makes one where there is no file. No other program writes to it meanwhile.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, kind: Kind, options: Options) -> Result<Store, OpenError> {
        create(path, &kind)?;
        let medium = Box::new(FileMedium::new(path));
        let store = Store::open_on(medium, kind, options).map_err(|error| match error {
            OpenError::InUse { .. } => OpenError::InUse { by: owner::of(path) },
            other => other,
        })?;
        owner::claim(path);
        Ok(store)
    }

    /// Opens the store in a file to read only, also while another program writes to it. Slices
    /// that come after that are not found. What a crash left over is put in order first, which writes to the
    /// file for a moment.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Unrepaired`] where a crash left something over and the file cannot be written.
    pub fn open_read_only(path: &Path, kind: Kind) -> Result<Store, OpenError> {
        Store::open_read_only_on(Box::new(FileMedium::new(path)), kind)
    }

    /// As [`Store::open_read_only`], on a medium.
    ///
    /// # Errors
    /// Those of [`Store::open_read_only`].
    pub fn open_read_only_on(medium: Box<dyn Medium>, kind: Kind) -> Result<Store, OpenError> {
        let engine = Engine::open(medium, kind, Access::Read, false)?;
        Store::start(engine, kind, Options::default(), Access::Read)
    }

    /// Opens the store on a medium, or makes one on an empty medium.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_on(medium: Box<dyn Medium>, kind: Kind, options: Options) -> Result<Store, OpenError> {
        let engine = Engine::open(medium, kind, Access::Write, options.verify)?;
        Store::start(engine, kind, options, Access::Write)
    }

    fn start(engine: Engine, kind: Kind, options: Options, access: Access) -> Result<Store, OpenError> {
        let engine = Arc::new(engine);
        let index = engine.read(|transaction| knowledge::load(transaction, &kind.packing));
        let index = index.map_err(failed_index)?;
        let max_bytes = options.most_bytes(index.bytes());
        let shared = Arc::new(Shared::new(index));
        let reader =
            Reader::start(Arc::clone(&engine), Arc::clone(&shared), kind.packing).map_err(OpenError::Io)?;
        let writer = match access {
            Access::Read => None,
            Access::Write => {
                let writer = Writer::new(
                    (Arc::clone(&engine), Arc::clone(&shared)),
                    kind.packing,
                    (options, max_bytes),
                );
                let (jobs, waiting) = sync_channel(QUEUE);
                let thread = std::thread::Builder::new().name("store writer".to_owned());
                Some((jobs, thread.spawn(move || writer.run(&waiting)).map_err(OpenError::Io)?))
            }
        };
        Ok(Store {
            kind,
            options,
            max_bytes,
            engine,
            shared,
            reader,
            wanted: None,
            fetching: Vec::new(),
            loaded: Vec::with_capacity(LOADED + 1),
            unread: Vec::new(),
            spare: Vec::new(),
            assembly: None,
            jobs: 0,
            writer,
        })
    }

    /// What the store is made for.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What the store holds, and what it did.
    pub fn stats(&self) -> Stats {
        let index = self.shared.index();
        Stats {
            slices: index.len() as u64,
            bytes: index.bytes(),
            max_bytes: self.max_bytes,
            reopened: self.engine.opened() - 1,
            ..index.stats
        }
    }

    /// Waits until all that was handed over is durable or refused, and told by [`ColdStore::poll`].
    ///
    /// # Errors
    /// [`StoreError::Gone`], [`StoreError::ReadOnly`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.ask(|_| ())
    }

    /// Has the thread that writes do something, after all that it was asked for before, and waits for it.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.order(act)?.recv().map_err(|_| StoreError::Gone)
    }

    /// Has the thread that writes do something, after all that it was asked for before; the answer comes when it has.
    pub(crate) fn order<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<Receiver<T>, StoreError> {
        let (jobs, _) = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        let (answer, answered) = sync_channel(1);
        // There is room for the one answer, and who does not wait for it does not want it.
        let command = move |writer: &mut Writer| drop(answer.send(act(writer)));
        jobs.send(Job::Command(Box::new(command))).map_err(|_| StoreError::Gone)?;
        Ok(answered)
    }

    /// Drops a slice that is being handed over.
    fn drop_assembly(&mut self) {
        if let Some(assembly) = self.assembly.take() {
            self.shared.index().queued_bytes -= self.bytes_of(assembly.entry);
        }
    }

    fn bytes_of(&self, entry: Entry) -> usize {
        usize::from(entry.pages) * self.kind.packing.image_bytes()
    }

    /// Gives a job to the thread that writes, or gives it back.
    fn give(&mut self, job: Job) -> Result<Option<Job>, StoreError> {
        let (jobs, _) = self.writer.as_ref().ok_or(StoreError::ReadOnly)?;
        match jobs.try_send(job) {
            Ok(()) => {
                self.jobs += 1;
                Ok(None)
            }
            Err(TrySendError::Full(job)) => Ok(Some(job)),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Gone),
        }
    }

    /// Begins to take a slice, if there is room for one more on its way.
    fn begin(&mut self, key: &StoreKey, entry: Entry) -> Poll<()> {
        self.drop_assembly();
        self.unread.retain(|(unread, _)| unread.key != *key);
        let bytes = self.bytes_of(entry);
        let mut index = self.shared.index();
        let is_full = index.queued_bytes > 0 && index.queued_bytes + bytes > self.options.queue_bytes;
        if is_full || index.done.len() >= RESULTS {
            return Poll::Pending;
        }
        index.queued_bytes += bytes;
        self.assembly = Some(Assembly { key: *key, entry, images: Vec::with_capacity(bytes) });
        Poll::Ready(())
    }

    /// Takes what the thread that reads has read.
    fn take_answers(&mut self) {
        while let Some(Answer { version, result }) = self.reader.answer() {
            self.fetching.retain(|fetching| *fetching != version);
            let wanted = self.wanted.take_if(|wanted| *wanted == version.key).is_some();
            match result {
                Ok(loaded) => {
                    self.loaded.push(loaded);
                    self.make_room();
                }
                Err(error) => {
                    let is_of_now = self.lost(version, error);
                    // What was read ahead is tried again, unless that is of no use.
                    if is_of_now && (wanted || error == StoreError::Corrupt) {
                        self.unread.push((version, error));
                    }
                    if self.unread.len() > LOADED {
                        self.unread.remove(0);
                    }
                }
            }
        }
    }

    /// Lets go of a slice that was read, if there are too many: one that was fetched, or else the oldest.
    fn make_room(&mut self) {
        if self.loaded.len() > LOADED {
            let at = self.loaded.iter().position(|loaded| loaded.fetched).unwrap_or(0);
            self.spare.push(self.loaded.remove(at).images);
        }
    }

    /// Takes what the thread that reads has read, and forgets what it read of slices before they were put anew. Returns
    /// a slice as it is now.
    fn catch_up(&mut self, key: &StoreKey) -> Option<Version> {
        self.take_answers();
        let index = self.shared.index();
        self.loaded.retain(|loaded| index.version(&loaded.version.key) == Some(loaded.version));
        self.unread.retain(|(unread, _)| index.version(&unread.key).is_none_or(|now| now == *unread));
        index.version(key)
    }

    /// Why a slice could not be read; told once.
    fn take_unread(&mut self, key: &StoreKey) -> Option<StoreError> {
        let at = self.unread.iter().position(|(unread, _)| unread.key == *key)?;
        Some(self.unread.remove(at).1)
    }

    /// Has a slice read, unless as many are asked for as can be.
    fn read(&mut self, version: Version) -> Result<(), StoreError> {
        match self.reader.ask(version, self.spare.pop().unwrap_or_default())? {
            None => self.fetching.push(version),
            Some(spare) => self.spare.push(spare),
        }
        Ok(())
    }

    /// A slice that cannot be read as it was written must not be found again. One that was put since is another, and
    /// this says whether there is none.
    fn lost(&mut self, version: Version, error: StoreError) -> bool {
        let (mut index, key) = (self.shared.index(), &version.key);
        if index.version(key) != Some(version) {
            return false;
        }
        match error {
            StoreError::Corrupt => {
                index.stats.corrupt += 1;
                index.remove(key);
                if self.writer.is_some() {
                    index.doomed.push(*key);
                }
            }
            StoreError::Missing => index.remove(key),
            _ => {}
        }
        true
    }
}

impl ColdStore for Store {
    fn find(&self, key: &StoreKey) -> Option<Entry> {
        self.shared.index().get(key).map(|record| record.entry())
    }

    fn put(&mut self, key: &StoreKey, entry: Entry, page: u8, image: &[u8]) -> Poll<Result<(), StoreError>> {
        if self.writer.is_none() {
            return Poll::Ready(Err(StoreError::ReadOnly));
        }
        let expected = self.kind.packing.image_bytes();
        if image.len() != expected {
            return Poll::Ready(Err(StoreError::Length { found: image.len(), expected }));
        }
        if usize::from(entry.tokens).div_ceil(PAGE_TOKENS) != usize::from(entry.pages) || page >= entry.pages
        {
            return Poll::Ready(Err(StoreError::Missing));
        }
        if page == 0 && self.begin(key, entry).is_pending() {
            return Poll::Pending;
        }
        let next = usize::from(page) * expected;
        let follows = |a: &Assembly| a.key == *key && a.entry == entry && a.images.len() == next;
        let Some(mut assembly) = self.assembly.take_if(|assembly| follows(assembly)) else {
            self.drop_assembly();
            return Poll::Ready(Err(StoreError::Missing));
        };
        assembly.images.extend_from_slice(image);
        if page + 1 < entry.pages {
            self.assembly = Some(assembly);
            return Poll::Ready(Ok(()));
        }
        let put = Put { key: *key, entry, images: assembly.images, number: self.jobs };
        match self.give(Job::Put(put)) {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(Job::Put(Put { mut images, .. }))) => {
                images.truncate(next);
                self.assembly = Some(Assembly { key: *key, entry, images });
                Poll::Pending
            }
            Ok(Some(_)) => unreachable!("a job comes back as it went"),
            Err(error) => {
                self.shared.index().queued_bytes -= self.bytes_of(entry);
                Poll::Ready(Err(error))
            }
        }
    }

    fn get(&mut self, key: &StoreKey, page: u8, image: &mut [u8]) -> Poll<Result<(), StoreError>> {
        let expected = self.kind.packing.image_bytes();
        if image.len() != expected {
            return Poll::Ready(Err(StoreError::Length { found: image.len(), expected }));
        }
        let now = self.catch_up(key);
        if let Some(error) = self.take_unread(key) {
            return Poll::Ready(Err(error));
        }
        let Some(version) = now else {
            return Poll::Ready(Err(StoreError::Missing));
        };
        if let Some(loaded) = self.loaded.iter_mut().find(|loaded| loaded.version == version) {
            if page >= loaded.entry.pages {
                return Poll::Ready(Err(StoreError::Missing));
            }
            image.copy_from_slice(&loaded.images[usize::from(page) * expected..][..expected]);
            if page + 1 == loaded.entry.pages {
                loaded.fetched = true;
                self.shared.index().touch(key);
            }
            return Poll::Ready(Ok(()));
        }
        self.wanted = Some(*key);
        if !self.fetching.contains(&version)
            && let Err(error) = self.read(version)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    fn prefetch(&mut self, key: &StoreKey) {
        let Some(version) = self.catch_up(key) else { return };
        let is_known =
            self.fetching.contains(&version) || self.loaded.iter().any(|loaded| loaded.version == version);
        let unfetched = self.loaded.iter().filter(|loaded| !loaded.fetched).count();
        let has_room = self.fetching.len() < AHEAD && self.fetching.len() + unfetched < LOADED;
        if has_room && !is_known {
            // A reader that is gone is told to whoever fetches.
            let _gone = self.read(version);
        }
    }

    fn weigh(&mut self, key: &StoreKey, weight: f32) {
        self.shared.index().weigh(key, weight);
    }

    fn delete(&mut self, key: &StoreKey) -> Result<(), StoreError> {
        if self.assembly.as_ref().is_some_and(|assembly| assembly.key == *key) {
            self.drop_assembly();
        }
        self.loaded.retain(|loaded| loaded.version.key != *key);
        self.unread.retain(|(unread, _)| unread.key != *key);
        let (number, shared) = (self.jobs, Arc::clone(&self.shared));
        // The thread that writes must not be done with it before it is noted.
        let mut index = shared.index();
        if self.give(Job::Delete { key: *key, number })?.is_some() {
            return Err(StoreError::Busy);
        }
        index.delete(*key, number);
        Ok(())
    }

    fn poll(&mut self) -> Option<(StoreKey, Result<(), StoreError>)> {
        self.shared.index().done.pop_front()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some((jobs, thread)) = self.writer.take() {
            drop(jobs);
            // A panic there was told where it happened; nothing is left to do.
            let _ = thread.join();
        }
    }
}

fn failed_index(failure: Failure) -> OpenError {
    match failure {
        Failure::Io | Failure::Full => OpenError::Io(io::Error::other("the list of slices cannot be read")),
        Failure::Corrupt | Failure::Gone => {
            OpenError::Damaged("its list of slices is not what was written".to_owned())
        }
    }
}
