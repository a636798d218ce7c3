//! Plain text: paragraphs between blank lines, headings by their underlines or their numbers.

use std::ops::Range;

use crate::characters::Characters;
use crate::document::{BlockKind, Document};
use crate::error::DocumentError;
use crate::limits::Limits;
use crate::write::{Places, Writer};

/// Reads plain text.
///
/// # Errors
/// [`DocumentError::TooLong`].
pub fn read(characters: &Characters<'_>, limits: &Limits) -> Result<Document, DocumentError> {
    let mut writer = Writer::new(limits);
    let mut places = Places::new(characters);
    let text: &str = &characters.text;
    for range in paragraphs(text) {
        let paragraph = &text[range.clone()];
        match underlined(paragraph) {
            Some((heading, level, rest)) => {
                writer.push(
                    BlockKind::Heading(level),
                    heading,
                    places.of(range.start..range.start + rest),
                )?;
                let rest = range.start + rest..range.end;
                writer.push(kind(&text[rest.clone()]), &text[rest.clone()], places.of(rest))?;
            }
            None => writer.push(kind(paragraph), paragraph, places.of(range))?,
        }
    }
    Ok(writer.done(characters.notes.iter().cloned()))
}

/// The parts of a text between blank lines; the end of a page counts as one.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut at = 0;
    for line in text.split_inclusive(['\n', '\x0c']) {
        let end = at + line.len();
        if line.trim().is_empty() {
            found.extend(open.take());
        } else {
            let start = open.map_or(at, |range| range.start);
            open = Some(start..end);
        }
        if line.ends_with('\x0c') {
            found.extend(open.take());
        }
        at = end;
    }
    found.extend(open);
    found
}

/// The heading of a paragraph whose second line underlines its first: its text, its level, and where the rest
/// begins.
fn underlined(paragraph: &str) -> Option<(&str, u8, usize)> {
    let (first, rest) = paragraph.split_once('\n')?;
    let second = rest.lines().next()?.trim();
    let mark = second.chars().next().filter(|mark| "=-~^*+#\"'".contains(*mark))?;
    let is_line = second.chars().all(|c| c == mark) && second.chars().count() >= 3;
    let fits = second.chars().count() * 2 >= first.trim().chars().count();
    let level = if mark == '=' { 1 } else { 2 };
    let end = first.len() + 1 + rest.find('\n').map_or(rest.len(), |end| end + 1);
    (is_line && fits && first.trim().chars().any(char::is_alphanumeric)).then_some((first, level, end))
}

/// What a paragraph of plain text is: running text whose lines may be joined, an item, or lines that mean
/// something as they are.
fn kind(paragraph: &str) -> BlockKind {
    let lines: Vec<&str> = paragraph.lines().filter(|line| !line.trim().is_empty()).collect();
    let Some(first) = lines.first() else { return BlockKind::Paragraph };
    if lines.len() == 1 {
        let is_item = is_item(first);
        return if is_item { BlockKind::Item } else { BlockKind::Paragraph };
    }
    // What has a margin of its own inside a line, or many short lines, or several items, is laid out by hand.
    let aligned = lines.iter().filter(|line| line.trim().contains("   ") || line.contains('\t')).count();
    let indents = lines[1..].iter().filter(|line| indent(line) != indent(lines[1])).count();
    let items = lines.iter().filter(|line| is_item(line)).count();
    let long = lines.iter().take(lines.len() - 1).filter(|line| line.trim().chars().count() >= 40).count();
    let running = aligned * 4 <= lines.len() && indents * 4 <= lines.len() && long * 2 >= lines.len() - 1;
    match (running, items) {
        (true, 0) => BlockKind::Paragraph,
        (true, 1) if is_item(first) => BlockKind::Item,
        _ => BlockKind::Code,
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let numbered = line.split_once(['.', ')']).is_some_and(|(number, rest)| {
        !number.is_empty()
            && number.len() <= 3
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && rest.starts_with(' ')
    });
    numbered || ["- ", "* ", "+ ", "o ", "• "].iter().any(|mark| line.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Vec<(BlockKind, String)> {
        let characters = Characters { text: text.into(), offset: 0, notes: Vec::new() };
        let document = read(&characters, &Limits::DEFAULT).unwrap();
        document.blocks.into_iter().map(|block| (block.kind, block.text)).collect()
    }

    #[test]
    fn paragraphs_flow_and_what_is_laid_out_stays() {
        let text = "Title of it\n===========\n\nA paragraph whose lines are long enough to have been wrapped\n\
                    by hand at some column.\n\n  name     value\n  other    thing\n\n* an item that goes on and on until it \
                    is wrapped to another\n  line\n\x0cnext page";
        let expected = [
            (BlockKind::Heading(1), "Title of it"),
            (
                BlockKind::Paragraph,
                "A paragraph whose lines are long enough to have been wrapped by hand at some column.",
            ),
            (BlockKind::Code, "  name     value\n  other    thing"),
            (BlockKind::Item, "* an item that goes on and on until it is wrapped to another line"),
            (BlockKind::Paragraph, "next page"),
        ];
        assert_eq!(blocks(text), expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn a_heading_may_have_its_text_below_without_a_blank_line() {
        let found = blocks("Use\n---\nCall it.");
        assert_eq!(found, [(BlockKind::Heading(2), "Use".into()), (BlockKind::Paragraph, "Call it.".into())]);
        assert_eq!(blocks("---\n---")[0].0, BlockKind::Code);
        assert_eq!(blocks("\n \n\x0c\n"), []);
    }
}
