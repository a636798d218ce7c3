//! The tokens of a slice that drew most attention, as words that a person reads.
//!
//! They are counted when the slice is computed: the attention that its own tokens and those behind it in its passage
//! pay, summed over rows and heads of the relevance layer (Zhang et al., "H2O: heavy-hitter oracle for efficient
//! generative inference of large language models", 2023). They say what the model holds on to in a slice, and find
//! nothing: that a question has the same words is in the words' score already.

/// The words that heavy tokens stand in, the heaviest first and each once. `pieces` are the bytes of a slice's tokens,
/// each with its id; a token stands where it is first. What is no part of a word is left out.
pub fn words<'p>(pieces: impl Iterator<Item = (u32, &'p [u8])>, heavy: &[u32]) -> Vec<String> {
    let mut text: Vec<u8> = Vec::new();
    let mut places = Vec::new();
    for (id, bytes) in pieces {
        places.push((id, text.len()..text.len() + bytes.len()));
        text.extend_from_slice(bytes);
    }
    let mut words: Vec<String> = Vec::with_capacity(heavy.len());
    for wanted in heavy {
        let own = places.iter().find(|(id, _)| id == wanted).map(|(_, place)| place.clone());
        let Some(at) = own.and_then(|mut place| place.find(|&at| is_of_word(text[at]))) else { continue };
        let start = text[..at].iter().rposition(|&byte| !is_of_word(byte)).map_or(0, |before| before + 1);
        let end = text[at..].iter().position(|&byte| !is_of_word(byte)).map_or(text.len(), |more| at + more);
        let word = String::from_utf8_lossy(&text[start..end]);
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        if !word.is_empty() && !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

/// Bytes of letters and digits; of what is beyond ASCII, any.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str], heavy: &[usize]) -> Vec<String> {
        let heavy: Vec<u32> = heavy.iter().map(|&place| place as u32).collect();
        words((0..).zip(pieces.iter().map(|piece| piece.as_bytes())), &heavy)
    }

    #[test]
    fn a_token_is_shown_as_the_word_that_it_stands_in() {
        let pieces = ["The", " sk", "ip", "per", " of", " Qu", "illon", ".", "\n"];
        assert_eq!(of(&pieces, &[6, 3, 7, 0]), ["Quillon", "skipper", "The"]);
        // Two parts of a word are one, and what has no letters none.
        assert_eq!(of(&pieces, &[2, 1, 8]), ["skipper"]);
        assert_eq!(of(&["\u{201c}", "f\u{fc}r", "\u{201d}", " x"], &[1, 0, 3]), ["f\u{fc}r", "x"]);
        assert_eq!(of(&pieces, &[99]), [""; 0]);
        assert_eq!(of(&[], &[0]), [""; 0]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let found = words([(1, &b"a\xff"[..]), (2, b" b")].into_iter(), &[1, 2]);
        assert_eq!(found, ["a", "b"]);
    }
}
