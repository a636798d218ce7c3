//! Numbers that every reader of JSON can read.
//!
//! JSON sets no bound to the digits of a number, and `1e999` is one. A reader has 64 bits: it refuses
//! what is beyond them or makes another number of it. And a model that has begun to repeat a digit
//! may never stop. So an answer's numbers get at most [`MOST_DIGITS`] digits and
//! [`MOST_EXPONENT_DIGITS`] of an exponent, unless the schema leaves no other way.

/// Digits of a number before its exponent: as many as the largest 64-bit integer has.
const MOST_DIGITS: u8 = 20;

/// Digits of an exponent.
const MOST_EXPONENT_DIGITS: u8 = 2;

/// Where in a JSON text its end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// In no string and no number.
    #[default]
    Between,
    /// In a string.
    Text {
        /// Behind a backslash.
        escaped: bool,
    },
    /// In a number with so many digits.
    Number {
        /// Before its exponent.
        digits: u8,
        /// Of its exponent.
        exponent: Option<u8>,
    },
}

impl Place {
    /// The place after these bytes.
    pub fn after(self, bytes: &[u8]) -> Place {
        bytes.iter().fold(self, |place, &byte| place.step(byte))
    }

    fn step(self, byte: u8) -> Place {
        match (self, byte) {
            (Place::Text { escaped: false }, b'"') => Place::Between,
            (Place::Text { escaped: false }, b'\\') => Place::Text { escaped: true },
            (Place::Text { .. }, _) => Place::Text { escaped: false },
            (Place::Number { digits, exponent: None }, b'0'..=b'9') => {
                Place::Number { digits: digits.saturating_add(1), exponent: None }
            }
            (Place::Number { digits, exponent: Some(exponent) }, b'0'..=b'9') => {
                Place::Number { digits, exponent: Some(exponent.saturating_add(1)) }
            }
            (Place::Number { digits, .. }, b'e' | b'E') => Place::Number { digits, exponent: Some(0) },
            (Place::Number { .. }, b'+' | b'-' | b'.') => self,
            (_, b'0'..=b'9') => Place::Number { digits: 1, exponent: None },
            (_, b'-') => Place::Number { digits: 0, exponent: None },
            (_, b'"') => Place::Text { escaped: false },
            _ => Place::Between,
        }
    }

    /// Whether some number in these bytes, which come next, is longer than it may be.
    fn is_exceeded_by(self, bytes: &[u8]) -> bool {
        let mut place = self;
        bytes.iter().any(|&byte| {
            place = place.step(byte);
            matches!(place, Place::Number { digits, exponent }
                if digits > MOST_DIGITS || exponent.is_some_and(|digits| digits > MOST_EXPONENT_DIGITS))
        })
    }
}

/// The tokens that can make a number too long.
pub struct Digits {
    /// Those with a digit: inside a number any of them may be one too many.
    any: Vec<(u32, Box<[u8]>)>,
    /// Those that hold a number too long all by themselves.
    alone: Vec<(u32, Box<[u8]>)>,
}

impl Digits {
    /// Of the bytes of each token.
    pub fn new(words: &[Vec<u8>]) -> Digits {
        let with_digits = words.iter().zip(0..).filter(|(word, _)| word.iter().any(u8::is_ascii_digit));
        let any: Vec<(u32, Box<[u8]>)> =
            with_digits.map(|(word, token)| (token, word.as_slice().into())).collect();
        // A token that closes a string may go on with a number.
        let exceeds = |word: &[u8]| {
            [Place::Between, Place::Text { escaped: false }, Place::Text { escaped: true }]
                .iter()
                .any(|place| place.is_exceeded_by(word))
        };
        let alone = any.iter().filter(|(_, word)| exceeds(word)).cloned().collect();
        Digits { any, alone }
    }

    /// Takes the tokens out of a mask that would make a number too long; all or none, and none when nothing
    /// would be left.
    pub fn bar(&self, place: Place, mask: &mut [u32], barred: &mut Vec<u32>) {
        let candidates = match place {
            Place::Number { .. } => &self.any,
            Place::Between | Place::Text { .. } => &self.alone,
        };
        barred.clear();
        for (token, word) in candidates {
            let (index, bit) = (*token as usize / 32, 1 << (token % 32));
            if mask[index] & bit != 0 && place.is_exceeded_by(word) {
                mask[index] &= !bit;
                barred.push(*token);
            }
        }
        if !barred.is_empty() && mask.iter().all(|&word| word == 0) {
            barred.iter().for_each(|token| mask[*token as usize / 32] |= 1 << (token % 32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_NUMBER: fn(u8) -> Place = |digits| Place::Number { digits, exponent: None };

    #[test]
    fn numbers_are_told_from_texts() {
        let after = |text: &str| Place::default().after(text.as_bytes());
        assert_eq!(after(r#"{"a": 12"#), IN_NUMBER(2));
        assert_eq!(after(r#"{"a": 12, "#), Place::Between);
        assert_eq!(after(r#"{"a\"12"#), Place::Text { escaped: false });
        assert_eq!(after(r#"["\"#), Place::Text { escaped: true });
        assert_eq!(after("-1.25e-3"), Place::Number { digits: 3, exponent: Some(1) });
        assert_eq!(after("[true"), Place::Between);
    }

    #[test]
    fn only_tokens_that_make_a_number_too_long_are_barred() {
        let words: Vec<Vec<u8>> =
            ["7", "77", ",", "e", "e9", "a1", &"0".repeat(30)].map(|word| word.as_bytes().to_vec()).into();
        let digits = Digits::new(&words);
        let barred = |place, allowed: u32| {
            let mut mask = [allowed];
            digits.bar(place, &mut mask, &mut Vec::new());
            allowed & !mask[0]
        };
        assert_eq!(barred(IN_NUMBER(18), 0b11_1111), 0);
        assert_eq!(barred(IN_NUMBER(19), 0b11_1111), 0b10);
        assert_eq!(barred(IN_NUMBER(20), 0b11_1111), 0b11);
        assert_eq!(barred(Place::Number { digits: 1, exponent: Some(1) }, 0b11_1111), 0b10);
        assert_eq!(barred(Place::Between, 0b111_1111), 0b100_0000);
        assert_eq!(barred(Place::Text { escaped: false }, 0b111_1111), 0);
        // Where nothing else may come, the number is to be as long as it is.
        assert_eq!(barred(IN_NUMBER(20), 0b11), 0);
    }
}
