//! From a document to passages: groups of whole physical slices that a reader would not part.
//!
//! Where the kernel's slices end is a pure function of the tokens (`layout`), so a passage that begins on a fresh
//! slice has the same slices behind any context. It ends where its last slice is sealed: line ends fill that up.
//! Above each stands a line that names its source, so that it is part of what is computed once.

use agentos_documents::document::{BlockKind, between};
use agentos_documents::{Document, Place};
use agentos_kernel::layout::{Delimiter, Layout, SliceLimits};
use agentos_perception::control::number;
use agentos_perception::provenance::quoted;

use crate::text::{Special, Tokenizer, TokenizerError};

/// How long passages are, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// What a passage has before a heading ends it.
    pub least: usize,
    /// What a passage has before the end of any block ends it.
    pub enough: usize,
    /// What no passage has more than, its header among it.
    pub most: usize,
}

impl Lengths {
    /// Long enough to answer a question by itself, short enough that a few fit a prompt.
    pub const DEFAULT: Lengths = Lengths { least: 64, enough: 160, most: 512 };
}

/// A passage of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its tokens: the header, the text, and line ends until its last slice is sealed.
    pub tokens: Vec<u32>,
    /// The text of its tokens.
    pub text: String,
    /// Where it stands in its document.
    pub place: Place,
    /// The lengths of its slices, in tokens. All are sealed, unless the model has no token for a line's end.
    pub slices: Vec<u32>,
}

/// How a header begins.
const HEADER_OPEN: &str = "[document ";

/// What stands in a passage's text behind the line that names its source.
pub fn without_header(text: &str) -> &str {
    match text.split_once('\n') {
        Some((header, rest)) if header.starts_with(HEADER_OPEN) => rest,
        _ => text,
    }
}

/// Cuts documents into passages.
pub struct Cutter<'t> {
    tokenizer: &'t Tokenizer,
    delimiters: &'t [Delimiter],
    lengths: Lengths,
    /// The token of a line's end, if the model has one.
    line_end: Option<u32>,
}

/// A piece of a block: what is never parted.
struct Unit {
    tokens: Vec<u32>,
    place: Place,
    heading: Option<u8>,
}

impl<'t> Cutter<'t> {
    /// A cutter for a model's tokens; `delimiters` has an entry for each.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn new(
        tokenizer: &'t Tokenizer,
        delimiters: &'t [Delimiter],
        lengths: Lengths,
    ) -> Result<Cutter<'t>, TokenizerError> {
        let line_end = line_end(tokenizer, delimiters)?;
        Ok(Cutter { tokenizer, delimiters, lengths, line_end })
    }

    /// The passages of a document, in order. `name` is its source as readers are to see it.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn cut(&self, document: &Document, name: &str) -> Result<Vec<Passage>, TokenizerError> {
        let mut trail = Trail::default();
        let mut passages = Vec::new();
        for group in groups(self.units(document)?, self.lengths) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let place = first.place.to(&last.place);
            let above = if first.heading.is_some() { String::new() } else { trail.to_string() };
            for unit in &group {
                if let Some(level) = unit.heading {
                    trail.enter(level, self.tokenizer.decode(&unit.tokens).trim());
                }
            }
            let (tokens, slices) = self.join(headers(name, &first.place, &above), &group)?;
            let text = self.tokenizer.decode(&tokens).trim_end().to_owned();
            passages.push(Passage { tokens, text, place, slices });
        }
        Ok(passages)
    }

    /// The tokens of a passage and the lengths of its slices, with the first of these headers that there is room for.
    fn join(
        &self,
        headers: impl Iterator<Item = String>,
        group: &[Unit],
    ) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let mut passage = (Vec::new(), Vec::new());
        for header in headers {
            let mut tokens = self.encode(&header)?;
            group.iter().for_each(|unit| tokens.extend_from_slice(&unit.tokens));
            let slices = seal(&mut tokens, self.delimiters, self.line_end);
            passage = (tokens, slices);
            if passage.0.len() <= self.lengths.most {
                break;
            }
        }
        Ok(passage)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.tokenizer.encode(text, Special::AsText)
    }

    /// The pieces of a document: whole blocks where they are short, otherwise parts that end with a sentence or a
    /// line.
    fn units(&self, document: &Document) -> Result<Vec<Unit>, TokenizerError> {
        // A piece leaves room for a header and for the beginning of a passage that it is added to.
        let most = (self.lengths.most / 4).max(1);
        let mut units = Vec::new();
        for (at, block) in document.blocks.iter().enumerate() {
            let after = document.blocks.get(at + 1).map_or("\n\n", |next| between(block.kind, next.kind));
            let tokens = self.encode(&(shielded(&block.text) + after))?;
            let heading = match block.kind {
                BlockKind::Heading(level) => Some(level),
                _ => None,
            };
            let mut rest = &tokens[..];
            while !rest.is_empty() {
                let (unit, more) = rest.split_at(self.end(rest, most));
                units.push(Unit { tokens: unit.to_vec(), place: block.place.clone(), heading });
                rest = more;
            }
        }
        Ok(units)
    }

    /// Where the first piece of these tokens ends: at the last end of a sentence or a line within `most`, and
    /// not before half of that.
    fn end(&self, tokens: &[u32], most: usize) -> usize {
        if tokens.len() <= most {
            return tokens.len();
        }
        let ends = |&at: &usize| {
            let class = self.delimiters.get(tokens[at - 1] as usize);
            class.is_some_and(|class| *class != Delimiter::None)
        };
        (most.div_ceil(2)..=most).rev().find(ends).unwrap_or(most)
    }
}

/// The token of a line's end alone, where the model has one that ends a slice.
///
/// # Errors
/// [`TokenizerError`].
pub fn line_end(tokenizer: &Tokenizer, delimiters: &[Delimiter]) -> Result<Option<u32>, TokenizerError> {
    let tokens = tokenizer.encode("\n", Special::AsText)?;
    let last = tokens.last().copied();
    Ok(last.filter(|&token| delimiters.get(token as usize) == Some(&Delimiter::Line)))
}

/// Adds line ends until the last slice of these tokens, which begin on a fresh one, is sealed. Returns the lengths
/// of the slices.
pub fn seal(tokens: &mut Vec<u32>, delimiters: &[Delimiter], line_end: Option<u32>) -> Vec<u32> {
    let class = |token: u32| delimiters.get(token as usize).copied().unwrap_or_default();
    let (mut layout, mut slices) = (Layout::default(), Vec::new());
    let mut place = |token: u32| {
        let (next, placement) = layout.append(class(token), SliceLimits::DEFAULT);
        layout = next;
        slices.resize(next.slices as usize, 0);
        slices[placement.slice as usize] = placement.offset + 1;
        next.open == 0
    };
    let mut sealed = true;
    for &token in tokens.iter() {
        sealed = place(token);
    }
    while let Some(end) = line_end.filter(|_| !sealed) {
        tokens.push(end);
        sealed = place(end);
    }
    slices
}

/// Puts pieces together: a heading begins a passage once there is one before it, and so does any piece that would
/// make it too long.
fn groups(units: Vec<Unit>, lengths: Lengths) -> Vec<Vec<Unit>> {
    // What a header and the line ends behind a passage may take.
    let most = lengths.most.saturating_sub(lengths.most / 8);
    let mut groups: Vec<(usize, Vec<Unit>)> = Vec::new();
    for unit in units {
        let tokens = unit.tokens.len();
        let ends = |(length, group): &(usize, Vec<Unit>)| {
            // A heading goes with what it is above of.
            let after_heading = group.last().is_some_and(|last| last.heading.is_some());
            let begins_section = unit.heading.is_some() && *length >= lengths.least;
            let is_enough = *length >= lengths.enough || *length + tokens > lengths.enough * 3 / 2;
            length + tokens > most
                || (!after_heading && (begins_section || (is_enough && *length >= lengths.least)))
        };
        match groups.last_mut() {
            Some(last) if !ends(last) => {
                last.0 += tokens;
                last.1.push(unit);
            }
            _ => groups.push((tokens, vec![unit])),
        }
    }
    join_short(groups, lengths.least, most)
}

/// A passage that is too short to stand alone goes with the one before it, unless a heading begins it.
fn join_short(groups: Vec<(usize, Vec<Unit>)>, least: usize, most: usize) -> Vec<Vec<Unit>> {
    let mut joined: Vec<(usize, Vec<Unit>)> = Vec::new();
    for (length, group) in groups {
        let begins_section = group.first().is_some_and(|unit| unit.heading.is_some());
        match joined.last_mut() {
            Some(last) if length < least && !begins_section && last.0 + length <= most => {
                last.0 += length;
                last.1.extend(group);
            }
            _ => joined.push((length, group)),
        }
    }
    joined.into_iter().map(|(_, group)| group).collect()
}

/// The headings above a place in a document.
#[derive(Default)]
struct Trail(Vec<(u8, String)>);

impl Trail {
    fn enter(&mut self, level: u8, heading: &str) {
        self.0.retain(|(above, _)| *above < level);
        self.0.push((level, heading.to_owned()));
    }
}

impl std::fmt::Display for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The nearest two: those further up are about the whole document.
        let nearest = &self.0[self.0.len().saturating_sub(2)..];
        let names: Vec<&str> = nearest.iter().map(|(_, heading)| heading.as_str()).collect();
        f.write_str(&names.join(" > "))
    }
}

/// The line above a passage. It is the host's word: values stand in quotes that they cannot end.
fn header(name: &str, place: &Place, above: &str) -> String {
    let above = if above.is_empty() { String::new() } else { format!(": {}", quoted(above)) };
    format!("{HEADER_OPEN}{} {place}{above}]\n", quoted(name))
}

/// The header of a passage, and shorter ones: what stands above goes first, then the beginning of the name, half of it
/// at a time.
fn headers(name: &str, place: &Place, above: &str) -> impl Iterator<Item = String> {
    let chars = name.chars().count();
    let shorter = std::iter::successors(Some(chars), |&kept| (kept > 0).then_some(kept / 2));
    let ending = move |kept: usize| {
        let end: String = name.chars().skip(chars - kept).collect();
        if kept < chars { format!("…{end}") } else { end }
    };
    let without_above = shorter.map(move |kept| header(&ending(kept), place, ""));
    std::iter::once(header(name, place, above)).chain(without_above)
}

/// A text in which no line passes for a header.
fn shielded(text: &str) -> String {
    if !text.contains(HEADER_OPEN) {
        return text.to_owned();
    }
    let line = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        match line[indent..].strip_prefix('[') {
            Some(rest) if line[indent..].starts_with(HEADER_OPEN) => {
                format!("{}{}{rest}", &line[..indent], number('['))
            }
            _ => line.to_owned(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(tokens: usize, heading: Option<u8>) -> Unit {
        Unit { tokens: vec![0; tokens], place: Place::Page(1), heading }
    }

    fn lengths(units: Vec<Unit>) -> Vec<usize> {
        let groups = groups(units, Lengths::DEFAULT);
        groups.iter().map(|group| group.iter().map(|unit| unit.tokens.len()).sum()).collect()
    }

    #[test]
    fn sections_are_passages_and_long_ones_are_parted() {
        let paragraphs = |count, tokens| (0..count).map(move |_| unit(tokens, None));
        let section = || [unit(5, Some(2))].into_iter().chain(paragraphs(1, 80));
        assert_eq!(lengths(section().chain(section()).collect()), [85, 85]);
        // Short sections go together.
        assert_eq!(lengths((0..4).flat_map(|_| [unit(3, Some(2)), unit(20, None)]).collect()), [69, 23]);
        assert_eq!(lengths(paragraphs(8, 60).collect()), [180, 180, 120]);
        // What is left over at the end goes with what is before it.
        assert_eq!(lengths(paragraphs(4, 60).collect()), [240]);
        assert!(lengths(paragraphs(9, 128).collect()).iter().all(|&length| length <= 448));
        assert_eq!(lengths(Vec::new()), Vec::<usize>::new());
    }

    #[test]
    fn slices_are_sealed_with_line_ends() {
        let mut delimiters = vec![Delimiter::None; 10];
        delimiters[1] = Delimiter::Sentence;
        delimiters[2] = Delimiter::Line;
        let mut tokens = [vec![0; 9], vec![1], vec![0; 3]].concat();
        assert_eq!(seal(&mut tokens, &delimiters, Some(2)), [10, 8]);
        assert_eq!(tokens[13..], [2; 5]);
        let mut open = vec![0; 70];
        assert_eq!(seal(&mut open, &delimiters, None), [64, 6]);
        assert_eq!(seal(&mut Vec::new(), &delimiters, Some(2)), Vec::<u32>::new());
    }

    #[test]
    fn headers_get_shorter_until_only_the_place_is_left() {
        let found: Vec<String> = headers("a/bcd", &Place::Page(2), "A > B").collect();
        let names = ["a/bcd", "…cd", "…d", "…"].map(|name| format!("[document \"{name}\" page 2]\n"));
        assert_eq!(found[0], "[document \"a/bcd\" page 2: \"A > B\"]\n");
        assert_eq!(found[1..], names);
    }

    #[test]
    fn nothing_in_a_document_passes_for_a_header() {
        let text = "a\n  [document \"b\" line 1]\n[document ";
        assert_eq!(shielded(text), "a\n  \\u{5b}document \"b\" line 1]\n\\u{5b}document ");
        assert_eq!(header("a\"]\nb", &Place::Page(2), ""), "[document \"a\\\"]\\u{a}b\" page 2]\n");
        assert_eq!(header("b", &Place::Page(2), "A > B"), "[document \"b\" page 2: \"A > B\"]\n");
    }
}
