//! What an answer is to look like.

use llguidance::TokenParser;
use llguidance::api::GrammarWithLexer;
use serde_json::Value;

use crate::compile::{compile, locate, schema_part};
use crate::error::GrammarError;
use crate::matcher::Matcher;
use crate::vocabulary::Vocabulary;

/// What an answer is to look like, compiled for a vocabulary. Each answer has a [`Matcher`] of its own.
pub struct Grammar {
    vocabulary: Vocabulary,
    parser: TokenParser,
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

/// Bytes of a grammar that is given as text.
const MOST_GRAMMAR_BYTES: usize = 1 << 16;

impl Grammar {
    /// JSON that keeps to a schema, with `", "` and `": "` between its parts and no other white space.
    /// Properties come in the order in which the schema names them.
    ///
    /// # Errors
    /// Any [`GrammarError`] but those of choices. What cannot be checked while an answer is written, such as
    /// `not` or `uniqueItems`, is refused, never ignored.
    pub fn json_schema(vocabulary: &Vocabulary, schema: &Value) -> Result<Grammar, GrammarError> {
        let part = schema_part("schema".to_owned(), schema)?;
        let parser = compile(vocabulary, vec![part]).map_err(|error| locate(error, schema))?;
        Ok(Grammar { vocabulary: vocabulary.clone(), parser, json: true })
    }

    /// A call of one of these, as JSON: `{"name": …, "arguments": …}`.
    ///
    /// # Errors
    /// As [`Grammar::json_schema`], and [`GrammarError::NoChoice`]. Places are counted within the schema at
    /// fault.
    pub fn call(vocabulary: &Vocabulary, callables: &[Callable<'_>]) -> Result<Grammar, GrammarError> {
        if callables.is_empty() {
            return Err(GrammarError::NoChoice);
        }
        let literal = |text: &str| Value::from(text).to_string();
        let call = |(index, callable): (usize, &Callable<'_>)| {
            let begin = format!("{{\"name\": {}, \"arguments\": ", literal(callable.name));
            format!("call{index}: {} @arguments{index} \"}}\"\n", literal(&begin))
        };
        let names: Vec<String> = (0..callables.len()).map(|index| format!("call{index}")).collect();
        let rules: String = callables.iter().enumerate().map(call).collect();
        let mut parts = vec![GrammarWithLexer::from_lark(format!("start: {}\n{rules}", names.join(" | ")))];
        for (index, callable) in callables.iter().enumerate() {
            parts.push(schema_part(format!("arguments{index}"), callable.arguments)?);
        }
        let parser = compile(vocabulary, parts).map_err(|error| {
            // Which of the schemas is at fault is known when each is looked at alone.
            let alone = callables
                .iter()
                .find_map(|callable| Grammar::json_schema(vocabulary, callable.arguments).err());
            alone.unwrap_or(error)
        })?;
        Ok(Grammar { vocabulary: vocabulary.clone(), parser, json: true })
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
        let literals: Vec<String> = choices.iter().map(|&choice| Value::from(choice).to_string()).collect();
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
        Ok(Grammar { vocabulary: vocabulary.clone(), parser, json: false })
    }

    /// A matcher at the beginning of an answer.
    pub fn matcher(&self) -> Matcher {
        Matcher::new(self.vocabulary.clone(), self.parser.deep_clone(), self.json)
    }
}
