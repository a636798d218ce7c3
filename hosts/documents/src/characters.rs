//! From bytes to characters: by a mark at the beginning, as UTF-8 where the bytes are that, by what a page
//! declares, and last by what the bytes look like.

use std::borrow::Cow;

use agentos_perception::text::decode as decode_wide;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::Encoding;

use crate::document::Note;
use crate::error::DocumentError;
use crate::kind::Kind;

/// Bytes at the beginning in which binary data shows, and in which a page declares its character set.
const LOOKED_AT: usize = 8192;

/// The characters of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters<'b> {
    /// All of them.
    pub text: Cow<'b, str>,
    /// Where the first of them stands in the file, in bytes.
    pub offset: u64,
    /// What was done to them.
    pub notes: Vec<Note>,
}

/// Finds the character set and decodes.
///
/// # Errors
/// [`DocumentError::Unknown`] where the characters are not those of a text.
pub fn decode(bytes: &[u8], kind: Kind) -> Result<Characters<'_>, DocumentError> {
    let marked = Encoding::for_bom(bytes);
    if marked.is_none()
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Ok(Characters { text: Cow::Borrowed(text), offset: 0, notes: Vec::new() });
    }
    let encoding = match marked {
        Some((encoding, _)) => encoding,
        None => unmarked(bytes, kind),
    };
    let mark = marked.map_or(0, |(_, mark)| mark);
    let (text, broken) = encoding.decode_without_bom_handling(&bytes[mark..]);
    let mut notes = Vec::new();
    if encoding != encoding_rs::UTF_8 {
        notes.push(Note::Charset(encoding.name().to_owned()));
    }
    if broken {
        notes.push(Note::Invalid(text.chars().filter(|&c| c == '\u{fffd}').count() as u64));
    }
    let steering = text.chars().filter(|&c| is_steering(c)).count();
    if steering * 50 > text.chars().count() {
        return Err(DocumentError::Unknown { looks_like: "binary data".to_owned() });
    }
    Ok(Characters { text, offset: mark as u64, notes })
}

/// The character set of bytes that are no UTF-8 and have no mark.
fn unmarked(bytes: &[u8], kind: Kind) -> &'static Encoding {
    let wide = decode_wide(&bytes[..bytes.len().min(LOOKED_AT)], None).charset;
    if let Some(encoding) = Encoding::for_label(wide.as_bytes()).filter(|&one| one != encoding_rs::UTF_8) {
        return encoding;
    }
    let declared = if kind == Kind::Html { declared(bytes) } else { None };
    declared.unwrap_or_else(|| {
        // A page of the web may not be taken for the one character set that hides markup.
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(bytes, true);
        detector.guess(None, Utf8Detection::Allow)
    })
}

/// The character set that a page states in its own text, as in `<meta charset="windows-1252">`.
fn declared(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes[..bytes.len().min(LOOKED_AT)].to_ascii_lowercase();
    let at = head.windows(8).position(|window| window == b"charset=")? + 8;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(byte);
    let label: Vec<u8> = head[at..]
        .iter()
        .skip_while(|byte| matches!(byte, b'"' | b'\'' | b' '))
        .take_while(|byte| is_name(byte))
        .copied()
        .collect();
    Encoding::for_label(&label).filter(|&encoding| encoding != encoding_rs::REPLACEMENT)
}

/// Whether bytes are no text in any character set: zeros that are not halves of characters, or many controls.
#[must_use]
pub fn is_binary(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    if Encoding::for_bom(head).is_some() || decode_wide(head, None).charset != "UTF-8" {
        return false;
    }
    let controls = head.iter().filter(|&&byte| is_steering(char::from(byte)) && byte < 0x80).count();
    head.contains(&0) || controls * 50 > head.len()
}

/// Controls that texts do not have. Backspaces (bold type of old manuals), page ends, bells and terminal
/// sequences are those that they have.
fn is_steering(c: char) -> bool {
    c < ' ' && !matches!(c, '\t' | '\n' | '\r' | '\x0b' | '\x0c' | '\x08' | '\x1b' | '\x07' | '\x1a')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        decode(bytes, Kind::Text).unwrap().text.into_owned()
    }

    #[test]
    fn character_sets_are_found() {
        let words = "Übergrößenträger sind für Öfen, Äpfel und Flüsse geeignet; außerdem hören sie Bäche.";
        let latin: Vec<u8> = words.chars().map(|c| c as u32 as u8).collect();
        assert_eq!(text(&latin), words);
        let wide: Vec<u8> = words.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(text(&wide), words);
        let marked = [b"\xef\xbb\xbf", words.as_bytes()].concat();
        let decoded = decode(&marked, Kind::Text).unwrap();
        assert_eq!((decoded.text.as_ref(), decoded.offset, decoded.notes.len()), (words, 3, 0));
    }

    #[test]
    fn a_page_declares_its_own() {
        let page = b"<html><META content='text/html; charset=windows-1251'><p>\xcf\xf0\xe8\xe2\xe5\xf2";
        assert!(decode(page, Kind::Html).unwrap().text.ends_with("Привет"));
        assert!(decode(b"<meta charset=nonsense>\xff", Kind::Html).is_ok());
        assert!(decode(b"charset=\xff", Kind::Html).is_ok());
    }

    #[test]
    fn binary_data_is_told() {
        assert!(is_binary(&[0; 100]));
        assert!(is_binary(b"\x01\x02\x03text"));
        assert!(!is_binary(b""));
        assert!(!is_binary(b"N\x08NA\x08AM\x08ME\x08E\n"));
        assert!(!is_binary("\u{feff}".as_bytes()));
    }
}
