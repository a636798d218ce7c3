//! A model file, opened: what it says of itself, and its weights as a device takes them.
//!
//! Three things that borrow from each other are made in turn: a [`ModelMap`], the
//! index that its parser needs ([`index`]), and a [`ModelFile`].

mod identity;
mod metadata;
mod text;
mod weights;

use std::path::{Path, PathBuf};

use agentos_gguf::{Gguf, GgufError, IndexEntry};
use agentos_kernel::model::{self, Model, ModelError};

pub use identity::identity;
pub use metadata::FileMetadata;
pub use text::{TextError, tokenizer};
pub use weights::MappedWeights;

use crate::map::ModelMap;
use crate::text::Vocabulary;

/// A model file that was parsed, and whose architecture is known.
#[derive(Clone, Copy)]
pub struct ModelFile<'m> {
    /// Where its bytes are.
    pub map: &'m ModelMap,
    /// The parsed file.
    pub gguf: Gguf<'m>,
    /// Its program and sizes.
    pub model: Model,
}

/// Why a file cannot be used as a model.
#[derive(Debug)]
pub enum LoadError {
    /// It is no GGUF file, or one that lies.
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<GgufError>,
    },
    /// No program computes the model in it.
    Model {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<ModelError>,
    },
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Gguf { path, error } => write!(f, "the model {}: {error}", path.display()),
            LoadError::Model { path, error } => write!(f, "the model {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for LoadError {}

/// The table that [`ModelFile::read`] needs for this file.
///
/// # Errors
/// [`LoadError::Gguf`].
pub fn index(path: &Path, map: &ModelMap) -> Result<Vec<IndexEntry>, LoadError> {
    let len = Gguf::index_len(map.bytes())
        .map_err(|error| LoadError::Gguf { path: path.to_owned(), error: Box::new(error) })?;
    Ok(vec![IndexEntry::default(); len])
}

impl<'m> ModelFile<'m> {
    /// Checks the file and finds the program for it.
    ///
    /// # Errors
    /// [`LoadError::Gguf`], [`LoadError::Model`].
    pub fn read(
        path: &Path,
        map: &'m ModelMap,
        index: &'m mut [IndexEntry],
    ) -> Result<ModelFile<'m>, LoadError> {
        let gguf = Gguf::parse(map.bytes(), index)
            .map_err(|error| LoadError::Gguf { path: path.to_owned(), error: Box::new(error) })?;
        let model = model::select(&FileMetadata(gguf))
            .map_err(|error| LoadError::Model { path: path.to_owned(), error: Box::new(error) })?;
        Ok(ModelFile { map, gguf, model })
    }

    /// The weights, as a device takes them.
    pub fn weights(&self) -> MappedWeights<'m> {
        MappedWeights::new(self.gguf, self.map)
    }

    /// What the file says about its tokens.
    ///
    /// # Errors
    /// [`TextError::Vocabulary`].
    pub fn vocabulary(&self, path: &Path) -> Result<Vocabulary<'m>, TextError> {
        Vocabulary::from_gguf(&self.gguf)
            .map_err(|error| TextError::Vocabulary { path: path.to_owned(), error })
    }

    /// The name that the file gives the model.
    pub fn name(&self) -> Option<&'m str> {
        self.gguf.get("general.name")?.as_text()
    }
}
