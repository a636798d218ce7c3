//! What each token ends, for the kernel's layout of slices.

use agentos_kernel::layout::Delimiter;

/// The class of a token by its bytes: one or two line ends, or the end of a sentence with what may close it
/// (quotes, brackets, spaces). A point after a digit ends nothing: `3.` may go on as `3.14`.
pub(crate) fn class(bytes: &[u8]) -> Delimiter {
    if let Some(line) = bytes.strip_suffix(b"\n") {
        let before = line.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
        return if before == Some(&b'\n') { Delimiter::Paragraph } else { Delimiter::Line };
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Delimiter::None;
    };
    let closing = |char: char| char.is_whitespace() || "\"')]}»”’」』".contains(char);
    let text = text.trim_end_matches(closing);
    let mut last_first = text.chars().rev();
    match last_first.next() {
        Some('.') if last_first.next().is_some_and(char::is_numeric) => Delimiter::None,
        Some('.' | '!' | '?' | '…' | '。' | '！' | '？') => Delimiter::Sentence,
        _ => Delimiter::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_and_lines_end() {
        for text in [".", "?", "!\"", " end.", "。", "。」", ".) ", "..."] {
            assert_eq!(class(text.as_bytes()), Delimiter::Sentence, "{text:?}");
        }
        for text in ["\n", ".\n", "  \n", "\r\n"] {
            assert_eq!(class(text.as_bytes()), Delimiter::Line, "{text:?}");
        }
        for text in ["\n\n", ".\n\n", "\r\n\r\n", "\n  \n", "\n\n\n"] {
            assert_eq!(class(text.as_bytes()), Delimiter::Paragraph, "{text:?}");
        }
        for text in ["a", ",", "1.", " ", "\"", "a.b", "\n "] {
            assert_eq!(class(text.as_bytes()), Delimiter::None, "{text:?}");
        }
        assert_eq!(class(&[0xe3, 0x80]), Delimiter::None);
    }
}
