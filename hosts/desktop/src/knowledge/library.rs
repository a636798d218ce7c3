//! The library of a model: its store of slices, and what is kept with each collection.

use std::path::{Path, PathBuf};

use agentos_hal::{ColdStore, KvType, ModelShape, StoreError, StoreKey};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::SliceHash;
use agentos_kernel::memory::pack::Packing;
use agentos_store::{Bound, Collection, Encoding, Kind, KnowledgeError, OpenError, Options, Store};
use serde::{Deserialize, Serialize};

use super::compute::{ComputeError, Layers};
use super::prefix::{Frame, FrameError};
use crate::context::ContextError;
use crate::text::TokenizerError;

/// Why a library does not do what it is asked.
#[derive(Debug)]
pub enum LibraryError {
    /// Nothing says where it is.
    NoHome,
    /// Its file cannot be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: OpenError,
    },
    /// The store refuses.
    Store(KnowledgeError),
    /// There is no such collection.
    NoCollection {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// What is kept with a collection was written by another version of the program.
    Settings {
        /// The collection.
        name: String,
    },
    /// Nothing can be shared behind the model's template.
    Frame(FrameError),
    /// A passage and what it stands behind are longer than the model's contexts.
    Context(ContextError),
    /// A passage cannot be encoded.
    Encode(TokenizerError),
    /// A passage cannot be computed.
    Compute(ComputeError),
    /// A document does not fit beside those that are there.
    Full {
        /// Bytes that the library has.
        bytes: u64,
        /// Bytes that it may have.
        most: u64,
    },
    /// It was interrupted. What was entered is there, and what was computed is found again.
    Interrupted,
}

impl std::fmt::Display for LibraryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LibraryError::NoHome => f.write_str(
                "no folder of this user is known; --store FILE or the variable AGENTOS_HOME would do",
            ),
            LibraryError::Open { path, error } => write!(f, "the library {}: {error}", path.display()),
            LibraryError::Store(error) => write!(f, "the library: {error}"),
            LibraryError::NoCollection { name, known } if known.is_empty() => write!(
                f,
                "the library has no collection {name:?} and no other; `agentos ingest PATH --collection {name}` makes one"
            ),
            LibraryError::NoCollection { name, known } => {
                write!(f, "the library has no collection {name:?}; it has {}", known.join(", "))
            }
            LibraryError::Settings { name } => write!(
                f,
                "the collection {name:?} was made by another version of this program; remove it and ingest again"
            ),
            LibraryError::Frame(error) => error.fmt(f),
            LibraryError::Context(error) => error.fmt(f),
            LibraryError::Encode(error) => error.fmt(f),
            LibraryError::Compute(error) => error.fmt(f),
            LibraryError::Full { bytes, most } => write!(
                f,
                "the library is full: the document does not fit beside what it has, {:.2} of {:.2} GB; room on its disk, a larger --limit \
                 or fewer documents would do. What was entered is there",
                *bytes as f64 / 1e9,
                *most as f64 / 1e9
            ),
            LibraryError::Interrupted => {
                f.write_str("interrupted; what was entered is there, and what was computed is found again")
            }
        }
    }
}

impl std::error::Error for LibraryError {}

impl From<KnowledgeError> for LibraryError {
    fn from(error: KnowledgeError) -> LibraryError {
        LibraryError::Store(error)
    }
}

impl From<StoreError> for LibraryError {
    fn from(error: StoreError) -> LibraryError {
        LibraryError::Store(error.into())
    }
}

impl From<FrameError> for LibraryError {
    fn from(error: FrameError) -> LibraryError {
        LibraryError::Frame(error)
    }
}

impl From<ContextError> for LibraryError {
    fn from(error: ContextError) -> LibraryError {
        LibraryError::Context(error)
    }
}

impl From<TokenizerError> for LibraryError {
    fn from(error: TokenizerError) -> LibraryError {
        LibraryError::Encode(error)
    }
}

impl From<ComputeError> for LibraryError {
    fn from(error: ComputeError) -> LibraryError {
        LibraryError::Compute(error)
    }
}

/// What all passages of a collection have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What they stand behind, and what stands behind a question.
    pub frame: Frame,
    /// The layer of their mean keys.
    pub relevance_layer: u32,
    /// The layer of their pooled hidden rows.
    pub topic_layer: u32,
    /// The mean of the pooled hidden rows of questions about anything, at that layer.
    pub usual_question: Vec<f32>,
}

/// The version of [`Settings`] as bytes: its first.
const SETTINGS_VERSION: u8 = 1;

impl Settings {
    /// The layers.
    pub fn layers(&self) -> Layers {
        Layers { relevance: self.relevance_layer, topic: self.topic_layer }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let body = postcard::to_stdvec(self).expect("plain data can always be encoded");
        [&[SETTINGS_VERSION], &body[..]].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Settings> {
        match bytes.split_first()? {
            (&SETTINGS_VERSION, body) => postcard::from_bytes(body).ok(),
            _ => None,
        }
    }
}

/// Who uses a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Somebody who enters and removes: nobody else may meanwhile.
    Write {
        /// Bytes that its slices may take.
        max_bytes: Bound,
        /// How slices are written that need not come back bit for bit.
        packing: Encoding,
    },
    /// Somebody who only reads, also while another writes.
    Read,
}

/// A model's store and what identifies its slices.
pub struct Library {
    /// Its file.
    pub path: PathBuf,
    /// The store.
    pub store: Store,
    /// What the first slice of every context follows.
    pub root: SliceHash,
}

impl Library {
    /// Opens the library of the model with this identity, for keys and values of this type.
    ///
    /// # Errors
    /// [`LibraryError::Open`].
    pub fn open(
        path: &Path,
        identity: &[u8; 32],
        shape: &ModelShape,
        kv: KvType,
        access: Access,
    ) -> Result<Library, LibraryError> {
        let root = SliceHash::root(identity, kv, SliceLimits::DEFAULT);
        let kind = Kind { identity: root.0, packing: Packing::of(shape, kv) };
        let failed = |error| LibraryError::Open { path: path.to_owned(), error };
        let store = match access {
            Access::Read => Store::open_read_only(path, kind),
            Access::Write { max_bytes, packing } => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    std::fs::create_dir_all(folder).map_err(|error| failed(OpenError::Io(error)))?;
                }
                Store::open(path, kind, Options { max_bytes, encoding: packing, ..Options::default() })
            }
        };
        Ok(Library { path: path.to_owned(), store: store.map_err(failed)?, root })
    }

    /// Whether some of these slices are not kept bit for bit.
    pub fn has_packed(&self, keys: &[StoreKey]) -> bool {
        keys.iter().any(|key| self.store.find(key).is_some_and(|entry| !entry.exact))
    }

    /// What is kept with a collection.
    ///
    /// # Errors
    /// [`LibraryError::NoCollection`], [`LibraryError::Settings`], [`LibraryError::Store`].
    pub fn settings(&self, name: &str) -> Result<Settings, LibraryError> {
        let Some(collection) = self.store.collection(name)? else {
            let known = self.store.collections()?.into_iter().map(|collection| collection.name).collect();
            return Err(LibraryError::NoCollection { name: name.to_owned(), known });
        };
        Settings::from_bytes(&collection.settings)
            .ok_or_else(|| LibraryError::Settings { name: name.to_owned() })
    }

    /// What is kept with a collection, which is made with what `make` says if it is not there.
    ///
    /// # Errors
    /// Those of [`Library::settings`], and those of `make`.
    pub fn settings_or<E: From<LibraryError>>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<Settings, E>,
    ) -> Result<Settings, E> {
        match self.settings(name) {
            Err(LibraryError::NoCollection { .. }) => {}
            there => return Ok(there?),
        }
        let settings = make()?;
        let prefix = SliceHash::content(&settings.frame.before).0;
        let collection =
            Collection { name: name.to_owned(), prefix, pinned: true, settings: settings.to_bytes() };
        self.store.create_collection(&collection).map_err(LibraryError::from)?;
        Ok(settings)
    }
}

/// The keys of slices that stand one behind another, the first behind `before`.
pub fn chain(before: SliceHash, tokens: &[u32], slices: impl IntoIterator<Item = u32>) -> Vec<StoreKey> {
    let (mut hash, mut rest) = (before, tokens);
    let next = |length: u32| {
        let (slice, more) = rest.split_at((length as usize).min(rest.len()));
        rest = more;
        hash = hash.chain(slice);
        StoreKey(hash.0)
    };
    slices.into_iter().map(next).collect()
}

/// Where the library of a model is, if no option says otherwise: one file for each model and type of keys and
/// values, beside the models.
///
/// # Errors
/// [`LibraryError::NoHome`].
pub fn default_path(home: Option<&Path>, identity: &[u8; 32], kv: KvType) -> Result<PathBuf, LibraryError> {
    let root = SliceHash::root(identity, kv, SliceLimits::DEFAULT);
    let name: String = root.0[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let home = home.ok_or(LibraryError::NoHome)?;
    Ok(home.join("knowledge").join(format!("{name}.redb")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_other_versions_are_refused() {
        let frame = Frame { before: vec![1, 2, 300], after: vec![4] };
        let usual_question = vec![0.5, -1.0];
        let settings = Settings { frame, relevance_layer: 21, topic_layer: 14, usual_question };
        let bytes = settings.to_bytes();
        assert_eq!(Settings::from_bytes(&bytes), Some(settings));
        assert_eq!(Settings::from_bytes(&[]), None);
        assert_eq!(Settings::from_bytes(&[&[2], &bytes[1..]].concat()), None);
        assert_eq!(Settings::from_bytes(&bytes[..3]), None);
    }

    #[test]
    fn keys_are_those_of_the_kernel() {
        let root = SliceHash::root(&[7; 32], KvType::F16, SliceLimits::DEFAULT);
        let keys = chain(root, &[1, 2, 3, 4, 5], [2, 3]);
        let first = root.chain(&[1, 2]);
        assert_eq!(keys, [StoreKey(first.0), StoreKey(first.chain(&[3, 4, 5]).0)]);
    }
}
