//! A `tokenizer.json` beside the model: whatever rules it has, the `tokenizers` library applies them.

use std::path::{Path, PathBuf};

use super::error::TokenizerError;
use super::pieces::{Kind, Pieces};
use super::pipeline::Pipeline;
use super::vocabulary::Vocabulary;

/// Reads the file and checks that it is of this vocabulary.
///
/// # Errors
/// [`TokenizerError::Json`], [`TokenizerError::JsonToken`].
pub(crate) fn pipeline(
    path: &Path,
    vocabulary: &Vocabulary<'_>,
    pieces: &Pieces,
) -> Result<Pipeline, TokenizerError> {
    let rules = tokenizers::Tokenizer::from_file(path)
        .map_err(|error| TokenizerError::Json { path: path.to_owned(), message: error.to_string() })?;
    let (found, tokens) = (rules.get_vocab_size(true), vocabulary.tokens.len());
    if found > tokens {
        return Err(TokenizerError::Json {
            path: path.to_owned(),
            message: format!("it has {found} tokens, the model only {tokens}"),
        });
    }
    for (&model, id) in vocabulary.tokens.iter().zip(0..) {
        // A model may have more tokens, to fill up a block, and may spell added ones differently.
        let Some(json) = rules.id_to_token(id).filter(|_| pieces.kind(id) == Kind::Normal) else {
            continue;
        };
        if json != model {
            let (path, model) = (PathBuf::from(path), model.to_owned());
            return Err(TokenizerError::JsonToken { path, id, json, model });
        }
    }
    Ok(Pipeline::of_rules(rules))
}
