//! Bytes to characters.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes at the beginning in which UTF-16 without a mark shows.
const LOOKED_AT: usize = 256;

/// Characters, and how they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<'b> {
    /// The characters.
    pub text: Cow<'b, str>,
    /// The character set, by its name in the Encoding Standard.
    pub charset: &'static str,
    /// The declared character set is not known, or the bytes are not in it.
    pub misdeclared: bool,
    /// Bytes that are no character in any set tried; each is shown by its number, `\xff`.
    pub invalid: usize,
}

/// Finds the character set and decodes. A mark at the beginning decides, then what was declared (a name such
/// as `utf-8`, or a media type that ends in `charset=…`), then what the bytes look like.
#[must_use]
pub fn decode<'b>(bytes: &'b [u8], declared: Option<&str>) -> Decoded<'b> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return decode_as(encoding, &bytes[mark..], false);
    }
    let label = declared.and_then(label);
    let encoding = label.and_then(|label| Encoding::for_label(label.as_bytes()));
    let unknown = label.is_some() && encoding.is_none();
    match encoding {
        // The stand-in for sets that are dangerous to decode: it decodes nothing.
        Some(encoding) if encoding == encoding_rs::REPLACEMENT => guess(bytes, true),
        Some(encoding) if encoding != UTF_8 => match encoding.decode_without_bom_handling(bytes) {
            (text, false) => Decoded { text, charset: encoding.name(), misdeclared: false, invalid: 0 },
            (_, true) => guess(bytes, true),
        },
        _ => guess(bytes, unknown),
    }
}

/// The name of a character set in what was declared.
fn label(declared: &str) -> Option<&str> {
    let parameter = declared.split(';').map(str::trim).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    });
    let media_type = declared.contains(['/', ';']);
    let label = parameter.or((!media_type).then_some(declared))?;
    let label = label.trim().trim_matches(['"', '\'']);
    (!label.is_empty()).then_some(label)
}

fn guess(bytes: &[u8], misdeclared: bool) -> Decoded<'_> {
    let encoding = wide(bytes).unwrap_or(UTF_8);
    decode_as(encoding, bytes, misdeclared)
}

/// UTF-16 without a mark: text of the Latin script in it has a zero in every other byte.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let looked_at = &bytes[..bytes.len().min(LOOKED_AT) & !1];
    let pairs = looked_at.len() / 2;
    let zeros = |first: usize| looked_at.iter().skip(first).step_by(2).filter(|&&byte| byte == 0).count();
    let (first, second) = (zeros(0), zeros(1));
    let mostly = |zeros: usize, others: usize| pairs >= 4 && zeros * 10 >= pairs * 6 && others * 10 <= pairs;
    if mostly(second, first) {
        Some(UTF_16LE)
    } else if mostly(first, second) {
        Some(UTF_16BE)
    } else {
        None
    }
}

fn decode_as<'b>(encoding: &'static Encoding, bytes: &'b [u8], misdeclared: bool) -> Decoded<'b> {
    let charset = encoding.name();
    if encoding == UTF_8 {
        let (text, invalid) = utf8(bytes);
        return Decoded { text, charset, misdeclared, invalid };
    }
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    // Halves of pairs that lack the other half; an honest replacement character counts among them.
    let invalid = if broken { text.chars().filter(|&c| c == '\u{fffd}').count() } else { 0 };
    Decoded { text, charset, misdeclared, invalid }
}

fn utf8(bytes: &[u8]) -> (Cow<'_, str>, usize) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (Cow::Borrowed(text), 0);
    }
    let (mut text, mut invalid) = (String::with_capacity(bytes.len() + bytes.len() / 2), 0);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let digit = |value: u8| char::from(HEX[usize::from(value)]);
            text.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
        }
        invalid += chunk.invalid().len();
    }
    (Cow::Owned(text), invalid)
}
