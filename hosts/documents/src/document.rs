//! What a reader gives: blocks of text, in order, each of which knows where it stands.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A document as plain text with its structure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it calls itself.
    pub title: Option<String>,
    /// Its text, in order.
    pub blocks: Vec<Block>,
    /// What was done to it.
    pub notes: Vec<Note>,
}

/// A piece of text that belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Its text: not empty, everything in it visible, no blank lines but in code.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockKind {
    /// A heading, from 1 (the document's own) to 6.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// An item of a list.
    Item,
    /// A row of a table, its cells with ` | ` between them.
    Row,
    /// Text whose lines and spaces mean something.
    Code,
}

/// Where a block stands in its file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// In a file of characters.
    Characters {
        /// Its bytes: of the file where that is UTF-8, otherwise of its text in UTF-8.
        bytes: Range<u64>,
        /// Its first line, from 1.
        line: u32,
    },
    /// On a page, from 1.
    Page(u32),
}

impl Place {
    /// From the beginning of this place to the end of a later one of the same file.
    #[must_use]
    pub fn to(&self, end: &Place) -> Place {
        match (self, end) {
            (Place::Characters { bytes, line }, Place::Characters { bytes: last, .. }) => {
                Place::Characters { bytes: bytes.start..last.end.max(bytes.end), line: *line }
            }
            _ => self.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Characters { line, .. } => write!(f, "line {line}"),
            Place::Page(page) => write!(f, "page {page}"),
        }
    }
}

/// What was done to a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// It came in another character set than UTF-8.
    Charset(String),
    /// So many of its bytes are no characters.
    Invalid(u64),
    /// So many characters that a reader would not see are shown by their numbers.
    Shown(u64),
    /// So many of its glyphs say nothing about the character that they show.
    Nameless(u64),
    /// So many lines at the edges of its pages, which say the same on several, are left out.
    Running(u64),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Charset(name) => write!(f, "in {name}"),
            Note::Invalid(bytes) => write!(f, "{bytes} bytes are no text"),
            Note::Shown(characters) => write!(f, "{characters} hidden characters shown by number"),
            Note::Running(lines) => write!(f, "{lines} running heads and feet left out"),
            Note::Nameless(glyphs) => write!(f, "{glyphs} glyphs without a character left out"),
        }
    }
}

/// Blocks as one text: a blank line between them, one line end between items or rows that follow each other.
#[must_use]
pub fn joined(blocks: &[Block]) -> String {
    let mut text = String::new();
    for (at, block) in blocks.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).map(|before| &blocks[before]) {
            text.push_str(between(before.kind, block.kind));
        }
        text.push_str(&block.text);
    }
    text
}

/// What stands between two blocks.
#[must_use]
pub fn between(before: BlockKind, after: BlockKind) -> &'static str {
    let together = before == after && matches!(after, BlockKind::Item | BlockKind::Row);
    if together { "\n" } else { "\n\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: BlockKind, text: &str) -> Block {
        Block { kind, text: text.to_owned(), place: Place::Page(1) }
    }

    #[test]
    fn lists_and_tables_stay_together() {
        let kinds = [BlockKind::Heading(1), BlockKind::Item, BlockKind::Item, BlockKind::Row, BlockKind::Row];
        let blocks: Vec<Block> = kinds.iter().map(|&kind| block(kind, "x")).collect();
        assert_eq!(joined(&blocks), "x\n\nx\nx\n\nx\nx");
    }

    #[test]
    fn a_place_reaches_to_a_later_one() {
        let place = |bytes, line| Place::Characters { bytes, line };
        assert_eq!(place(3..5, 2).to(&place(9..12, 7)), place(3..12, 2));
        assert_eq!(Place::Page(3).to(&Place::Page(4)), Place::Page(3));
        assert_eq!(
            (place(3..5, 2).to_string(), Place::Page(3).to_string()),
            ("line 2".into(), "page 3".into())
        );
    }
}
