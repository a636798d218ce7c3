//! The tokenizer of a model file.

use std::path::{Path, PathBuf};

use crate::text::{Tokenizer, TokenizerError, Vocabulary};

/// Why there is no tokenizer for a model.
#[derive(Debug)]
pub enum TextError {
    /// The vocabulary is refused.
    Vocabulary {
        /// The model, or the `tokenizer.json` beside it.
        path: PathBuf,
        /// What is wrong with it.
        error: TokenizerError,
    },
    /// The vocabulary is not that of the weights.
    Size {
        /// The model.
        path: PathBuf,
        /// Tokens of the vocabulary.
        tokens: u32,
        /// Rows of the model's embedding.
        rows: u32,
    },
}

impl std::fmt::Display for TextError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TextError::Vocabulary { path, error } => {
                write!(f, "the vocabulary of {}: {error}", path.display())
            }
            TextError::Size { path, tokens, rows } => write!(
                f,
                "the vocabulary of {} has {tokens} tokens and its embedding {rows} rows; as many of the one \
                 as of the other would fit",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TextError {}

/// The tokenizer of the model file at `path`, whose embedding has `rows` rows. A `tokenizer.json` in
/// the same folder wins over the rules in the file.
///
/// # Errors
/// Any [`TextError`].
pub fn tokenizer(path: &Path, vocabulary: &Vocabulary<'_>, rows: u32) -> Result<Tokenizer, TextError> {
    let json = path.with_file_name("tokenizer.json");
    let (path, built) = if json.is_file() {
        let built = Tokenizer::from_json_file(&json, vocabulary);
        (json, built)
    } else {
        (path.to_owned(), Tokenizer::new(vocabulary))
    };
    let tokenizer = match built {
        Ok(tokenizer) => tokenizer,
        Err(error) => return Err(TextError::Vocabulary { path, error }),
    };
    let tokens = tokenizer.vocab_size();
    if tokens != rows {
        return Err(TextError::Size { path, tokens, rows });
    }
    Ok(tokenizer)
}
