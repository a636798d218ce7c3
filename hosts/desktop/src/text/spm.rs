//! SentencePiece vocabularies of the `llama` kind: every pair of neighbours that makes a token may be
//! joined, the one with the best score first; what is no token in the end is spelled in bytes.
//!
//! The `tokenizers` library has no model for this: its byte-pair model needs merges with a rank each.
//! Ranks made from scores are not llama.cpp's where scores are equal, and vocabularies have many
//! equal scores: there the leftmost pair in the text comes first, which no fixed rank says.

use std::collections::HashMap;

use super::error::TokenizerError;
use super::merge::{Joined, Merger, NONE};
use super::pieces::Pieces;
use super::vocabulary::Vocabulary;

/// A vocabulary with scores.
pub(crate) struct Spm {
    /// The tokens that texts can be made of, by their bytes.
    ids: HashMap<Box<[u8]>, u32>,
    /// By token: the lower, the sooner.
    order: Vec<u32>,
    byte_tokens: [Option<u32>; 256],
    unknown: Option<u32>,
}

impl Spm {
    /// Orders the tokens by score.
    ///
    /// # Errors
    /// [`TokenizerError::Length`], [`TokenizerError::Score`], [`TokenizerError::Duplicate`].
    pub(crate) fn new(
        vocabulary: &Vocabulary<'_>,
        pieces: &Pieces,
        unknown: Option<u32>,
    ) -> Result<Spm, TokenizerError> {
        let scores = &vocabulary.scores;
        if scores.len() != vocabulary.tokens.len() {
            return Err(TokenizerError::Length {
                key: "tokenizer.ggml.scores",
                found: scores.len(),
                expected: vocabulary.tokens.len(),
            });
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(TokenizerError::Score { id: id as u32 });
        }
        let mut ids = HashMap::with_capacity(pieces.len() as usize);
        for second in (0..pieces.len()).filter(|&id| pieces.is_plain(id)) {
            if let Some(first) = ids.insert(pieces.bytes(second).into(), second) {
                return Err(TokenizerError::Duplicate { first, second });
            }
        }
        Ok(Spm {
            ids,
            order: scores.iter().map(|&score| descending(score)).collect(),
            byte_tokens: pieces.byte_tokens(),
            unknown,
        })
    }

    /// Appends the tokens of a text, which `space_before` puts a space before.
    pub(crate) fn encode(&self, text: &str, space_before: bool, merger: &mut Merger, ids: &mut Vec<u32>) {
        // U+2581 is how SentencePiece writes a space; here a space is how U+2581 is written.
        let mut spaced = String::with_capacity(text.len() + 1);
        if space_before {
            spaced.push(' ');
        }
        spaced.extend(text.chars().map(|char| if char == '\u{2581}' { ' ' } else { char }));
        let bytes = spaced.as_bytes();

        merger.clear();
        for char in spaced.chars() {
            let id = self.ids.get(char.encode_utf8(&mut [0; 4]).as_bytes()).copied();
            merger.push(char.len_utf8() as u32, id.unwrap_or(NONE));
        }
        let symbols = merger.merge(|left, right| {
            let end = left.start + left.len + right.len;
            let &id = self.ids.get(&bytes[left.start as usize..end as usize])?;
            let order = self.order[id as usize];
            Some(Joined { order, id })
        });
        for symbol in symbols {
            if symbol.id != NONE {
                ids.push(symbol.id);
                continue;
            }
            let start = symbol.start as usize;
            match &bytes[start..start + symbol.len as usize] {
                b" " => self.spell("\u{2581}".as_bytes(), ids),
                bytes => self.spell(bytes, ids),
            }
        }
    }

    fn spell(&self, bytes: &[u8], ids: &mut Vec<u32>) {
        ids.extend(bytes.iter().filter_map(|&byte| self.byte_tokens[usize::from(byte)].or(self.unknown)));
    }
}

/// Numbers that rise as the scores fall. Not a number is never asked for; both zeros are equal.
fn descending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    !rising
}

#[cfg(test)]
mod tests {
    use super::descending;

    #[test]
    fn a_better_score_comes_first() {
        let scores = [f32::INFINITY, 3.5, 0.0, -1e-9, -2.0, -1e9, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| descending(pair[0]) < descending(pair[1])));
        assert_eq!(descending(0.0), descending(-0.0));
    }
}
