//! Splitting text into words before byte pairs are merged: merges never cross a word's end.
//!
//! The kinds and their other names are llama.cpp's (`llm_tokenizer_bpe`). Its patterns end in
//! `\s+(?!\S)|\s+`: white space before a word leaves its last character to the word. Matching that
//! without looking ahead keeps the time linear in the text: `\s+` first, then the last character is
//! given back if more text follows.

use regex::Regex;

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

/// Every name that [`PreTokenizer::named`] knows.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().flat_map(|named| named.names).copied()
}

/// One pass over the pieces that the pass before has left.
enum Stage {
    /// Every match becomes a piece of its own.
    Isolate(Regex),
    /// Matches are words. `line_ends`: a match of white space that ends in a line end is whole.
    Words { regex: Regex, line_ends: bool },
}

/// Splits text into words.
pub(crate) struct PreTokenizer {
    stages: Vec<Stage>,
    /// A word that is a token is not merged from its bytes.
    pub(crate) whole_words: bool,
    /// Texts begin with the `bos` token unless the file says otherwise.
    pub(crate) add_bos: bool,
}

impl PreTokenizer {
    /// The splitter for a name, or for a file that states none.
    pub(crate) fn named(name: Option<&str>) -> Result<PreTokenizer, TokenizerError> {
        let name = name.unwrap_or("default");
        let named = NAMED.iter().find(|named| named.names.contains(&name));
        let named = named.ok_or_else(|| TokenizerError::Pre { found: name.to_owned() })?;
        Ok(PreTokenizer {
            stages: stages(named.kind),
            whole_words: named.whole_words,
            add_bos: named.add_bos,
        })
    }

    /// Calls `word` with every word of the text in order; together they are the text.
    pub(crate) fn words<'t>(&self, text: &'t str, word: &mut dyn FnMut(&'t str)) {
        split(&self.stages, text, word);
    }
}

fn stages(kind: Kind) -> Vec<Stage> {
    let regex = |pattern| Regex::new(pattern).expect("the patterns of this file are valid");
    let isolate = |pattern| Stage::Isolate(regex(pattern));
    let words = |pattern, line_ends| Stage::Words { regex: regex(pattern), line_ends };
    match kind {
        Kind::Gpt2 => vec![words(GPT2, false)],
        Kind::Smollm => vec![isolate(r"\p{N}"), words(GPT2, false)],
        Kind::Llama3 => vec![words(LLAMA3, true)],
        Kind::Qwen2 => vec![words(QWEN2, true)],
        Kind::Default => vec![
            isolate(r"[\p{P}$+<=>^~|]+"),
            words(GPT2, false),
            isolate(r"\p{N}+"),
            isolate("[0-9][0-9][0-9]"),
        ],
    }
}

fn split<'t>(stages: &[Stage], text: &'t str, word: &mut dyn FnMut(&'t str)) {
    let Some((stage, rest)) = stages.split_first() else {
        return word(text);
    };
    match stage {
        Stage::Isolate(regex) => {
            let mut at = 0;
            for found in regex.find_iter(text) {
                if at < found.start() {
                    split(rest, &text[at..found.start()], word);
                }
                split(rest, found.as_str(), word);
                at = found.end();
            }
            if at < text.len() {
                split(rest, &text[at..], word);
            }
        }
        Stage::Words { regex, line_ends } => {
            let mut at = 0;
            while let Some(found) = regex.find_at(text, at) {
                let end = word_end(text, found.range(), *line_ends);
                split(rest, &text[at..end], word);
                at = end;
            }
            assert!(at == text.len(), "every character is matched by a pattern of words");
        }
    }
}

/// The end of a word whose match is `found`: white space before more text leaves its last character.
fn word_end(text: &str, found: std::ops::Range<usize>, line_ends: bool) -> usize {
    let matched = &text[found.clone()];
    let last = matched.chars().next_back().filter(|last| last.is_whitespace());
    match last {
        Some('\r' | '\n') if line_ends => found.end,
        Some(last) if found.end < text.len() && matched.len() > last.len_utf8() => {
            found.end - last.len_utf8()
        }
        _ => found.end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let pre = PreTokenizer::named(Some(name)).expect("a known name");
        pre.words(text, &mut |word| words.push(word.to_owned()));
        words
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
        let error = PreTokenizer::named(Some("tekken")).err().expect("refused");
        let message = error.to_string();
        assert!(message.contains("\"tekken\"") && message.contains("smollm"), "{message}");
    }
}
