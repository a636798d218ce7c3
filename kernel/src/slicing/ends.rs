//! The ends of slices as tokens come, and what else ends there.

use crate::layout::{Delimiter, Layout, SliceLimits};

/// What ends where a slice ends, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Structure {
    /// Nothing: the slice was as long as a slice may be.
    Inside,
    /// A sentence.
    Sentence,
    /// A line.
    Line,
    /// A paragraph: a blank line follows.
    Paragraph,
    /// A message or a tool's result.
    Message,
}

/// The end of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Tokens of the context that lie before it.
    pub at: u32,
    /// What ends there.
    pub structure: Structure,
}

/// Line ends that make a paragraph's end.
const BLANK: u32 = 2;

/// Follows the tokens of a context and tells of the end of each slice.
///
/// An end is told as soon as it is known whether a blank line follows, at most [`Ends::LATEST`] tokens later.
#[derive(Clone, Debug)]
pub struct Ends {
    layout: Layout,
    limits: SliceLimits,
    /// The end of the last slice, while line ends may follow it.
    waiting: Option<End>,
    /// Line ends in a row up to the last token.
    lines: u32,
}

impl Ends {
    /// Tokens after an end by which it was told.
    pub const LATEST: u32 = BLANK;

    /// At the beginning of a context.
    pub const fn new(limits: SliceLimits) -> Ends {
        Ends { layout: Layout { tokens: 0, slices: 0, pages: 0, open: 0 }, limits, waiting: None, lines: 0 }
    }

    /// Where the tokens so far end.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Takes the next token; the end of a slice before it, if one is known now.
    pub fn append(&mut self, token: Delimiter) -> Option<End> {
        self.lines = match token {
            Delimiter::Line => self.lines.saturating_add(1),
            Delimiter::Paragraph => BLANK,
            Delimiter::None | Delimiter::Sentence | Delimiter::Message => 0,
        };
        let told = self.settle();
        (self.layout, _) = self.layout.append(token, self.limits);
        if self.layout.open == 0 {
            let structure = match token {
                Delimiter::None => Structure::Inside,
                Delimiter::Sentence => Structure::Sentence,
                Delimiter::Line | Delimiter::Paragraph => self.of_lines(),
                Delimiter::Message => Structure::Message,
            };
            // Slices are longer than it takes to settle one.
            self.waiting = Some(End { at: self.layout.tokens, structure });
        }
        told
    }

    /// The end that still waits for what follows, when nothing will.
    pub fn finish(&mut self) -> Option<End> {
        self.waiting.take()
    }

    /// What the line ends that follow make of the end that waits.
    fn settle(&mut self) -> Option<End> {
        let mut end = self.waiting.take()?;
        if self.lines > 0 {
            end.structure = end.structure.max(self.of_lines());
            let may_grow = end.structure < Structure::Paragraph && self.layout.tokens + 1 < end.at + BLANK;
            if may_grow {
                self.waiting = Some(end);
                return None;
            }
        }
        Some(end)
    }

    fn of_lines(&self) -> Structure {
        if self.lines >= BLANK { Structure::Paragraph } else { Structure::Line }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use Delimiter::{Line, Message, None as Nothing, Paragraph, Sentence};

    fn ends(tokens: &[Delimiter]) -> Vec<End> {
        let mut ends = Ends::new(SliceLimits::DEFAULT);
        let mut found: Vec<End> = tokens.iter().filter_map(|&token| ends.append(token)).collect();
        found.extend(ends.finish());
        found
    }

    /// Seven words and what ends them, then what follows.
    fn after_words(following: &[Delimiter]) -> Vec<Delimiter> {
        let mut tokens = std::vec![Nothing; 7];
        tokens.extend(following);
        tokens
    }

    #[test]
    fn a_blank_line_is_seen_wherever_its_line_ends_stand() {
        let of = |following: &[Delimiter]| ends(&after_words(following))[0];
        let at = |at, structure| End { at, structure };
        assert_eq!(of(&[Sentence, Nothing]), at(8, Structure::Sentence));
        assert_eq!(of(&[Sentence, Line, Nothing]), at(8, Structure::Line));
        assert_eq!(of(&[Sentence, Line, Line, Nothing]), at(8, Structure::Paragraph));
        assert_eq!(of(&[Sentence, Paragraph]), at(8, Structure::Paragraph));
        assert_eq!(of(&[Line, Nothing]), at(8, Structure::Line));
        assert_eq!(of(&[Line, Line]), at(8, Structure::Paragraph));
        assert_eq!(of(&[Paragraph]), at(8, Structure::Paragraph));
        assert_eq!(of(&[Message, Line]), at(8, Structure::Message));
        assert_eq!(of(&[Nothing, Line, Line]), at(9, Structure::Paragraph));
    }

    #[test]
    fn the_last_end_is_told_at_the_end() {
        assert_eq!(ends(&after_words(&[Sentence])), [End { at: 8, structure: Structure::Sentence }]);
        assert_eq!(ends(&[Nothing; 64]), [End { at: 64, structure: Structure::Inside }]);
        assert_eq!(ends(&[Nothing; 63]), []);
    }

    proptest! {
        #[test]
        fn ends_are_those_of_the_layout_and_never_late(
            tokens in proptest::collection::vec(
                prop_oneof![6 => Just(Nothing), 1 => Just(Sentence), 2 => Just(Line), 1 => Just(Paragraph),
                            1 => Just(Message)], 0..300),
            min in 3u32..12,
        ) {
            let limits = SliceLimits::new(min, 20);
            let (mut layout, mut expected) = (Layout::default(), Vec::new());
            for &token in &tokens {
                (layout, _) = layout.append(token, limits);
                if layout.open == 0 {
                    expected.push(layout.tokens);
                }
            }
            let (mut ends, mut found) = (Ends::new(limits), Vec::new());
            for (index, &token) in (0u32..).zip(&tokens) {
                if let Some(end) = ends.append(token) {
                    prop_assert!(index + 1 - end.at <= Ends::LATEST);
                    found.push(end.at);
                }
            }
            found.extend(ends.finish().map(|end| end.at));
            prop_assert_eq!(found, expected);
        }
    }
}
