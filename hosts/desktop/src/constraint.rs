//! An answer that is held to a grammar while it is generated.

use std::sync::Arc;

use agentos_grammar::{Grammar, MatchError, Matcher, Piece, Vocabulary, VocabularyError};

use crate::text::{Special, Tokenizer};

/// The tokens of a tokenizer, made ready for grammars.
///
/// # Errors
/// Any [`VocabularyError`].
pub fn vocabulary(tokenizer: &Arc<Tokenizer>) -> Result<Vocabulary, VocabularyError> {
    let pieces = (0..tokenizer.vocab_size()).map(|id| {
        if tokenizer.is_end_of_generation(id) {
            Piece::End
        } else if tokenizer.is_text(id) {
            Piece::Text(tokenizer.piece(id))
        } else {
            Piece::Control
        }
    });
    let encoder = Arc::clone(tokenizer);
    Vocabulary::new(pieces, move |text| encoder.encode(text, Special::AsText).ok())
}

/// Holds one answer to its grammar: what the grammar allows next, as the device takes it.
pub struct Constraint {
    matcher: Matcher,
    mask: Vec<u32>,
}

impl Constraint {
    /// At the beginning of an answer.
    pub fn new(grammar: &Grammar, vocabulary: &Vocabulary) -> Constraint {
        Constraint { matcher: grammar.matcher(), mask: vec![0; vocabulary.mask_words()] }
    }

    /// Finds the tokens that may come next.
    ///
    /// # Errors
    /// As [`Matcher::mask`]; all count as allowed then.
    pub fn find(&mut self) -> Result<(), MatchError> {
        self.matcher.mask(&mut self.mask).inspect_err(|_| self.mask.fill(u32::MAX))
    }

    /// The tokens that were found last, as a mask.
    pub fn found(&self) -> &[u32] {
        &self.mask
    }

    /// Takes the token that was chosen.
    ///
    /// # Errors
    /// As [`Matcher::accept`].
    pub fn accept(&mut self, token: u32) -> Result<(), MatchError> {
        self.matcher.accept(token)
    }

    /// The tokens that have to come next, whatever the model would say.
    pub fn forced(&mut self) -> Vec<u32> {
        self.matcher.forced()
    }

    /// The answer keeps to the grammar as it is.
    pub fn is_complete(&mut self) -> bool {
        self.matcher.is_complete()
    }

    /// The answer is complete, and nothing can be added to it.
    pub fn is_finished(&self) -> bool {
        self.matcher.is_finished()
    }
}
