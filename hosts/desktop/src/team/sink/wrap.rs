//! Lines out of text that comes in pieces.

use unicode_width::UnicodeWidthChar;

/// Columns that a tab takes.
const TAB: &str = "    ";

/// Cuts text into lines that are no wider than a width, at spaces where there are any.
pub struct Wrap {
    line: String,
    columns: usize,
    width: usize,
}

impl Wrap {
    /// Lines of at most `width` columns, which is at least 1.
    pub fn new(width: usize) -> Wrap {
        // A character takes four bytes at most, and characters without a width are cut off at as many.
        Wrap { line: String::with_capacity(4 * width + 4), columns: 0, width: width.max(1) }
    }

    /// Whether nothing waits for the end of its line.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Takes a piece of text, and hands out the lines that are complete. Control characters could steer a
    /// terminal: they come out as U+FFFD.
    pub fn push<E>(&mut self, text: &str, emit: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        for c in text.chars() {
            match c {
                '\n' => self.finish(emit)?,
                '\r' => (),
                '\t' => TAB.chars().try_for_each(|c| self.put(c, emit))?,
                c if c.is_control() => self.put(char::REPLACEMENT_CHARACTER, emit)?,
                c => self.put(c, emit)?,
            }
        }
        Ok(())
    }

    /// Hands out what waits for the end of its line, as a line.
    pub fn finish<E>(&mut self, emit: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        let result = emit(self.line.trim_end());
        self.line.clear();
        self.columns = 0;
        result
    }

    fn put<E>(&mut self, c: char, emit: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        if self.is_full(c) {
            if c == ' ' {
                // It stood for the end of the line.
                return self.finish(emit);
            }
            self.cut(emit)?;
            if self.is_full(c) {
                self.finish(emit)?;
            }
        }
        self.line.push(c);
        self.columns += columns(c);
        Ok(())
    }

    /// Whether the line has no room for a character.
    fn is_full(&self, c: char) -> bool {
        self.columns + columns(c) > self.width || self.line.len() + c.len_utf8() > 4 * self.width
    }

    /// Hands out the line up to its last space, or all of it.
    fn cut<E>(&mut self, emit: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        match self.line.rfind(' ') {
            Some(space) if !self.line[..space].trim().is_empty() => {
                emit(self.line[..space].trim_end())?;
                self.line.drain(..=space);
                self.columns = self.line.chars().map(columns).sum();
                Ok(())
            }
            _ => self.finish(emit),
        }
    }
}

fn columns(c: char) -> usize {
    c.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(width: usize, pieces: &[&str]) -> Vec<String> {
        let mut wrap = Wrap::new(width);
        let mut lines = Vec::new();
        let mut emit = |line: &str| {
            lines.push(line.to_owned());
            Ok::<(), ()>(())
        };
        for piece in pieces {
            wrap.push(piece, &mut emit).unwrap();
        }
        if !wrap.is_empty() {
            wrap.finish(&mut emit).unwrap();
        }
        lines
    }

    #[test]
    fn a_line_ends_where_the_text_says_or_where_it_is_full() {
        assert_eq!(lines(10, &["one", " two\nthr", "ee"]), ["one two", "three"]);
        assert_eq!(lines(10, &["one two three four"]), ["one two", "three four"]);
        assert_eq!(lines(5, &["one two"]), ["one", "two"]);
        assert_eq!(lines(3, &["one two"]), ["one", "two"]);
        assert_eq!(lines(4, &["abcdefghij"]), ["abcd", "efgh", "ij"]);
        assert_eq!(lines(6, &["日本語日本語"]), ["日本語", "日本語"]);
        assert_eq!(lines(5, &[" x 日aé日"]), [" x", "日aé", "日"]);
        assert_eq!(lines(10, &["a\n\nb\n"]), ["a", "", "b"]);
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(lines(20, &["a\x1b[2J\tb\r\nc\u{7}"]), ["a\u{fffd}[2J    b", "c\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide_and_no_word_is_lost(
            pieces in prop::collection::vec("[a-c é日\u{301}]{0,12}", 0..12),
            width in 2usize..12,
        ) {
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let found = lines(width, &pieces);
            for line in &found {
                prop_assert!(line.chars().map(columns).sum::<usize>() <= width, "{line:?}");
            }
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&found.concat()), letters(&pieces.concat()));
        }

        #[test]
        fn pieces_do_not_matter(text in "[a-c \n]{0,40}", cut in 0usize..40, width in 1usize..12) {
            let cut = cut.min(text.len());
            prop_assert_eq!(lines(width, &[&text[..cut], &text[cut..]]), lines(width, &[&text]));
        }

        #[test]
        fn marks_without_a_width_do_not_grow_a_line_without_end(count in 0usize..400) {
            let mut wrap = Wrap::new(10);
            let before = wrap.line.capacity();
            wrap.push(&"\u{301}".repeat(count), &mut |_| Ok::<(), ()>(())).unwrap();
            prop_assert_eq!(wrap.line.capacity(), before);
        }
    }
}
