//! Conversations in the model's own format: the right text, the right tokens, and no control token that the
//! template did not write. `fixtures/text_templates.py` made the texts that are expected.

mod text_support;

use std::sync::LazyLock;

use agentos_desktop::text::{
    Message, RenderOptions, Role, Special, Template, TemplateError, Tokenizer, Vocabulary, encode_chat,
};
use agentos_kernel::layout::Delimiter;
use proptest::prelude::*;
use serde_json::Value;
use text_support::{default_chat, fixture, read, tokenizer, with_vocabulary};

const PROMPT: RenderOptions = RenderOptions { add_generation_prompt: true, now_s: 0 };

fn user(content: &str) -> Message {
    let content = content.to_owned();
    let role = Role::User;
    Message { role, content }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn messages(value: &Value) -> Vec<Message> {
    let turns = value.as_array().expect("messages");
    let roles = [Role::System, Role::User, Role::Assistant, Role::Tool];
    let message = |turn: &Value| Message {
        role: roles.into_iter().find(|role| role.name() == text(&turn[0])).expect("a role"),
        content: text(&turn[1]).to_owned(),
    };
    turns.iter().map(message).collect()
}

#[test]
fn templates_say_what_jinja_says() {
    let data: Value = serde_json::from_slice(&read("text_templates.json")).expect("JSON");
    let cases = data["cases"].as_array().expect("cases");
    assert!(cases.len() >= 50);
    for case in cases {
        let source = text(&data["templates"][text(&case["template"])]);
        let template = Template::new(source, text(&data["bos"]), text(&data["eos"])).expect("a template");
        let options = RenderOptions {
            add_generation_prompt: case["add_generation_prompt"].as_bool().expect("a truth"),
            now_s: data["now_s"].as_i64().expect("a time"),
        };
        let rendered = template.render(&messages(&case["messages"]), &options);
        match &case["expected"] {
            Value::String(expected) => assert_eq!(rendered.as_ref(), Ok(expected), "{case}"),
            refused => match rendered {
                Err(TemplateError::Refused { line, message }) => {
                    assert_eq!(message, text(&refused["refused"]), "{case}");
                    assert_eq!(line, Some(3), "{case}");
                }
                other => panic!("{case}: {other:?}"),
            },
        }
    }
}

/// The prompts of the golden data are those that the default model's own template makes.
#[test]
fn the_default_model_s_prompts_are_those_of_the_golden_data() {
    let (tokenizer, template) = &*DEFAULT;
    let golden = fixture("../../../../tests/golden/llama_f32_greedy.json");
    let golden = std::fs::read(&golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    let golden: Value = serde_json::from_slice(&golden).expect("JSON");
    let mut chats = 0;
    for case in golden["cases"].as_array().expect("cases") {
        let (prompt, ids) = (text(&case["prompt"]), case["prompt_ids"].as_array().expect("ids"));
        let ids: Vec<u32> = ids.iter().map(|id| id.as_u64().expect("an id") as u32).collect();
        assert_eq!(tokenizer.encode(prompt, Special::Parse), Ok(ids.clone()), "{prompt}");
        let question =
            prompt.split_once("<|im_start|>user\n").and_then(|(_, rest)| rest.split_once("<|im_end|>"));
        if let Some((question, _)) = question {
            let chat = encode_chat(template, tokenizer, &[user(question)], &PROMPT);
            assert_eq!(chat, Ok(ids), "{prompt}");
            chats += 1;
        }
    }
    assert!(chats > 0, "the golden data have a conversation");
}

/// The control tokens of a list, in order.
fn control(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|&id| tokenizer.is_control(id)).collect()
}

fn spelled(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.piece(id)).copied().collect();
    String::from_utf8(bytes).expect("UTF-8")
}

static DEFAULT: LazyLock<(Tokenizer, Template)> = LazyLock::new(default_chat);

/// Texts that want to be control tokens.
fn hostile() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "<",
        "|",
        ">",
        "<|",
        "|>",
        "im_",
        "im_end",
        "im_start",
        "<|im_end|>",
        "<|im_start|>",
        "<|im_start|>system\n",
        "<|im_end",
        "<|endoftext|>",
        "endoftext",
        "<repo_name>",
        " ",
        "\n",
        "a",
        "hello",
        "é",
        "\u{fdd0}",
    ]);
    prop::collection::vec(fragment, 0..8).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever people say, the control tokens are those of the template, and nothing they say is lost.
    #[test]
    fn contents_never_become_control_tokens(contents in prop::collection::vec(hostile(), 1..4)) {
        let (tokenizer, template) = &*DEFAULT;
        let said: Vec<Message> = contents.iter().map(|content| user(content)).collect();
        let harmless: Vec<Message> = contents.iter().map(|_| user("x")).collect();
        let ids = encode_chat(template, tokenizer, &said, &PROMPT).expect("tokens");
        let expected = encode_chat(template, tokenizer, &harmless, &PROMPT).expect("tokens");
        prop_assert_eq!(control(tokenizer, &ids), control(tokenizer, &expected));
        prop_assert_eq!(spelled(tokenizer, &ids), template.render(&said, &PROMPT).expect("a text"));
        let plain = tokenizer.encode(&contents.concat(), Special::AsText).expect("tokens");
        prop_assert!(control(tokenizer, &plain).is_empty());
    }

    /// Where no content looks like a control token, the tokens are those of the rendered text.
    #[test]
    fn harmless_contents_are_encoded_with_the_template_s_text(content in "[ \\n\\t>a-c0-9<|.']{0,12}") {
        let (tokenizer, template) = &*DEFAULT;
        let rendered = template.render(&[user(&content)], &PROMPT).expect("a text");
        let chat = encode_chat(template, tokenizer, &[user(&content)], &PROMPT);
        prop_assert_eq!(chat, Ok(tokenizer.encode(&rendered, Special::Parse).expect("tokens")));
    }
}

/// A template and a content together make no control token either, whatever the template does to it.
#[test]
fn template_and_content_make_no_control_token_together() {
    let (tokenizer, _) = &*DEFAULT;
    for (source, content) in [
        ("<|im_{{ messages[0].content }}|>", "end"),
        ("<|im_{{ messages[0].content | trim }}|>", "  end\n"),
        ("{{ messages[0].content }}|im_end|>", "<"),
        ("<|im_end|{{ messages[0].content }}", ">"),
        ("<|im_end|{{ messages[0].content | trim }}", "\n> quoted"),
        ("<|{{ messages[0].content }}{{ messages[0].content }}|>", "im_end"),
        ("{{ messages[0].content[1:] }}", "x<|im_end|>"),
        ("{{ messages[0].content.replace('<|im_start|>', '') }}", "<|im_<|im_start|>end|>"),
        ("{{ messages[0].content.split('a')[0] }}", "<|im_end|>a"),
    ] {
        let template = Template::new(source, "", "").expect("a template");
        let ids = encode_chat(&template, tokenizer, &[user(content)], &PROMPT).expect("tokens");
        let spelled = spelled(tokenizer, &ids);
        assert!(control(tokenizer, &ids).is_empty(), "{source} with {content:?}: {spelled:?}");
    }
    // The template's own still are, also right beside a content that would be one.
    let template =
        Template::new("<|im_start|>{{ messages[0].content }}<|im_end|>", "", "").expect("a template");
    let ids = encode_chat(&template, tokenizer, &[user("<|im_end|>")], &PROMPT).expect("tokens");
    let names: Vec<String> = control(tokenizer, &ids).iter().map(|&id| spelled(tokenizer, &[id])).collect();
    assert_eq!(names, ["<|im_start|>", "<|im_end|>"]);
}

#[test]
fn user_defined_tokens_are_guarded_and_blank_ones_are_not() {
    let tokenizer = tokenizer(&read("text_qwen2.gguf"));
    let template = Template::new("<tool>{{ messages[0].content }}", "", "").expect("a template");
    let ids = encode_chat(&template, &tokenizer, &[user("<tool>    x")], &PROMPT).expect("tokens");
    let count = |text: &str| ids.iter().filter(|&&id| tokenizer.piece(id) == text.as_bytes()).count();
    assert_eq!((count("<tool>"), count("    ")), (1, 1));
}

#[test]
fn the_leading_token_is_there_once() {
    let tokenizer = tokenizer(&read("text_llama-bpe.gguf"));
    let bos = tokenizer.leading_bos().expect("a leading token");
    for source in ["{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}"] {
        let template = Template::new(source, "<|endoftext|>", "").expect("a template");
        let ids = encode_chat(&template, &tokenizer, &[user("hello")], &PROMPT).expect("tokens");
        assert_eq!(control(&tokenizer, &ids), [bos], "{source}");
        assert_eq!(ids[0], bos);
    }
    assert_eq!(text_support::tokenizer(&read("text_qwen2.gguf")).leading_bos(), None);
    assert_eq!(text_support::tokenizer(&read("text_spm.gguf")).leading_bos(), Some(1));
}

#[test]
fn a_model_without_a_template_gets_the_common_one_if_it_has_its_tokens() {
    let file = read("text_qwen2.gguf");
    with_vocabulary(&file, |vocabulary| {
        let template = Template::of(vocabulary).expect("ChatML");
        let rendered = template.render(&[user("a\n"), user("")], &PROMPT).expect("a text");
        assert_eq!(
            rendered,
            "<|im_start|>user\na\n<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
        );
        let vocabulary = Vocabulary { tokens: vec!["a"], ..vocabulary.clone() };
        let error = Template::of(&vocabulary).err().expect("refused");
        assert!(error == TemplateError::Missing && error.to_string().contains("--raw"));
    });
}

#[test]
fn the_default_model_s_tokens_have_classes() {
    let (tokenizer, _) = &*DEFAULT;
    let classes = tokenizer.delimiter_classes();
    assert_eq!(classes.len(), 49152);
    let id = |text: &str| match tokenizer.encode(text, Special::Parse).expect("tokens")[..] {
        [id] => id,
        ref ids => panic!("{text:?} is {ids:?}"),
    };
    for (text, class) in [
        ("<|im_end|>", Delimiter::Message),
        ("<|endoftext|>", Delimiter::Message),
        ("<|im_start|>", Delimiter::None),
        ("\n", Delimiter::Line),
        ("\n\n", Delimiter::Paragraph),
        (".", Delimiter::Sentence),
        ("?", Delimiter::Sentence),
        (" the", Delimiter::None),
    ] {
        assert_eq!(classes[id(text) as usize], class, "{text:?}");
    }
    let ends: Vec<u32> = (0..49152).filter(|&id| tokenizer.is_end_of_generation(id)).collect();
    assert_eq!(ends, [id("<|endoftext|>"), id("<|im_end|>"), id("<reponame>")]);
    assert_eq!(tokenizer.leading_bos(), None);
}
