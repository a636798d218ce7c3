//! Tables: whole rows stay, under their header.
//!
//! A table is values parted by a separator, one record after the other ([`separated`]), a Markdown table
//! ([`markdown`]), or columns held apart by blanks, as commands print them ([`aligned`]).

pub mod aligned;
pub mod markdown;
pub mod separated;

use super::choose::{choose, ends, gap, runs};
use super::words::Words;
use super::{Cut, Reduced};
use crate::provenance::Grouped;

/// How the cells of a row are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// By this byte, with quotes around cells that hold it.
    Separated(u8),
    /// By bars.
    Markdown,
    /// By blanks.
    Aligned,
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<'t> {
    /// How cells are told apart.
    pub style: Style,
    /// Lines above the rows.
    pub header: Vec<&'t str>,
    /// The rows, each without the end of its line.
    pub rows: Vec<&'t str>,
    scores: Vec<f32>,
}

impl<'t> Table<'t> {
    fn new(style: Style, header: Vec<&'t str>, rows: Vec<&'t str>) -> Table<'t> {
        Table { style, header, rows, scores: Vec::new() }
    }

    /// Reads a text as a table; none where it is none.
    #[must_use]
    pub fn read(text: &'t str) -> Option<Table<'t>> {
        markdown::read(text).or_else(|| separated::read(text)).or_else(|| aligned::read(text))
    }

    /// Judges the rows by the words of a request.
    pub fn judge(&mut self, about: &Words) {
        self.scores = about.scores(&self.rows);
    }

    /// Writes it in about `bytes` bytes.
    #[must_use]
    pub fn within(&self, bytes: usize) -> Reduced {
        // A row that takes more than this is itself cut.
        let (most_of_header, most_of_row) = (bytes / 3, bytes / 4);
        let mut text = String::new();
        let mut shortened = false;
        for &line in &self.header {
            shortened |= self.push_row(&mut text, line, most_of_header);
        }
        let lengths: Vec<usize> = self.rows.iter().map(|row| row.len().min(most_of_row) + 1).collect();
        let kept = choose(&lengths, &self.scores, bytes.saturating_sub(text.len()));
        for (run, stays) in runs(&kept) {
            if stays {
                for &row in &self.rows[run] {
                    shortened |= self.push_row(&mut text, row, most_of_row);
                }
            } else {
                let what = format!("{} of {} rows", Grouped(run.len()), Grouped(self.rows.len()));
                text.push_str(&gap(what));
                text.push('\n');
            }
        }
        text.truncate(text.trim_end_matches('\n').len());
        let (of, kept) = (self.rows.len(), kept.iter().filter(|&&kept| kept).count());
        let cut = if kept < of || shortened { Cut::Rows { kept, of } } else { Cut::Nothing };
        Reduced { text, cut }
    }

    /// Writes a line, with long cells cut where it is longer than `bytes`; and whether it was.
    fn push_row(&self, text: &mut String, row: &str, bytes: usize) -> bool {
        let long = row.len() > bytes;
        if !long {
            text.push_str(row);
        } else {
            match self.style {
                Style::Separated(separator) => separated::push_cut(text, row, separator, bytes),
                Style::Markdown => markdown::push_cut(text, row, bytes),
                Style::Aligned => push_cell(text, row, bytes),
            }
        }
        text.push('\n');
        long
    }
}

/// Writes a cell, without its middle where it is longer than `bytes`.
fn push_cell(text: &mut String, cell: &str, bytes: usize) {
    match ends(cell, bytes) {
        None => text.push_str(cell),
        Some(ends) => {
            text.push_str(ends.head);
            text.push_str(&ends.mark());
            text.push_str(ends.tail);
        }
    }
}
