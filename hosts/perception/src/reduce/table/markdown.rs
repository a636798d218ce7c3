//! Markdown tables.

use std::borrow::Cow;

use super::{Cell, Style, Table, push_cells};

/// Lines above the line of dashes that are the title of a table and not a text of its own.
const MOST_ABOVE: usize = 4;

/// Reads a text that is a Markdown table and little else.
pub fn read(text: &str) -> Option<Table<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let dashes = lines.iter().take(MOST_ABOVE + 1).position(|line| is_dashes(line))?;
    let above = lines[..dashes].last()?;
    let rows: Vec<&str> =
        lines[dashes + 1..].iter().copied().filter(|line| !line.trim().is_empty()).collect();
    let barred = rows.iter().filter(|row| row.contains('|')).count();
    if !above.contains('|') || rows.is_empty() || barred * 10 < rows.len() * 9 {
        return None;
    }
    Some(Table::new(Style::Markdown, lines[..=dashes].to_vec(), rows))
}

/// The line between header and rows: `|---|:--:|`.
fn is_dashes(line: &str) -> bool {
    line.contains('|') && line.contains("--") && line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' '))
}

/// Writes a row with its cells cut so that all take about `bytes`.
pub fn push_cut(text: &mut String, row: &str, bytes: usize) {
    let inner = row.strip_prefix('|').unwrap_or(row);
    text.push_str(&row[..row.len() - inner.len()]);
    let cells = inner.strip_suffix('|').unwrap_or(inner);
    let split: Vec<Cell<'_>> =
        cells.split('|').map(|cell| Cell { text: Cow::Borrowed(cell), quote: "" }).collect();
    push_cells(text, split.into_iter(), '|', bytes);
    text.push_str(&inner[cells.len()..]);
}
