//! Compiling a grammar, bounded in size, time and stack.

use llguidance::TokenParser;
use llguidance::api::{GrammarInit, GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use crate::error::GrammarError;
use crate::schema;
use crate::vocabulary::Vocabulary;

/// Stack of the thread that compiles: the library recurses along references and nesting, and what
/// [`schema::check`] lets pass fits. Only what is used is ever made.
const STACK_BYTES: usize = 256 << 20;

/// Compiles a grammar whose parts were checked.
///
/// # Errors
/// [`GrammarError::Refused`], [`GrammarError::Thread`].
pub fn compile(
    vocabulary: &Vocabulary,
    grammars: Vec<GrammarWithLexer>,
) -> Result<TokenParser, GrammarError> {
    let grammar = TopLevelGrammar { grammars, max_tokens: None };
    let work = || {
        vocabulary.factory.create_parser_from_init(GrammarInit::Serialized(grammar), 0, 0).map(
            |mut parser| {
                parser.start_without_prompt();
                parser
            },
        )
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| GrammarError::Thread { reason: error.to_string() })?;
        match thread.join() {
            Ok(Ok(parser)) => Ok(parser),
            Ok(Err(error)) => Err(GrammarError::Refused { reason: reason(&error) }),
            Err(_) => Err(GrammarError::Refused { reason: "the compiler broke off".to_owned() }),
        }
    })
}

/// A JSON schema as a part of a grammar, under a name that other parts refer to it by.
///
/// # Errors
/// As [`schema::check`].
pub fn schema_part(name: String, schema: &Value) -> Result<GrammarWithLexer, GrammarError> {
    schema::check(schema)?;
    let mut schema = match schema {
        Value::Bool(true) => json!({}),
        other => other.clone(),
    };
    schema::bound_multiples(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        // As Python writes JSON, which models have seen most of. Free white space is where small models get
        // lost. What a schema says under this name would loosen the grammar.
        object.insert(
            "x-guidance".to_owned(),
            json!({"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": false}),
        );
    }
    Ok(GrammarWithLexer { name: Some(name), ..GrammarWithLexer::from_json_schema(schema) })
}

/// Says where in a schema the library has found what it refuses.
pub fn locate(error: GrammarError, schema: &Value) -> GrammarError {
    let GrammarError::Refused { reason } = &error else { return error };
    if let Some(keywords) = reason.strip_prefix("Unimplemented keys: ") {
        let keyword = keywords.split('"').nth(1).unwrap_or_default();
        if let Some(at) = schema::find(schema, keyword) {
            return GrammarError::Unsupported { at, keyword: keyword.to_owned() };
        }
    }
    if reason.starts_with("oneOf constraints are not supported")
        && let Some(at) = schema::find(schema, "oneOf")
    {
        return GrammarError::Unsupported { at, keyword: "oneOf".to_owned() };
    }
    let named = schema::references(schema).into_iter().find(|(_, reference)| !resolves(schema, reference));
    match named {
        Some((at, reference)) if reason.contains("eference") || reason.contains("$ref") => {
            GrammarError::Reference { at, reference }
        }
        _ => error,
    }
}

/// Whether a reference names something in the schema, in the way that the library reads it.
fn resolves(schema: &Value, reference: &str) -> bool {
    let Some(path) = reference.strip_prefix('#') else { return false };
    path.is_empty() || path == "/" || schema.pointer(path).is_some()
}

/// The library's reason, without the parts that are for its authors.
fn reason(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.lines().filter(|line| !line.starts_with('<') && !line.trim().is_empty());
    let text = lines.take(3).map(str::trim).collect::<Vec<_>>().join("; ");
    let short: String = text.chars().take(300).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
