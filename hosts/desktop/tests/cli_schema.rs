//! `agentos generate --json-schema`: an answer is whole and keeps to its schema, or there is none.

mod cli_support;

use cli_support::{Desk, Tiny};
use serde_json::{Value, json};

fn desk(schema: &Value) -> Desk {
    let desk = Desk::tiny();
    desk.put("schema.json", schema.to_string().as_bytes());
    desk
}

const ASK: [&str; 4] = ["--prompt", "Hello", "--json-schema", "schema.json"];

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "kind": {"enum": ["keeper", "fisher", 3, null]},
            "age": {"type": "integer", "minimum": 0, "maximum": 130},
            "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}
        },
        "required": ["name", "kind", "age", "tags"],
        "additionalProperties": false
    })
}

fn check(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    let object = value.as_object().unwrap();
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["age", "kind", "name", "tags"]);
    assert!(value["name"].as_str().unwrap().chars().count() <= 12);
    assert!([json!("keeper"), json!("fisher"), json!(3), json!(null)].contains(&value["kind"]));
    assert!(value["age"].as_u64().unwrap() <= 130);
    assert!(value["tags"].as_array().unwrap().iter().all(Value::is_boolean));
}

#[test]
fn an_answer_keeps_to_its_schema_on_every_device() {
    let desk = desk(&person());
    let on = |more: &[&str]| desk.generate(&[&ASK[..], more].concat(), "").printed();
    let text = on(&[]);
    check(&text);
    assert!(text.ends_with("}\n"), "{text:?}");
    for more in [["--backend", "reference"], ["--isa", "portable"]] {
        assert_eq!(on(&more), text, "{more:?}");
    }
    for seed in 0..10 {
        let seed = seed.to_string();
        check(&on(&["--temperature", "3", "--top-k", "200", "--seed", &seed]));
    }
}

#[test]
fn the_report_tells_a_whole_answer() {
    let desk = desk(&person());
    let json = desk.generate(&[&ASK[..], &["--json", "--top-logprobs", "2"]].concat(), "").json();
    check(json["text"].as_str().unwrap());
    assert_eq!(json["finish_reason"], "stop");
    let (top, ids) = (json["top"].as_array().unwrap(), json["output_ids"].as_array().unwrap());
    assert_eq!(top.len(), ids.len());
    let first = &top[0];
    // No other token begins an object.
    assert_eq!((first["id"].clone(), first["logprob"].as_f64()), (json!(u32::from(b'{')), Some(0.0)));
}

#[test]
fn half_an_answer_is_an_error_and_is_not_printed() {
    let desk = desk(&person());
    for more in [&["--max-tokens", "9"][..], &["--max-tokens", "9", "--json"]] {
        desk.generate(&[&ASK[..], more].concat(), "")
            .refuses(1, &["9 tokens were generated, and the answer is not whole", "--max-tokens"]);
    }
    desk.generate(&[&ASK[..], &["--ctx", "40"]].concat(), "")
        .refuses(1, &["the context was full after", "before the answer was whole"]);
    // An endless text has no end by itself.
    let desk = Desk::tiny();
    desk.put("schema.json", br#"{"type": "string", "minLength": 1000}"#);
    desk.generate(&ASK, "").refuses(1, &["before the answer was whole"]);
}

#[test]
fn files_that_are_no_schema_are_refused() {
    let refused = |schema: &[u8], parts: &[&str]| {
        let desk = Desk::tiny();
        desk.put("schema.json", schema);
        desk.generate(&ASK, "").refuses(1, parts);
    };
    refused(b"", &["schema.json is not JSON", "line 1"]);
    refused(b"{", &["schema.json is not JSON"]);
    refused(b"{}{}", &["schema.json is not JSON"]);
    refused(b"\xff", &["schema.json is not UTF-8 text"]);
    refused(&b"[".repeat(100_000), &["schema.json is not JSON", "recursion"]);
    refused(b"[]", &["schema.json", "refused"]);
    refused(br#"{"type": "word"}"#, &["schema.json", "word"]);
    refused(br#"{"properties": {"a": {"not": {}}}}"#, &["schema.json", "at /properties/a says \"not\""]);
    refused(br#"{"$ref": "https://example.org/x"}"#, &["schema.json", "https://example.org/x"]);
    refused(br#"{"minItems": 1e12}"#, &["at /minItems has 1000000000000 as a bound; 10000 would fit"]);
    refused(br#"{"x-guidance": {"lenient": true}, "not": {}}"#, &["says \"not\""]);
    let desk = Desk::tiny();
    desk.generate(&ASK, "").refuses(1, &["schema.json"]);
}

#[test]
fn a_vocabulary_without_the_letters_gets_stuck_with_a_reason() {
    let tiny = Tiny::default();
    let tokens = tiny.tokens.iter().map(|token| if token == "}" { "]]]".to_owned() } else { token.clone() });
    let desk = Desk::new(&Tiny { tokens: tokens.collect(), ..Tiny::default() }.gguf());
    desk.put("schema.json", br#"{"type": "object", "additionalProperties": false}"#);
    desk.generate(&ASK, "").refuses(1, &["no token of the vocabulary goes on as the grammar wants"]);
}
