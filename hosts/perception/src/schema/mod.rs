//! JSON that was declared to have a shape: does it? The arguments of a call, and what came of it.
//!
//! A schema may come from a stranger, a server of tools for one. So nothing is fetched that it refers to,
//! patterns are matched in linear time, its own size is bounded, and so is the work that it asks for ([`work`]).
//! What does not fit is told in a few words, for a model to read ([`mismatch`]).

pub mod mismatch;
pub mod work;

use std::fmt;

use jsonschema::error::ValidationError;
use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;

use crate::provenance::{Grouped, quoted};
use mismatch::shortened;
use work::{TooMuch, Work};

pub use mismatch::{Fault, Mismatch};

/// Bytes of a schema.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// Faults that are told at once.
pub const MAX_FAULTS: usize = 4;
/// Bytes that the pattern of a schema may compile to.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// A declared shape.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    /// Counted before a value is validated.
    work: Work,
}

/// What a schema refers to outside itself is not fetched, whatever the library was built to fetch.
struct Offline;

impl Retrieve for Offline {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("nothing is fetched that a schema refers to".into())
    }
}

/// Why a schema is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// It is too long.
    TooLong {
        /// Its bytes.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// It asks for too much work, or refers to something outside it.
    Work(TooMuch),
    /// It is no schema.
    Broken {
        /// Where, as a JSON pointer into the schema.
        at: String,
        /// What is wrong.
        message: String,
    },
}

impl Schema {
    /// Compiles a schema, without fetching anything.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn new(schema: &Value) -> Result<Schema, SchemaError> {
        let found = schema.to_string().len();
        if found > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLong { found, limit: MAX_SCHEMA_BYTES });
        }
        let work = Work::survey(schema).map_err(SchemaError::Work)?;
        let patterns =
            PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
        let broken = |error: ValidationError<'_>| SchemaError::Broken {
            at: error.instance_path().to_string(),
            message: shortened(&error.to_string()),
        };
        let validator = jsonschema::options()
            .with_retriever(Offline)
            .with_pattern_options(patterns)
            .build(schema)
            .map_err(broken)?;
        Ok(Schema { validator, work })
    }

    /// Holds a text to it.
    ///
    /// # Errors
    /// [`Mismatch::Syntax`], [`Mismatch::Work`] and [`Mismatch::Shape`].
    pub fn check(&self, text: &str) -> Result<Value, Mismatch> {
        let value: Value = serde_json::from_str(text).map_err(|error| Mismatch::Syntax {
            line: error.line(),
            column: error.column(),
            message: syntax(&error),
        })?;
        self.hold(&value)?;
        Ok(value)
    }

    /// Holds a value to it.
    ///
    /// # Errors
    /// [`Mismatch::Work`] and [`Mismatch::Shape`].
    pub fn hold(&self, value: &Value) -> Result<(), Mismatch> {
        self.work.bound(value).map_err(Mismatch::Work)?;
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let mut errors = self.validator.iter_errors(value);
        let faults: Vec<Fault> = errors.by_ref().take(MAX_FAULTS).map(|error| Fault::of(&error)).collect();
        Err(Mismatch::Shape { faults, more: errors.next().is_some() })
    }
}

/// The parser's words without the place, which is told by itself.
fn syntax(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::TooLong { found, limit } => {
                write!(f, "the schema has {} bytes; {} would fit", Grouped(*found), Grouped(*limit))
            }
            SchemaError::Work(too_much) => write!(f, "the schema {too_much}"),
            SchemaError::Broken { at, message } => {
                write!(f, "the schema is broken at {}: {message}", quoted(at))
            }
        }
    }
}

impl std::error::Error for SchemaError {}
