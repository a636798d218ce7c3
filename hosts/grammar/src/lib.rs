//! Answers that keep to a grammar: what a model may say next, as masks over its tokens.
//!
//! * [`Vocabulary`]: the tokens of a model, made ready once.
//! * [`Grammar`]: what an answer is to look like: a JSON schema, a call of a tool, one of some texts.
//! * [`Matcher`]: one answer under way. Before each token it says which are allowed, after each it
//!   takes the one that was chosen.
//!
//! The grammar work is `llguidance`'s. What is added here: bounds on what a schema may cost, errors that
//! say where a schema is at fault, and numbers that every reader of JSON can read.
//!
//! What must never happen here: that a control token is allowed inside an answer, that an answer counts as
//! complete and does not keep to its schema, or a panic over what a schema or a model file says.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod beginnings;
mod compile;
mod error;
mod grammar;
mod matcher;
mod number;
mod schema;
mod vocabulary;

pub use error::{GrammarError, MatchError, VocabularyError};
pub use grammar::{Callable, Calls, Grammar};
pub use matcher::Matcher;
pub use schema::{MOST_DEPTH, MOST_REPEATS, MOST_SUBSCHEMAS, MOST_TEXT_BYTES, MOST_VALUES};
pub use vocabulary::{Piece, Vocabulary};
