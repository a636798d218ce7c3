//! The cold store of a command: a file, a library that is only read, or none.

use agentos_hal::{ColdStore, ModelShape, NoStore};
use agentos_kernel::memory::SliceHash;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::Config;
use agentos_store::{Bound, Kind, Options, Store};

use super::error::CliError;
use crate::knowledge::library::Library;
use crate::team::StoreFile;

/// The store that a kernel of some sizes has.
pub enum ColdFile {
    /// None.
    None(NoStore),
    /// One in a file.
    File(Box<Store>),
    /// The library that a team without a store of its own reads: nothing is put there.
    Library(Box<Library>),
}

impl ColdFile {
    /// Opens the store in a file, which is made if there is none. It holds slices of this model, with these sizes,
    /// and of no other.
    ///
    /// # Errors
    /// [`CliError::Store`].
    pub fn open(
        file: Option<&StoreFile>,
        model: &[u8; 32],
        config: &Config,
        shape: &ModelShape,
    ) -> Result<ColdFile, CliError> {
        let Some(StoreFile { path, size_mb, packing }) = file else { return Ok(ColdFile::None(NoStore)) };
        let identity = SliceHash::root(model, config.kv, config.slice_limits).0;
        let kind = Kind { identity, packing: Packing::of(shape, config.kv) };
        let usual = Options::default();
        let max_bytes = size_mb.map_or(usual.max_bytes, |mb| Bound::Said(u64::from(mb) << 20));
        let store = Store::open(path, kind, Options { max_bytes, encoding: *packing, ..usual });
        let store = store.map_err(|error| CliError::Store { path: path.clone(), error })?;
        Ok(ColdFile::File(Box::new(store)))
    }

    /// What the kernel drives.
    pub fn cold_store(&mut self) -> &mut dyn ColdStore {
        match self {
            ColdFile::None(store) => store,
            ColdFile::File(store) => &mut **store,
            ColdFile::Library(library) => &mut library.store,
        }
    }
}
