//! What was done to a text on its way into a context.

use std::fmt;

use crate::provenance::Grouped;
use crate::reduce::Cut;
use crate::text::Shown;

/// Something that was done to a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It came in another character set than UTF-8.
    Charset(&'static str),
    /// The declared character set is unknown, or the bytes are not in it.
    Misdeclared,
    /// So many of its bytes are no characters.
    Invalid(usize),
    /// Only its first bytes were looked at.
    Capped {
        /// How many.
        limit: usize,
    },
    /// What would not have been seen was made visible.
    Shown(Shown),
    /// So many control strings of the model were broken.
    Broken(usize),
    /// It is JSON that is nested deeper than this, and was taken as text.
    TooDeep {
        /// Levels that are read as JSON.
        limit: usize,
    },
    /// It was cut to fit its budget.
    Cut(Cut),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Charset(name) => write!(f, "in {name}"),
            Note::Misdeclared => f.write_str("not in the character set that it claims"),
            Note::Invalid(bytes) => write!(f, "{} bytes are no text", Grouped(*bytes)),
            Note::Capped { limit } => write!(f, "only the first {} were read", Grouped(*limit)),
            Note::Shown(shown) => write!(f, "{} hidden characters shown by number", Grouped(shown.total())),
            Note::Broken(strings) => write!(f, "{} control strings of the model broken", Grouped(*strings)),
            Note::TooDeep { limit } => write!(f, "JSON deeper than {limit} levels, taken as text"),
            Note::Cut(cut) => cut.fmt(f),
        }
    }
}
