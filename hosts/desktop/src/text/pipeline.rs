//! Normalising, splitting and merging as the `tokenizers` library does them, whether the rules come from
//! a model file or from a `tokenizer.json`. Special tokens are found before, by [`super::special`].

use tokenizers::normalizer::Range;
use tokenizers::{
    Model, ModelWrapper, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Split, Token,
};

use super::error::TokenizerError;
use super::pre::Splitter;
use super::special::Found;

/// Stands in the tokens of a text for what is to be left out of them.
pub(crate) const LEFT_OUT: u32 = u32::MAX;

/// Rules of the library, without its own way of finding special tokens.
pub(crate) struct Pipeline {
    rules: tokenizers::Tokenizer,
    words: Words,
}

/// What splits texts into words.
enum Words {
    /// The splitter of a kind that model files name.
    Named(Splitter),
    /// What the rules themselves say. The library's matching backtracks, and where it has to go back too
    /// far it ends without a word.
    OfRules,
}

/// Characters of white space in a row that the library can surely match: it stops at a million.
const MAX_SPACE_RUN: usize = 500_000;

impl Pipeline {
    /// Takes rules as they are.
    pub(crate) fn of_rules(rules: tokenizers::Tokenizer) -> Pipeline {
        Pipeline { rules, words: Words::OfRules }
    }

    /// Takes a model that says how words become tokens, and a splitter that makes the words.
    pub(crate) fn new(model: impl Into<ModelWrapper>, splitter: Splitter) -> Pipeline {
        Pipeline { rules: tokenizers::Tokenizer::new(model), words: Words::Named(splitter) }
    }

    /// Appends the tokens of a text in which special tokens have been found.
    ///
    /// # Errors
    /// [`TokenizerError::SpaceTooLong`], [`TokenizerError::Encode`].
    pub(crate) fn encode(
        &self,
        text: &str,
        found: &[Found],
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if let Words::OfRules = self.words {
            let (found, limit) = (longest_space(text), MAX_SPACE_RUN);
            if found > limit {
                return Err(TokenizerError::SpaceTooLong { found, limit });
            }
        }
        let encoded = self.pre_tokenize(text, found).and_then(|mut pieces| {
            pieces.tokenize(|word| self.rules.get_model().tokenize(word.get()))?;
            Ok(pieces)
        });
        let encoded = encoded.map_err(|error| TokenizerError::Encode { message: error.to_string() })?;
        let splits = encoded.get_splits(OffsetReferential::Original, OffsetType::None);
        let tokens = splits.iter().filter_map(|(_, _, tokens)| tokens.as_ref()).flatten();
        ids.extend(tokens.map(|token| token.id).filter(|&id| id != LEFT_OUT));
        Ok(())
    }

    fn pre_tokenize(&self, text: &str, found: &[Found]) -> tokenizers::Result<PreTokenizedString> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, text| Ok(parts(&text, found)))?;
        if let Some(normalizer) = self.rules.get_normalizer() {
            pieces.normalize(|text| normalizer.normalize(text))?;
        }
        match (&self.words, self.rules.get_pre_tokenizer()) {
            (Words::Named(splitter), _) => splitter.pre_tokenize(&mut pieces)?,
            (Words::OfRules, Some(pre_tokenizer)) => pre_tokenizer.pre_tokenize(&mut pieces)?,
            (Words::OfRules, None) => {}
        }
        Ok(pieces)
    }
}

/// Characters of the longest white space in a text.
fn longest_space(text: &str) -> usize {
    text.split(|c: char| !c.is_whitespace()).map(|space| space.chars().count()).max().unwrap_or(0)
}

/// The special tokens of a text that nothing has changed yet, and the texts between them. (Bytes of the
/// normalised text are found at once, those of the original only by going through it.)
fn parts(text: &NormalizedString, found: &[Found]) -> Vec<Split> {
    let mut parts = Vec::with_capacity(2 * found.len() + 1);
    let mut at = 0;
    for Found { range, id } in found {
        parts.extend(text.slice(Range::Normalized(at..range.start)).map(Split::from));
        let token = Token::new(*id, String::new(), (0, range.len()));
        let special = text.slice(Range::Normalized(range.clone()));
        parts.extend(special.map(|special| Split::from((special, Some(vec![token])))));
        at = range.end;
    }
    parts.extend(text.slice(Range::Normalized(at..text.len())).map(Split::from));
    parts
}
