//! Vocabularies and texts for the tests of text handling.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod shapes;

use std::path::{Path, PathBuf};

use agentos_desktop::fetch::cache::Cache;
use agentos_desktop::fetch::{DEFAULT_MODEL, Environment};
use agentos_desktop::text::{Template, Tokenizer, Vocabulary};
use agentos_gguf::{Gguf, IndexEntry};

/// A file beside the tests.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The bytes of a file beside the tests.
pub fn read(name: &str) -> Vec<u8> {
    let path = fixture(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The texts that tokenisers are compared on.
pub fn corpus() -> Vec<String> {
    let lines = String::from_utf8(read("text_corpus.jsonl")).expect("UTF-8");
    let texts: Vec<String> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a JSON string")).collect();
    assert!(texts.len() >= 2000, "a corpus of {} texts is too small", texts.len());
    texts
}

/// The bytes of the default model's file.
pub fn default_model() -> Vec<u8> {
    let cache = Cache::locate(&Environment::from_process()).expect("a folder for models");
    let path = cache.models().join(DEFAULT_MODEL.file_name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask model` puts the default model there", path.display())
    })
}

/// Calls `use_it` with the vocabulary of a GGUF file.
pub fn with_vocabulary<T>(file: &[u8], use_it: impl FnOnce(&Vocabulary<'_>) -> T) -> T {
    let mut index = vec![IndexEntry::default(); Gguf::index_len(file).expect("a GGUF file")];
    let gguf = Gguf::parse(file, &mut index).expect("a GGUF file");
    use_it(&Vocabulary::from_gguf(&gguf).expect("a vocabulary"))
}

/// The tokenizer of a GGUF file.
pub fn tokenizer(file: &[u8]) -> Tokenizer {
    with_vocabulary(file, |vocabulary| Tokenizer::new(vocabulary).expect("a tokenizer"))
}

/// The tokenizer and the chat template of the default model.
pub fn default_chat() -> (Tokenizer, Template) {
    with_vocabulary(&default_model(), |vocabulary| {
        let tokenizer = Tokenizer::new(vocabulary).expect("a tokenizer");
        (tokenizer, Template::of(vocabulary).expect("a template"))
    })
}
