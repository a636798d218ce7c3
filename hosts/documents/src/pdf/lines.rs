//! From lines on pages to blocks: a page knows where its lines stand and nothing about what they are.

use std::collections::{HashMap, HashSet};

use crate::document::BlockKind;

/// A line of text on a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) page: u32,
    pub(super) text: String,
    /// Where it begins, in points from the page's left and lower edges.
    pub(super) x: f64,
    pub(super) y: f64,
    /// The size of its largest font, in points.
    pub(super) em: f64,
    /// Parts with wide gaps between them.
    pub(super) cells: u32,
}

/// Lines as far apart as this times their size begin another paragraph.
const APART: f64 = 1.75;
/// How much larger a heading is than the text, at least.
const LARGER: f64 = 1.12;
/// Characters of a heading.
const HEADING_CHARS: usize = 160;

/// Lines at either edge of a page that may be running heads and feet.
const EDGE: usize = 2;
/// Pages on which one says the same, but for its numbers, at least.
const RUNS: usize = 3;

/// Drops the lines at the edges of pages that say the same on several: the document's name, the chapter's, the page's
/// number. Returns how many.
pub(super) fn drop_running(lines: &mut Vec<Line>) -> u64 {
    let mut edges: HashMap<String, Vec<usize>> = HashMap::new();
    let mut from = 0;
    for page in lines.chunk_by(|one, other| one.page == other.page) {
        let last = page.len().saturating_sub(EDGE);
        for (at, line) in page.iter().enumerate().filter(|(at, _)| *at < EDGE || *at >= last) {
            edges.entry(without_numbers(&line.text)).or_default().push(from + at);
        }
        from += page.len();
    }
    let runs = edges.into_values().filter(|places| {
        let pages: HashSet<u32> = places.iter().map(|&place| lines[place].page).collect();
        pages.len() >= RUNS
    });
    let running: HashSet<usize> = runs.flatten().collect();
    let mut place = 0;
    lines.retain(|_| {
        place += 1;
        !running.contains(&(place - 1))
    });
    running.len() as u64
}

/// A line with one sign for each number.
fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            _ if !c.is_ascii_digit() => plain.push(c),
            _ if plain.ends_with('#') => {}
            _ => plain.push('#'),
        }
    }
    plain
}

/// Puts lines together. Each block has the page on which it begins.
pub(super) fn blocks(lines: &[Line]) -> Vec<(BlockKind, String, u32)> {
    let body = body_size(lines);
    let mut blocks: Vec<(BlockKind, String, u32)> = Vec::new();
    let mut before: Option<&Line> = None;
    for line in lines.iter().filter(|line| !line.text.trim().is_empty()) {
        let kind = kind(line, body);
        match (blocks.last_mut(), before) {
            (Some((last, text, _)), Some(before)) if goes_on(before, line, (*last, kind)) => {
                join(text, &line.text)
            }
            _ => blocks.push((kind, line.text.trim().to_owned(), line.page)),
        }
        before = Some(line);
    }
    blocks
}

/// The size in which most characters are set.
fn body_size(lines: &[Line]) -> f64 {
    let mut sizes: Vec<(f64, usize)> = lines.iter().map(|line| (line.em, line.text.len())).collect();
    sizes.sort_by(|one, other| one.0.total_cmp(&other.0));
    let half = sizes.iter().map(|(_, chars)| chars).sum::<usize>() / 2;
    let mut seen = 0;
    let median = sizes.iter().find(|(_, chars)| {
        seen += chars;
        seen > half
    });
    median.map_or(1.0, |&(size, _)| size)
}

fn kind(line: &Line, body: f64) -> BlockKind {
    let text = line.text.trim();
    let is_short = text.chars().count() <= HEADING_CHARS && text.chars().any(char::is_alphabetic);
    if line.cells > 1 {
        return BlockKind::Row;
    }
    if line.em >= body * LARGER && is_short {
        let level = if line.em >= body * 1.7 {
            1
        } else if line.em >= body * 1.35 {
            2
        } else {
            3
        };
        return BlockKind::Heading(level);
    }
    let is_item = ["• ", "– ", "- ", "* ", "◦ ", "▪ "].iter().any(|mark| text.starts_with(mark));
    if is_item { BlockKind::Item } else { BlockKind::Paragraph }
}

/// Whether a line goes on with the block of the line before it; `kinds` are the block's and the line's own.
fn goes_on(before: &Line, line: &Line, (block, kind): (BlockKind, BlockKind)) -> bool {
    let same = block == kind || (block == BlockKind::Item && kind == BlockKind::Paragraph);
    if !same || matches!(kind, BlockKind::Row | BlockKind::Item) {
        return false;
    }
    // A paragraph goes on over the end of a page, or of a column, if its sentence does.
    let ended = before.text.trim_end().ends_with(['.', '!', '?', ':', '…', '。']);
    let down = before.y - line.y;
    if before.page != line.page || down < 0.0 {
        let begins_small = line.text.trim_start().starts_with(char::is_lowercase);
        return kind == BlockKind::Paragraph && !ended && begins_small;
    }
    let size = before.em.max(line.em);
    let near = down <= size * APART;
    // A first line is set in where paragraphs have no space between them.
    let set_in = ended && line.x - before.x > size * 0.8;
    let like = (before.em - line.em).abs() <= 0.15 * size;
    near && like && !set_in
}

/// Adds a line to a text; a word that was broken at the line's end is whole again.
fn join(text: &mut String, line: &str) {
    let line = line.trim();
    let broken = text.ends_with(['-', '\u{2010}', '\u{ad}']) && line.starts_with(char::is_lowercase);
    let letters = text.chars().rev().nth(1).is_some_and(char::is_lowercase);
    if broken && letters {
        text.pop();
    } else {
        text.push(' ');
    }
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, y: f64, em: f64) -> Line {
        Line { page: 1, text: text.into(), x: 70.0, y, em, cells: 1 }
    }

    #[test]
    fn lines_become_blocks() {
        let mut cells = line("a | b", 600.0, 10.0);
        cells.cells = 2;
        let over = Line { page: 2, ..line("over the page.", 750.0, 10.0) };
        let lines = [
            line("A title", 750.0, 20.0),
            line("The first para-", 720.0, 10.0),
            line("graph of it.", 708.0, 10.0),
            line("Another one that goes on", 680.0, 10.0),
            cells,
            line("and this one goes", 560.0, 10.0),
            over,
        ];
        let expected = [
            (BlockKind::Heading(1), "A title", 1),
            (BlockKind::Paragraph, "The first paragraph of it.", 1),
            (BlockKind::Paragraph, "Another one that goes on", 1),
            (BlockKind::Row, "a | b", 1),
            (BlockKind::Paragraph, "and this one goes over the page.", 1),
        ];
        assert_eq!(blocks(&lines), expected.map(|(kind, text, page)| (kind, text.to_owned(), page)));
    }

    #[test]
    fn what_runs_over_the_pages_is_dropped() {
        let page = |page: u32| {
            let body = (0..6).map(move |at| format!("Line {at} of its own: {}", "x".repeat(page as usize)));
            let texts =
                std::iter::once("A Manual".to_owned()).chain(body).chain([format!("{page} | Chapter 1")]);
            texts.map(move |text| Line { page, ..line(&text, 700.0, 10.0) })
        };
        let mut lines: Vec<Line> = (1..=3).flat_map(page).collect();
        assert_eq!(drop_running(&mut lines), 6);
        assert!(lines.iter().all(|line| line.text.starts_with("Line")));
        assert_eq!(lines.len(), 18);
        let mut two: Vec<Line> = (1..=2).flat_map(page).collect();
        assert_eq!(drop_running(&mut two), 0);
    }

    #[test]
    fn no_lines_are_no_blocks() {
        assert_eq!(blocks(&[]), []);
        assert_eq!(blocks(&[line(" ", 0.0, f64::INFINITY)]), []);
    }
}
