//! A `tokenizer.json` beside the model: whatever rules it has, the `tokenizers` crate applies them.

use std::path::{Path, PathBuf};

use tokenizers::normalizer::Range;
use tokenizers::{
    Model, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    Split, Token,
};

use super::error::TokenizerError;
use super::pieces::{Kind, Pieces};
use super::special::Found;
use super::vocabulary::Vocabulary;

/// The rules of a `tokenizer.json`, without its own way of finding special tokens.
pub(crate) struct Json {
    rules: tokenizers::Tokenizer,
}

impl Json {
    /// Reads the file and checks that it is of this vocabulary.
    ///
    /// # Errors
    /// [`TokenizerError::Json`], [`TokenizerError::JsonToken`].
    pub(crate) fn new(
        path: &Path,
        vocabulary: &Vocabulary<'_>,
        pieces: &Pieces,
    ) -> Result<Json, TokenizerError> {
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
        Ok(Json { rules })
    }

    /// Appends the tokens of a text in which special tokens have been found.
    pub(crate) fn encode(
        &self,
        text: &str,
        found: &[Found],
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let encoded = self.pre_tokenize(text, found).and_then(|mut pieces| {
            pieces.tokenize(|word| self.rules.get_model().tokenize(word.get()))?;
            Ok(pieces)
        });
        let encoded = encoded.map_err(|error| TokenizerError::Encode { message: error.to_string() })?;
        let splits = encoded.get_splits(OffsetReferential::Original, OffsetType::None);
        let tokens = splits.iter().filter_map(|(_, _, tokens)| tokens.as_ref()).flatten();
        ids.extend(tokens.map(|token| token.id));
        Ok(())
    }

    fn pre_tokenize(&self, text: &str, found: &[Found]) -> tokenizers::Result<PreTokenizedString> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, text| Ok(parts(&text, found)))?;
        if let Some(normalizer) = self.rules.get_normalizer() {
            pieces.normalize(|text| normalizer.normalize(text))?;
        }
        if let Some(pre_tokenizer) = self.rules.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        Ok(pieces)
    }
}

/// The special tokens of a text, and the texts between them.
fn parts(text: &NormalizedString, found: &[Found]) -> Vec<Split> {
    let mut parts = Vec::with_capacity(2 * found.len() + 1);
    let mut at = 0;
    for Found { range, id } in found {
        parts.extend(text.slice(Range::Original(at..range.start)).map(Split::from));
        let token = Token::new(*id, String::new(), (0, range.len()));
        let special = text.slice(Range::Original(range.clone()));
        parts.extend(special.map(|special| Split::from((special, Some(vec![token])))));
        at = range.end;
    }
    parts.extend(text.slice(Range::Original(at..text.len_original())).map(Split::from));
    parts
}
