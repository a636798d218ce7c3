//! JSON schemas, and texts that say what does not fit them.

use std::fmt;

use jsonschema::{PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use crate::failure::ToolFailure;

/// Characters of a schema or a value that a text repeats.
const QUOTED_CHARS: usize = 160;
/// Misfits that a text tells of.
const TOLD: usize = 4;
/// Bytes that a pattern's automaton may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A schema that values are held to. Nothing that it refers to is fetched.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    source: Value,
}

/// What a schema refers to outside itself is not fetched, whatever the library was built to fetch.
struct Offline;

impl Retrieve for Offline {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("nothing is fetched that a schema refers to".into())
    }
}

/// A schema that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// What is wrong, and where in the schema.
    pub what: String,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for SchemaError {}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// [`SchemaError`]: it is none, refers to what it does not hold, or has a pattern that cannot be
    /// matched in linear time.
    pub fn new(source: &Value) -> Result<Schema, SchemaError> {
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
        let built =
            jsonschema::options().with_retriever(Offline).with_pattern_options(patterns).build(source);
        let validator = built.map_err(|error| SchemaError {
            what: format!("{} (at {} of the schema)", error, place(error.instance_path().as_str())),
        })?;
        Ok(Schema { validator, source: source.clone() })
    }

    /// Reads arguments, and holds them to the schema.
    ///
    /// # Errors
    /// [`ToolFailure::Refused`]: they are not JSON, or do not fit: where, and what would.
    pub fn read(&self, arguments: &[u8]) -> Result<Value, ToolFailure> {
        let value: Value = serde_json::from_slice(arguments).map_err(|error| {
            ToolFailure::Refused(format!("the arguments are not JSON: {error}; {}", self.wanted()))
        })?;
        self.check(&value)?;
        Ok(value)
    }

    /// Holds a value to the schema.
    ///
    /// # Errors
    /// [`ToolFailure::Refused`]: it does not fit: where, and what would.
    pub fn check(&self, value: &Value) -> Result<(), ToolFailure> {
        let mut misfits = self.validator.iter_errors(value).map(|misfit| self.misfit(&misfit));
        let told: Vec<String> = misfits.by_ref().take(TOLD).collect();
        if told.is_empty() {
            return Ok(());
        }
        let more = if misfits.next().is_some() { "; and more" } else { "" };
        Err(ToolFailure::Refused(format!("{}{more}", told.join("; "))))
    }

    fn misfit(&self, misfit: &ValidationError<'_>) -> String {
        let at = place(misfit.instance_path().as_str());
        // The last step names the keyword; what it belongs to says what fits.
        let path = misfit.schema_path().as_str();
        let owner = path.rsplit_once('/').map_or("", |(owner, _)| owner);
        let fits = self.source.pointer(owner).unwrap_or(&self.source);
        format!("{at}: {}; what fits: {}", clipped(&misfit.to_string()), clipped(&fits.to_string()))
    }

    fn wanted(&self) -> String {
        format!("what fits: {}", clipped(&self.source.to_string()))
    }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "the top" } else { pointer }
}

/// The text up to a length that a model can read, on one line.
pub(crate) fn clipped(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut clipped: String = chars.by_ref().take(QUOTED_CHARS).collect();
    if chars.next().is_some() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let source = json!({
            "type": "object",
            "properties": {
                "path": { "type": "string", "maxLength": 4 },
                "lines": { "type": "object", "properties": { "from": { "type": "integer", "minimum": 1 } } },
            },
            "required": ["path"],
            "additionalProperties": false,
        });
        Schema::new(&source).unwrap()
    }

    fn refusal(arguments: &str) -> String {
        match schema().read(arguments.as_bytes()) {
            Err(ToolFailure::Refused(why)) => why,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn what_fits_is_read() {
        let value = schema().read(br#"{"path":"a","lines":{"from":3}}"#).unwrap();
        assert_eq!(value["lines"]["from"], 3);
    }

    #[test]
    fn a_refusal_says_where_and_what_would_fit() {
        let why = refusal(r#"{"path":"a","lines":{"from":0}}"#);
        assert!(why.starts_with("/lines/from: 0 is less than the minimum of 1"), "{why}");
        // Which key comes first is a matter of how the JSON library is built.
        let fits = why.split_once("what fits: ").map_or("", |(_, fits)| fits);
        assert!(fits.contains(r#""minimum":1"#) && fits.contains(r#""type":"integer""#), "{why}");
        assert!(refusal(r#"{"path":5}"#).starts_with("/path: 5 is not of type \"string\""));
        assert!(refusal(r#"{}"#).starts_with("the top: \"path\" is a required property"));
        assert!(refusal(r#"{"path":"a","x":1}"#).contains("'x' was unexpected"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = format!("{{\"path\":{}", "[".repeat(100_000));
        for arguments in ["", "{", "{\"path\":\"a\"} {}", "nul", "\u{0}", "{\"path\":1e}", &deep] {
            assert!(refusal(arguments).starts_with("the arguments are not JSON"), "{arguments:.20}");
        }
        let broken: &[u8] = b"{\"path\":\"\xff\"}";
        assert!(matches!(schema().read(broken), Err(ToolFailure::Refused(_))));
    }

    #[test]
    fn long_texts_are_clipped() {
        let why = refusal(&format!("{{\"path\":\"{}\"}}", "x\\n".repeat(100_000)));
        assert!(why.len() < 1000, "{}", why.len());
        assert!(!why.contains('\n'), "{why}");
    }

    #[test]
    fn a_schema_that_is_none_is_told() {
        let wrong = [
            json!({ "type": "text" }),
            json!({ "properties": { "a": { "minimum": "1" } } }),
            json!(3),
            json!({ "$ref": "#/nowhere" }),
            json!({ "$ref": "http://127.0.0.1:9/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "pattern": "(" }),
            json!({ "pattern": "(?=a)b" }),
        ];
        for source in wrong {
            assert!(Schema::new(&source).is_err(), "{source}");
        }
    }
}
