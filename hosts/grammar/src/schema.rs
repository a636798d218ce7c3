//! What a JSON schema may cost, and where in it something is.

use serde_json::{Map, Value};

use crate::error::GrammarError;

/// Levels of nesting of a schema, counted in values.
pub const MOST_DEPTH: usize = 64;

/// Values of a schema: every object, list, text and number in it.
pub const MOST_VALUES: usize = 20_000;

/// Schemas in a schema.
pub const MOST_SUBSCHEMAS: usize = 1_000;

/// Bytes of all names and texts of a schema.
pub const MOST_TEXT_BYTES: usize = 1 << 18;

/// The largest number of characters, items or properties that a schema may ask for or bound.
pub const MOST_REPEATS: usize = 10_000;

/// Patterns of property names: each is compared with each.
const MOST_NAME_PATTERNS: usize = 32;

/// The largest multiple that is written where a schema does not say how large one may be.
const MOST_MULTIPLE: i64 = 1_000_000_000_000_000;

/// Keywords whose value counts something.
const COUNTS: [&str; 6] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];

/// Keywords whose value is a schema, or a list of them.
const WITH_SCHEMAS: [&str; 16] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value maps names to schemas.
const WITH_NAMED: [&str; 6] =
    ["$defs", "definitions", "dependentSchemas", "dependencies", "patternProperties", "properties"];

/// Checks that a schema is within the bounds.
///
/// # Errors
/// [`GrammarError::TooLarge`]; [`GrammarError::Unsupported`] for a schema in it with an address of its own,
/// whose references would mean something else.
pub fn check(schema: &Value) -> Result<(), GrammarError> {
    let mut sizes = Sizes::default();
    measure(schema, 1, &mut sizes);
    for (what, found, limit) in [
        ("levels of nesting", sizes.depth, MOST_DEPTH),
        ("values", sizes.values, MOST_VALUES),
        ("bytes of names and texts", sizes.bytes, MOST_TEXT_BYTES),
    ] {
        if found > limit {
            return Err(GrammarError::TooLarge { at: String::new(), what, found, limit });
        }
    }
    let (mut subschemas, mut patterns) = (0, 0);
    let mut fault = None;
    visit(schema, &mut String::new(), &mut |at, object| {
        subschemas += 1;
        patterns += object.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        let own = own_fault(at, object);
        fault = fault.take().or(own);
    });
    for (what, found, limit) in [
        ("schemas in it", subschemas, MOST_SUBSCHEMAS),
        ("patterns of property names", patterns, MOST_NAME_PATTERNS),
    ] {
        if found > limit {
            return Err(GrammarError::TooLarge { at: String::new(), what, found, limit });
        }
    }
    fault.map_or(Ok(()), Err)
}

/// The first place where a schema has this keyword.
pub fn find(schema: &Value, keyword: &str) -> Option<String> {
    let mut found = None;
    visit(schema, &mut String::new(), &mut |at, object| {
        if found.is_none() && object.contains_key(keyword) {
            found = Some(at.to_owned());
        }
    });
    found
}

/// All references in a schema, each with its place.
pub fn references(schema: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    visit(schema, &mut String::new(), &mut |at, object| {
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            found.push((at.to_owned(), reference.to_owned()));
        }
    });
    found
}

/// Bounds the multiples that a schema asks for without saying how large they may be: a number that has grown as
/// long as it may be, and is no multiple yet, would have to grow further.
pub fn bound_multiples(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    if object.contains_key("multipleOf") {
        let bound = |name: &str| object.get(name).and_then(Value::as_f64);
        let least = bound("minimum").or(bound("exclusiveMinimum"));
        let most = bound("maximum").or(bound("exclusiveMaximum"));
        if most.is_none() && least.is_none_or(|least| least < MOST_MULTIPLE as f64) {
            object.insert("maximum".to_owned(), Value::from(MOST_MULTIPLE));
        }
        if least.is_none() && most.is_none_or(|most| most > -MOST_MULTIPLE as f64) {
            object.insert("minimum".to_owned(), Value::from(-MOST_MULTIPLE));
        }
    }
    for (keyword, value) in object {
        let named = WITH_NAMED.contains(&keyword.as_str());
        match value {
            Value::Array(items) if WITH_SCHEMAS.contains(&keyword.as_str()) => {
                items.iter_mut().for_each(bound_multiples);
            }
            Value::Object(schemas) if named => schemas.values_mut().for_each(bound_multiples),
            schema if WITH_SCHEMAS.contains(&keyword.as_str()) => bound_multiples(schema),
            _ => {}
        }
    }
}

/// What is wrong with one schema of a schema, whatever lies below it.
fn own_fault(at: &str, object: &Map<String, Value>) -> Option<GrammarError> {
    if !at.is_empty() && object.get("$id").is_some_and(Value::is_string) {
        return Some(GrammarError::Unsupported { at: at.to_owned(), keyword: "$id".to_owned() });
    }
    COUNTS.iter().find_map(|&keyword| {
        let count = object.get(keyword)?.as_f64()?;
        let too_many = count > MOST_REPEATS as f64;
        too_many.then(|| GrammarError::TooLarge {
            at: format!("{at}/{keyword}"),
            what: "as a bound",
            found: count as usize,
            limit: MOST_REPEATS,
        })
    })
}

#[derive(Default)]
struct Sizes {
    depth: usize,
    values: usize,
    bytes: usize,
}

/// Adds up sizes; it goes no deeper than is needed to know that a schema is too deep.
fn measure(value: &Value, depth: usize, sizes: &mut Sizes) {
    sizes.depth = sizes.depth.max(depth);
    sizes.values += 1;
    if depth > MOST_DEPTH {
        return;
    }
    match value {
        Value::String(text) => sizes.bytes += text.len(),
        Value::Array(items) => items.iter().for_each(|item| measure(item, depth + 1, sizes)),
        Value::Object(object) => {
            for (name, value) in object {
                sizes.bytes += name.len();
                measure(value, depth + 1, sizes);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Shows every schema in a schema, itself first, with its place as a JSON pointer.
fn visit(schema: &Value, at: &mut String, see: &mut dyn FnMut(&str, &Map<String, Value>)) {
    let Value::Object(object) = schema else { return };
    see(at, object);
    for (keyword, value) in object {
        let named = WITH_NAMED.contains(&keyword.as_str());
        if !named && !WITH_SCHEMAS.contains(&keyword.as_str()) {
            continue;
        }
        within(at, keyword, |at| match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    within(at, &index.to_string(), |at| visit(item, at, see));
                }
            }
            Value::Object(schemas) if named => {
                for (name, schema) in schemas {
                    within(at, name, |at| visit(schema, at, see));
                }
            }
            schema => visit(schema, at, see),
        });
    }
}

/// Goes one step down a JSON pointer and back.
fn within(at: &mut String, step: &str, go: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push('/');
    at.push_str(&step.replace('~', "~0").replace('/', "~1"));
    go(at);
    at.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_json_pointers_of_schemas_alone() {
        let schema = json!({
            "properties": {"a/b": {"items": [{"not": {}}]}, "not": {"type": "string"}},
            "enum": [{"not": 1}]
        });
        assert_eq!(find(&schema, "not").as_deref(), Some("/properties/a~1b/items/0"));
        assert_eq!(find(&schema, "contains"), None);
        assert_eq!(schema.pointer("/properties/a~1b/items/0/not"), Some(&json!({})));
    }

    #[test]
    fn multiples_are_bounded_where_the_schema_has_no_bound() {
        let mut schema = json!({"items": {"multipleOf": 3}, "properties": {
            "multipleOf": {"multipleOf": 2, "maximum": 10}, "large": {"multipleOf": 7, "minimum": 1e18}}});
        bound_multiples(&mut schema);
        let most = 1_000_000_000_000_000i64;
        let expected = json!({"items": {"multipleOf": 3, "maximum": most, "minimum": -most}, "properties": {
            "multipleOf": {"multipleOf": 2, "maximum": 10, "minimum": -most},
            "large": {"multipleOf": 7, "minimum": 1e18}}});
        assert_eq!(schema, expected);
    }

    #[test]
    fn what_is_too_large_is_told_with_its_place() {
        let told = |schema| check(&schema).unwrap_err().to_string();
        assert_eq!(
            told(json!({"items": {"maxLength": 1e9}})),
            "the schema at /items/maxLength has 1000000000 as a bound; 10000 would fit"
        );
        let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
        assert_eq!(told(deep), "the schema has 65 levels of nesting; 64 would fit");
        let wide: Vec<_> = (0..3000).map(|_| json!({})).collect();
        assert_eq!(told(json!({"anyOf": wide})), "the schema has 3001 schemas in it; 1000 would fit");
        assert_eq!(check(&json!({"properties": {"maxLength": {"type": "integer"}}})), Ok(()));
    }
}
