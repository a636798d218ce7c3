//! Writing blocks: what every reader does to a text before it is one.

use std::borrow::Cow;
use std::ops::Range;

use agentos_perception::text::visible;

use crate::characters::Characters;
use crate::document::{Block, BlockKind, Document, Note, Place};
use crate::error::DocumentError;
use crate::limits::Limits;

/// A document that is being written.
pub(crate) struct Writer {
    pub(crate) document: Document,
    written: u64,
    limit: u64,
    shown: u64,
}

impl Writer {
    pub(crate) fn new(limits: &Limits) -> Writer {
        Writer { document: Document::default(), written: 0, limit: limits.text_bytes, shown: 0 }
    }

    /// Writes one block, if anything of the text is left once it is clean.
    ///
    /// # Errors
    /// [`DocumentError::TooLong`].
    pub(crate) fn push(&mut self, kind: BlockKind, text: &str, place: Place) -> Result<(), DocumentError> {
        let (text, shown) = clean(text, kind);
        if text.is_empty() {
            return Ok(());
        }
        self.written += text.len() as u64;
        self.shown += shown;
        if self.written > self.limit {
            return Err(DocumentError::TooLong { limit: self.limit });
        }
        self.document.blocks.push(Block { kind, text, place });
        Ok(())
    }

    /// The document, with what was done to it.
    pub(crate) fn done(mut self, notes: impl IntoIterator<Item = Note>) -> Document {
        self.document.notes.extend(notes);
        if self.shown > 0 {
            self.document.notes.push(Note::Shown(self.shown));
        }
        self.document
    }
}

/// A title: one line, not too long, everything in it visible.
pub(crate) fn title(text: &str) -> Option<String> {
    const MOST_CHARS: usize = 200;
    let (text, _) = clean(text, BlockKind::Heading(1));
    let text: String = text.chars().take(MOST_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

/// Text as a block has it, and how many characters were made visible.
fn clean(text: &str, kind: BlockKind) -> (String, u64) {
    let text = without_layout(text);
    let text = match kind {
        BlockKind::Code => without_blank_ends(&text),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    let (text, shown) = visible(&text);
    (text, shown.total() as u64)
}

/// Without what only laid the text out: soft hyphens, marks of byte order, type that was made bold by striking
/// it twice, ends of pages.
fn without_layout(text: &str) -> Cow<'_, str> {
    let is_layout = |c| matches!(c, '\u{ad}' | '\u{feff}' | '\u{200b}' | '\x08' | '\x0c' | '\x0b' | '\x1a');
    if !text.contains(is_layout) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\x08' if plain.ends_with('\n') => {}
            '\x08' => drop(plain.pop()),
            '\x0c' | '\x0b' => plain.push('\n'),
            _ if is_layout(c) => {}
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// Lines without white space at their ends and without blank ones at either end, at most one blank line in a row.
fn without_blank_ends(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if !line.is_empty() || lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push(line);
        }
    }
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines.join("\n")
}

/// Places in a file of characters. Ranges are asked for in any order; rising ones cost one pass in all.
pub(crate) struct Places<'t> {
    text: &'t str,
    offset: u64,
    /// A byte of the text, and the line on which it stands, from 1.
    known: (usize, u32),
}

impl<'t> Places<'t> {
    pub(crate) fn new(characters: &'t Characters<'_>) -> Places<'t> {
        Places { text: &characters.text, offset: characters.offset, known: (0, 1) }
    }

    /// The place of a range of the text, in bytes; what lies outside it is cut off.
    pub(crate) fn of(&mut self, range: Range<usize>) -> Place {
        let end = range.end.min(self.text.len());
        let start = range.start.min(end);
        if start < self.known.0 {
            self.known = (0, 1);
        }
        let between = &self.text.as_bytes()[self.known.0..start];
        let lines = between.iter().filter(|&&byte| byte == b'\n').count();
        self.known = (start, self.known.1.saturating_add(lines as u32));
        Place::Characters { bytes: self.offset + start as u64..self.offset + end as u64, line: self.known.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_clean() {
        let clean = |text, kind| clean(text, kind).0;
        assert_eq!(clean(" a\n  b\t c ", BlockKind::Paragraph), "a b c");
        assert_eq!(clean("\n\n  a\n\n\n  b  \n\n", BlockKind::Code), "  a\n\n  b");
        assert_eq!(clean("N\x08NA\x08A\x0cx", BlockKind::Code), "NA\nx");
        assert_eq!(clean("co\u{ad}operate", BlockKind::Paragraph), "cooperate");
        assert_eq!(clean("a\u{202e}b\x1b[1m", BlockKind::Paragraph), "a\\u{202e}b\\u{1b}[1m");
        assert_eq!(clean(" \u{200b}\n", BlockKind::Paragraph), "");
    }

    #[test]
    fn places_count_lines_both_ways() {
        let characters = Characters { text: "ab\ncd\nef".into(), offset: 3, notes: Vec::new() };
        let mut places = Places::new(&characters);
        assert_eq!(places.of(3..5), Place::Characters { bytes: 6..8, line: 2 });
        assert_eq!(places.of(6..99), Place::Characters { bytes: 9..11, line: 3 });
        assert_eq!(places.of(0..2), Place::Characters { bytes: 3..5, line: 1 });
    }

    #[test]
    fn too_much_text_is_refused() {
        let mut writer = Writer::new(&Limits { text_bytes: 5, ..Limits::DEFAULT });
        writer.push(BlockKind::Paragraph, "abc", Place::Page(1)).unwrap();
        let error = writer.push(BlockKind::Paragraph, "def", Place::Page(1)).unwrap_err();
        assert_eq!(error, DocumentError::TooLong { limit: 5 });
    }
}
