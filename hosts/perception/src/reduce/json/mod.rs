//! JSON within a number of bytes: its shape and its keys stay, values give way.
//!
//! [`tree`] reads it; [`write`] writes it again, with what room there is dealt out from the top down: every
//! value gets what it needs, or its fair part of what the others leave. Long strings lose their middles, long
//! lists theirs, lists of alike records become one line of column names and rows, and chains of single keys
//! become one.

pub mod tree;
pub mod write;

use super::{Cut, Reduced};
use tree::{Item, NoJson, Node};

/// One value, or several that stood one a line.
#[derive(Debug)]
pub struct Document<'t> {
    values: Vec<Item<'t>>,
    lines: bool,
}

impl<'t> Document<'t> {
    /// Reads a text as JSON: one array or object, or one a line.
    ///
    /// # Errors
    /// [`NoJson`].
    pub fn read(text: &'t str) -> Result<Document<'t>, NoJson> {
        let text = text.trim();
        if !text.starts_with(['{', '[']) {
            return Err(NoJson::Syntax);
        }
        match tree::read(text) {
            Ok(value) => return Ok(Document { values: vec![value], lines: false }),
            Err(NoJson::TooDeep) => return Err(NoJson::TooDeep),
            Err(NoJson::Syntax) => (),
        }
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let read =
            |line: &'t str| if line.starts_with(['{', '[']) { tree::read(line) } else { Err(NoJson::Syntax) };
        let values: Vec<Item<'t>> = lines.map(read).collect::<Result<_, _>>()?;
        Ok(Document { values, lines: true })
    }

    /// Writes it in about `bytes` bytes.
    #[must_use]
    pub fn within(&self, bytes: usize) -> Reduced {
        let (text, whole) = match &self.values[..] {
            [value] => write::value(value, bytes),
            values => write::lines(values, bytes),
        };
        Reduced { text, cut: if whole { Cut::Nothing } else { Cut::Values } }
    }

    /// Its values are lines of their own.
    #[must_use]
    pub fn is_lines(&self) -> bool {
        self.lines
    }
}

/// The keys of a record; none of anything else.
fn keys<'i>(item: &'i Item<'_>) -> Option<impl Iterator<Item = &'i str>> {
    match &item.node {
        Node::Record(entries) => Some(entries.iter().map(|(key, _)| &**key)),
        _ => None,
    }
}

/// The names of the columns, where a list is one of many records with the same keys in the same order.
fn columns<'i>(items: &'i [Item<'_>]) -> Option<Vec<&'i str>> {
    const FEW: usize = 4;
    let columns: Vec<&str> = keys(items.first()?)?.collect();
    if items.len() < FEW || columns.len() < 2 {
        return None;
    }
    let alike = |item| keys(item).is_some_and(|keys| keys.eq(columns.iter().copied()));
    items.iter().all(alike).then_some(columns)
}
