//! The tokens of a model, made ready for grammars.

use std::sync::Arc;

use llguidance::ParserFactory;
use llguidance::api::ParserLimits;
use llguidance::earley::SlicedBiasComputer;
use toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};

use crate::error::VocabularyError;
use crate::number::Digits;

/// What a token is to a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// These bytes of text.
    Text(&'a [u8]),
    /// It steers the model, and is never part of an answer.
    Control,
    /// It ends an answer, and is no part of it.
    End,
}

/// The tokens of a model. Cheap to clone: clones share what was made ready.
#[derive(Clone)]
pub struct Vocabulary {
    pub(crate) factory: Arc<ParserFactory>,
    pub(crate) digits: Arc<Digits>,
    size: usize,
}

/// Tokens that the library can tell apart.
const MOST_TOKENS: usize = 1 << 22;

/// Bytes of all texts together: each may become a node of the library's trie.
const MOST_BYTES: usize = (1 << 22) - 1;

/// Bytes of a token that the library's trie can hold. A longer one is never allowed.
const LONGEST: usize = 1000;

/// The last byte that UTF-8 has a use for, and two before it that it has none for.
const LAST_BYTE: u8 = 0xf4;
const NO_BYTES: [u8; 2] = [0xc0, 0xc1];

impl Vocabulary {
    /// Makes tokens ready, by id. `tokenize` says which tokens the model's own tokenizer makes of a text;
    /// where the grammar leaves no choice, they are what the model gets. A text that it does not make
    /// whole tokens of is cut greedily. Nothing is forced where a byte has no token of its own.
    ///
    /// # Errors
    /// Any [`VocabularyError`].
    pub fn new<'a>(
        pieces: impl IntoIterator<Item = Piece<'a>>,
        tokenize: impl Fn(&str) -> Option<Vec<u32>> + Send + Sync + 'static,
    ) -> Result<Vocabulary, VocabularyError> {
        let (words, ends) = words(pieces);
        let bytes = words.iter().map(Vec::len).sum();
        for (what, found, limit) in
            [("tokens", words.len(), MOST_TOKENS), ("bytes of text", bytes, MOST_BYTES)]
        {
            if found > limit {
                return Err(VocabularyError::TooLarge { what, found, limit });
            }
        }
        let &first_end = ends.first().ok_or(VocabularyError::NoEnd)?;
        let info = TokRxInfo::new(words.len() as u32, first_end);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        // A byte without a token could not be forced, and the library would go on as if it had been.
        let spells = |byte: u8| trie.token_id_at_bytes(&[byte]).is_some();
        let canonical = (0..=LAST_BYTE).filter(|byte| !NO_BYTES.contains(byte)).all(spells);
        let digits = Digits::new(&words);
        let env: TokEnv = Arc::new(Tokens { trie, tokenize, canonical });
        let refused = |error| VocabularyError::Refused { reason: format!("{error:#}") };
        let abilities = InferenceCapabilities { ff_tokens: canonical, ..InferenceCapabilities::default() };
        let slices = SlicedBiasComputer::json_slices();
        let mut factory = ParserFactory::new(&env, abilities, &slices).map_err(refused)?;
        factory.set_stderr_log_level(0).set_buffer_log_level(0);
        *factory.limits_mut() = ParserLimits { verbose_errors: false, ..ParserLimits::default() };
        Ok(Vocabulary { factory: Arc::new(factory), digits: Arc::new(digits), size: words.len() })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether there are none; never, as one of them ends an answer.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Words of a mask over the tokens: a bit for each, in words of 32.
    pub fn mask_words(&self) -> usize {
        self.size.div_ceil(32)
    }

    /// The bytes of a token that may be part of an answer; none for every other.
    pub(crate) fn text(&self, token: u32) -> &[u8] {
        if (token as usize) < self.size { self.trie().token(token) } else { &[] }
    }

    /// Tokens that a text can be made of.
    pub(crate) fn tokens_of(&self, text: &str) -> Vec<u32> {
        self.factory.tok_env().tokenize_bytes(text.as_bytes())
    }

    /// The tokens that close a text of JSON, or open one, as a mask.
    pub(crate) fn closing(&self) -> Vec<u32> {
        let mut mask = vec![0; self.mask_words()];
        for token in 0..self.trie().vocab_size() as u32 {
            if self.text(token).starts_with(b"\"") {
                mask[token as usize / 32] |= 1 << (token % 32);
            }
        }
        mask
    }

    pub(crate) fn is_end(&self, token: u32) -> bool {
        self.trie().eos_tokens().contains(&token)
    }

    fn trie(&self) -> &TokTrie {
        self.factory.tok_env().tok_trie()
    }
}

/// The bytes of each token, none for those that are never part of an answer; and the tokens that end one.
fn words<'a>(pieces: impl IntoIterator<Item = Piece<'a>>) -> (Vec<Vec<u8>>, Vec<u32>) {
    let mut ends = Vec::new();
    let word = |(piece, token): (Piece<'_>, u32)| match piece {
        // The byte begins what the library takes for a control token, and never stands in a text.
        Piece::Text(bytes) if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) => Vec::new(),
        Piece::Text(bytes) if bytes.len() <= LONGEST => bytes.to_vec(),
        Piece::Text(_) | Piece::Control => Vec::new(),
        Piece::End => {
            ends.push(token);
            Vec::new()
        }
    };
    (pieces.into_iter().zip(0..).map(word).collect(), ends)
}

/// How the library sees the tokens.
struct Tokens<F> {
    trie: TokTrie,
    tokenize: F,
    /// Every text can be cut into tokens.
    canonical: bool,
}

impl<F: Fn(&str) -> Option<Vec<u32>> + Send> TokenizerEnv for Tokens<F> {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        let tokens = std::str::from_utf8(bytes).ok().and_then(|text| (self.tokenize)(text));
        // Some tokenizers put a space before a text: such tokens are not this text.
        let whole = tokens.filter(|tokens| {
            let mut rest = bytes;
            let known = |&token: &u32| (token as usize) < self.trie.vocab_size();
            tokens.iter().filter(|token| known(token)).all(|&token| {
                let word = self.trie.token(token);
                rest.strip_prefix(word).filter(|_| !word.is_empty()).map(|after| rest = after).is_some()
            }) && tokens.iter().all(known)
                && rest.is_empty()
        });
        whole.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.canonical
    }
}
