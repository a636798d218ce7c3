//! Makes visible what a reader would not see: control characters, terminal sequences, characters without a
//! shape, and those that turn the direction of reading around.
//!
//! Each is shown by its number, `\u{1b}`. Nothing is dropped: a terminal sequence may hide a word, a zero-width
//! character may part one, and both may be why somebody put them there.

use crate::control::number;
use crate::provenance::{GAP_OPEN, HEADER_OPEN};

/// How many characters were made visible, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Control characters, the beginnings of terminal sequences among them.
    pub controls: usize,
    /// Characters that turn the direction of reading around.
    pub directions: usize,
    /// Characters without a shape.
    pub shapeless: usize,
    /// Characters of the block of tags, a copy of ASCII that nobody sees.
    pub tags: usize,
    /// Beginnings of a line or a gap as only this crate writes them.
    pub forged: usize,
}

/// Why a character is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// It steers a terminal or a printer.
    Control,
    /// It turns the direction of reading around.
    Direction,
    /// It has no shape.
    Shapeless,
    /// It belongs to the block of tags.
    Tag,
}

impl Shown {
    /// How many were made visible.
    #[must_use]
    pub fn total(&self) -> usize {
        self.controls + self.directions + self.shapeless + self.tags + self.forged
    }

    /// Counts one.
    pub fn count(&mut self, why: Hidden) {
        let counter = match why {
            Hidden::Control => &mut self.controls,
            Hidden::Direction => &mut self.directions,
            Hidden::Shapeless => &mut self.shapeless,
            Hidden::Tag => &mut self.tags,
        };
        *counter += 1;
    }
}

/// Why a character between two others is not seen; none when it is. Line ends and tabs are seen.
#[must_use]
pub fn hidden(before: Option<char>, c: char, after: Option<char>) -> Option<Hidden> {
    match c {
        '\n' | '\t' => None,
        _ if c.is_control() => Some(Hidden::Control),
        ' '..='~' => None,
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Hidden::Direction)
        }
        '\u{e0000}'..='\u{e007f}' => Some(Hidden::Tag),
        // Between letters of many scripts, and between pictures, these two shape what is seen.
        '\u{200c}' | '\u{200d}' if joins(before, after) => None,
        // So does one selector behind what it selects; a run of them only carries bytes.
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' if selects(before) => None,
        _ if shapeless(c) => Some(Hidden::Shapeless),
        _ => None,
    }
}

fn joins(before: Option<char>, after: Option<char>) -> bool {
    let joined = |c: Option<char>| c.is_some_and(|c| !c.is_ascii() && !c.is_whitespace() && !bare(c));
    // The selector of a picture belongs to the picture.
    joined(after) && (joined(before) || before == Some('\u{fe0f}'))
}

fn selects(before: Option<char>) -> bool {
    before.is_some_and(|c| (!c.is_ascii() || c.is_ascii_digit() || matches!(c, '#' | '*')) && !bare(c))
}

/// Nothing to see by itself, wherever it stands.
fn bare(c: char) -> bool {
    shapeless(c) || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}')
}

fn shapeless(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

/// The text with everything in it visible, lines ended by `\n` alone, and nothing that passes for a line of
/// this crate's own: its header or its gaps.
#[must_use]
pub fn visible(text: &str) -> (String, Shown) {
    let mut clean = String::with_capacity(text.len() + text.len() / 16);
    let mut shown = Shown::default();
    let (mut before, mut line_begins) = (None, true);
    let mut rest = text;
    loop {
        if line_begins {
            // White space before a line's first character does not make another line of it.
            if rest.trim_start_matches(is_blank).starts_with(HEADER_OPEN) {
                let bracket = rest.find('[').unwrap_or(0);
                clean.push_str(&rest[..bracket]);
                clean.push_str(&number('['));
                shown.forged += 1;
                (rest, before) = (&rest[bracket + 1..], Some('['));
            }
            line_begins = false;
        }
        let plain = plain_prefix(rest);
        if plain > 0 {
            clean.push_str(&rest[..plain]);
            before = rest[..plain].chars().next_back();
            rest = &rest[plain..];
        }
        let mut chars = rest.chars();
        let Some(c) = chars.next() else {
            return (clean, shown);
        };
        let after = chars.clone().next();
        rest = chars.as_str();
        match c {
            '\r' if after == Some('\n') => continue,
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                clean.push('\n');
                line_begins = true;
            }
            _ => match hidden(before, c, after) {
                Some(why) => {
                    shown.count(why);
                    clean.push_str(&number(c));
                }
                None if before == Some('[') && GAP_OPEN.ends_with(c) => {
                    shown.forged += 1;
                    clean.push_str(&number(c));
                }
                None => clean.push(c),
            },
        }
        before = Some(c);
    }
}

/// White space that does not end a line.
fn is_blank(c: char) -> bool {
    c == '\t' || (c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}'))
}

/// Bytes at the beginning that are printable ASCII or tabs, and so are seen as they are.
fn plain_prefix(text: &str) -> usize {
    let plain = |&byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    text.bytes().position(|byte| !plain(&byte)).unwrap_or(text.len())
}
