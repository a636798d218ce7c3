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
    // The library looks every token of every merge up, and so says by itself whether all is well. Where
    // it is not, the merges are looked up before, which tells those that no text needs from lies.
    let unchecked = match plain_merges(vocabulary, pieces) {
        Some(merges) => model(vocab(vocabulary, pieces)?, merges, pre),
        None => None,
    };
    let model = match unchecked {
        Some(model) => model,
        None => {
            let vocab = vocab(vocabulary, pieces)?;
            let merges = possible_merges(vocabulary, pieces, &vocab)?;
            model(vocab, merges, pre).expect("every merge was looked up")
        }
    };
    Ok(Pipeline::new(model, pre.splitter()))
}

/// The library's model; `None` when a merge takes or makes what is no token.
fn model(vocab: Vocab, merges: Merges, pre: Pre) -> Option<BPE> {
    let builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .unk_token(NO_TOKEN.to_owned())
        .ignore_merges(pre.whole_words)
        // A cache would hold every word of the text; a text is encoded once.
        .cache_capacity(0);
    builder.build().ok()
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

/// All merges; `None` when one of them has no halves, or makes what is longer than any token: the library
/// does not look for that.
fn plain_merges(vocabulary: &Vocabulary<'_>, pieces: &Pieces) -> Option<Merges> {
    let plain = vocabulary.tokens.iter().zip(0..).filter(|&(_, id)| pieces.is_plain(id));
    let longest = plain.map(|(text, _)| text.len()).max()?;
    let halves = |merge: &&str| {
        let (left, right) = halves(merge)?;
        let possible = !right.is_empty() && left.len() + right.len() <= longest;
        possible.then(|| (left.to_owned(), right.to_owned()))
    };
    vocabulary.merges.iter().map(halves).collect()
}

/// The merges between those tokens. One that takes or makes a token that no text may become is left out.
fn possible_merges(
    vocabulary: &Vocabulary<'_>,
    pieces: &Pieces,
    vocab: &Vocab,
) -> Result<Merges, TokenizerError> {
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
