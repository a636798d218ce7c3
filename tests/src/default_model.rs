//! The default model, opened.

use std::path::PathBuf;

use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::text::{Template, Tokenizer};

/// The default model, opened.
pub struct DefaultModel<'m> {
    path: PathBuf,
    /// Its shape and its weights.
    pub file: ModelFile<'m>,
}

/// Does something with the default model.
///
/// # Panics
/// Where it is not on this machine: `cargo xtask model` brings it.
pub fn with_default_model<T>(work: impl FnOnce(&DefaultModel<'_>) -> T) -> T {
    let path = DEFAULT_MODEL.path(&Environment::from_process()).expect("a place for models");
    assert!(path.is_file(), "the default model is not at {}; `cargo xtask model` brings it", path.display());
    let map = ModelMap::open(&path).expect("it can be read");
    let mut index = model::index(&path, &map).expect("it is a model");
    let file = ModelFile::read(&path, &map, &mut index).expect("it is a model");
    work(&DefaultModel { path: path.clone(), file })
}

impl DefaultModel<'_> {
    /// Its tokenizer.
    ///
    /// # Panics
    /// Never, with a model that is whole.
    pub fn tokenizer(&self) -> Tokenizer {
        let vocabulary = self.file.vocabulary(&self.path).expect("it has a vocabulary");
        model::tokenizer(&self.path, &vocabulary, self.file.model.shape.vocab).expect("it has a tokenizer")
    }

    /// Its chat template.
    ///
    /// # Panics
    /// Never, with a model that is whole.
    pub fn template(&self) -> Template {
        let vocabulary = self.file.vocabulary(&self.path).expect("it has a vocabulary");
        Template::of(&vocabulary).expect("it has a template")
    }
}
