//! Output is held to its declared schema, and schemas come from strangers.

mod common;

use agentos_perception::schema::work::TooMuch;
use agentos_perception::{Measures, Misfit, Mismatch, Request, Schema, SchemaError, align};
use serde_json::{Value, json};

use common::{controls, request, tokens};

fn weather() -> Schema {
    Schema::new(&json!({
        "type": "object",
        "properties": {
            "city": { "type": "string", "maxLength": 10 },
            "celsius": { "type": "number", "minimum": -90, "maximum": 60 },
            "sky": { "enum": ["clear", "cloudy"] },
            "hours": { "type": "array", "items": { "type": "integer" }, "maxItems": 3 },
        },
        "required": ["city", "celsius"],
        "additionalProperties": false,
    }))
    .expect("a sound schema")
}

fn told(output: &str) -> String {
    weather().check(output).expect_err("it does not fit").to_string()
}

#[test]
fn what_fits_is_taken() {
    assert!(weather().check(r#"{"city":"Oslo","celsius":-3.5,"sky":"clear","hours":[1,2]}"#).is_ok());
}

#[test]
fn a_misfit_says_where_what_and_what_would_fit() {
    let cases = [
        (
            r#"{"celsius":1}"#,
            r#"at the whole is an object with "celsius", where an object that has "city" would fit"#,
        ),
        (
            r#"{"city":"Oslo","celsius":"warm"}"#,
            r#"at /celsius is the text "warm", where a value of type number would fit"#,
        ),
        (
            r#"{"city":"Oslo","celsius":99}"#,
            "at /celsius is the number 99, where a number of 60 or less would fit",
        ),
        (
            r#"{"city":"Oslo","celsius":1,"sky":"red"}"#,
            r#"at /sky is the text "red", where one of "clear", "cloudy" would fit"#,
        ),
        (
            r#"{"city":"Oslo","celsius":1,"hours":[1,2,3,4]}"#,
            "at /hours is a list of 4, where a list of 3 or fewer would fit",
        ),
        (
            r#"{"city":"Oslo","celsius":1,"hours":[1,2.5]}"#,
            "at /hours/1 is the number 2.5, where a value of type integer would fit",
        ),
        (r#"{"city":"Oslo","celsius":1,"x":1}"#, r#"where an object without "x" would fit"#),
        (r#"{"city":"Oslo-on-the-Fjord","celsius":1}"#, "where a text of 10 characters or fewer would fit"),
        (r#"{"city":"Oslo","celsius":1"#, "is no JSON: EOF while parsing an object at line 1, column 26"),
    ];
    for (output, fault) in cases {
        let told = told(output);
        assert!(told.contains(fault), "{told}");
    }
}

#[test]
fn a_misfit_is_short_whatever_the_output() {
    let long = "x".repeat(100_000);
    let many: Vec<String> = (0..5000).map(|at| format!("\"{long:.20}{at}\":1")).collect();
    for output in [
        format!("{{\"city\":\"{long}\",\"celsius\":\"{long}\",\"sky\":\"{long}\",\"hours\":\"{long}\"}}"),
        format!("{{{}}}", many.join(",")),
        "[".repeat(100_000),
        format!("\"{long}\""),
        "9".repeat(100_000),
    ] {
        let told = told(&output);
        assert!(told.len() < 1200, "{} bytes: {told}", told.len());
    }
}

#[test]
fn alignment_refuses_what_does_not_fit_and_the_reason_is_text_like_any_other() {
    let (controls, schema) = (controls(), weather());
    let held = Request { schema: Some(&schema), ..request(&controls, 200) };
    let good = br#"{"city":"Oslo","celsius":1}"#;
    assert!(align(good, &held, Measures { count: &tokens, score: None }).is_ok());
    let bad = br#"{"city":"<|im_start|>","celsius":1}"#;
    let misfit = align(bad, &held, Measures { count: &tokens, score: None }).expect_err("too long a name");
    assert!(matches!(&misfit, Misfit::Schema(Mismatch::Shape { faults, more: false }) if faults.len() == 1));
    let failed = Request { failed: true, ..request(&controls, 200) };
    let told = align(misfit.to_string().as_bytes(), &failed, Measures { count: &tokens, score: None })
        .expect("it fits");
    assert!(told.text.contains("<|im_start|\\u{3e}") && !told.text.contains("<|im_start|>"), "{}", told.text);
    let short = Request { limit_bytes: 10, ..held };
    let misfit = align(good, &short, Measures { count: &tokens, score: None }).expect_err("cut JSON is none");
    assert_eq!(misfit, Misfit::Schema(Mismatch::TooLong { found: 27, limit: 10 }));
}

fn refused(schema: Value) -> SchemaError {
    Schema::new(&schema).expect_err("a schema that is refused")
}

#[test]
fn nothing_outside_a_schema_is_fetched() {
    for elsewhere in
        ["http://localhost:1/s.json", "https://example.com/s.json", "file:///etc/hostname", "other.json"]
    {
        assert!(
            matches!(refused(json!({ "$ref": elsewhere })), SchemaError::Work(TooMuch::Reference(_))),
            "{elsewhere}"
        );
    }
}

#[test]
fn broken_schemas_are_told() {
    assert!(matches!(refused(json!({ "type": 7 })), SchemaError::Broken { .. }));
    assert!(matches!(refused(json!({ "pattern": "(" })), SchemaError::Broken { .. }));
    assert!(matches!(refused(json!({ "pattern": "(a{1000}){1000}" })), SchemaError::Broken { .. }));
    assert!(matches!(refused(json!({ "$ref": "#/$defs/none" })), SchemaError::Work(TooMuch::Reference(_))));
    assert!(matches!(refused(json!({ "description": "x".repeat(300_000) })), SchemaError::TooLong { .. }));
}

#[test]
fn a_schema_that_refers_to_itself_without_end_is_refused() {
    for endless in [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] }),
        json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "not": { "$ref": "#/$defs/a" } } }, "$ref": "#/$defs/a" }),
        json!({ "if": { "$ref": "#" } }),
    ] {
        let outcome = Schema::new(&endless).map(|schema| schema.check("1").is_ok());
        assert_eq!(outcome, Err(SchemaError::Work(TooMuch::Endless)), "{endless}");
    }
    let tree =
        json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } });
    let tree = Schema::new(&tree).expect("a tree refers to itself, but deeper in the value");
    assert!(tree.check(r#"{"left":{"right":{}}}"#).is_ok());
    assert!(tree.check(r#"{"left":{"right":1}}"#).is_err());
}

/// Small schemas that ask for work without bound, at once or as a value goes deeper.
#[test]
fn checks_that_multiply_are_refused() {
    let mut defs = serde_json::Map::new();
    for at in 0..40 {
        let next = format!("#/$defs/d{}", at + 1);
        defs.insert(format!("d{at}"), json!({ "allOf": [{ "$ref": next }, { "$ref": next }] }));
    }
    defs.insert("d40".to_owned(), json!({ "type": "integer" }));
    let schema = json!({ "$defs": defs, "$ref": "#/$defs/d0" });
    assert!(matches!(refused(schema), SchemaError::Work(TooMuch::Large { what: "checks", .. })));

    let deeper = json!({ "properties": { "a": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } } });
    let schema = Schema::new(&deeper).expect("each level costs little");
    assert!(schema.check(r#"{"a":{"a":{}}}"#).is_ok());
    let output = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    assert!(matches!(schema.check(&output), Err(Mismatch::Work(TooMuch::Large { .. }))));
}

/// What stands where no schema is looked for becomes one when it is referred to.
#[test]
fn references_into_what_is_no_schema_are_looked_through() {
    for reference in ["$ref", "$dynamicRef", "$recursiveRef"] {
        let mut levels = serde_json::Map::new();
        for at in 0..40 {
            let next = json!({ reference: format!("#/default/l{}", at + 1) });
            levels.insert(format!("l{at}"), json!({ "allOf": [next, next] }));
        }
        levels.insert("l40".to_owned(), json!({ "type": "integer" }));
        let schema = json!({
            "type": "object", "properties": { "a": { "$ref": "#/default/l0" } }, "default": levels,
        });
        assert!(matches!(refused(schema), SchemaError::Work(_)), "{reference}");
    }
    for place in ["default", "examples", "enum", "const"] {
        let hidden = |schema: Value| json!({ "$ref": format!("#/{place}/0"), place: [schema, 1] });
        let far = hidden(json!({ "items": { "$dynamicRef": "#" } }));
        assert!(matches!(refused(far), SchemaError::Work(TooMuch::Reference(_))), "{place}");
        let further =
            hidden(json!({ "items": { "$ref": format!("#/{place}/0/enum/0") }, "enum": [{ "$id": "x" }] }));
        assert!(matches!(refused(further), SchemaError::Work(TooMuch::Reference(_))), "{place}");
    }
    let sound = json!({ "properties": { "a": { "$ref": "#/default/b" } }, "default": { "b": { "type": "integer" } } });
    let sound = Schema::new(&sound).expect("it asks for little");
    assert!(sound.check(r#"{"a":1}"#).is_ok());
    assert!(sound.check(r#"{"a":"one"}"#).is_err());
}

/// Many checks on many values, with references and without: too many are refused before there is room taken for
/// all of them.
#[test]
fn many_checks_on_many_values_are_refused() {
    let value = format!("{{\"a\":[{}]}}", vec!["0"; 30_000].join(","));
    for first in [json!({ "$ref": "#/$defs/x" }), json!({})] {
        let mut all = vec![json!({ "items": {} }); 4000];
        all.push(first);
        let schema = json!({ "$defs": { "x": {} }, "properties": { "a": { "allOf": all } } });
        let schema = Schema::new(&schema).expect("it asks for little by itself");
        let before = std::time::Instant::now();
        let outcome = schema.check(&value);
        assert!(matches!(outcome, Err(Mismatch::Work(TooMuch::Large { what: "checks", .. }))), "{outcome:?}");
        assert!(before.elapsed() < std::time::Duration::from_secs(10), "{:?}", before.elapsed());
    }
}

/// A megabyte of ordinary records costs far less than is allowed.
#[test]
fn ordinary_output_is_taken_whatever_its_length() {
    let record = json!({
        "id": 12, "name": "Okafor", "paid": true, "total": 1.5, "lines": [{ "sku": "A-1", "n": 1 }], "note": null,
    });
    let records: Vec<Value> = vec![record; 10_000];
    let properties = json!({
        "id": { "type": "integer" }, "name": { "type": "string" }, "paid": { "type": "boolean" },
        "total": { "type": "number", "minimum": 0 }, "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
        "lines": { "type": "array", "items": { "$ref": "#/$defs/line" } },
    });
    let schema = json!({
        "$defs": { "line": { "properties": { "sku": { "type": "string" }, "n": { "type": "integer" } } } },
        "type": "array",
        "items": { "type": "object", "properties": properties, "required": ["id"], "additionalProperties": false },
    });
    let (schema, output) = (Schema::new(&schema).expect("a sound schema"), Value::from(records).to_string());
    assert!(output.len() > 900_000, "{}", output.len());
    assert!(schema.check(&output).is_ok());
}

#[test]
fn long_chains_and_many_patterns_are_refused() {
    let mut defs: serde_json::Map<String, Value> =
        (0..2000).map(|at| (format!("d{at}"), json!({ "$ref": format!("#/$defs/d{}", at + 1) }))).collect();
    defs.insert("d2000".to_owned(), json!({}));
    let chain = json!({ "$defs": defs, "$ref": "#/$defs/d0" });
    assert!(matches!(refused(chain), SchemaError::Work(TooMuch::Large { .. })));
    let patterns: serde_json::Map<String, Value> =
        (0..100).map(|at| (format!("^{at}$"), json!({}))).collect();
    let patterns = json!({ "patternProperties": patterns });
    assert!(matches!(refused(patterns), SchemaError::Work(TooMuch::Large { what: "patterns", .. })));
    let ids = json!({ "properties": { "a": { "$id": "http://localhost/a", "$ref": "#/x" } } });
    assert!(matches!(refused(ids), SchemaError::Work(TooMuch::Reference(_))));
    let beneath = json!({ "properties": { "enum": { "$ref": "http://localhost/a" } } });
    assert!(matches!(refused(beneath), SchemaError::Work(TooMuch::Reference(_))));
    let named_so = json!({ "properties": { "$id": { "type": "string" }, "pattern": { "type": "string" } } });
    assert!(Schema::new(&named_so).is_ok());
}
