//! Tokens to text while they come.

use serde::{Deserialize, Serialize};

use super::tokenizer::Tokenizer;

/// How far a text has come whose tokens become text one by one. What is not yet a whole character is
/// held back; bytes that no further byte can make UTF-8 become U+FFFD. Control tokens have no text.
///
/// Whatever the calls, what they append together is the text of all tokens at once. It is plain data, so
/// that it can be kept with what else belongs to a text that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// The beginning of a character.
    held: Vec<u8>,
    /// The next text begins with the space that the vocabulary puts before texts.
    strip_space: bool,
}

/// Bytes that are held back at most: a character but its last.
const HELD: usize = 3;

impl Partial {
    /// For tokens that go on after others, such as what a model says to a prompt. `longest` is the most
    /// bytes of a token ([`Tokenizer::longest_piece`]): with room for them no token allocates.
    pub fn continuing(longest: usize) -> Partial {
        Partial { held: Vec::with_capacity(HELD + longest), strip_space: false }
    }

    /// Makes room for tokens of at most `longest` bytes, as [`Partial::continuing`] does.
    pub fn reserve(&mut self, longest: usize) {
        self.held.reserve_exact(HELD + longest);
    }

    /// Appends to `text` what this token makes whole.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32, text: &mut String) {
        if tokenizer.is_control(id) {
            return;
        }
        let mut piece = tokenizer.piece(id);
        if std::mem::take(&mut self.strip_space) && tokenizer.is_plain(id) {
            piece = piece.strip_prefix(b" ").unwrap_or(piece);
        }
        self.held.extend_from_slice(piece);
        let whole = append_whole(&self.held, text);
        self.held.drain(..whole);
        assert!(self.held.len() <= HELD, "only a part of one character is held back");
    }

    /// Appends U+FFFD for the beginning of a character that never ended.
    pub fn finish(&mut self, text: &mut String) {
        if !self.held.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.held.clear();
        }
    }
}

/// [`Partial`] with its tokenizer.
pub struct TokenStream<'t> {
    tokenizer: &'t Tokenizer,
    partial: Partial,
}

impl<'t> TokenStream<'t> {
    /// For tokens at the beginning of a text.
    pub fn at_start(tokenizer: &'t Tokenizer) -> TokenStream<'t> {
        let partial = Partial { strip_space: tokenizer.space_prefix(), ..Partial::continuing(64) };
        TokenStream { tokenizer, partial }
    }

    /// For tokens that go on after others, such as what a model says to a prompt.
    pub fn continuing(tokenizer: &'t Tokenizer) -> TokenStream<'t> {
        TokenStream { tokenizer, partial: Partial::continuing(64) }
    }

    /// Appends to `text` what this token makes whole.
    pub fn push(&mut self, id: u32, text: &mut String) {
        self.partial.push(self.tokenizer, id, text);
    }

    /// Appends U+FFFD for the beginning of a character that never ended.
    pub fn finish(mut self, text: &mut String) {
        self.partial.finish(text);
    }
}

/// Appends all but an unfinished character at the end, and returns how many bytes that was.
fn append_whole(bytes: &[u8], text: &mut String) -> usize {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let error = match std::str::from_utf8(rest) {
            Ok(rest) => {
                text.push_str(rest);
                return bytes.len();
            }
            Err(error) => error,
        };
        let (valid, _) = rest.split_at(error.valid_up_to());
        text.push_str(std::str::from_utf8(valid).expect("`from_utf8` has called it valid"));
        at += valid.len();
        match error.error_len() {
            Some(invalid) => {
                text.push(char::REPLACEMENT_CHARACTER);
                at += invalid;
            }
            None => return at,
        }
    }
}
