//! Splitting text into words before byte pairs are merged: merges never cross a word's end.
//!
//! The kinds, their other names and their patterns are llama.cpp's (`llm_tokenizer_bpe`); the
//! `tokenizers` library splits by them.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use super::error::TokenizerError;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = concat!(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
const QWEN2: &str = concat!(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// A way of splitting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Digit by digit, then as GPT-2.
    Smollm,
    Gpt2,
    /// Up to three digits.
    Llama3,
    /// Digit by digit.
    Qwen2,
    /// What llama.cpp does with files from before they named their kind.
    Default,
}

/// What a name of `tokenizer.ggml.pre` stands for.
struct Named {
    names: &'static [&'static str],
    kind: Kind,
    /// A word that is a token is not merged from its bytes.
    whole_words: bool,
    /// Texts begin with the `bos` token unless the file says otherwise.
    add_bos: bool,
}

const NAMED: &[Named] = &[
    Named {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        kind: Kind::Llama3,
        whole_words: true,
        add_bos: true,
    },
    Named {
        names: &["dbrx", "smaug-bpe", "chatglm-bpe", "glm4"],
        kind: Kind::Llama3,
        whole_words: false,
        add_bos: false,
    },
    Named {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        kind: Kind::Smollm,
        whole_words: false,
        add_bos: false,
    },
    Named {
        names: &["qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan"],
        kind: Kind::Qwen2,
        whole_words: false,
        add_bos: false,
    },
    Named {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4", "gigachat"],
        kind: Kind::Gpt2,
        whole_words: false,
        add_bos: false,
    },
    Named { names: &["default"], kind: Kind::Default, whole_words: false, add_bos: false },
];

/// Every name that [`Pre::named`] knows.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().flat_map(|named| named.names).copied()
}

/// How a vocabulary's texts are split.
#[derive(Clone, Copy)]
pub(crate) struct Pre {
    kind: Kind,
    /// A word that is a token is not merged from its bytes.
    pub(crate) whole_words: bool,
    /// Texts begin with the `bos` token unless the file says otherwise.
    pub(crate) add_bos: bool,
}

impl Pre {
    /// What a name stands for, or a file that states none.
    ///
    /// # Errors
    /// [`TokenizerError::Pre`].
    pub(crate) fn named(name: Option<&str>) -> Result<Pre, TokenizerError> {
        let name = name.unwrap_or("default");
        let named = NAMED.iter().find(|named| named.names.contains(&name));
        let named = named.ok_or_else(|| TokenizerError::Pre { found: name.to_owned() })?;
        Ok(Pre { kind: named.kind, whole_words: named.whole_words, add_bos: named.add_bos })
    }

    /// The library's splitter, which also writes the words' bytes as the vocabulary writes them.
    pub(crate) fn splitter(self) -> Sequence {
        let mut steps: Vec<PreTokenizerWrapper> = match self.kind {
            Kind::Gpt2 => vec![isolate(GPT2)],
            Kind::Smollm => vec![Digits::new(true).into(), isolate(GPT2)],
            Kind::Llama3 => vec![isolate(LLAMA3)],
            Kind::Qwen2 => vec![isolate(QWEN2)],
            Kind::Default => [r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"].map(isolate).into(),
        };
        steps.push(ByteLevel::new(false, false, false).into());
        Sequence::new(steps)
    }
}

/// Makes every match a word, and every text between two.
fn isolate(pattern: &str) -> PreTokenizerWrapper {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
    split.expect("the patterns of this file are valid").into()
}

#[cfg(test)]
mod tests {
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

    use super::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        let splitter = Pre::named(Some(name)).expect("a known name").splitter();
        let mut pieces = PreTokenizedString::from(text);
        splitter.pre_tokenize(&mut pieces).expect("words");
        let words = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
        words.iter().map(|(_, (start, end), _)| text[*start..*end].to_owned()).collect()
    }

    #[test]
    fn white_space_leaves_its_last_character_to_the_word() {
        assert_eq!(words("gpt-2", "a   b"), ["a", "  ", " b"]);
        assert_eq!(words("gpt-2", "a \n\nb  "), ["a", " \n", "\n", "b", "  "]);
        assert_eq!(words("llama3", "a \n\nb  "), ["a", " \n\n", "b", "  "]);
        assert_eq!(words("llama3", "a\u{3000}\u{3000}b"), ["a", "\u{3000}", "\u{3000}b"]);
        assert_eq!(words("llama3", "\n  x"), ["\n", " ", " x"]);
    }

    #[test]
    fn kinds_differ_in_digits_and_apostrophes() {
        assert_eq!(words("smollm", "it's 1234"), ["it", "'s", " ", "1", "2", "3", "4"]);
        assert_eq!(words("gpt-2", "it's 1234"), ["it", "'s", " 1234"]);
        assert_eq!(words("llama3", "IT'S 1234"), ["IT", "'S", " ", "123", "4"]);
        assert_eq!(words("qwen2", "IT'S 12"), ["IT", "'S", " ", "1", "2"]);
        assert_eq!(words("default", "a=1234"), ["a", "=", "123", "4"]);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = Pre::named(Some("tekken")).err().expect("refused");
        let message = error.to_string();
        assert!(message.contains("\"tekken\"") && message.contains("smollm"), "{message}");
    }
}
