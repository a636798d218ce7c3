//! Whatever is chosen among the allowed tokens, the answer is valid JSON of its schema.

mod walk;

use std::sync::LazyLock;

use agentos_grammar::{Callable, Calls, Grammar, MatchError, Vocabulary};
use proptest::prelude::*;
use serde_json::{Value, json};
use walk::Chance;

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(walk::vocabulary);

fn text_schema() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"type": "string"})),
        (0..4u32, 0..6u32).prop_map(|(least, more)| {
            json!({"type": "string", "minLength": least, "maxLength": least + more})
        }),
        Just(json!({"type": "string", "pattern": "^[a-z]{2,4}-[0-9]+$"})),
        Just(json!({"type": "string", "pattern": "ab|c\\d"})),
        Just(json!({"type": "string", "format": "date"})),
        Just(json!({"type": "string", "format": "ipv4"})),
    ]
}

fn number_schema() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"type": "integer"})),
        Just(json!({"type": "number"})),
        (-2000..2000i64, 0..500i64).prop_map(|(least, more)| {
            json!({"type": "integer", "minimum": least, "maximum": least + more})
        }),
        (-50..50i64).prop_map(|least| json!({"type": "number", "exclusiveMinimum": least})),
        (-50..50i64).prop_map(|most| json!({"type": "number", "maximum": most as f64 / 4.0})),
        (1..9u64).prop_map(|step| json!({"type": "integer", "multipleOf": step})),
        Just(json!({"type": "integer", "minimum": 1e21})),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => text_schema(),
        3 => number_schema(),
        1 => Just(json!({"type": "boolean"})),
        1 => Just(json!({"type": "null"})),
        1 => Just(json!({"enum": ["red", 7, null, [1, "x"], {"a": 2.5}, "\"\\\n é"]})),
        1 => Just(json!({"const": {"k": "v"}})),
        1 => Just(json!({"type": ["integer", "boolean", "null"]})),
        1 => Just(json!({})),
        1 => Just(json!(true)),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        let names = prop::sample::subsequence(vec!["a", "name", "with space", "quote\"", "日"], 1..5);
        prop_oneof![
            (inner.clone(), 0..3u32, 0..3u32).prop_map(|(items, least, more)| {
                json!({"type": "array", "items": items, "minItems": least, "maxItems": least + more})
            }),
            (prop::collection::vec(inner.clone(), 1..3), any::<bool>())
                .prop_map(|(first, more)| { json!({"type": "array", "prefixItems": first, "items": more}) }),
            (names, prop::collection::vec(inner.clone(), 5), any::<u8>(), any::<bool>()).prop_map(
                |(names, schemas, required, closed)| {
                    let needed = |(index, _): &(usize, &&str)| required >> index & 1 == 1;
                    let needed: Vec<_> =
                        names.iter().enumerate().filter(needed).map(|(_, name)| *name).collect();
                    let properties: serde_json::Map<String, Value> =
                        names.iter().zip(schemas).map(|(&name, schema)| (name.to_owned(), schema)).collect();
                    json!({"type": "object", "properties": properties, "required": needed,
                           "additionalProperties": !closed})
                }
            ),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({"anyOf": any})),
            inner.clone().prop_map(|value| {
                json!({"type": "object", "additionalProperties": value, "maxProperties": 3})
            }),
            inner.prop_map(|leaf| {
                json!({"$defs": {"tree": {"type": "object", "properties": {
                    "leaf": leaf, "next": {"$ref": "#/$defs/tree"}}, "additionalProperties": false}},
                    "$ref": "#/$defs/tree"})
            }),
        ]
    })
}

/// The text of an answer by chance, if it ends in time.
fn answer(grammar: &Grammar, seed: u64) -> Option<String> {
    match walk::walk(grammar, 400, &mut Chance(seed)) {
        Ok(tokens) => tokens.map(|tokens| walk::text(&tokens)),
        Err(MatchError::TooComplex { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn check(schema: &Value, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    if let Err(error) = jsonschema::validate(schema, &value) {
        panic!("{error}: {text} for {schema}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_keeps_to_its_schema(schema in schema(), seed in any::<u64>()) {
        // References inside a part count from the whole, so such a schema may not be taken as a part.
        let Ok(grammar) = Grammar::json_schema(&VOCABULARY, &schema) else {
            return Err(TestCaseError::reject("not taken"));
        };
        for turn in 0..4 {
            if let Some(text) = answer(&grammar, seed ^ turn) {
                check(&schema, &text);
            }
        }
    }

    #[test]
    fn a_clone_and_a_replay_allow_what_the_first_allows(seed in any::<u64>(), split in 0usize..30) {
        let schema = json!({"type": "object", "properties": {
            "n": {"type": "number"}, "list": {"type": "array", "items": {"enum": ["aa", "ab", 12, 120]}}},
            "required": ["n", "list"], "additionalProperties": false});
        let grammar = Grammar::json_schema(&VOCABULARY, &schema).unwrap();
        let mut chance = Chance(seed);
        let Some(tokens) = walk::walk(&grammar, 400, &mut chance).unwrap() else { return Ok(()) };
        let masks = |matcher: &mut agentos_grammar::Matcher, tokens: &[u32]| {
            let mut all = Vec::new();
            for &token in tokens {
                let mut mask = vec![0; VOCABULARY.mask_words()];
                matcher.mask(&mut mask).unwrap();
                all.push(mask);
                matcher.accept(token).unwrap();
            }
            all
        };
        let (before, after) = tokens.split_at(split.min(tokens.len()));
        let mut first = grammar.matcher();
        masks(&mut first, before);
        let mut fork = first.clone();
        let expected = masks(&mut first, after);
        prop_assert_eq!(masks(&mut fork, after), expected.clone());
        // A restore accepts the tokens without asking for masks.
        let mut restored = grammar.matcher();
        before.iter().for_each(|&token| restored.accept(token).unwrap());
        prop_assert_eq!(masks(&mut restored, after), expected);
    }
}

#[test]
fn calls_name_a_tool_and_keep_to_its_schema() {
    let schemas = [
        json!({"type": "object", "properties": {"path": {"type": "string", "maxLength": 5}},
               "required": ["path"], "additionalProperties": false}),
        json!({"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"],
               "additionalProperties": false, "$defs": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}}),
    ];
    let names = ["read \"it\"", "count"];
    let callables = [0, 1].map(|index| Callable { name: names[index], arguments: &schemas[index] });
    let grammar = Grammar::call(&VOCABULARY, &Calls::json(&callables)).unwrap();
    let mut called = [0; 2];
    for seed in 0..60 {
        let Some(text) = answer(&grammar, seed) else { continue };
        let call: Value = serde_json::from_str(&text).unwrap();
        let index = names.iter().position(|name| call["name"] == *name).unwrap();
        called[index] += 1;
        check(&schemas[index], &call["arguments"].to_string());
        assert_eq!(call.as_object().unwrap().len(), 2);
    }
    assert!(called.iter().all(|&calls| calls > 5), "{called:?}");
}

#[test]
fn a_call_or_else_an_answer_is_one_of_the_two() {
    let none = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
                        "required": ["n"], "additionalProperties": false});
    let callables = [Callable { name: "ring", arguments: &none }];
    let grammar =
        Grammar::call_or_answer(&VOCABULARY, ("<call>", &Calls::json(&callables)), &schema).unwrap();
    let (mut calls, mut answers) = (0, 0);
    for seed in 0..60u64 {
        let Some(text) = answer(&grammar, seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) else { continue };
        match text.strip_prefix("<call>") {
            Some(call) => {
                assert_eq!(call, r#"{"name": "ring", "arguments": {}}"#);
                calls += 1;
            }
            None => {
                check(&schema, &text);
                answers += 1;
            }
        }
    }
    assert!(calls > 5 && answers > 5, "{calls} calls and {answers} answers");
    let wrong = json!({"not": {"type": "string"}});
    assert!(Grammar::call_or_answer(&VOCABULARY, ("<call>", &Calls::json(&callables)), &wrong).is_err());
}

#[test]
fn a_choice_is_one_of_the_texts() {
    let choices = ["yes", "yes, but", "no\n\"way\"", "日本"];
    let grammar = Grammar::choice(&VOCABULARY, &choices).unwrap();
    let mut seen: Vec<String> = (0..100).filter_map(|seed| answer(&grammar, seed)).collect();
    seen.sort_unstable();
    seen.dedup();
    let mut expected = choices.to_vec();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[test]
fn what_is_rehearsed_allows_the_same() {
    let vocabulary = &*VOCABULARY;
    for (seed, schema) in [
        json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}, "required": ["name"]}),
        json!({"type": "array", "items": {"type": "number"}, "maxItems": 3}),
        json!({"enum": ["one", "two", {"three": [3]}]}),
    ]
    .iter()
    .enumerate()
    {
        let mut rehearsed = Grammar::json_schema(vocabulary, schema).unwrap();
        rehearsed.rehearse();
        for round in 0..20 {
            let fresh = Grammar::json_schema(vocabulary, schema).unwrap();
            let chance = || Chance((seed * 100 + round) as u64);
            // The walk asks for the mask before each token: the same masks make the same answer, also where one
            // has kept what another walk found out.
            assert_eq!(walk::walk(&fresh, 60, &mut chance()), walk::walk(&rehearsed, 60, &mut chance()), "{schema}");
        }
    }
}
