//! Why a vocabulary is refused, or a text cannot be encoded.

use std::path::PathBuf;

use super::pre;

/// Why a tokenizer cannot be built, or a text not be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerError {
    /// The file lacks a metadata key, or its value is of another type.
    Metadata {
        /// The key.
        key: &'static str,
        /// What would fit.
        expected: &'static str,
    },
    /// The kind of vocabulary is not known here.
    Model {
        /// What `tokenizer.ggml.model` says.
        found: String,
    },
    /// The way of splitting text is not known here.
    Pre {
        /// What `tokenizer.ggml.pre` says.
        found: String,
    },
    /// The vocabulary has too many tokens or bytes.
    TooLarge {
        /// What there is too much of, such as `"tokens"`.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// A list that goes with the tokens has another length.
    Length {
        /// The list's metadata key.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The number of tokens.
        expected: usize,
    },
    /// Two tokens have the same text.
    Duplicate {
        /// The first token's id.
        first: u32,
        /// The second's.
        second: u32,
    },
    /// A token's score is not a number.
    Score {
        /// The token's id.
        id: u32,
    },
    /// A merge is not two tokens that together make a third.
    Merge {
        /// Its place in the list of merges.
        index: usize,
        /// The merge.
        text: String,
    },
    /// A token that the file gives a role to does not exist.
    Id {
        /// The role.
        role: &'static str,
        /// The id.
        id: u32,
        /// The number of tokens.
        tokens: usize,
    },
    /// `tokenizer.json` cannot be used.
    Json {
        /// The file.
        path: PathBuf,
        /// Why, in the words of the library that reads it.
        message: String,
    },
    /// `tokenizer.json` belongs to another model.
    JsonToken {
        /// The file.
        path: PathBuf,
        /// The first token that differs.
        id: u32,
        /// Its text in the file.
        json: String,
        /// Its text in the model.
        model: String,
    },
    /// A text is too long to be encoded at once.
    TextTooLong {
        /// Its bytes.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// A text has more white space in a row than the rules of a `tokenizer.json` can be applied to.
    SpaceTooLong {
        /// Characters of white space in a row.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// The vocabulary's rules failed on a text.
    Encode {
        /// Why, in the words of the library that applies them.
        message: String,
    },
}

impl std::fmt::Display for TokenizerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Metadata { key, expected } => {
                write!(f, "the model file's {key} is missing or not {expected}")
            }
            Self::Model { found } => write!(
                f,
                "the model's vocabulary is of the kind {found:?}; known kinds are \"gpt2\" and \"llama\""
            ),
            Self::Pre { found } => {
                write!(f, "the model's pre-tokenizer is {found:?}; known ones are ")?;
                for (index, name) in pre::names().enumerate() {
                    write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("; a tokenizer.json beside the model would do as well")
            }
            Self::TooLarge { what, found, limit } => {
                write!(f, "the vocabulary has {found} {what}; {limit} would fit")
            }
            Self::Length { key, found, expected } => {
                write!(f, "{key} has {found} entries; the vocabulary has {expected} tokens")
            }
            Self::Duplicate { first, second } => {
                write!(f, "tokens {first} and {second} of the vocabulary have the same text")
            }
            Self::Score { id } => write!(f, "the score of token {id} is not a number"),
            Self::Merge { index, text } => write!(
                f,
                "merge {index} of the vocabulary, {text:?}, is not two tokens that together make a third"
            ),
            Self::Id { role, id, tokens } => write!(
                f,
                "the {role} token is {id}, but the vocabulary has only {tokens} tokens, counted from 0"
            ),
            Self::Json { path, message } => write!(f, "{} cannot be used: {message}", path.display()),
            Self::JsonToken { path, id, json, model } => write!(
                f,
                "{} belongs to another model: its token {id} is {json:?}, the model's is {model:?}",
                path.display()
            ),
            Self::TextTooLong { found, limit } => {
                write!(f, "the text has {found} bytes; {limit} would fit")
            }
            Self::SpaceTooLong { found, limit } => write!(
                f,
                "the text has {found} characters of white space in a row; by the rules of a tokenizer.json \
                 {limit} would fit"
            ),
            Self::Encode { message } => write!(f, "the text cannot be encoded: {message}"),
        }
    }
}

impl std::error::Error for TokenizerError {}
