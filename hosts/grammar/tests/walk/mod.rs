//! A small vocabulary, and answers written by chance.

// Each test file uses its own part of this.
#![allow(dead_code)]

use agentos_grammar::{Grammar, MatchError, Matcher, Piece, Vocabulary};

/// Longer texts that are tokens too, as in real vocabularies; some cross the parts of JSON.
const WORDS: [&str; 24] = [
    "{\"", "\": ", "\", \"", "\"}", "true", "false", "null", "th", "the", " the", "name", "value", ", ",
    "[]", "{}", "12", "000", "e9", "e99", "1e9", "é", "日", "\\u", "\\n",
];

/// A token that steers the model.
pub const CONTROL: u32 = 256 + WORDS.len() as u32;

/// Two that end an answer.
pub const ENDS: [u32; 2] = [CONTROL + 1, CONTROL + 2];

/// All bytes, those words, and the tokens that are no text.
pub fn vocabulary() -> Vocabulary {
    let bytes: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
    let texts = bytes.iter().map(|byte| &byte[..]).chain(WORDS.iter().map(|word| word.as_bytes()));
    let pieces = texts.map(Piece::Text).chain([Piece::Control, Piece::End, Piece::End]);
    Vocabulary::new(pieces, |_| None).unwrap()
}

pub fn text(tokens: &[u32]) -> String {
    let bytes = tokens.iter().flat_map(|&token| match token {
        0..256 => vec![token as u8],
        256..CONTROL => WORDS[token as usize - 256].as_bytes().to_vec(),
        _ => Vec::new(),
    });
    String::from_utf8(bytes.collect()).unwrap()
}

/// Tokens that a mask allows.
pub fn allowed(mask: &[u32]) -> Vec<u32> {
    (0..mask.len() as u32 * 32).filter(|token| mask[*token as usize / 32] >> (token % 32) & 1 == 1).collect()
}

/// Draws numbers from a seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Chooses among the allowed tokens until an answer has ended, or as many tokens are written as it may have.
/// Text that closes something is taken more often than by chance, so that answers end.
pub fn walk(grammar: &Grammar, most: usize, chance: &mut Chance) -> Result<Option<Vec<u32>>, MatchError> {
    let mut matcher = grammar.matcher();
    let mut mask = vec![0; vocabulary_words()];
    let mut tokens = Vec::new();
    while tokens.len() < most {
        matcher.mask(&mut mask)?;
        let choices = allowed(&mask);
        check(&mut matcher, &choices);
        let closing = |token: &&u32| matches!(**token, 0x22 | 0x5d | 0x7d) || ENDS.contains(token);
        let closings: Vec<u32> = choices.iter().filter(closing).copied().collect();
        let from = if !closings.is_empty() && chance.below(3) == 0 { &closings } else { &choices };
        let token = from[chance.below(from.len())];
        match matcher.accept(token) {
            Err(error @ MatchError::TooComplex { .. }) => return Err(error),
            taken => taken.expect("an allowed token is accepted"),
        }
        if ENDS.contains(&token) {
            return Ok(Some(tokens));
        }
        tokens.push(token);
    }
    Ok(None)
}

fn vocabulary_words() -> usize {
    (ENDS[1] as usize + 1).div_ceil(32)
}

fn check(matcher: &mut Matcher, choices: &[u32]) {
    assert!(!choices.is_empty());
    assert!(!choices.contains(&CONTROL), "a control token is allowed");
    let ends = choices.iter().filter(|token| ENDS.contains(token)).count();
    assert_eq!(ends, if matcher.is_complete() { 2 } else { 0 }, "it may end exactly when it is complete");
    // The other way round, a number that is as long as it may be can go on by the grammar alone.
    assert!(!matcher.is_finished() || choices == ENDS, "nothing but an end follows what is finished");
    assert!(choices.iter().all(|&token| token <= ENDS[1]));
}
