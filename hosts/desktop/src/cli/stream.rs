//! Generated text, printed while it comes.

use agentos_hal::Console;
use embedded_io::ErrorKind;

use super::output;
use crate::generate::Generated;
use crate::text::{TokenStream, Tokenizer};

/// Prints the text of tokens as soon as it is made of whole characters.
pub struct Stream<'c, 't> {
    console: &'c mut Console<'c>,
    tokenizer: &'t Tokenizer,
    tokens: TokenStream<'t>,
    /// A person looks at it: nothing may steer the terminal.
    terminal: bool,
    text: String,
    shown: String,
    line_ended: bool,
    empty: bool,
}

impl<'c, 't> Stream<'c, 't> {
    /// A stream of what follows a prompt.
    pub fn new(console: &'c mut Console<'c>, tokenizer: &'t Tokenizer, terminal: bool) -> Stream<'c, 't> {
        Stream {
            console,
            tokenizer,
            tokens: TokenStream::continuing(tokenizer),
            terminal,
            text: String::with_capacity(256),
            shown: String::with_capacity(256),
            line_ended: false,
            empty: true,
        }
    }

    /// Nothing has been pushed yet.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Prints what this token makes whole.
    pub fn push(&mut self, token: &Generated<'_>) -> Result<(), ErrorKind> {
        self.empty = false;
        self.tokens.push(token.choice.token, &mut self.text);
        self.print()
    }

    /// Prints what is left, and ends the line.
    pub fn finish(mut self) -> Result<(), ErrorKind> {
        let done = TokenStream::continuing(self.tokenizer);
        std::mem::replace(&mut self.tokens, done).finish(&mut self.text);
        self.print()?;
        if !self.line_ended {
            self.console.write_all(b"\n")?;
        }
        self.console.flush()
    }

    fn print(&mut self) -> Result<(), ErrorKind> {
        if self.text.is_empty() {
            return Ok(());
        }
        self.shown.clear();
        if self.terminal {
            output::push_harmless(&self.text, &mut self.shown);
        } else {
            self.shown.push_str(&self.text);
        }
        self.text.clear();
        self.line_ended = self.shown.ends_with('\n');
        self.console.write_all(self.shown.as_bytes())?;
        self.console.flush()
    }
}
