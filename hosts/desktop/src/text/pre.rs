//! Splitting text into words before byte pairs are merged: merges never cross a word's end.
//!
//! The kinds, their other names and their patterns are llama.cpp's (`llm_tokenizer_bpe`), but for one
//! thing. Where theirs say `\s+(?!\S)|\s+`, so that white space leaves its last character to the word
//! behind it, the ones here say `\s+` and the character is given back afterwards ([`Words`]). Without
//! looking ahead the matching needs no backtracking, whose steps have a limit: the time grows with the
//! text, and white space may be as long as the text.

use regex::{Match, Regex};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::pattern::Pattern;
use tokenizers::tokenizer::{Offsets, SplitDelimiterBehavior};
use tokenizers::{PreTokenizedString, PreTokenizer};

use super::error::TokenizerError;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = concat!(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
);
const QWEN2: &str = concat!(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
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

    /// What splits texts into words.
    pub(crate) fn splitter(self) -> Splitter {
        let gpt2 = || Step::Words(Words::new(GPT2, char::is_whitespace));
        let by_lines = |pattern| Step::Words(Words::new(pattern, is_space_in_line));
        let plain = |pattern| Step::Words(Words::new(pattern, |_| false));
        Splitter {
            steps: match self.kind {
                Kind::Gpt2 => vec![gpt2()],
                Kind::Smollm => vec![Step::Digits, gpt2()],
                Kind::Llama3 => vec![by_lines(LLAMA3)],
                Kind::Qwen2 => vec![by_lines(QWEN2)],
                Kind::Default => {
                    vec![plain(r"[\p{P}$+<=>^~|]+"), gpt2(), plain(r"\p{N}+"), plain("[0-9][0-9][0-9]")]
                }
            },
            spelling: ByteLevel::new(false, false, false),
        }
    }
}

/// White space that a match takes as the last resort only: with line ends it is matched before that.
fn is_space_in_line(c: char) -> bool {
    c.is_whitespace() && !matches!(c, '\r' | '\n')
}

/// Splits texts into words, and writes the words' bytes as the vocabulary writes them.
pub(crate) struct Splitter {
    /// Each splits what the one before has left.
    steps: Vec<Step>,
    spelling: ByteLevel,
}

enum Step {
    /// Every digit is a word.
    Digits,
    Words(Words),
}

impl PreTokenizer for Splitter {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        for step in &self.steps {
            text.split(|_, part| match step {
                Step::Digits => part.split(char::is_numeric, SplitDelimiterBehavior::Isolated),
                Step::Words(words) => part.split(words, SplitDelimiterBehavior::Isolated),
            })?;
        }
        self.spelling.pre_tokenize(text)
    }
}

/// Makes every match a word, and every text between two.
struct Words {
    regex: Regex,
    /// Whether a match that ends with this character, and with the text not yet at its end, leaves it to
    /// the next word. Characters for which it holds end no match but one of white space.
    leaves: fn(char) -> bool,
}

impl Words {
    fn new(pattern: &str, leaves: fn(char) -> bool) -> Words {
        Words { regex: Regex::new(pattern).expect("the patterns of this file are valid"), leaves }
    }

    /// Where the word of a match ends.
    fn end(&self, text: &str, found: &Match<'_>) -> usize {
        match found.as_str().char_indices().next_back() {
            Some((last, c)) if last > 0 && found.end() < text.len() && (self.leaves)(c) => {
                found.start() + last
            }
            _ => found.end(),
        }
    }
}

impl Pattern for &Words {
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(found) = self.regex.find_at(text, at) {
            if at < found.start() {
                parts.push(((at, found.start()), false));
            }
            at = self.end(text, &found);
            parts.push(((found.start(), at), true));
        }
        if at < text.len() || parts.is_empty() {
            parts.push(((at, text.len()), false));
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::pre_tokenizers::digits::Digits;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{OffsetReferential, OffsetType};

    use super::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        words_by(&[&Pre::named(Some(name)).expect("a known name").splitter()], text)
    }

    fn words_by(steps: &[&dyn PreTokenizer], text: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(text);
        steps.iter().for_each(|step| step.pre_tokenize(&mut pieces).expect("words"));
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

    /// llama.cpp's own patterns, by the library that backtracks.
    fn definition(name: &str) -> Vec<Box<dyn PreTokenizer>> {
        let by = |pattern: &str| -> Box<dyn PreTokenizer> {
            let pattern = SplitPattern::Regex(pattern.replace(r"|\s+", r"|\s+(?!\S)|\s+"));
            Box::new(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).expect("a pattern"))
        };
        match name {
            "smollm" => vec![Box::new(Digits::new(true)), by(GPT2)],
            "gpt-2" => vec![by(GPT2)],
            "llama3" => vec![by(LLAMA3)],
            "qwen2" => vec![by(QWEN2)],
            _ => [r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"].map(by).into(),
        }
    }

    proptest! {
        #[test]
        fn words_are_those_of_the_patterns_that_look_ahead(
            text in "([ \\n\\r\\t\u{3000}\u{85}]{0,4}([a-z]{1,2}|[0-9]{1,4}|[.!'$=-]{1,2}|'ll|\\PC)?){0,8}",
        ) {
            for name in ["smollm", "gpt-2", "llama3", "qwen2", "default"] {
                let definition = definition(name);
                let steps: Vec<&dyn PreTokenizer> = definition.iter().map(AsRef::as_ref).collect();
                prop_assert_eq!(words(name, &text), words_by(&steps, &text), "{}", name);
            }
        }
    }

    /// More than the steps that a search with backtracking may take.
    #[test]
    fn white_space_may_be_as_long_as_the_text() {
        let run = |unit: &str| unit.repeat(1_500_000);
        for (name, unit) in
            [("gpt-2", " "), ("smollm", "\n"), ("llama3", " "), ("qwen2", "\t"), ("default", " ")]
        {
            let found = words(name, &format!("a{}b{}", run(unit), run(unit)));
            let parts: Vec<(usize, char)> =
                found.iter().map(|word| (word.len(), word.chars().next_back().expect("a word"))).collect();
            let unit = unit.chars().next().expect("a unit");
            // A line end is no part of a word; a space is, and so is a tab where the pattern takes any.
            let expected = match name {
                "smollm" => vec![(1, 'a'), (1_499_999, unit), (1, unit), (1, 'b'), (1_500_000, unit)],
                _ => vec![(1, 'a'), (1_499_999, unit), (2, 'b'), (1_500_000, unit)],
            };
            assert_eq!(parts, expected, "{name}");
        }
        let found = words("llama3", &format!("a\n{}\n{}b", run(" "), run(" ")));
        let lengths: Vec<usize> = found.iter().map(String::len).collect();
        assert_eq!(lengths, [1, 1_500_002, 1_499_999, 2]);
    }
}
