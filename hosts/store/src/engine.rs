//! The file: a [`redb`] database, opened, refused, and opened again after it has failed.
//!
//! redb answers an error of its medium by refusing everything from then on, and may panic over a file whose
//! bytes changed after they were written. Here the first closes the database and opens it again, and the
//! second is caught and is [`Failure::Corrupt`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{PoisonError, RwLock};

use agentos_hal::{StoreError, StoreKey};
use redb::{
    Builder, ConcurrencyMode, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, StorageBackend,
    TableDefinition, WriteTransaction,
};

use crate::error::OpenError;
use crate::header;
use crate::medium::{Access, Medium};
use crate::options::Kind;
use crate::pieces::{PieceKey, count, piece_key};

/// The header, and counters.
pub const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// What is known of each slice.
pub const SLICES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("slices");
/// Their encoded images, in pieces.
pub const PIECES: TableDefinition<'_, &PieceKey, &[u8]> = TableDefinition::new("pieces");
/// Collections by their names.
pub const COLLECTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("collections");
/// Documents by collection and path.
pub const DOCUMENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("documents");
/// Documents that passages were put aside for, by collection and path; files of earlier versions have no such table.
pub const ASIDE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("aside");
/// Passages by document and number.
pub const PASSAGES: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("passages");
/// The schemas of a passage's slices.
pub const SCHEMAS: TableDefinition<'_, &[u8; 13], &[u8]> = TableDefinition::new("schemas");
/// Which passages name a slice: the slice, the document, the passage; and the collection.
pub const REFERENCES: TableDefinition<'_, &[u8; 44], u32> = TableDefinition::new("references");

/// The key of the header in [`META`].
const HEADER: &str = "header";
/// What a redb file begins with.
const FILE_MAGIC: [u8; 9] = *b"redb\x1A\x0A\xA9\x0D\x0A";
/// Memory for pages of the database that were read. Slices are read once and then held elsewhere.
const CACHE_BYTES: usize = 16 << 20;

/// Why a transaction came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The medium has no room.
    Full,
    /// The medium failed.
    Io,
    /// The file is not what was written.
    Corrupt,
    /// The file cannot be opened any more.
    Gone,
}

macro_rules! failure_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::of(error.into())
            }
        })*
    };
}

failure_from!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError
);

impl Failure {
    /// What the kernel is told: with how much was needed and how much there is, where that matters.
    pub fn told(&self, needed: u64, available: u64) -> StoreError {
        match self {
            Failure::Full => StoreError::Full { needed, available },
            Failure::Io => StoreError::Io,
            Failure::Corrupt => StoreError::Corrupt,
            Failure::Gone => StoreError::Gone,
        }
    }

    fn of(error: redb::Error) -> Failure {
        match error {
            redb::Error::Io(error) => Failure::of_io(&error),
            redb::Error::Corrupted(_)
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_) => Failure::Corrupt,
            _ => Failure::Io,
        }
    }

    fn of_io(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Failure::Full
            }
            // What redb says of a file that ends too early.
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Failure::Corrupt,
            _ => Failure::Io,
        }
    }
}

enum Handle {
    Write(Database),
    Read(ReadOnlyDatabase),
    /// It failed, and was not opened again yet.
    Closed,
}

/// A store's file.
pub struct Engine {
    medium: Box<dyn Medium>,
    kind: Kind,
    access: Access,
    /// The database, and how often it was opened.
    handle: RwLock<(Handle, u64)>,
}

impl Engine {
    /// Opens the store on a medium, or makes one on an empty medium.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        medium: Box<dyn Medium>,
        kind: Kind,
        access: Access,
        verify: bool,
    ) -> Result<Engine, OpenError> {
        let handle = open(medium.as_ref(), &kind, access, verify)?;
        Ok(Engine { medium, kind, access, handle: RwLock::new((handle, 1)) })
    }

    /// Bytes that the medium could grow by.
    pub fn available(&self) -> Option<u64> {
        self.medium.available()
    }

    /// Reads in one snapshot. After the medium failed, the file is opened again and read once more.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn read<T>(
        &self,
        mut read: impl FnMut(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut once = || {
            self.with(|handle| {
                let transaction = match handle {
                    Handle::Write(database) => database.begin_read()?,
                    Handle::Read(database) => database.begin_read()?,
                    Handle::Closed => return Err(Failure::Io),
                };
                read(&transaction)
            })
        };
        match once() {
            (Err(Failure::Io), opened) => {
                self.reopen(opened, false)?;
                once().0
            }
            (result, _) => result,
        }
    }

    /// Writes in one transaction, which is durable when this returns, or has no effect. After a failure the
    /// file is opened again, so that the next call finds it in order.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (result, opened) = self.with(|handle| {
            let Handle::Write(database) = handle else { return Err(Failure::Io) };
            let mut transaction = database.begin_write()?;
            // A crash is followed by an opening that does not read the whole file.
            transaction.set_quick_repair(true);
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        });
        if let Err(failure) = &result {
            let reopened = self.reopen(opened, *failure == Failure::Corrupt);
            if reopened == Err(Failure::Gone) {
                return Err(Failure::Gone);
            }
        }
        result
    }

    /// How often the file was opened.
    pub fn opened(&self) -> u64 {
        self.handle.read().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Closes the file; nothing can be read or written any more.
    pub fn close(&self) {
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut handle.0, Handle::Closed);
        // What a damaged file makes redb do on the way out concerns nobody any more.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(old)));
    }

    fn with<T>(&self, act: impl FnOnce(&Handle) -> Result<T, Failure>) -> (Result<T, Failure>, u64) {
        let handle = self.handle.read().unwrap_or_else(PoisonError::into_inner);
        let result = catch_unwind(AssertUnwindSafe(|| act(&handle.0)));
        (result.unwrap_or(Err(Failure::Corrupt)), handle.1)
    }

    /// Opens the file again, unless somebody did since it was opened for the `opened`th time.
    fn reopen(&self, opened: u64, verify: bool) -> Result<(), Failure> {
        let mut handle = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        if handle.1 != opened {
            return Ok(());
        }
        let old = std::mem::replace(&mut handle.0, Handle::Closed);
        let _ = catch_unwind(AssertUnwindSafe(move || drop(old)));
        match open(self.medium.as_ref(), &self.kind, self.access, verify) {
            Ok(new) => {
                *handle = (new, opened + 1);
                Ok(())
            }
            Err(OpenError::Io(error)) => Err(Failure::of_io(&error)),
            Err(_) => Err(Failure::Gone),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens the file. What a crash left over is put in order first, also for who only reads.
fn open(medium: &dyn Medium, kind: &Kind, access: Access, verify: bool) -> Result<Handle, OpenError> {
    match open_as_it_is(medium, kind, access, verify) {
        Err(OpenError::NeedsRepair) if access == Access::Read => {}
        opened => return opened,
    }
    let repaired = open_as_it_is(medium, kind, Access::Write, verify).map(drop);
    // Another program may have repaired it and write to it since: readers stand beside that.
    open_as_it_is(medium, kind, access, verify).map_err(|error| match (error, repaired) {
        (OpenError::NeedsRepair, Err(why)) => OpenError::Unrepaired(Box::new(why)),
        (error, _) => error,
    })
}

fn open_as_it_is(
    medium: &dyn Medium,
    kind: &Kind,
    access: Access,
    verify: bool,
) -> Result<Handle, OpenError> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let handle = open_database(medium, access, verify)?;
        match &handle {
            Handle::Write(database) => {
                let new = is_empty(&database.begin_read().map_err(refusal)?)?;
                if new {
                    initialise(database, kind).map_err(refusal)?;
                }
                check_header(&database.begin_read().map_err(refusal)?, kind)?;
            }
            Handle::Read(database) => check_header(&database.begin_read().map_err(refusal)?, kind)?,
            Handle::Closed => {}
        }
        Ok(handle)
    }));
    opened.unwrap_or_else(|_| Err(OpenError::Damaged("its tables are not what was written".to_owned())))
}

fn open_database(medium: &dyn Medium, access: Access, verify: bool) -> Result<Handle, OpenError> {
    let backend = medium.open(access).map_err(OpenError::Io)?;
    let length = backend.len().map_err(OpenError::Io)?;
    if length > 0 || access == Access::Read {
        let mut magic = [0; FILE_MAGIC.len()];
        if length < magic.len() as u64 {
            return Err(OpenError::Foreign);
        }
        backend.read(0, &mut magic).map_err(OpenError::Io)?;
        if magic != FILE_MAGIC {
            return Err(OpenError::Foreign);
        }
    }
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder.set_check_integrity_on_open(verify);
    match access {
        Access::Write => builder.create_with_backend(backend).map(Handle::Write),
        Access::Read => builder.open_read_only_with_backend(backend).map(Handle::Read),
    }
    .map_err(refusal)
}

fn is_empty(transaction: &ReadTransaction) -> Result<bool, OpenError> {
    let tables = transaction.list_tables().map_err(refusal)?.count();
    let multimaps = transaction.list_multimap_tables().map_err(refusal)?.count();
    Ok(tables + multimaps == 0)
}

/// Writes the header and makes all tables.
fn initialise(database: &Database, kind: &Kind) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(HEADER, header::write(kind).as_slice())?;
    transaction.open_table(SLICES)?;
    transaction.open_table(PIECES)?;
    transaction.open_table(COLLECTIONS)?;
    transaction.open_table(DOCUMENTS)?;
    transaction.open_table(ASIDE)?;
    transaction.open_table(PASSAGES)?;
    transaction.open_table(SCHEMAS)?;
    transaction.open_table(REFERENCES)?;
    transaction.commit()?;
    Ok(())
}

fn check_header(transaction: &ReadTransaction, kind: &Kind) -> Result<(), OpenError> {
    let table = match transaction.open_table(META) {
        Err(
            redb::TableError::TableDoesNotExist(_)
            | redb::TableError::TableTypeMismatch { .. }
            | redb::TableError::TableIsMultimap(_),
        ) => return Err(OpenError::Foreign),
        table => table.map_err(refusal)?,
    };
    match table.get(HEADER).map_err(refusal)? {
        Some(bytes) => header::check(bytes.value(), kind),
        None => Err(OpenError::Foreign),
    }
}

/// Why redb does not open a file.
fn refusal(error: impl Into<redb::Error>) -> OpenError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => OpenError::InUse { by: None },
        redb::Error::RepairAborted => OpenError::NeedsRepair,
        redb::Error::UpgradeRequired(version) => {
            OpenError::Damaged(format!("its file format is version {version} of redb's"))
        }
        redb::Error::Io(error) => match Failure::of_io(&error) {
            Failure::Corrupt => OpenError::Damaged(error.to_string()),
            _ => OpenError::Io(error),
        },
        redb::Error::Corrupted(what) => OpenError::Damaged(what),
        error @ (redb::Error::PreviousIo
        | redb::Error::DatabaseClosed
        | redb::Error::LockPoisoned(_)
        | redb::Error::Backend(_)) => OpenError::Io(io::Error::other(error.to_string())),
        other => OpenError::Damaged(other.to_string()),
    }
}

/// The record of a slice, as it is in the file.
///
/// # Errors
/// [`Failure`].
pub fn record(transaction: &ReadTransaction, key: &StoreKey) -> Result<Option<Vec<u8>>, Failure> {
    let record = transaction.open_table(SLICES)?.get(&key.0)?;
    Ok(record.map(|bytes| bytes.value().to_vec()))
}

/// Fills `encoded` from the pieces of a slice.
///
/// # Errors
/// [`Failure::Corrupt`] when there are not as many bytes as `encoded` takes; [`Failure`].
pub fn read_pieces(transaction: &ReadTransaction, key: &StoreKey, encoded: &mut [u8]) -> Result<(), Failure> {
    let table = transaction.open_table(PIECES)?;
    let last = count(encoded.len() as u64);
    let mut rest = encoded;
    for piece in table.range::<&PieceKey>(&piece_key(key, 0)..&piece_key(key, last))? {
        let (_, bytes) = piece?;
        let (filled, left) = rest.split_at_mut_checked(bytes.value().len()).ok_or(Failure::Corrupt)?;
        filled.copy_from_slice(bytes.value());
        rest = left;
    }
    if rest.is_empty() { Ok(()) } else { Err(Failure::Corrupt) }
}
