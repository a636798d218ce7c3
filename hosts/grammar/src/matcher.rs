//! One answer under way.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use llguidance::api::StopReason;
use llguidance::{TokenParser, panic_utils};

use crate::beginnings::{Beginnings, Begun};
use crate::error::MatchError;
use crate::number::Place;
use crate::vocabulary::Vocabulary;

/// Holds one answer to its grammar, token by token.
///
/// What it allows depends on the grammar and on the tokens that it has accepted, and on nothing else: a
/// clone goes on by itself from where it was made, and one that has accepted the same tokens anew is in the
/// same place.
pub struct Matcher {
    vocabulary: Vocabulary,
    parser: TokenParser,
    /// What all matchers of the grammar have found out.
    beginnings: Arc<Beginnings>,
    begun: Begun,
    /// Where the answer has come to, where it is JSON.
    place: Option<Place>,
    barred: Vec<u32>,
    ended: bool,
    failure: Option<MatchError>,
}

impl Clone for Matcher {
    fn clone(&self) -> Matcher {
        Matcher {
            vocabulary: self.vocabulary.clone(),
            // A plain clone would share what the library remembers, and wait for whoever uses it.
            parser: self.parser.deep_clone(),
            beginnings: Arc::clone(&self.beginnings),
            begun: self.begun.clone(),
            place: self.place,
            barred: Vec::new(),
            ended: self.ended,
            failure: self.failure.clone(),
        }
    }
}

impl Matcher {
    pub(crate) fn new(
        vocabulary: Vocabulary,
        parser: TokenParser,
        beginnings: Arc<Beginnings>,
        json: bool,
    ) -> Matcher {
        let place = json.then(Place::default);
        let begun = Begun::nothing();
        Matcher {
            vocabulary,
            parser,
            beginnings,
            begun,
            place,
            barred: Vec::new(),
            ended: false,
            failure: None,
        }
    }

    /// Words of a mask.
    pub fn mask_words(&self) -> usize {
        self.vocabulary.mask_words()
    }

    /// Writes which tokens may come next: a bit for each, in words of 32, set where it is allowed. Tokens that
    /// end an answer are allowed exactly when it is complete; control tokens never.
    ///
    /// # Errors
    /// [`MatchError::Stuck`], [`MatchError::TooComplex`], [`MatchError::Failed`]; from then on always.
    ///
    /// # Panics
    /// When `mask` has not [`Matcher::mask_words`] words.
    pub fn mask(&mut self, mask: &mut [u32]) -> Result<(), MatchError> {
        assert_eq!(mask.len(), self.mask_words(), "a mask has a bit for each token");
        let known = if self.failure.is_none() { self.beginnings.get(&self.begun) } else { None };
        if let Some(known) = known {
            mask.copy_from_slice(&known);
            return Ok(());
        }
        let allowed = self.with_parser(|parser| {
            if parser.stopped() && parser.stop_reason().is_ok() {
                Ok(parser.token_env.tok_trie().eos_token_set())
            } else {
                parser.compute_mask().map_err(|_| parser.stop_reason())
            }
        })?;
        mask.copy_from_slice(&allowed.as_slice()[..mask.len()]);
        if let Some(place) = self.place {
            self.vocabulary.digits.bar(place, mask, &mut self.barred);
        }
        self.beginnings.keep(&self.begun, mask);
        Ok(())
    }

    /// Takes the token that was chosen.
    ///
    /// # Errors
    /// [`MatchError::Token`] when it is not allowed; what [`Matcher::mask`] can fail of.
    pub fn accept(&mut self, token: u32) -> Result<(), MatchError> {
        let refused = MatchError::Token { token };
        if self.ended {
            return Err(refused);
        }
        if self.vocabulary.is_end(token) {
            if !self.is_complete() {
                return Err(self.failure.clone().unwrap_or(refused));
            }
            self.ended = true;
            self.begun.go_on(token);
            return Ok(());
        }
        if self.vocabulary.text(token).is_empty() {
            return Err(refused);
        }
        let taken = self.with_parser(|parser| {
            let reason = |parser: &TokenParser| match parser.stop_reason() {
                StopReason::NotStopped => StopReason::InternalError,
                reason => reason,
            };
            if !parser.validate_token(token).map_err(|_| reason(parser))? {
                return Ok(false);
            }
            parser.consume_token(token).map_err(|_| reason(parser))?;
            parser.check_stop().map_err(|_| reason(parser))?;
            Ok(true)
        })?;
        if !taken {
            return Err(refused);
        }
        self.begun.go_on(token);
        self.place = self.place.map(|place| place.after(self.vocabulary.text(token)));
        Ok(())
    }

    /// Takes a text, of which a token that was chosen before has the beginning of the answer in it.
    ///
    /// # Errors
    /// As [`Matcher::accept`].
    pub fn accept_text(&mut self, text: &str) -> Result<(), MatchError> {
        let tokens = self.vocabulary.tokens_of(text);
        tokens.into_iter().try_for_each(|token| self.accept(token))
    }

    /// Whether the answer keeps to the grammar as it is: it may end here.
    pub fn is_complete(&mut self) -> bool {
        if self.ended || self.is_finished() {
            return true;
        }
        self.with_parser(|parser| Ok(parser.is_accepting())).unwrap_or(false)
    }

    /// Whether the answer is complete and nothing can be added to it.
    pub fn is_finished(&self) -> bool {
        self.failure.is_none() && (self.ended || self.parser.stopped() && self.parser.stop_reason().is_ok())
    }

    /// The tokens that have to come next, as the model's own tokenizer writes what the grammar wants; none where
    /// there is a choice. They can be accepted, and computed, all at once.
    pub fn forced(&mut self) -> Vec<u32> {
        if self.is_finished() {
            return Vec::new();
        }
        self.with_parser(|parser| Ok(parser.compute_ff_tokens())).unwrap_or_default()
    }

    /// Works with the library's parser, which is of no use any more when that has failed.
    fn with_parser<T>(
        &mut self,
        work: impl FnOnce(&mut TokenParser) -> Result<T, StopReason>,
    ) -> Result<T, MatchError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let parser = &mut self.parser;
        let done = panic_utils::catch_unwind(AssertUnwindSafe(|| Ok(work(parser))));
        let failure = match done {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(StopReason::NoExtension | StopReason::NoExtensionBias)) => MatchError::Stuck,
            Ok(Err(reason @ (StopReason::LexerTooComplex | StopReason::ParserTooComplex))) => {
                let message = self.parser.error_message();
                MatchError::TooComplex { reason: message.unwrap_or_else(|| reason.to_string()) }
            }
            Ok(Err(reason)) => {
                let message = self.parser.error_message();
                MatchError::Failed { reason: message.unwrap_or_else(|| reason.to_string()) }
            }
            Err(panic) => MatchError::Failed { reason: panic.to_string() },
        };
        self.failure = Some(failure.clone());
        Err(failure)
    }
}
