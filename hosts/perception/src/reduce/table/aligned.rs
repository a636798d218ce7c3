//! Columns that are held apart by blanks, as `ps` and `df` print them.

use std::ops::Range;

use super::{Style, Table};

/// Lines in which columns have to show themselves.
const SAMPLE_LINES: usize = 64;
/// Lines that make a table, the header among them.
const FEWEST: usize = 4;
/// Columns that make a table.
const FEWEST_COLUMNS: usize = 3;

/// Reads a text whose first line names columns under which the words of all further lines begin or end.
pub fn read(text: &str) -> Option<Table<'_>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let (&header, rows) = lines.split_first()?;
    if lines.len() < FEWEST || header.len() > 1024 || !header.contains("  ") {
        return None;
    }
    let columns: Vec<Range<usize>> = words(header).collect();
    let sample: Vec<Vec<Range<usize>>> =
        rows.iter().take(SAMPLE_LINES).map(|row| words(row).take(256).collect()).collect();
    let under = |column: &&Range<usize>| {
        let beneath = |row: &&Vec<Range<usize>>| {
            row.iter().any(|word| word.start == column.start || word.end == column.end)
        };
        sample.iter().filter(beneath).count() * 10 >= sample.len() * 9
    };
    let aligned = columns.iter().filter(under).count();
    let is_table = columns.len() >= FEWEST_COLUMNS && aligned >= 2 && aligned * 2 >= columns.len();
    is_table.then(|| Table::new(Style::Aligned, vec![header], rows.to_vec()))
}

/// The words of a line, by the columns in which they begin and end.
fn words(line: &str) -> impl Iterator<Item = Range<usize>> {
    let mut chars = line.chars().enumerate().peekable();
    std::iter::from_fn(move || {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let (start, _) = chars.next()?;
        let mut end = start + 1;
        while let Some((at, _)) = chars.next_if(|(_, c)| !c.is_whitespace()) {
            end = at + 1;
        }
        Some(start..end)
    })
}
