//! Running text: its beginning and its end stay, and the densest slices between.

use super::choose::{choose, gap, runs};
use super::words::Words;
use super::{Cut, Piece, Reduced, Score};
use crate::provenance::Grouped;

/// Bytes of a slice, about: short lines are joined up to this.
const SLICE: usize = 240;
/// Bytes of a slice at most: longer lines are parted, at the ends of sentences or words if they have any.
const MOST: usize = 480;
/// Slices that the running model judges.
const JUDGED: usize = 48;

/// A running text in slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Long<'t> {
    slices: Vec<&'t str>,
    scores: Vec<f32>,
}

impl<'t> Long<'t> {
    /// Any text.
    #[must_use]
    pub fn new(text: &'t str) -> Long<'t> {
        Long { slices: slices(text), scores: Vec::new() }
    }

    /// Judges all slices by their words, and those that promise most by `score` then: these go before the others.
    pub fn judge(&mut self, about: &Words, score: Option<&mut Score<'_>>) {
        self.scores = about.scores(&self.slices);
        let Some(score) = score else {
            return;
        };
        let mut best: Vec<usize> = (0..self.slices.len()).collect();
        best.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]).then(a.cmp(&b)));
        best.truncate(JUDGED);
        best.sort_unstable();
        let piece = |&at: &usize| Piece { text: self.slices[at], promise: self.scores[at] };
        let pieces: Vec<Piece<'_>> = best.iter().map(piece).collect();
        let judged = score(&pieces);
        let number = |place: usize| judged.get(place).copied().filter(|score| !score.is_nan());
        let mut order: Vec<usize> = (0..best.len()).filter(|&place| number(place).is_some()).collect();
        order.sort_by(|&a, &b| judged[a].total_cmp(&judged[b]));
        let above = self.scores.iter().copied().fold(0.0, f32::max);
        for (rank, place) in order.into_iter().enumerate() {
            self.scores[best[place]] = above + 1.0 + rank as f32;
        }
    }

    /// Writes it in about `bytes` bytes.
    #[must_use]
    pub fn within(&self, bytes: usize) -> Reduced {
        let lengths: Vec<usize> = self.slices.iter().map(|slice| slice.len()).collect();
        let of = lengths.iter().sum();
        let kept = choose(&lengths, &self.scores, bytes);
        let mut text = String::with_capacity(bytes.min(of));
        let mut there = 0;
        for (run, stays) in runs(&kept) {
            let slices = &self.slices[run];
            if stays {
                slices.iter().for_each(|slice| text.push_str(slice));
                there += slices.iter().map(|slice| slice.len()).sum::<usize>();
            } else {
                push_gap(&mut text, slices);
            }
        }
        let cut = if there < of { Cut::Text { kept: there, of } } else { Cut::Nothing };
        Reduced { text, cut }
    }
}

/// Says what is missing: lines where whole lines are, else characters.
fn push_gap(text: &mut String, slices: &[&str]) {
    let lines: usize = slices.iter().map(|slice| slice.matches('\n').count()).sum();
    let ends_line = slices.last().is_some_and(|slice| slice.ends_with('\n'));
    let begins_line = text.is_empty() || text.ends_with('\n');
    if lines > 0 && begins_line {
        text.push_str(&gap(format_args!("{} lines", Grouped(lines))));
    } else {
        let characters: usize = slices.iter().map(|slice| slice.chars().count()).sum();
        text.push_str(&gap(format_args!("{} characters", Grouped(characters))));
    }
    if ends_line {
        text.push('\n');
    }
}

/// Parts a text into slices that, one after the other, are the text.
fn slices(text: &str) -> Vec<&str> {
    let mut slices = Vec::with_capacity(text.len() / SLICE + 1);
    let (mut start, mut end) = (0, 0);
    let close = |slices: &mut Vec<_>, start: &mut usize, end: usize| {
        if end > *start {
            slices.push(&text[*start..end]);
            *start = end;
        }
    };
    for line in text.split_inclusive('\n') {
        if end - start + line.len() > MOST || end - start >= SLICE {
            close(&mut slices, &mut start, end);
        }
        if line.len() > MOST {
            for part in Parts(line) {
                end += part.len();
                close(&mut slices, &mut start, end);
            }
        } else {
            end += line.len();
            // A blank line ends a paragraph.
            if line.trim().is_empty() && end - start >= SLICE / 4 {
                close(&mut slices, &mut start, end);
            }
        }
    }
    close(&mut slices, &mut start, end);
    slices
}

/// Parts of a long line.
struct Parts<'t>(&'t str);

impl<'t> Iterator for Parts<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.0.is_empty() {
            return None;
        }
        let window = &self.0[..self.0.floor_char_boundary(MOST)];
        let at = if self.0.len() <= SLICE { self.0.len() } else { part_end(window) };
        let (part, rest) = self.0.split_at(at);
        self.0 = rest;
        Some(part)
    }
}

/// Where a part ends: behind a sentence, else behind a word, else where the window does.
fn part_end(window: &str) -> usize {
    let from = window.floor_char_boundary(SLICE / 2);
    let late = &window[from..];
    let behind = |at: Option<usize>, length: usize| at.map(|at| from + at + length);
    let sentence = [". ", "! ", "? ", "; "].iter().filter_map(|end| behind(late.find(end), end.len())).min();
    sentence.or_else(|| behind(late.rfind(' '), 1)).unwrap_or(window.len())
}
