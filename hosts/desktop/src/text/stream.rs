//! Tokens to text while they come.

use super::tokenizer::Tokenizer;

/// Turns tokens into text one by one. What is not yet a whole character is held back; bytes that no
/// further byte can make UTF-8 become U+FFFD. Control tokens have no text.
///
/// Whatever the calls, what they append together is the text of all tokens at once.
pub struct TokenStream<'t> {
    tokenizer: &'t Tokenizer,
    /// The beginning of a character.
    held: Vec<u8>,
    /// The next text begins with the space that the vocabulary puts before texts.
    strip_space: bool,
}

/// Bytes that are held back at most: a character but its last.
const HELD: usize = 3;

impl<'t> TokenStream<'t> {
    /// For tokens at the beginning of a text.
    pub fn at_start(tokenizer: &'t Tokenizer) -> TokenStream<'t> {
        TokenStream { tokenizer, held: Vec::with_capacity(64), strip_space: tokenizer.space_prefix() }
    }

    /// For tokens that go on after others, such as what a model says to a prompt.
    pub fn continuing(tokenizer: &'t Tokenizer) -> TokenStream<'t> {
        TokenStream { strip_space: false, ..TokenStream::at_start(tokenizer) }
    }

    /// Appends to `text` what this token makes whole.
    pub fn push(&mut self, id: u32, text: &mut String) {
        if self.tokenizer.is_control(id) {
            return;
        }
        let mut piece = self.tokenizer.piece(id);
        if std::mem::take(&mut self.strip_space) && self.tokenizer.is_plain(id) {
            piece = piece.strip_prefix(b" ").unwrap_or(piece);
        }
        self.held.extend_from_slice(piece);
        let whole = append_whole(&self.held, text);
        self.held.drain(..whole);
        assert!(self.held.len() <= HELD, "only a part of one character is held back");
    }

    /// Appends U+FFFD for the beginning of a character that never ended.
    pub fn finish(self, text: &mut String) {
        if !self.held.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
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
