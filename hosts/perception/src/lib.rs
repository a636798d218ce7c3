//! Perception alignment: what a tool, a file or a server gave becomes text that fits a context (paper §4:
//! raw output is filtered and re-encoded so that it fits the semantic schema of the context).
//!
//! [`align`](align::align) does all of it, in this order:
//!
//! * [`text`]: bytes become text, and what a reader would not see in it is made visible.
//! * [`schema`]: output that was declared to have a shape has it, or is a [`Misfit`](align::Misfit).
//! * [`reduce`]: what is too long is cut by its structure until it fits a budget of tokens.
//! * [`provenance`]: a line above says where it comes from and what was cut.
//! * [`control`]: nothing in it can become a control token of the model. This comes last, so that nothing
//!   can put together again what it took apart.
//!
//! How the result is wrapped in the model's template is the host's business, as are the model's tokens: they
//! come in as functions that count tokens and judge pieces of text.
//!
//! What must never happen here: a panic, whatever the bytes; work that grows much faster than they do; a
//! result over its budget; something left out without a word; I/O, a clock or a random number.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod align;
pub mod control;
pub mod note;
pub mod provenance;
pub mod reduce;
pub mod schema;
pub mod text;

pub use align::{Aligned, Measures, Misfit, Request, align};
pub use control::{ControlError, ControlStrings};
pub use note::Note;
pub use schema::{Mismatch, Schema, SchemaError};
