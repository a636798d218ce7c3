//! Nothing in data can become a control token of the model.
//!
//! A template gives turns their roles with strings such as `<|im_start|>`, which a tokenizer may turn into
//! control tokens wherever they stand. Here the last character of each such string is written as its number,
//! `<|im_start|\u{3e}`: a reader still sees what was there, and no tokenizer does.
//!
//! The text is written character by character while an automaton follows what was written. A character that
//! would complete a control string is not written, so that the result holds none whatever the text is, and
//! a result goes through unchanged when it comes again. What only looks like a control string to a tokenizer
//! that normalises its input (Unicode's compatibility forms, as in `＜|im_start|＞`) counts as one.

use std::borrow::Cow;
use std::fmt;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};
use unicode_normalization::char::decompose_compatible;

/// Bytes that the control strings of a model may have together.
pub const MAX_BYTES: usize = 1 << 20;

/// Characters that may stand for one whose number cannot be written, best first.
const STAND_INS: [char; 4] = ['\u{fffd}', '?', '_', '\u{b7}'];

/// The control strings of a model.
#[derive(Debug)]
pub struct ControlStrings {
    finder: NFA,
    start: StateID,
    /// A character that no control string holds.
    stand_in: char,
}

/// Why a set of control strings is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlError {
    /// Together they are too long.
    TooLarge {
        /// Their bytes.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ControlError::TooLarge { found, limit } = self;
        write!(f, "the control strings have {found} bytes together; {limit} would fit")
    }
}

impl std::error::Error for ControlError {}

impl ControlStrings {
    /// Collects them. An empty one controls nothing and is left out.
    ///
    /// # Errors
    /// [`ControlError::TooLarge`].
    pub fn new<S: AsRef<str>>(strings: impl IntoIterator<Item = S>) -> Result<ControlStrings, ControlError> {
        let (mut folded, mut found) = (Vec::new(), 0_usize);
        for string in strings {
            let string = string.as_ref();
            found = found.saturating_add(string.len());
            if !string.is_empty() && found <= MAX_BYTES {
                folded.push(fold(string));
            }
        }
        let too_large = ControlError::TooLarge { found, limit: MAX_BYTES };
        if found > MAX_BYTES {
            return Err(too_large);
        }
        let finder = NFA::builder().match_kind(MatchKind::Standard).build(&folded).map_err(|_| too_large)?;
        let start = finder.start_state(Anchored::No).map_err(|_| too_large)?;
        let stand_in = stand_in(&folded).ok_or(too_large)?;
        Ok(ControlStrings { finder, start, stand_in })
    }

    /// The text with every control string broken, and how many were.
    #[must_use]
    pub fn escape<'t>(&self, text: &'t str) -> (Cow<'t, str>, usize) {
        // What is plain ASCII stands for itself alone, and can be searched at once.
        if text.is_ascii() && !self.holds(text) {
            return (Cow::Borrowed(text), 0);
        }
        let mut written =
            Writer { controls: self, state: self.start, text: String::with_capacity(text.len()) };
        let mut broken = 0;
        for c in text.chars() {
            if !written.push(c) {
                broken += 1;
                written.push_number(c);
            }
        }
        if broken == 0 { (Cow::Borrowed(text), 0) } else { (Cow::Owned(written.text), broken) }
    }

    fn holds(&self, text: &str) -> bool {
        // A refusal to search counts as a find: then each character is looked at.
        self.finder.try_find(&Input::new(text)).map_or(true, |found| found.is_some())
    }

    /// Where the automaton is after one more character; none when that completes a control string.
    fn step(&self, from: StateID, c: char) -> Option<StateID> {
        let (mut state, mut whole) = (from, true);
        each_folded(c, |folded| {
            for &byte in folded.encode_utf8(&mut [0; 4]).as_bytes() {
                state = self.finder.next_state(Anchored::No, state, byte);
                whole &= !self.finder.is_match(state);
            }
        });
        whole.then_some(state)
    }
}

/// What was written, and where that leaves the automaton.
struct Writer<'c> {
    controls: &'c ControlStrings,
    state: StateID,
    text: String,
}

impl Writer<'_> {
    /// Writes a character, unless it completes a control string.
    fn push(&mut self, c: char) -> bool {
        let Some(state) = self.controls.step(self.state, c) else {
            return false;
        };
        self.state = state;
        self.text.push(c);
        true
    }

    /// Writes a character's number; where that in turn completes a control string, the stand-in.
    fn push_number(&mut self, c: char) {
        let (state, length) = (self.state, self.text.len());
        if !number(c).chars().all(|digit| self.push(digit)) {
            self.state = state;
            self.text.truncate(length);
            // It is part of no control string, so it completes none.
            self.push(self.controls.stand_in);
        }
    }
}

/// A character by its number, in the way in which everything hidden is shown: `\u{3e}`.
#[must_use]
pub fn number(c: char) -> String {
    format!("\\u{{{:x}}}", u32::from(c))
}

fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    text.chars().for_each(|c| each_folded(c, |c| folded.push(c)));
    folded
}

/// The characters that stand for `c` to whoever takes compatible characters for the same.
fn each_folded(c: char, mut emit: impl FnMut(char)) {
    if c.is_ascii() { emit(c) } else { decompose_compatible(c, emit) }
}

/// A character that shares nothing with any of the strings.
fn stand_in(folded: &[String]) -> Option<char> {
    let used: std::collections::HashSet<char> = folded.iter().flat_map(|string| string.chars()).collect();
    let is_free = |&c: &char| {
        let mut free = true;
        each_folded(c, |c| free &= !used.contains(&c));
        free
    };
    // Letters of other scripts than the strings', before private ones.
    STAND_INS.into_iter().chain('\u{a1}'..char::MAX).find(is_free)
}
