//! Comma-separated values and their like.

use std::borrow::Cow;

use csv::{ByteRecord, ReaderBuilder};

use super::{Cell, Style, Table, push_cell, push_cells};

/// Bytes in which a separator has to show itself.
const SAMPLE_BYTES: usize = 16 << 10;
/// Records that make a table, the header among them.
const FEWEST: usize = 3;
/// Separators that are tried.
const SEPARATORS: [u8; 4] = [b'\t', b',', b';', b'|'];

/// Reads a text whose records all have the same number of cells, two at least.
pub fn read(text: &str) -> Option<Table<'_>> {
    let sample = &text[..text.floor_char_boundary(SAMPLE_BYTES)];
    let cells = |&separator: &u8| Some((cells(sample, separator, sample.len() < text.len())?, separator));
    let (columns, separator) = SEPARATORS.iter().filter_map(cells).max_by_key(|&(cells, _)| cells)?;
    if columns == 2 && is_prose(sample, separator) {
        return None;
    }
    let mut rows = records(text, separator)?;
    let header = vec![rows.remove(0)];
    Some(Table::new(Style::Separated(separator), header, rows))
}

/// Cells of every record of a sample; none where they differ.
fn cells(sample: &str, separator: u8, cut_off: bool) -> Option<usize> {
    let mut counts = Vec::new();
    each_record(sample, separator, |record, _| counts.push(record.len()))?;
    if cut_off {
        counts.pop();
    }
    let &first = counts.first()?;
    (first >= 2 && counts.len() >= FEWEST && counts.iter().all(|&count| count == first)).then_some(first)
}

/// One comma in each line, with a blank behind it, is how sentences are written.
fn is_prose(sample: &str, separator: u8) -> bool {
    let sign = char::from(separator);
    let spaced = sample.matches(&format!("{sign} ")).count();
    !sign.is_whitespace() && spaced * 2 > sample.matches(sign).count()
}

/// All records as they were written; none where more than a few do not have the first one's cells.
fn records(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut starts, mut first, mut odd) = (Vec::new(), None, 0_usize);
    each_record(text, separator, |record, start| {
        starts.push(start);
        odd += usize::from(*first.get_or_insert(record.len()) != record.len());
    })?;
    if starts.len() < FEWEST || odd * 20 > starts.len() {
        return None;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let row = |(&start, end): (&usize, usize)| text.get(start..end).map(|row| row.trim_matches(['\r', '\n']));
    starts.iter().zip(ends).map(row).collect()
}

/// Calls `each` with every record and the byte at which it begins; none where the text is not of this format.
fn each_record(text: &str, separator: u8, mut each: impl FnMut(&ByteRecord, usize)) -> Option<()> {
    let mut reader = ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).ok()? {
        let start = usize::try_from(record.position()?.byte()).ok()?;
        each(&record, start);
    }
    Some(())
}

/// Writes a row with its cells cut so that all take about `bytes`.
pub fn push_cut(text: &mut String, row: &str, separator: u8, bytes: usize) {
    let mut reader = ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(row.as_bytes());
    let mut record = ByteRecord::new();
    let read = reader.read_byte_record(&mut record).unwrap_or(false);
    if !read {
        return push_cell(text, row, bytes);
    }
    let between = char::from(separator);
    let cell = |cell| {
        let text = String::from_utf8_lossy(cell);
        // A bracket without its quotes might come to begin a line.
        if text.contains(['"', '\n', '[', between]) {
            Cell { text: Cow::Owned(text.replace('"', "\"\"")), quote: "\"" }
        } else {
            Cell { text, quote: "" }
        }
    };
    push_cells(text, record.iter().map(cell), between, bytes);
}
