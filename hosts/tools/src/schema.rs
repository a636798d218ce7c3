//! Arguments of calls, held to the schemas of their tools, and texts that say what does not fit.

use agentos_perception::schema::Mismatch;
use serde_json::Value;

pub use agentos_perception::{Schema, SchemaError};

use crate::failure::ToolFailure;

/// Characters of what somebody wrote that a text repeats.
const QUOTED_CHARS: usize = 160;

/// Reads the arguments of a call, and holds them to the tool's schema.
///
/// # Errors
/// [`ToolFailure::Refused`]: they are not JSON, or do not fit: where, and what would.
pub fn read(schema: &Schema, arguments: &[u8]) -> Result<Value, ToolFailure> {
    let refused = |why: &Mismatch| ToolFailure::Refused(format!("the object of arguments {why}"));
    let text = std::str::from_utf8(arguments)
        .map_err(|error| ToolFailure::Refused(format!("the arguments are not UTF-8: {error}")))?;
    schema.check(text).map_err(|why| refused(&why))
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
        match read(&schema(), arguments.as_bytes()) {
            Err(ToolFailure::Refused(why)) => why,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn what_fits_is_read() {
        let value = read(&schema(), br#"{"path":"a","lines":{"from":3}}"#).unwrap();
        assert_eq!(value["lines"]["from"], 3);
    }

    #[test]
    fn a_refusal_says_where_and_what_would_fit() {
        let why = refusal(r#"{"path":"a","lines":{"from":0}}"#);
        assert!(
            why.contains("at /lines/from is the number 0, where a number of 1 or more would fit"),
            "{why}"
        );
        let why = refusal(r#"{"path":5}"#);
        assert!(why.contains("at /path is the number 5, where a value of type string would fit"), "{why}");
        assert!(refusal("{}").contains("an object that has \"path\" would fit"));
        assert!(refusal(r#"{"path":"a","x":1}"#).contains("an object without \"x\" would fit"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = format!("{{\"path\":{}", "[".repeat(100_000));
        for arguments in ["", "{", "{\"path\":\"a\"} {}", "nul", "\u{0}", "{\"path\":1e}", &deep] {
            assert!(refusal(arguments).starts_with("the object of arguments is no JSON"), "{arguments:.20}");
        }
        let broken: &[u8] = b"{\"path\":\"\xff\"}";
        assert!(matches!(read(&schema(), broken), Err(ToolFailure::Refused(_))));
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
