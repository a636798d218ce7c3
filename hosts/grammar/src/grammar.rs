//! What an answer is to look like.

use std::sync::Arc;

use llguidance::TokenParser;
use llguidance::api::GrammarWithLexer;
use serde_json::Value;

use crate::beginnings::Beginnings;
use crate::compile::{compile, locate, schema_part};
use crate::error::{GrammarError, MatchError};
use crate::matcher::Matcher;
use crate::vocabulary::Vocabulary;

/// What an answer is to look like, compiled for a vocabulary. Each answer has a [`Matcher`] of its own.
pub struct Grammar {
    vocabulary: Vocabulary,
    parser: TokenParser,
    beginnings: Arc<Beginnings>,
    json: bool,
}

/// Something that may be called: a name, and a JSON schema of what it is called with.
#[derive(Clone, Copy, Debug)]
pub struct Callable<'a> {
    /// Its name.
    pub name: &'a str,
    /// JSON schema of its arguments.
    pub arguments: &'a Value,
}

/// What calls look like, and what may be called.
#[derive(Clone, Copy, Debug)]
pub struct Calls<'a> {
    /// What stands before the name, which is written as in a JSON string.
    pub before: &'a str,
    /// Between the name and the arguments.
    pub between: &'a str,
    /// Behind the arguments.
    pub after: &'a str,
    /// What may be called.
    pub of: &'a [Callable<'a>],
}

impl<'a> Calls<'a> {
    /// As JSON: `{"name": …, "arguments": …}`.
    pub fn json(of: &'a [Callable<'a>]) -> Calls<'a> {
        Calls { before: "{\"name\": \"", between: "\", \"arguments\": ", after: "}", of }
    }

    /// What a call begins with: all before its arguments.
    pub fn begin(&self, name: &str) -> String {
        let name = literal(name);
        [self.before, &name[1..name.len() - 1], self.between].concat()
    }
}

/// A text as JSON and the grammars write it.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

/// Answers that are rehearsed, and the most tokens of one.
const ANSWERS: u64 = 4;
const ANSWER_TOKENS: u64 = 80;

/// Bytes of a grammar that is given as text.
const MOST_GRAMMAR_BYTES: usize = 1 << 16;

impl Grammar {
    fn of(vocabulary: &Vocabulary, parser: TokenParser, json: bool) -> Grammar {
        Grammar { vocabulary: vocabulary.clone(), parser, beginnings: Arc::default(), json }
    }

    /// JSON that keeps to a schema, with `", "` and `": "` between its parts and no other white space.
    /// Properties come in the order in which the schema names them.
    ///
    /// # Errors
    /// Any [`GrammarError`] but those of choices. What cannot be checked while an answer is written, such as
    /// `not` or `uniqueItems`, is refused, never ignored.
    pub fn json_schema(vocabulary: &Vocabulary, schema: &Value) -> Result<Grammar, GrammarError> {
        let part = schema_part("schema".to_owned(), schema)?;
        let parser = compile(vocabulary, vec![part]).map_err(|error| locate(error, schema))?;
        Ok(Grammar::of(vocabulary, parser, true))
    }

    /// A call of one of these.
    ///
    /// # Errors
    /// As [`Grammar::json_schema`], and [`GrammarError::NoChoice`]. Places are counted within the schema at
    /// fault.
    pub fn call(vocabulary: &Vocabulary, calls: &Calls<'_>) -> Result<Grammar, GrammarError> {
        Grammar::of_calls(vocabulary, calls, String::new(), Vec::new())
    }

    /// A call as [`Grammar::call`] has it, behind a text that opens it; or else JSON that keeps to a schema.
    ///
    /// # Errors
    /// As [`Grammar::call`].
    pub fn call_or_answer(
        vocabulary: &Vocabulary,
        (opens, calls): (&str, &Calls<'_>),
        answer: &Value,
    ) -> Result<Grammar, GrammarError> {
        let start = format!("start: {} calls | @answer\n", literal(opens));
        let part = schema_part("answer".to_owned(), answer)?;
        Grammar::of_calls(vocabulary, calls, start, vec![part]).map_err(|error| {
            let alone = Grammar::json_schema(vocabulary, answer).err();
            alone.unwrap_or(error)
        })
    }

    /// Calls, under a start that names them `calls`; without one, they are all that there is.
    fn of_calls(
        vocabulary: &Vocabulary,
        calls: &Calls<'_>,
        start: String,
        others: Vec<GrammarWithLexer>,
    ) -> Result<Grammar, GrammarError> {
        let callables = calls.of;
        if callables.is_empty() {
            return Err(GrammarError::NoChoice);
        }
        // A grammar has no text of no characters.
        let after = if calls.after.is_empty() { String::new() } else { literal(calls.after) };
        let call = |(index, callable): (usize, &Callable<'_>)| {
            format!("call{index}: {} @arguments{index} {after}\n", literal(&calls.begin(callable.name)))
        };
        let names: Vec<String> = (0..callables.len()).map(|index| format!("call{index}")).collect();
        let rules: String = callables.iter().enumerate().map(call).collect();
        let start = if start.is_empty() { "start: calls\n".to_owned() } else { start };
        let lark = format!("{start}calls: {}\n{rules}", names.join(" | "));
        let mut parts = vec![GrammarWithLexer::from_lark(lark)];
        for (index, callable) in callables.iter().enumerate() {
            parts.push(schema_part(format!("arguments{index}"), callable.arguments)?);
        }
        parts.extend(others);
        let parser = compile(vocabulary, parts).map_err(|error| {
            // Which of the schemas is at fault is known when each is looked at alone.
            let alone = callables
                .iter()
                .find_map(|callable| Grammar::json_schema(vocabulary, callable.arguments).err());
            alone.unwrap_or(error)
        })?;
        Ok(Grammar::of(vocabulary, parser, true))
    }

    /// One of these texts.
    ///
    /// # Errors
    /// [`GrammarError::NoChoice`], [`GrammarError::EmptyChoice`], [`GrammarError::Refused`].
    pub fn choice(vocabulary: &Vocabulary, choices: &[&str]) -> Result<Grammar, GrammarError> {
        if choices.is_empty() {
            return Err(GrammarError::NoChoice);
        }
        if let Some(index) = choices.iter().position(|choice| choice.is_empty()) {
            return Err(GrammarError::EmptyChoice { index });
        }
        let literals: Vec<String> = choices.iter().map(|&choice| literal(choice)).collect();
        Grammar::lark(vocabulary, &format!("start: CHOICE\nCHOICE: {}\n", literals.join(" | ")))
    }

    /// What a grammar in `llguidance`'s dialect of Lark says.
    ///
    /// # Errors
    /// [`GrammarError::TooLarge`], [`GrammarError::Refused`], [`GrammarError::Thread`].
    pub fn lark(vocabulary: &Vocabulary, grammar: &str) -> Result<Grammar, GrammarError> {
        let (found, limit) = (grammar.len(), MOST_GRAMMAR_BYTES);
        if found > limit {
            return Err(GrammarError::TooLarge { at: String::new(), what: "bytes", found, limit });
        }
        let part = GrammarWithLexer::from_lark(grammar.to_owned());
        let parser = compile(vocabulary, vec![part])?;
        Ok(Grammar::of(vocabulary, parser, false))
    }

    /// Writes answers as they may come, so that what the library finds out only when it is needed is there for every
    /// matcher that is made from here on: their first masks come many times sooner. What they allow is the same.
    pub fn rehearse(&mut self) {
        let rehearsed = self.parser.deep_clone();
        let closing = self.vocabulary.closing();
        // A plain clone leaves what it finds out to what it was cloned from.
        let answers = (0..ANSWERS).try_for_each(|answer| {
            let (vocabulary, parser) = (self.vocabulary.clone(), rehearsed.clone());
            // What is kept of beginnings is for answers that are meant.
            let matcher = Matcher::new(vocabulary, parser, Arc::default(), self.json);
            rehearse(matcher, &closing, answer)
        });
        // Where it has failed, what was found out may be in disorder.
        if answers.is_ok() {
            self.parser = rehearsed;
        }
    }

    /// A matcher at the beginning of an answer.
    pub fn matcher(&self) -> Matcher {
        let (vocabulary, parser) = (self.vocabulary.clone(), self.parser.deep_clone());
        Matcher::new(vocabulary, parser, Arc::clone(&self.beginnings), self.json)
    }
}

/// Writes one answer.
fn rehearse(mut matcher: Matcher, closing: &[u32], answer: u64) -> Result<(), MatchError> {
    let mut mask = vec![0; matcher.mask_words()];
    for at in 0..ANSWER_TOKENS {
        matcher.mask(&mut mask)?;
        let Some(token) = choose(&mut mask, closing, answer * ANSWER_TOKENS + at) else { return Ok(()) };
        matcher.accept(token)?;
        if matcher.is_finished() {
            return Ok(());
        }
    }
    Ok(())
}

/// The token that a rehearsal takes of those that are allowed: as good as chance, and always the same. But every second
/// time it is one of those that close a text, where there is one: by chance alone, the first text of an answer would
/// have no end, and nothing would be found out about what comes behind it.
fn choose(allowed: &mut [u32], closing: &[u32], time: u64) -> Option<u32> {
    if time % 2 == 1 && allowed.iter().zip(closing).any(|(word, closing)| word & closing != 0) {
        allowed.iter_mut().zip(closing).for_each(|(word, closing)| *word &= closing);
    }
    let count: u64 = allowed.iter().map(|word| u64::from(word.count_ones())).sum();
    let chance = (time + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    nth(allowed, chance % count.max(1))
}

/// The token of a mask that comes behind so many others.
fn nth(mask: &[u32], mut behind: u64) -> Option<u32> {
    for (&word, first) in mask.iter().zip((0..).step_by(32)) {
        let here = u64::from(word.count_ones());
        if behind < here {
            return (0..32).filter(|bit| word >> bit & 1 == 1).nth(behind as usize).map(|bit| first + bit);
        }
        behind -= here;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{choose, nth};

    #[test]
    fn every_second_token_of_a_rehearsal_closes_a_text_where_one_may() {
        let (allowed, closing) = ([u32::MAX, 0b1011], [0, 0b0110]);
        for time in 0..100 {
            let token = choose(&mut allowed.clone(), &closing, time).unwrap();
            assert!(if time % 2 == 1 { token == 33 } else { token < 36 && token != 34 }, "{token}");
            let token = choose(&mut [0b101, 0], &closing, time).unwrap();
            assert!([0, 2].contains(&token), "where none may, any of them");
        }
        assert_eq!(choose(&mut [0, 0], &closing, 1), None);
    }

    #[test]
    fn tokens_of_a_mask_are_counted() {
        let mask = [0b1010, 0, 1 << 31];
        assert_eq!([0, 1, 2, 3].map(|behind| nth(&mask, behind)), [Some(1), Some(3), Some(95), None]);
    }
}
