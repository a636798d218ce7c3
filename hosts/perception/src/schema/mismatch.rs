//! Why something does not have its shape, in a few words for a model to read: where, what is there, what would
//! fit. What it is that does not have its shape, whoever tells of it says before.

use std::fmt;

use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind as Kind};
use serde_json::Value;

use super::work::TooMuch;
use crate::provenance::{Grouped, quoted};

/// Names that are told of a list of them.
const MAX_NAMES: usize = 8;
/// Bytes of a value that is told as it is.
const SHORT: usize = 48;

/// Why an output, or a call's arguments, does not have its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is no JSON.
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// It is longer than what is read, and so could not be judged.
    TooLong {
        /// Its bytes.
        found: usize,
        /// How many would have been read.
        limit: usize,
    },
    /// Holding it to its schema would take too much work.
    Work(TooMuch),
    /// It is JSON of another shape.
    Shape {
        /// The first faults; never none.
        faults: Vec<Fault>,
        /// There are more.
        more: bool,
    },
}

/// One thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a JSON pointer into it; empty for the whole of it.
    pub at: String,
    /// What is there, shortened.
    pub found: String,
    /// What would fit.
    pub fits: String,
}

impl Fault {
    /// What the validator found, in a few words.
    pub(super) fn of(error: &ValidationError<'_>) -> Fault {
        Fault {
            at: shortened(error.instance_path().as_str()),
            found: found(error.instance()),
            fits: fits(error.kind(), error),
        }
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", Grouped(items.len())),
        Value::Object(entries) => {
            let names: Vec<&str> = entries.keys().map(String::as_str).collect();
            format!("an object with {}", names_of(&names))
        }
        Value::String(string) => format!("the text {}", shortened(&quoted(string))),
        Value::Number(number) => format!("the number {}", shortened(&number.to_string())),
        Value::Bool(_) | Value::Null => value.to_string(),
    }
}

fn fits(kind: &Kind, error: &ValidationError<'_>) -> String {
    match kind {
        Kind::Required { property } => format!("an object that has {}", shortened(&property.to_string())),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<&str> = unexpected.iter().map(String::as_str).collect();
            format!("an object without {}", names_of(&names))
        }
        Kind::Enum { options } => match options {
            Value::Array(options) => {
                let some: Vec<String> =
                    options.iter().take(MAX_NAMES).map(|o| shortened(&o.to_string())).collect();
                let rest = options.len().saturating_sub(MAX_NAMES);
                let more = if rest > 0 { format!(" or {rest} others") } else { String::new() };
                format!("one of {}{more}", some.join(", "))
            }
            _ => "one of the listed values".to_owned(),
        },
        Kind::Constant { expected_value } => shortened(&expected_value.to_string()),
        Kind::Type { kind } => match kind {
            TypeKind::Single(kind) => format!("a value of type {kind}"),
            TypeKind::Multiple(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| kind.to_string()).collect();
                format!("a value of type {}", kinds.join(" or "))
            }
        },
        Kind::Minimum { limit } => format!("a number of {limit} or more"),
        Kind::Maximum { limit } => format!("a number of {limit} or less"),
        Kind::ExclusiveMinimum { limit } => format!("a number above {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("a number below {limit}"),
        Kind::MinLength { limit } => format!("a text of {limit} characters or more"),
        Kind::MaxLength { limit } => format!("a text of {limit} characters or fewer"),
        Kind::MinItems { limit } => format!("a list of {limit} or more"),
        Kind::MaxItems { limit } => format!("a list of {limit} or fewer"),
        Kind::UniqueItems => "a list without doubles".to_owned(),
        Kind::Pattern { pattern } => format!("a text that matches {}", shortened(pattern)),
        Kind::Format { format } => format!("a text in the format {}", shortened(format)),
        _ => format!(
            "what the schema says at {} ({})",
            shortened(error.schema_path().as_str()),
            kind.keyword()
        ),
    }
}

fn names_of(names: &[&str]) -> String {
    let some: Vec<String> = names.iter().take(MAX_NAMES).map(|name| shortened(&quoted(name))).collect();
    match names.len() {
        0 => "no keys".to_owned(),
        all if all > MAX_NAMES => format!("{} and {} more", some.join(", "), all - MAX_NAMES),
        _ => some.join(", "),
    }
}

/// A text as it is, or its beginning.
pub(super) fn shortened(text: &str) -> String {
    if text.len() <= SHORT {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(SHORT)])
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Syntax { line, column, message } => {
                write!(f, "is no JSON: {message} at line {line}, column {column}")
            }
            Mismatch::TooLong { found, limit } => write!(
                f,
                "has {} bytes, of which {} are read: too long to hold to its schema",
                Grouped(*found),
                Grouped(*limit)
            ),
            Mismatch::Work(too_much) => {
                write!(f, "cannot be held to its schema, which {too_much}")
            }
            Mismatch::Shape { faults, more } => {
                f.write_str("does not fit its schema: ")?;
                for (at, fault) in faults.iter().enumerate() {
                    f.write_str(if at > 0 { "; " } else { "" })?;
                    fault.fmt(f)?;
                }
                f.write_str(if *more { "; and more" } else { "" })
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() { "the whole" } else { &self.at };
        write!(f, "at {at} is {}, where {} would fit", self.found, self.fits)
    }
}

impl std::error::Error for Mismatch {}
