//! Byte-level byte-pair encoding, as GPT-2 and its heirs use it: the `tokenizers` library does it, by the
//! vocabulary of the model file.

use std::collections::HashSet;

use tokenizers::models::bpe::{BPE, Merges, Vocab};

use super::error::TokenizerError;
use super::pieces::{Kind, Pieces};
use super::pipeline::{LEFT_OUT, Pipeline};
use super::pre::Pre;
use super::vocabulary::Vocabulary;

/// What the library writes for a byte that is no token. No token has this text: they are not empty.
const NO_TOKEN: &str = "";

/// The rules of a vocabulary of byte pairs. A byte that is no token is left out of a text's tokens, and
/// nothing is merged across it, as llama.cpp does.
///
/// # Errors
/// [`TokenizerError::Metadata`], [`TokenizerError::TooLarge`], [`TokenizerError::Duplicate`],
/// [`TokenizerError::Merge`].
pub(crate) fn pipeline(
    vocabulary: &Vocabulary<'_>,
    pieces: &Pieces,
    pre: Pre,
) -> Result<Pipeline, TokenizerError> {
    if vocabulary.merges.is_empty() {
        return Err(TokenizerError::Metadata {
            key: "tokenizer.ggml.merges",
            expected: "a list of at least one text",
        });
    }
    let (found, limit) = (vocabulary.merges.len(), u32::MAX as usize);
    if found > limit {
        return Err(TokenizerError::TooLarge { what: "merges", found, limit });
    }
    let vocab = vocab(vocabulary, pieces)?;
    let merges = merges(vocabulary, pieces, &vocab)?;
    let model = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .unk_token(NO_TOKEN.to_owned())
        .ignore_merges(pre.whole_words)
        // A cache would hold every word of the text; a text is encoded once.
        .cache_capacity(0)
        .build()
        .expect("every merge was looked up");
    let mut rules = tokenizers::Tokenizer::new(model);
    rules.with_pre_tokenizer(Some(pre.splitter()));
    Ok(Pipeline::new(rules))
}

/// The tokens that a text can be made of.
fn vocab(vocabulary: &Vocabulary<'_>, pieces: &Pieces) -> Result<Vocab, TokenizerError> {
    let mut vocab = Vocab::with_capacity(vocabulary.tokens.len() + 1);
    vocab.insert(NO_TOKEN.to_owned(), LEFT_OUT);
    for (&text, id) in vocabulary.tokens.iter().zip(0..).filter(|&(_, id)| pieces.is_plain(id)) {
        if let Some(first) = vocab.insert(text.to_owned(), id) {
            return Err(TokenizerError::Duplicate { first, second: id });
        }
    }
    Ok(vocab)
}

/// The merges between those tokens. One that takes or makes a token that no text may become is left out.
fn merges(vocabulary: &Vocabulary<'_>, pieces: &Pieces, vocab: &Vocab) -> Result<Merges, TokenizerError> {
    let tokens = vocabulary.tokens.iter().zip(0..);
    let barred = tokens.filter(|&(_, id)| pieces.kind(id) != Kind::Normal);
    let barred: HashSet<&str> = barred.map(|(&text, _)| text).collect();
    let mut merges = Merges::with_capacity(vocabulary.merges.len());
    let mut whole = String::new();
    for (index, merge) in vocabulary.merges.iter().enumerate() {
        let halves = halves(merge).ok_or_else(|| refusal(index, merge))?;
        let (left, right) = halves;
        whole.clear();
        whole.extend([left, right]);
        let texts = [left, right, whole.as_str()];
        if texts.iter().all(|&text| !text.is_empty() && vocab.contains_key(text)) {
            merges.push((left.to_owned(), right.to_owned()));
        } else if !texts.iter().any(|text| barred.contains(text)) {
            return Err(refusal(index, merge));
        }
    }
    Ok(merges)
}

/// The halves of a merge: the first may begin with a space.
fn halves(merge: &str) -> Option<(&str, &str)> {
    let after_first = merge.chars().next()?.len_utf8();
    let space = after_first + merge[after_first..].find(' ')?;
    Some((&merge[..space], &merge[space + 1..]))
}

fn refusal(index: usize, merge: &str) -> TokenizerError {
    TokenizerError::Merge { index, text: merge.to_owned() }
}
