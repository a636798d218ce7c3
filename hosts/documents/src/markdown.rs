//! Markdown, through `pulldown-cmark`.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::characters::Characters;
use crate::document::{BlockKind, Document};
use crate::error::DocumentError;
use crate::html;
use crate::limits::Limits;
use crate::write::{Places, Writer, title};

/// Reads CommonMark with tables, footnotes and a head of metadata.
///
/// # Errors
/// [`DocumentError::TooLong`].
pub fn read(characters: &Characters<'_>, limits: &Limits) -> Result<Document, DocumentError> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    let text: &str = &characters.text;
    let mut reader = Reader {
        writer: Writer::new(limits),
        places: Places::new(characters),
        open: None,
        lists: Vec::new(),
        silent: 0,
    };
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        reader.event(event, range)?;
    }
    reader.close()?;
    let mut document = reader.writer.done(characters.notes.iter().cloned());
    let first = document.blocks.iter().find(|block| block.kind == BlockKind::Heading(1));
    document.title = first.and_then(|block| title(&block.text));
    Ok(document)
}

struct Reader<'t> {
    writer: Writer,
    places: Places<'t>,
    /// The block that is being read.
    open: Option<Open>,
    /// The next number of each list that is open; none in one without numbers.
    lists: Vec<Option<u64>>,
    /// How many elements are open whose text is not the document's.
    silent: usize,
}

struct Open {
    kind: BlockKind,
    text: String,
    range: Range<usize>,
    is_html: bool,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), DocumentError> {
        match event {
            Event::Start(tag) => self.start(&tag, range),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) => self.text(&text, range),
            Event::Html(text) => self.text(&text, range),
            // Its tags stand inside a sentence and say nothing.
            Event::InlineHtml(_) => Ok(()),
            Event::SoftBreak | Event::HardBreak => self.text("\n", range),
            Event::TaskListMarker(done) => self.text(if done { "[x] " } else { "[ ] " }, range),
            Event::Rule => self.close(),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]"), range),
            Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text, range),
        }
    }

    fn start(&mut self, tag: &Tag<'_>, range: Range<usize>) -> Result<(), DocumentError> {
        match tag {
            Tag::Heading { level, .. } => self.open(BlockKind::Heading(number(*level)), range),
            Tag::CodeBlock(kind) => {
                self.open(BlockKind::Code, range)?;
                if let (CodeBlockKind::Fenced(_), Some(open)) = (kind, &mut self.open) {
                    open.text.clear();
                }
                Ok(())
            }
            Tag::HtmlBlock => {
                self.open(BlockKind::Paragraph, range)?;
                self.open.iter_mut().for_each(|open| open.is_html = true);
                Ok(())
            }
            Tag::TableHead | Tag::TableRow => self.open(BlockKind::Row, range),
            Tag::TableCell => {
                let between = self.open.as_ref().is_some_and(|open| !open.text.is_empty());
                if between { self.text(" | ", range) } else { Ok(()) }
            }
            Tag::List(first) => {
                self.lists.push(*first);
                self.close()
            }
            Tag::Item => {
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number = number.saturating_add(1);
                        format!("{}. ", number.saturating_sub(1))
                    }
                    _ => "- ".to_owned(),
                };
                let depth = self.lists.len().clamp(1, 8) - 1;
                self.open(BlockKind::Item, range.clone())?;
                self.text(&("  ".repeat(depth) + &mark), range)
            }
            // The first paragraph of an item is the item.
            Tag::Paragraph if self.is_fresh_item() => Ok(()),
            Tag::Paragraph | Tag::FootnoteDefinition(_) => self.open(BlockKind::Paragraph, range),
            Tag::MetadataBlock(_) => {
                self.silent += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), DocumentError> {
        match tag {
            TagEnd::MetadataBlock(_) => {
                self.silent = self.silent.saturating_sub(1);
                Ok(())
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.close()
            }
            TagEnd::Heading(_)
            | TagEnd::CodeBlock
            | TagEnd::HtmlBlock
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::Item
            | TagEnd::Paragraph
            | TagEnd::FootnoteDefinition => self.close(),
            _ => Ok(()),
        }
    }

    fn is_fresh_item(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.kind == BlockKind::Item && open.text.trim_start().len() <= 6)
    }

    fn text(&mut self, text: &str, range: Range<usize>) -> Result<(), DocumentError> {
        if self.silent > 0 {
            return Ok(());
        }
        let open = self.open.get_or_insert_with(|| Open {
            kind: BlockKind::Paragraph,
            text: String::new(),
            range: range.clone(),
            is_html: false,
        });
        open.text.push_str(text);
        open.range.end = open.range.end.max(range.end);
        Ok(())
    }

    fn open(&mut self, kind: BlockKind, range: Range<usize>) -> Result<(), DocumentError> {
        self.close()?;
        // What is inside extends it: an item's own range holds all items below it.
        let range = range.start..range.start;
        self.open = Some(Open { kind, text: String::new(), range, is_html: false });
        Ok(())
    }

    fn close(&mut self) -> Result<(), DocumentError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let place = self.places.of(open.range);
        if !open.is_html {
            return self.writer.push(open.kind, &open.text, place);
        }
        for (kind, text) in html::blocks(&open.text) {
            self.writer.push(kind, &text, place.clone())?;
        }
        Ok(())
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Place, joined};

    fn document(text: &str) -> Document {
        let characters = Characters { text: text.into(), offset: 0, notes: Vec::new() };
        read(&characters, &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn structure_is_kept() {
        let text = "---\nauthor: x\n---\n# The *title*\n\nOne\ntwo [link](http://x) `code`.\n\n- a\n- b\n  1. c\n\n\
                    | h | i |\n|---|---|\n| 1 | 2 |\n\n```rust\nfn  f() {}\n```\n\n<div><b>bold</b> &amp; more</div>\n";
        let found = document(text);
        assert_eq!(found.title.as_deref(), Some("The title"));
        let expected =
            "The title\n\nOne two link code.\n\n- a\n- b\n1. c\n\nh | i\n1 | 2\n\nfn  f() {}\n\nbold & more";
        assert_eq!(joined(&found.blocks), expected);
        let kinds: Vec<BlockKind> = found.blocks.iter().map(|block| block.kind).collect();
        use BlockKind::*;
        assert_eq!(kinds, [Heading(1), Paragraph, Item, Item, Item, Row, Row, Code, Paragraph]);
        let Place::Characters { bytes, line } = &found.blocks[1].place else { panic!() };
        assert_eq!(*line, 6);
        assert!(text[bytes.start as usize..bytes.end as usize].starts_with("One\ntwo"));
    }
}
