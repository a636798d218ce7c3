//! What can be wrong with a vocabulary, a grammar, or an answer under way.

/// Why a vocabulary cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VocabularyError {
    /// There is too much of something.
    TooLarge {
        /// What: `"tokens"` or `"bytes of text"`.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// No token ends an answer, so none could ever be complete.
    NoEnd,
    /// The library refuses it.
    Refused {
        /// Why, in the library's words.
        reason: String,
    },
}

impl std::fmt::Display for VocabularyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VocabularyError::TooLarge { what, found, limit } => {
                write!(f, "the vocabulary has {found} {what}; a grammar can be held to {limit}")
            }
            VocabularyError::NoEnd => {
                f.write_str("the vocabulary has no token that ends an answer; a grammar needs one")
            }
            VocabularyError::Refused { reason } => {
                write!(f, "the vocabulary cannot be held to a grammar: {reason}")
            }
        }
    }
}

impl std::error::Error for VocabularyError {}

/// Why there is no grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrammarError {
    /// A schema, or a part of it, is larger than what is taken.
    TooLarge {
        /// Where: a JSON pointer, empty for the whole schema.
        at: String,
        /// What there is too much of, such as `"levels of nesting"`.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// A schema says something that no mask can hold an answer to.
    Unsupported {
        /// Where: a JSON pointer.
        at: String,
        /// The keyword.
        keyword: String,
    },
    /// A schema refers to what is not in it.
    Reference {
        /// Where: a JSON pointer.
        at: String,
        /// What it refers to.
        reference: String,
    },
    /// Nothing keeps to the grammar, or it is none.
    Refused {
        /// Why, in the words of the library that compiles it.
        reason: String,
    },
    /// There is nothing to choose from.
    NoChoice,
    /// A choice has no characters.
    EmptyChoice {
        /// Its index.
        index: usize,
    },
    /// The system has no thread for the compiler.
    Thread {
        /// What the system says.
        reason: String,
    },
}

impl std::fmt::Display for GrammarError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GrammarError::TooLarge { at, what, found, limit } => {
                write!(f, "the schema{} has {found} {what}; {limit} would fit", Place(at))
            }
            GrammarError::Unsupported { at, keyword } => write!(
                f,
                "the schema{} says {keyword:?}, which no answer can be held to while it is written; without it \
                 the schema would do",
                Place(at)
            ),
            GrammarError::Reference { at, reference } => write!(
                f,
                "the schema{} refers to {reference:?}; a path in the schema itself would do, such as \
                 \"#/$defs/name\"",
                Place(at)
            ),
            GrammarError::Refused { reason } => write!(f, "the grammar is refused: {reason}"),
            GrammarError::NoChoice => f.write_str("there is nothing to choose from; one text would do"),
            GrammarError::EmptyChoice { index } => {
                write!(f, "choice {index} is empty; at least one character is needed")
            }
            GrammarError::Thread { reason } => write!(f, "no thread to compile the grammar: {reason}"),
        }
    }
}

impl std::error::Error for GrammarError {}

/// A JSON pointer in a sentence.
struct Place<'a>(&'a str);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " at {}", self.0) }
    }
}

/// Why an answer cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchError {
    /// The token may not come here. Nothing has changed.
    Token {
        /// The token.
        token: u32,
    },
    /// No token of the vocabulary goes on as the grammar wants.
    Stuck,
    /// To find the allowed tokens would take longer than what is taken.
    TooComplex {
        /// What is, in the library's words.
        reason: String,
    },
    /// The library has failed.
    Failed {
        /// In its words.
        reason: String,
    },
}

impl std::fmt::Display for MatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MatchError::Token { token } => write!(f, "the grammar does not allow token {token} here"),
            MatchError::Stuck => f.write_str("no token of the vocabulary goes on as the grammar wants"),
            MatchError::TooComplex { reason } => {
                write!(f, "the grammar is too complex here ({reason}); a simpler schema would do")
            }
            MatchError::Failed { reason } => write!(f, "the grammar failed: {reason}"),
        }
    }
}

impl std::error::Error for MatchError {}
