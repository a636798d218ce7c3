//! Agents that call tools as the model's own template writes calls, on a small model whose words are known.

mod cli_support;
mod team_support;

use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_desktop::team::prompt::Chat;
use agentos_desktop::team::tools::words;
use agentos_desktop::text::{Conversation, Message, RenderOptions, Role, Template, ToolCall, encode_chat};
use agentos_tools::calculator::calculator;
use agentos_tools::{Descriptor, Pool, PoolLimits};
use cli_support::tiny::IM_END;
use cli_support::{Desk, Tiny};
use serde_json::{Value, json};
use team_support::Lines;

const TEAM: &str = "[[agent]]\nname = \"clerk\"\nprompt = \"How much is 4?\"\nmax_tokens = 120\n\
                    tools = { use = [\"calculator\"], choose = \"model\", calls = 1 }\n";

fn descriptor() -> Descriptor {
    let limits = PoolLimits { threads: 1.try_into().unwrap(), queue: 1 };
    calculator(&Pool::new(limits, || ())).unwrap().descriptor
}

fn byte(byte: u8) -> u32 {
    u32::from(byte)
}

/// A model with this template and these tokens besides. It computes 4, and says "ok" behind a colon.
struct Rig {
    model: Tiny,
}

impl Rig {
    /// What begins its answers: a line's end at first, and a colon once it has called.
    const PROMPT: [&str; 2] = ["{{- 'BEGIN' }}", "{{- 'BEGIN' if messages | length < MANY else 'LATER' }}"];

    fn new(source: &str, tokens: &[(&str, u32)], begins: &str, many: usize) -> Rig {
        let [one, two] = Rig::PROMPT.map(|text| text.replace("BEGIN", begins));
        let later = begins.trim_end_matches("\\n").to_owned() + ":";
        let two = two.replace("LATER", &later).replace("MANY", &many.to_string());
        let (before, after) = source.rsplit_once(&one).unwrap_or((source, ""));
        let source = [before, if after.is_empty() { "" } else { &two }, after].concat();
        let mut model =
            Tiny { context: 4096, template: Some(Box::leak(source.into_boxed_str())), ..Tiny::default() };
        for &(text, kind) in tokens {
            model.tokens.push(text.replace(' ', "\u{120}"));
            model.types.push(kind);
            model.rows += 1;
        }
        let ends = IM_END as u32;
        model.script = vec![
            (byte(b'"'), byte(b'4'), 9.0),
            (byte(b'4'), byte(b'"'), 9.0),
            (byte(b':'), byte(b'o'), 9.0),
            (byte(b'o'), byte(b'k'), 9.0),
            (byte(b'k'), ends, 9.0),
        ];
        Rig { model }
    }

    fn token(&self, text: &str) -> u32 {
        let text = text.replace(' ', "\u{120}");
        self.model.tokens.iter().position(|token| *token == text).expect("a token") as u32
    }

    /// It likes to say the one after the other.
    fn likes(mut self, after: &str, next: &str) -> Rig {
        let [after, next] = [after, next].map(|text| match text.as_bytes() {
            [one] => byte(*one),
            _ => self.token(text),
        });
        self.model.script.push((after, next, 9.0));
        self.model.script.sort_unstable_by_key(|&(from, ..)| from);
        self
    }

    fn desk(&self) -> Desk {
        Desk::new(&self.model.gguf())
    }
}

fn hermes() -> Rig {
    let tokens = [("<tool_call>", 4), ("</tool_call>", 4), ("<tool_response>", 4), ("</tool_response>", 4)];
    let source = include_str!("fixtures/tools_hermes.jinja");
    Rig::new(source, &tokens, "<|im_start|>assistant\\n", 3).likes("\n", "<tool_call>")
}

fn llama3() -> Rig {
    let control = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|python_tag|>"];
    let tokens: Vec<(&str, u32)> =
        control.iter().map(|text| (*text, 3)).chain([("{\"name\": \"cal", 1)]).collect();
    let source = include_str!("fixtures/tools_llama3.jinja");
    Rig::new(source, &tokens, "<|start_header_id|>assistant<|end_header_id|>\\n\\n", 2)
        .likes("\n", "{\"name\": \"cal")
}

fn mistral() -> Rig {
    let control = ["[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"];
    let tokens: Vec<(&str, u32)> =
        control.iter().chain(&["[TOOL_RESULTS]", "[/TOOL_RESULTS]"]).map(|text| (*text, 3)).collect();
    Rig::new(include_str!("fixtures/tools_mistral.jinja"), &tokens, "", 0)
        .likes("[/INST]", "[TOOL_CALLS]")
        .likes("[/TOOL_RESULTS]", "o")
}

/// The call and its result are in the context as the template writes them, and the answer comes behind.
#[test]
fn calls_and_results_are_those_of_the_template() {
    for (rig, call) in [
        (hermes(), "<tool_call>\n{\"name\": \"calculator\", \"arguments\": {\"expression\": \"4\"}}\n"),
        (llama3(), "{\"name\": \"calculator\", \"parameters\": {\"expression\": \"4\"}}"),
        (mistral(), "[{\"name\": \"calculator\", \"arguments\": {\"expression\": \"4\"}, \"id\": \""),
    ] {
        let desk = rig.desk();
        let lines = Lines::of(&desk.team(TEAM, &["--json"]));
        let called = lines.one("tool_called", "clerk");
        let arguments = r#"{"expression":"4"}"#;
        assert_eq!(
            (&called["tool"], &called["arguments"]),
            (&"calculator".into(), &arguments.into()),
            "{call}"
        );
        let result = lines.one("tool_result", "clerk")["text"].as_str().unwrap();
        assert!(result.starts_with("[tool \"calculator\"") && result.ends_with("4 = 4"), "{result}");
        assert_eq!(lines.text("clerk"), [call, "ok"].concat());
        assert_eq!(lines.agent("clerk")["reason"], "stop");

        let map = ModelMap::open(&desk.model()).unwrap();
        let mut index = model::index(&desk.model(), &map).unwrap();
        let file = ModelFile::read(&desk.model(), &map, &mut index).unwrap();
        let vocabulary = file.vocabulary(&desk.model()).unwrap();
        let tokenizer = model::tokenizer(&desk.model(), &vocabulary, file.model.shape.vocab).unwrap();
        let template = Template::of(&vocabulary).unwrap();
        let messages = [Message { role: Role::User, content: "How much is 4?".to_owned() }];
        let tools = [words::offered(&descriptor())];
        let calls = [ToolCall {
            id: "call00001".to_owned(),
            name: "calculator".to_owned(),
            arguments: json!({ "expression": "4" }),
            result: Some(result.to_owned()),
        }];
        let options = RenderOptions { add_generation_prompt: true, now_s: 0 };
        let whole = Conversation { messages: &messages, tools: &tools, calls: &calls };
        let whole = encode_chat(&template, &tokenizer, whole, &options).unwrap();
        let chat = Chat { template: &template, tokenizer: &tokenizer, now_s: 0 };
        let opening = chat.encode_offering(&messages, &tools).unwrap();
        assert_eq!(lines.one("spawned", "clerk")["tokens"], opening.len(), "{call}");
        // It says each byte of a call by itself where it can; the last of "ok" and the end are not computed.
        let spelled = tokenizer.encode(call, agentos_desktop::text::Special::Parse).unwrap();
        let said = lines.ids("clerk").len() - 3;
        let expected = whole.len() + said - spelled.len() - usize::from(call.starts_with('[')) + 3;
        assert_eq!(lines.agent("clerk")["tokens"], expected, "{call}");
    }
}

#[test]
fn a_model_with_a_template_for_tools_calls_as_that_writes_calls() {
    let expected = Lines::of(&hermes().desk().team(TEAM, &["--json"]));
    let Rig { mut model } = hermes();
    model.tool_use = std::mem::replace(&mut model.template, Tiny::default().template);
    let desk = Desk::new(&model.gguf());
    let lines = Lines::of(&desk.team(TEAM, &["--json"]));
    assert_eq!(lines.ids("clerk"), expected.ids("clerk"));
    assert_eq!(lines.one("tool_called", "clerk")["tool"], "calculator");
    let inspected = desk.agentos(["inspect", "--model", desk.model().to_str().unwrap(), "--json"]).json();
    assert_eq!(inspected["vocabulary"]["tool_template"], true);
    // Without it, the other one takes no tools.
    model.tool_use = None;
    let inspected = Desk::new(&model.gguf());
    let inspected =
        inspected.agentos(["inspect", "--model", inspected.model().to_str().unwrap(), "--json"]).json();
    assert_eq!(inspected["vocabulary"]["tool_calls"], Value::Null);
}

#[test]
fn a_team_file_may_ask_for_calls_in_words() {
    let desk = hermes().desk();
    let inspected = desk.agentos(["inspect", "--model", desk.model().to_str().unwrap(), "--json"]).json();
    assert_eq!(
        inspected["vocabulary"]["tool_calls"],
        "<tool_call>\n{\"name\": \"NAME\", \"arguments\": {…}}\n"
    );
    let plain = TEAM.replace("calls = 1", "template = \"plain\", calls = 1");
    let [own, plain] = [TEAM, &plain].map(|team| Lines::of(&desk.team(team, &["--json"])));
    assert!(
        plain.text("clerk").starts_with("<tool_call>{\"name\": \"calculator\""),
        "{}",
        plain.text("clerk")
    );
    assert!(own.text("clerk").starts_with("<tool_call>\n{\"name\""), "{}", own.text("clerk"));
    let refused = desk.team(&TEAM.replace("calls = 1", "template = \"chatml\""), &[]);
    assert!(
        refused.stderr.contains("template is \"chatml\"; accepted is \"own\" or \"plain\""),
        "{}",
        refused.stderr
    );
}

/// One that is to answer in a form may call instead, where that begins with a text.
#[test]
fn an_answer_of_a_form_or_a_call_as_the_template_has_it() {
    let form = r#"{"enum": ["ok"]}"#;
    for (rig, own) in [(hermes(), true), (mistral(), false)] {
        let desk = rig.desk();
        desk.put("form.json", form.as_bytes());
        let team = TEAM.to_owned() + "response_schema = \"form.json\"\n";
        let lines = Lines::of(&desk.team(&team, &["--json"]));
        let begins = if own { "<tool_call>\n{\"name\"" } else { "<tool_call>{\"name\"" };
        let text = lines.text("clerk");
        assert!(text.starts_with(begins) || text.starts_with("\"ok\""), "{text}");
        assert_eq!(lines.agent("clerk")["reason"], "stop", "{text}");
    }
}
