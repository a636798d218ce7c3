//! Tokens that come one by one make the text that they make together.

mod text_support;

use agentos_desktop::text::{TokenStream, Tokenizer};
use proptest::prelude::*;
use text_support::{read, tokenizer};

/// Special tokens and bytes come before the normal tokens of the SentencePiece vocabulary.
const FIRST_NORMAL: u32 = 263;

/// The text of tokens, put together from their bytes.
fn whole(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let texts = ids.iter().filter(|&&id| !tokenizer.is_control(id));
    let bytes: Vec<u8> = texts.flat_map(|&id| tokenizer.piece(id)).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check(
    tokenizer: &Tokenizer,
    stream: TokenStream<'_>,
    ids: &[u32],
    expected: &str,
) -> Result<(), TestCaseError> {
    let mut stream = stream;
    let mut text = String::new();
    for &id in ids {
        let before = text.len();
        stream.push(id, &mut text);
        // Nothing that was printed can change later: no unfinished character was replaced too soon.
        prop_assert!(expected.starts_with(&text), "{text:?} is not how {expected:?} begins");
        prop_assert!(text.len() - before <= tokenizer.piece(id).len() * 3 + 9);
    }
    stream.finish(&mut text);
    prop_assert_eq!(text, expected);
    Ok(())
}

proptest! {
    #[test]
    fn byte_level_tokens_stream(ids in prop::collection::vec(0u32..920, 0..40)) {
        let tokenizer = tokenizer(&read("text_gpt-2.gguf"));
        let expected = whole(&tokenizer, &ids);
        check(&tokenizer, TokenStream::continuing(&tokenizer), &ids, &expected)?;
        check(&tokenizer, TokenStream::at_start(&tokenizer), &ids, &expected)?;
        prop_assert_eq!(tokenizer.decode(&ids), expected);
    }

    #[test]
    fn sentencepiece_tokens_stream(ids in prop::collection::vec(prop_oneof![0u32..1510, 0u32..300], 0..40)) {
        let tokenizer = tokenizer(&read("text_spm.gguf"));
        let expected = whole(&tokenizer, &ids);
        check(&tokenizer, TokenStream::continuing(&tokenizer), &ids, &expected)?;
        // At the beginning of a text the space before it goes, but not a token of spaces or of a byte.
        let first = ids.iter().copied().find(|&id| !tokenizer.is_control(id) && id < tokenizer.vocab_size());
        let spaces = first.is_some_and(|id| id < FIRST_NORMAL);
        let at_start = expected.strip_prefix(' ').filter(|_| !spaces).unwrap_or(&expected);
        check(&tokenizer, TokenStream::at_start(&tokenizer), &ids, at_start)?;
        prop_assert_eq!(tokenizer.decode(&ids), at_start);
    }

    /// Bytes in any order: half characters, overlong ones, surrogates.
    #[test]
    fn byte_tokens_stream(bytes in prop::collection::vec(prop_oneof![
        any::<u8>(), Just(0xe2), Just(0x96), Just(0x81), Just(0xf0), Just(0x9f), Just(0xed), Just(0xa0), Just(0xc0),
    ], 0..24)) {
        let tokenizer = tokenizer(&read("text_spm.gguf"));
        let first = (0..tokenizer.vocab_size()).find(|&id| tokenizer.piece(id) == [0]).expect("byte tokens");
        let ids: Vec<u32> = bytes.iter().map(|&byte| first + u32::from(byte)).collect();
        let expected = String::from_utf8_lossy(&bytes).into_owned();
        check(&tokenizer, TokenStream::continuing(&tokenizer), &ids, &expected)?;
    }
}

#[test]
fn a_character_is_held_back_until_it_is_whole() {
    let tokenizer = tokenizer(&read("text_spm.gguf"));
    let byte =
        |byte: u8| (0..tokenizer.vocab_size()).find(|&id| tokenizer.piece(id) == [byte]).expect("a token");
    let mut stream = TokenStream::continuing(&tokenizer);
    let mut text = String::new();
    for half in [0xe2, 0x82] {
        stream.push(byte(half), &mut text);
        assert_eq!(text, "");
    }
    stream.push(byte(0xac), &mut text);
    assert_eq!(text, "€");
    stream.push(byte(0xf0), &mut text);
    assert_eq!(text, "€");
    stream.finish(&mut text);
    assert_eq!(text, "€\u{fffd}");
}
