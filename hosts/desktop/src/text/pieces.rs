//! The bytes of every token, in one run of memory.

use super::error::TokenizerError;
use super::vocabulary::Vocabulary;

/// Most tokens of a vocabulary; the largest in use have about 300,000.
const MAX_TOKENS: usize = 1 << 24;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of texts.
    Normal,
    /// Stands for what the vocabulary cannot say.
    Unknown,
    /// Steers the model; never part of a text.
    Control,
    /// A part of texts that the model's makers gave a meaning.
    UserDefined,
    /// One byte.
    Byte,
}

impl Kind {
    /// The kind of a GGUF token type. What is not known is taken for a part of texts, as llama.cpp
    /// does with unused tokens.
    fn of_type(number: u32) -> Kind {
        match number {
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            6 => Kind::Byte,
            _ => Kind::Normal,
        }
    }
}

/// How a vocabulary writes the bytes of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Every byte is a printable character of its own (GPT-2).
    ByteLevel,
    /// As it is, but that U+2581 stands for a space (SentencePiece).
    Spaces,
}

/// The bytes and the kind of every token.
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    /// Tokens that a text can be made of.
    plain: Vec<bool>,
}

impl Pieces {
    /// Spells out a vocabulary. `is_control` says which texts are control tokens whatever their type.
    ///
    /// # Errors
    /// [`TokenizerError::TooLarge`], [`TokenizerError::Metadata`], [`TokenizerError::Length`].
    pub(crate) fn new(
        vocabulary: &Vocabulary<'_>,
        spelling: Spelling,
        is_control: fn(&str) -> bool,
    ) -> Result<Pieces, TokenizerError> {
        let (tokens, types) = (&vocabulary.tokens, &vocabulary.types);
        check_counts(vocabulary)?;
        let mut pieces = Pieces {
            bytes: Vec::with_capacity(tokens.iter().map(|text| text.len()).sum()),
            ends: Vec::with_capacity(tokens.len()),
            kinds: Vec::with_capacity(tokens.len()),
            plain: Vec::with_capacity(tokens.len()),
        };
        for (id, text) in tokens.iter().enumerate() {
            let kind = match types.get(id) {
                _ if is_control(text) => Kind::Control,
                Some(&number) => Kind::of_type(number),
                None => Kind::Normal,
            };
            pieces.push(text, kind, spelling);
        }
        Ok(pieces)
    }

    fn push(&mut self, text: &str, kind: Kind, spelling: Spelling) {
        let start = self.bytes.len();
        let plain = match kind {
            Kind::Normal => spell(text, spelling, &mut self.bytes) && self.bytes.len() > start,
            Kind::Byte => {
                match byte_of(text) {
                    Some(byte) => self.bytes.push(byte),
                    None => self.bytes.extend_from_slice(text.as_bytes()),
                }
                false
            }
            Kind::Unknown | Kind::Control | Kind::UserDefined => {
                self.bytes.extend_from_slice(text.as_bytes());
                false
            }
        };
        self.ends.push(u32::try_from(self.bytes.len()).expect("checked by `check_counts`"));
        self.kinds.push(kind);
        self.plain.push(plain);
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The bytes of a token; none for an id that is not in the vocabulary.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        let index = id as usize;
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..end as usize]
    }

    /// The kind of a token; an id that is not in the vocabulary is unknown.
    pub(crate) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unknown)
    }

    /// Whether a text can be made of this token.
    pub(crate) fn is_plain(&self, id: u32) -> bool {
        self.plain.get(id as usize).copied().unwrap_or(false)
    }

    /// The tokens that stand for one byte each, by that byte.
    pub(crate) fn byte_tokens(&self) -> [Option<u32>; 256] {
        let mut tokens = [None; 256];
        for id in 0..self.len() {
            if let (Kind::Byte, &[byte]) = (self.kind(id), self.bytes(id)) {
                tokens[usize::from(byte)].get_or_insert(id);
            }
        }
        tokens
    }
}

fn check_counts(vocabulary: &Vocabulary<'_>) -> Result<(), TokenizerError> {
    let (tokens, types) = (&vocabulary.tokens, &vocabulary.types);
    let bytes: usize = tokens.iter().map(|text| text.len()).sum();
    for (what, found, limit) in [("tokens", tokens.len(), MAX_TOKENS), ("bytes", bytes, u32::MAX as usize)] {
        if found > limit {
            return Err(TokenizerError::TooLarge { what, found, limit });
        }
    }
    if tokens.is_empty() {
        return Err(TokenizerError::Metadata {
            key: "tokenizer.ggml.tokens",
            expected: "a list of at least one text",
        });
    }
    if !types.is_empty() && types.len() != tokens.len() {
        return Err(TokenizerError::Length {
            key: "tokenizer.ggml.token_type",
            found: types.len(),
            expected: tokens.len(),
        });
    }
    Ok(())
}

/// Appends the bytes of a normal token's text. False when no text can hold the token: then its
/// bytes are those of its text.
pub(crate) fn spell(text: &str, spelling: Spelling, bytes: &mut Vec<u8>) -> bool {
    let start = bytes.len();
    match spelling {
        Spelling::ByteLevel => {
            for char in text.chars() {
                let Some(byte) = byte_level(char) else {
                    bytes.truncate(start);
                    bytes.extend_from_slice(text.as_bytes());
                    return false;
                };
                bytes.push(byte);
            }
            true
        }
        Spelling::Spaces => {
            for (index, part) in text.split('\u{2581}').enumerate() {
                if index > 0 {
                    bytes.push(b' ');
                }
                bytes.extend_from_slice(part.as_bytes());
            }
            // Texts have no spaces left when SentencePiece looks at them.
            !text.contains(' ')
        }
    }
}

/// The byte that a character stands for in GPT-2's spelling: printable ones stand for themselves, the
/// others follow from U+0100 in order.
fn byte_level(char: char) -> Option<u8> {
    let code = u32::from(char);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The byte that a text such as `<0x0A>` names.
fn byte_of(text: &str) -> Option<u8> {
    let hex = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let digits = hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(hex, 16).ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as GPT-2's own source builds it.
    #[test]
    fn byte_level_spelling_is_a_bijection_in_gpt_2s_order() {
        let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let mut next = 0x100;
        for byte in 0..=u8::MAX {
            let char = if printable(byte) {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).expect("a character")
            };
            assert_eq!(byte_level(char), Some(byte));
        }
        assert_eq!(byte_level('\u{144}'), None);
        assert_eq!(byte_level(' '), None);
    }

    #[test]
    fn byte_tokens_are_two_hexadecimal_digits() {
        assert_eq!(byte_of("<0x0A>"), Some(10));
        assert_eq!(byte_of("<0x+A>"), None);
        assert_eq!(byte_of("<0x0A0>"), None);
    }
}
