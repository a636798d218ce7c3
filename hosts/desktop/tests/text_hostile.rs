//! Vocabularies and templates that lie are refused by name, and cost only what they may.

mod text_support;

use agentos_desktop::text::{
    Message, RenderOptions, Role, Special, Template, TemplateError, Tokenizer, TokenizerError, Vocabulary,
};
use proptest::prelude::*;
use text_support::{read, with_vocabulary};

/// A vocabulary of the letters a to d, two merges and two control tokens.
fn letters() -> Vocabulary<'static> {
    Vocabulary {
        model: "gpt2",
        pre: Some("gpt-2"),
        tokens: vec!["a", "b", "c", "d", "ab", "abc", "<s>", "cd"],
        merges: vec!["a b", "ab c"],
        types: vec![1, 1, 1, 1, 1, 1, 3, 3],
        ..Vocabulary::default()
    }
}

fn refusal(change: impl FnOnce(&mut Vocabulary<'static>)) -> TokenizerError {
    let mut vocabulary = letters();
    change(&mut vocabulary);
    Tokenizer::new(&vocabulary).err().expect("refused")
}

#[test]
fn a_lying_vocabulary_is_refused_by_name() {
    assert!(Tokenizer::new(&letters()).is_ok());
    let spm = |vocabulary: &mut Vocabulary<'static>| {
        vocabulary.model = "llama";
        vocabulary.scores = vec![0.0; 8];
    };
    let cases: [(TokenizerError, &str); 12] = [
        (refusal(|v| v.model = "bert"), "of the kind \"bert\"; known kinds are"),
        (refusal(|v| v.pre = Some("tekken")), "\"tekken\"; known ones are llama-bpe, "),
        (refusal(|v| v.tokens.clear()), "tokenizer.ggml.tokens is missing or not a list of at least one"),
        (refusal(|v| v.merges.clear()), "tokenizer.ggml.merges is missing"),
        (refusal(|v| v.types.truncate(7)), "tokenizer.ggml.token_type has 7 entries; the vocabulary has 8"),
        (refusal(|v| v.tokens[3] = "a"), "tokens 0 and 3 of the vocabulary have the same text"),
        (refusal(|v| v.merges.push("a d")), "merge 2 of the vocabulary, \"a d\", is not two tokens"),
        (refusal(|v| v.merges.push("ab")), "merge 2 of the vocabulary, \"ab\""),
        (refusal(|v| v.eos = Some(8)), "the end-of-text token is 8, but the vocabulary has only 8"),
        (refusal(|v| v.ends.push(u32::MAX)), "the end-of-generation token is 4294967295"),
        (
            refusal(|v| {
                spm(v);
                v.scores.pop();
            }),
            "tokenizer.ggml.scores has 7 entries",
        ),
        (
            refusal(|v| {
                spm(v);
                v.scores[2] = f32::NAN;
            }),
            "the score of token 2 is not a number",
        ),
    ];
    for (error, message) in cases {
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// A file whose merges lead to a control token cannot smuggle it into texts, and neither can scores.
#[test]
fn merging_never_makes_a_control_token() {
    let mut vocabulary = letters();
    vocabulary.merges.push("c d");
    let tokenizer = Tokenizer::new(&vocabulary).expect("a tokenizer");
    assert_eq!(tokenizer.encode("abcd", Special::AsText), Ok(vec![5, 3]));
    assert_eq!(tokenizer.encode("cd", Special::AsText), Ok(vec![2, 3]));
    assert_eq!(tokenizer.encode("abcd", Special::Parse), Ok(vec![4, 7]));

    vocabulary.pre = Some("llama-bpe");
    let tokenizer = Tokenizer::new(&vocabulary).expect("a tokenizer");
    assert_eq!(tokenizer.encode("cd", Special::AsText), Ok(vec![2, 3]));

    vocabulary.model = "llama";
    vocabulary.add_space_prefix = Some(false);
    vocabulary.scores = vec![0.0; 8];
    let tokenizer = Tokenizer::new(&vocabulary).expect("a tokenizer");
    assert_eq!(tokenizer.encode("cd", Special::AsText), Ok(vec![2, 3]));
}

#[test]
fn a_file_s_key_of_a_wrong_type_is_refused_by_name() {
    // The type of `add_bos_token` or any other value can be whatever its writer wanted.
    let mut file = read("text_gpt-2.gguf");
    let key = b"tokenizer.ggml.bos_token_id";
    let at = file.windows(key.len()).position(|bytes| bytes == key).expect("the key") + key.len();
    file[at] = 6; // A number with a point.
    let mut index =
        vec![agentos_gguf::IndexEntry::default(); agentos_gguf::Gguf::index_len(&file).expect("GGUF")];
    let gguf = agentos_gguf::Gguf::parse(&file, &mut index).expect("GGUF");
    let error = Vocabulary::from_gguf(&gguf).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the model file's tokenizer.ggml.bos_token_id is missing or not a token id"
    );
}

proptest! {
    /// No vocabulary makes the tokenizer panic, and what it accepts encodes and decodes.
    #[test]
    fn any_vocabulary_is_refused_or_works(
        texts in prop::collection::vec("[ab<▁Ġ ĉ]{0,3}|<0x[0-9A-F]{2}>|\\PC{0,2}", 0..12),
        types in prop::collection::vec(0u32..8, 0..12),
        scores in prop::collection::vec(prop_oneof![any::<f32>(), Just(0.0), Just(-1.0)], 0..12),
        merges in prop::collection::vec("[abĠ]{0,2} ?[abĠ]{0,2}", 0..4),
        (model, pre) in prop::sample::select(vec![("gpt2", "gpt-2"), ("gpt2", "llama3"), ("llama", "")]),
        text in "[ab<▁ \\n0-9]{0,12}|\\PC{0,12}",
    ) {
        let tokens: Vec<&str> = texts.iter().map(String::as_str).collect();
        let fit = |mut types: Vec<u32>| { types.resize(tokens.len(), 1); types };
        let mut fitted = scores;
        fitted.resize(tokens.len(), 0.0);
        let vocabulary = Vocabulary {
            model,
            pre: Some(pre),
            types: fit(types),
            scores: fitted,
            merges: merges.iter().map(String::as_str).collect(),
            tokens: tokens.clone(),
            ..Vocabulary::default()
        };
        if let Ok(tokenizer) = Tokenizer::new(&vocabulary) {
            for special in [Special::Parse, Special::AsText] {
                let ids = tokenizer.encode(&text, special).expect("tokens");
                prop_assert!(ids.iter().all(|&id| id < tokenizer.vocab_size()));
                tokenizer.decode(&ids);
            }
            prop_assert_eq!(tokenizer.piece(u32::MAX), b"");
        }
    }
}

/// Long runs without a word's end cost n log n, not n².
#[test]
fn a_text_of_one_long_word_is_encoded() {
    for name in ["text_gpt-2.gguf", "text_llama-bpe.gguf", "text_spm.gguf"] {
        let tokenizer = text_support::tokenizer(&read(name));
        for unit in ["a", " ", "ab", "\n", "<|im_end|", "中"] {
            let text = unit.repeat(200_000);
            let ids = tokenizer.encode(&text, Special::AsText).expect("tokens");
            assert_eq!(tokenizer.decode(&ids).len(), text.len(), "{name}: {unit:?}");
        }
    }
}

const OPTIONS: RenderOptions = RenderOptions { add_generation_prompt: true, now_s: 0 };

fn render(source: &str) -> Result<String, TemplateError> {
    let content = "hello".to_owned();
    let role = Role::User;
    Template::new(source, "", "")?.render(&[Message { role, content }], &OPTIONS)
}

#[test]
fn a_template_without_end_runs_out_of_fuel() {
    let nested = "{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}";
    let doubling = "{% set ns = namespace(s='0123456789') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
    let product = "{{ ('x' * 99999999) * 9 }}";
    for source in [nested, doubling, product] {
        let error = render(&format!("one\n{source}")).expect_err(source);
        assert_eq!(error, TemplateError::OutOfFuel { line: Some(2) }, "{source}");
    }
}

#[test]
fn a_broken_template_is_refused_with_its_line() {
    let deep = format!("\n{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let recursion = "\n{%- macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    for (source, line, message) in [
        ("a\n{% if %}", Some(2), "syntax error"),
        ("a\n\n{% frob %}", Some(3), "unknown statement frob"),
        ("\n{{ messages | frobnicate }}", Some(2), "frobnicate"),
        ("\n{{ messages[9].content.x }}", Some(2), "undefined"),
        ("\n{{ strftime_now('%Q') }}", Some(2), "%Q"),
        ("\n{% include 'other' %}", Some(2), "include"),
        (&deep, Some(2), "recursion"),
        (recursion, Some(2), "recursion"),
    ] {
        match render(source) {
            Err(TemplateError::Broken { line: found, message: text }) => {
                assert!(text.contains(message), "{source}: {text}");
                assert_eq!(found, line, "{source}");
            }
            other => panic!("{source}: {other:?}"),
        }
    }
    let long = " ".repeat((1 << 20) + 1);
    assert!(matches!(render(&long), Err(TemplateError::TooLong { .. })));
}

#[test]
fn every_small_vocabulary_is_accepted() {
    for name in ["llama-bpe", "qwen2", "gpt-2", "default", "spm"] {
        with_vocabulary(&read(&format!("text_{name}.gguf")), |vocabulary| {
            assert!(Tokenizer::new(vocabulary).is_ok(), "{name}");
        });
    }
}
