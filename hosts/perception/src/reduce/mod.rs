//! Cuts a text by its structure until it fits.
//!
//! [`Content`] says what a text is: JSON, a table, or running text. Each kind knows how to write itself within a
//! number of bytes: JSON keeps its shape ([`json`]), a table whole rows under its header ([`table`]), running
//! text its beginning, its end, and the densest slices between ([`long`]). [`fit`] finds the number of
//! bytes whose tokens fit the budget. What is left out is always said where it was.

pub mod choose;
pub mod fit;
pub mod json;
pub mod long;
pub mod table;
pub mod words;

use std::fmt;

use crate::provenance::Grouped;
use json::Document;
use long::Long;
use table::Table;
use words::Words;

/// A piece of a text that the running model may judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece<'t> {
    /// The piece.
    pub text: &'t str,
    /// What its words promise: of two, the one with more is read first, where not all are.
    pub promise: f32,
}

/// Judges pieces of text, which come in the order of the text: the higher a number, the more worth keeping. It is the
/// host's, computed with the running model; pieces without a number, or with one that is none, count least.
pub type Score<'s> = dyn FnMut(&[Piece<'_>]) -> Vec<f32> + 's;

/// What was left out of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Nothing,
    /// Values of a JSON document: long strings lack their middles, long lists theirs.
    Values,
    /// Rows of a table.
    Rows {
        /// How many are there.
        kept: usize,
        /// Of how many.
        of: usize,
    },
    /// Parts of a running text.
    Text {
        /// Bytes that are there.
        kept: usize,
        /// Of how many.
        of: usize,
    },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Nothing => f.write_str("whole"),
            Cut::Values => f.write_str("shortened JSON"),
            Cut::Rows { kept, of } if kept == of => f.write_str("long rows shortened"),
            Cut::Rows { kept, of } => write!(f, "{} of {} rows", Grouped(*kept), Grouped(*of)),
            Cut::Text { kept, of } => write!(f, "{} of {} bytes of text", Grouped(*kept), Grouped(*of)),
        }
    }
}

/// A text that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduced {
    /// What is there of it, and what is said about the rest.
    pub text: String,
    /// What was left out.
    pub cut: Cut,
}

/// What a text is.
#[derive(Debug)]
pub enum Content<'t> {
    /// A JSON document, or several, one a line.
    Json(Document<'t>),
    /// A table.
    Table(Table<'t>),
    /// Anything else.
    Long(Long<'t>),
}

impl<'t> Content<'t> {
    /// Judges what matters in it to somebody who asked for `about`. A table and a running text are judged by
    /// their words first; of a running text the most promising pieces by `score` then.
    pub fn judge(&mut self, about: &Words, score: Option<&mut Score<'_>>) {
        match self {
            Content::Json(_) => (),
            Content::Table(table) => table.judge(about),
            Content::Long(long) => long.judge(about, score),
        }
    }

    /// Writes it in about this many bytes; a few more where its marks need them.
    #[must_use]
    pub fn within(&self, bytes: usize) -> Reduced {
        match self {
            Content::Json(document) => document.within(bytes),
            Content::Table(table) => table.within(bytes),
            Content::Long(long) => long.within(bytes),
        }
    }
}
