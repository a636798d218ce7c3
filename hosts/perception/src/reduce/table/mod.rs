//! Tables: whole rows stay, under their header.
//!
//! A table is values parted by a separator, one record after the other ([`separated`]), a Markdown table
//! ([`markdown`]), or columns held apart by blanks, as commands print them ([`aligned`]).

pub mod aligned;
pub mod markdown;
pub mod separated;

use std::borrow::Cow;

use super::choose::{MARK, choose, ends, gap, runs};
use super::words::Words;
use super::{Cut, Reduced};
use crate::provenance::Grouped;

/// Bytes that a cell gets at least: with fewer, the mark of what it lacks would take more than that had.
const CELL: usize = 48;

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

/// A cell that is to be written.
struct Cell<'c> {
    text: Cow<'c, str>,
    /// What stands on both sides of it.
    quote: &'static str,
}

/// Writes cells in about `bytes` bytes: long ones without their middles, and only the first where there are too
/// many. A mark stands for the others.
fn push_cells<'c>(
    text: &mut String,
    cells: impl ExactSizeIterator<Item = Cell<'c>>,
    between: char,
    bytes: usize,
) {
    let of = cells.len();
    let room = (bytes / of.max(1)).max(CELL);
    let mut left = bytes;
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            text.push(between);
        }
        let cost = cell.text.len().min(room) + 2 * cell.quote.len() + 1;
        let mark = if at + 1 < of { MARK } else { 0 };
        if cost + mark > left {
            return text.push_str(&gap(format_args!("{} of {} cells", Grouped(of - at), Grouped(of))));
        }
        left -= cost;
        text.push_str(cell.quote);
        push_cell(text, &cell.text, room);
        text.push_str(cell.quote);
    }
}

/// Writes a cell, without its middle where it is longer than `bytes` and a mark is shorter than that.
fn push_cell(text: &mut String, cell: &str, bytes: usize) {
    let cut = ends(cell, bytes).map(|ends| [ends.head, &ends.mark(), ends.tail].concat());
    text.push_str(cut.as_deref().filter(|cut| cut.len() < cell.len()).unwrap_or(cell));
}
