//! Schemas that somebody wrote to do harm: each is refused with its place and reason, or is harmless.

mod walk;

use std::sync::LazyLock;

use agentos_grammar::{
    Callable, Calls, Grammar, GrammarError, MatchError, Piece, Vocabulary, VocabularyError,
};
use serde_json::{Map, Value, json};
use walk::Chance;

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(walk::vocabulary);

#[track_caller]
fn refused(schema: Value, parts: &[&str]) {
    let error = Grammar::json_schema(&VOCABULARY, &schema).err().expect("the schema is refused").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

/// Whatever becomes of it, it does so soon and without harm; an answer that ends is JSON.
fn harmless(schema: &Value) {
    let Ok(grammar) = Grammar::json_schema(&VOCABULARY, schema) else { return };
    for seed in 0..3 {
        match walk::walk(&grammar, 200, &mut Chance(seed)) {
            Ok(Some(tokens)) => {
                serde_json::from_str::<Value>(&walk::text(&tokens)).unwrap();
            }
            Ok(None) | Err(MatchError::TooComplex { .. } | MatchError::Stuck) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_no_mask_can_hold_is_refused_with_its_place() {
    for keyword in ["not", "if", "contains", "uniqueItems", "propertyNames", "dependentRequired"] {
        let at = format!("at /properties/a/items says \"{keyword}\"");
        refused(json!({"properties": {"a": {"items": {keyword: {}, "type": "array"}}}}), &[&at]);
    }
    let overlapping = json!([{"type": "integer", "minimum": 3}, {"type": "integer", "maximum": 9}]);
    refused(json!({"items": {"oneOf": overlapping}}), &["at /items says \"oneOf\""]);
    refused(json!({"items": {"$id": "http://a/b"}}), &["at /items says \"$id\""]);
    refused(json!({"items": {"$ref": "http://a/b"}}), &["at /items refers to \"http://a/b\""]);
    refused(
        json!({"items": {"$ref": "#/$defs/x"}, "$defs": {"y": {}}}),
        &["at /items refers to \"#/$defs/x\""],
    );
}

#[test]
fn what_nothing_keeps_to_is_refused() {
    refused(json!(false), &["refused"]);
    refused(json!({"type": "integer", "minimum": 3, "maximum": 2}), &["Unsatisfiable", "minimum"]);
    refused(json!({"type": "string", "minLength": 3, "maxLength": 2}), &["Unsatisfiable"]);
    refused(
        json!({"type": "object", "required": ["a"], "properties": {"a": false}}),
        &["'a' is unsatisfiable"],
    );
    refused(json!({"enum": []}), &["nsatisfiable"]);
}

#[test]
fn what_is_no_schema_is_refused() {
    for schema in [json!(null), json!(1), json!("x"), json!([]), json!({"type": "text"}), json!({"type": 3})]
    {
        refused(schema, &["refused"]);
    }
    refused(json!({"pattern": "("}), &["refused"]);
    refused(json!({"format": "\u{1b}[31m"}), &["refused"]);
    refused(json!({"properties": []}), &["refused"]);
}

#[test]
fn what_a_schema_says_to_the_library_is_not_heard() {
    let schema =
        json!({"x-guidance": {"lenient": true, "whitespace_flexible": true}, "not": {"type": "null"}});
    refused(schema, &["\"not\""]);
    let schema = json!({"x-guidance": {"lenient": true}, "type": "null"});
    let grammar = Grammar::json_schema(&VOCABULARY, &schema).unwrap();
    let tokens = walk::walk(&grammar, 20, &mut Chance(1)).unwrap().unwrap();
    assert_eq!(walk::text(&tokens), "null");
}

#[test]
fn large_schemas_end_soon() {
    let names = |count: usize, value: Value| -> Map<String, Value> {
        (0..count).map(|index| (format!("name{index}"), value.clone())).collect()
    };
    let chain: Map<String, Value> = (0..900)
        .map(|index| (format!("d{index}"), json!({"$ref": format!("#/$defs/d{}", index + 1)})))
        .chain([("d900".to_owned(), json!({"type": "null"}))])
        .collect();
    let doubling: Map<String, Value> = (0..40)
        .map(|index| {
            let next = format!("#/$defs/d{}", index + 1);
            (format!("d{index}"), json!({"allOf": [{"$ref": next}, {"$ref": next}], "type": "object"}))
        })
        .chain([("d40".to_owned(), json!({"type": "object"}))])
        .collect();
    let product: Vec<Value> = (0..12)
        .map(|n| json!({"anyOf": (0..12).map(|m| json!({"minLength": n * m})).collect::<Vec<_>>()}))
        .collect();
    let nested = (0..30).fold(json!({"type": "null"}), |inner, _| {
        json!({"anyOf": [{"type": "array", "items": inner}, {"type": "object", "additionalProperties": true}]})
    });
    for schema in [
        json!({"type": "object", "properties": names(900, json!({}))}),
        json!({"type": "object", "properties": names(500, json!({"type": "object"})), "required": ["name499"]}),
        json!({"$ref": "#/$defs/d0", "$defs": chain}),
        json!({"$ref": "#/$defs/d0", "$defs": doubling}),
        json!({"allOf": product}),
        json!({"type": "string", "minLength": 10_000, "maxLength": 10_000}),
        json!({"type": "array", "minItems": 9_999, "maxItems": 10_000, "items": {"type": "array", "minItems": 5000}}),
        json!({"type": "object", "minProperties": 5_000, "additionalProperties": {}}),
        json!({"type": "object", "properties": names(200, json!({})), "minProperties": 100}),
        json!({"pattern": "(a|aa|aaa)*b{1000}(c{500}){2,20}"}),
        json!({"pattern": "((((.{1,99}){1,99}){1,99}){1,99}){1,99}"}),
        json!({"pattern": "(?:a?){500}a{500}"}),
        json!({"type": "string", "pattern": ".*a.{20}", "format": "email"}),
        json!({"patternProperties": (0..32).map(|n| (format!("^[a-{}]{{1,9}}x{n}$", 'z'), json!({}))).collect::<Map<_, _>>()}),
        json!({"enum": (0..9_000).map(|n| format!("value number {n}")).collect::<Vec<_>>()}),
        json!({"type": "number", "multipleOf": 1e-300}),
        json!({"type": "number", "multipleOf": 123456789.125}),
        json!({"type": "integer", "multipleOf": 1e18}),
        json!({"type": "integer", "minimum": -1e300, "maximum": 1e300}),
        json!({"type": "number", "minimum": 1e-300, "maximum": 1e300}),
        json!({"type": "number", "minimum": 0.1, "maximum": 0.1000000001}),
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
        json!({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
        nested,
    ] {
        harmless(&schema);
    }
}

#[test]
fn calls_tell_whose_schema_is_at_fault() {
    assert_eq!(Grammar::call(&VOCABULARY, &Calls::json(&[])).err(), Some(GrammarError::NoChoice));
    assert_eq!(Grammar::choice(&VOCABULARY, &[]).err(), Some(GrammarError::NoChoice));
    assert_eq!(Grammar::choice(&VOCABULARY, &["a", ""]).err(), Some(GrammarError::EmptyChoice { index: 1 }));
    let (right, wrong) = (json!({"type": "object"}), json!({"properties": {"x": {"not": {}}}}));
    let callables = [("a", &right), ("b", &wrong)].map(|(name, arguments)| Callable { name, arguments });
    let error = Grammar::call(&VOCABULARY, &Calls::json(&callables)).err().unwrap();
    assert_eq!(error, GrammarError::Unsupported { at: "/properties/x".into(), keyword: "not".into() });
    for text in ["", "start: x", "start: \"", &"(".repeat(60_000), &"x".repeat(70_000)] {
        assert!(Grammar::lark(&VOCABULARY, text).is_err(), "{text:.20}");
    }
}

#[test]
fn a_token_that_is_not_allowed_changes_nothing() {
    let grammar = Grammar::choice(&VOCABULARY, &["ab"]).unwrap();
    let mut matcher = grammar.matcher();
    let mut mask = vec![0; VOCABULARY.mask_words()];
    for wrong in [u32::from(b'b'), walk::CONTROL, walk::ENDS[0], 100_000, u32::MAX] {
        assert_eq!(matcher.accept(wrong), Err(MatchError::Token { token: wrong }));
        matcher.mask(&mut mask).unwrap();
        assert_eq!(walk::allowed(&mask), [u32::from(b'a')]);
    }
    matcher.accept(u32::from(b'a')).unwrap();
    assert!(!matcher.is_complete());
    matcher.accept(u32::from(b'b')).unwrap();
    assert!(matcher.is_complete() && matcher.is_finished());
    assert!(matcher.forced().is_empty());
    matcher.mask(&mut mask).unwrap();
    assert_eq!(walk::allowed(&mask), walk::ENDS);
    matcher.accept(walk::ENDS[1]).unwrap();
    assert_eq!(matcher.accept(walk::ENDS[1]), Err(MatchError::Token { token: walk::ENDS[1] }));
    assert!(matcher.is_complete());
}

#[test]
fn a_vocabulary_that_lacks_letters_gets_stuck() {
    let pieces = ["{", "}"].map(|text| Piece::Text(text.as_bytes())).into_iter().chain([Piece::End]);
    let vocabulary = Vocabulary::new(pieces, |_| None).unwrap();
    let schema = json!({"type": "object", "required": ["a"]});
    let mut matcher = Grammar::json_schema(&vocabulary, &schema).unwrap().matcher();
    let mut mask = [0];
    matcher.mask(&mut mask).unwrap();
    assert_eq!(mask, [1]);
    matcher.accept(0).unwrap();
    assert_eq!(matcher.mask(&mut mask), Err(MatchError::Stuck));
    assert_eq!(matcher.mask(&mut mask), Err(MatchError::Stuck));
    assert!(!matcher.is_complete() && !matcher.is_finished());
}

#[test]
fn odd_vocabularies_are_taken_or_refused() {
    assert_eq!(Vocabulary::new([Piece::Text(b"a")], |_| None).err(), Some(VocabularyError::NoEnd));
    let long = vec![b'a'; 5000];
    let marked = b"\xff[0]";
    let pieces =
        [Piece::Text(b""), Piece::Text(b"a"), Piece::Text(b"a"), Piece::Text(&long), Piece::Text(marked)];
    let vocabulary = Vocabulary::new(pieces.into_iter().chain([Piece::End]), |_| Some(vec![9, 9])).unwrap();
    let mut matcher = Grammar::choice(&vocabulary, &["aaa"]).unwrap().matcher();
    let mut mask = [0];
    matcher.mask(&mut mask).unwrap();
    assert!(mask[0] & 0b110 != 0 && mask[0] & !0b110 == 0, "{mask:?}");
    let many = std::iter::repeat_n(Piece::Text(&long[..999]), 5000);
    let error = Vocabulary::new(many.chain([Piece::End]), |_| None).err();
    assert!(matches!(error, Some(VocabularyError::TooLarge { what: "bytes of text", .. })), "{error:?}");
}

#[test]
fn what_must_come_is_told_in_the_tokenizers_own_tokens() {
    let bytes: Vec<[u8; 1]> = (0..=255).map(|byte| [byte]).collect();
    let pieces = bytes.iter().map(|byte| Piece::Text(byte)).chain([Piece::Text(b"{\"n"), Piece::End]);
    // This tokenizer has one long token and knows when to use it.
    let tokenize = |text: &str| {
        let rest = text.strip_prefix("{\"n");
        let first = rest.map(|_| 256).into_iter();
        Some(first.chain(rest.unwrap_or(text).bytes().map(u32::from)).collect())
    };
    let vocabulary = Vocabulary::new(pieces, tokenize).unwrap();
    let schema = json!({"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"],
        "additionalProperties": false});
    let mut matcher = Grammar::json_schema(&vocabulary, &schema).unwrap().matcher();
    let forced = matcher.forced();
    assert_eq!(forced[0], 256);
    let text: Vec<u8> = forced[1..].iter().map(|&token| token as u8).collect();
    assert_eq!(text, b"\": ");
    forced.iter().for_each(|&token| matcher.accept(token).unwrap());
    assert!(matcher.forced().is_empty());
    matcher.accept(u32::from(b'2')).unwrap();
    assert_eq!(matcher.forced(), [u32::from(b'}')]);
}
