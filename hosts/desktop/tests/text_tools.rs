//! Tools in the model's own chat template: what it says of them, how it writes calls and results, and how that is
//! found out. `fixtures/text_templates.py` made the texts that are expected.

mod text_support;

use agentos_desktop::team::prompt::Chat;
use agentos_desktop::text::{
    CallFormat, Conversation, Message, Opens, RenderOptions, Role, Template, TemplateError, ToolCall,
    call_id, definition,
};
use serde_json::{Value, json};
use text_support::read;
use text_support::shapes::{Ready, SHAPES, Shape, spelled_out, steering};

const PROMPT: RenderOptions = RenderOptions { add_generation_prompt: true, now_s: 0 };

fn user(content: &str) -> Message {
    Message { role: Role::User, content: content.to_owned() }
}

#[test]
fn templates_say_of_tools_what_jinja_says() {
    let data: Value = serde_json::from_slice(&read("text_templates.json")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let tools = data["tools"].as_array().expect("tools");
    let cases = data["tool_cases"].as_array().expect("cases");
    assert!(cases.len() >= 18, "{}", cases.len());
    for case in cases {
        let source = text(&data["tool_templates"][text(&case["template"])]);
        let template = Template::new(&source, &text(&data["bos"]), &text(&data["eos"])).expect("a template");
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .expect("messages")
            .iter()
            .map(|turn| {
                let roles = [Role::System, Role::User, Role::Assistant];
                let role = roles.into_iter().find(|role| role.name() == text(&turn[0])).expect("a role");
                Message { role, content: text(&turn[1]) }
            })
            .collect();
        let calls: Vec<ToolCall> = case["calls"]
            .as_array()
            .expect("calls")
            .iter()
            .map(|call| ToolCall {
                id: text(&call["id"]),
                name: text(&call["name"]),
                arguments: call["arguments"].clone(),
                result: call["result"].as_str().map(str::to_owned),
            })
            .collect();
        let offered = if case["offered"] == true { &tools[..] } else { &[] };
        let conversation = Conversation { messages: &messages, tools: offered, calls: &calls };
        let options = RenderOptions {
            add_generation_prompt: case["add_generation_prompt"].as_bool().expect("a truth"),
            now_s: data["now_s"].as_i64().expect("a time"),
        };
        assert_eq!(
            template.render(conversation, &options).as_deref(),
            Ok(&*text(&case["expected"])),
            "{case}"
        );
    }
}

fn format(name: &str) -> (Ready, CallFormat) {
    let ready = Shape::named(name).ready();
    let format = ready.format.as_deref().cloned().unwrap_or_else(|| panic!("{name} has no format"));
    (ready, format)
}

#[test]
fn how_calls_are_written_is_found_by_trying() {
    let texts = |format: &CallFormat| {
        let shape = format.shape.clone();
        [shape.before, shape.between, shape.after]
    };
    let (_, hermes) = format("hermes");
    assert_eq!(hermes.shape.opens, Opens::Text("<tool_call>".to_owned()));
    assert_eq!(texts(&hermes), ["\n{\"name\": \"", "\", \"arguments\": ", "}\n"]);
    let (_, words) = format("hermes without tokens for calls");
    assert_eq!(words.shape.opens, hermes.shape.opens);
    assert_eq!(texts(&words), ["\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>"]);
    let (_, llama) = format("llama3");
    assert_eq!(llama.shape.opens, Opens::Answer("{\"name\": \"".to_owned()));
    assert_eq!(texts(&llama), ["", "\", \"parameters\": ", "}"]);
    let (ready, mistral) = format("mistral");
    let token = |id: u32| spelled_out(&ready.tokenizer, &[id]);
    assert!(matches!(mistral.shape.opens, Opens::Token(id) if token(id) == "[TOOL_CALLS]"), "{mistral:?}");
    assert_eq!(texts(&mistral), ["[{\"name\": \"", "\", \"arguments\": ", ", \"id\": \""]);
    assert_eq!(
        mistral.example(&ready.tokenizer),
        "[TOOL_CALLS][{\"name\": \"NAME\", \"arguments\": {…}, \"id\": \"ID\"}]"
    );
    assert_eq!(Shape::named("chatml").ready().format, None);
}

/// What stands behind a call, from where the model stops to where it answers.
#[test]
fn results_stand_where_the_template_puts_them() {
    let text = "It is \"21\" degrees.\nAnd <|im_end|> warm \\ dry.";
    for (name, expected) in [
        ("hermes", format!("</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n{text}\n</tool_response><|im_end|>\n<|im_start|>assistant\n")),
        (
            "llama3",
            "<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n\"It is \\\"21\\\" degrees.\\nAnd <|im_end|> warm \\\\ dry.\"<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n".to_owned(),
        ),
        ("mistral", format!("call00004\"}}]</s>[TOOL_RESULTS]{{\"content\": {text}, \"call_id\": \"call00004\"}}[/TOOL_RESULTS]")),
    ] {
        let (ready, format) = format(name);
        let tokens = format.result(&ready.tokenizer, 3, text).expect("tokens");
        assert_eq!(spelled_out(&ready.tokenizer, &tokens), expected, "{name}");
        let harmless = format.result(&ready.tokenizer, 3, "x").expect("tokens");
        assert_eq!(steering(&ready.tokenizer, &tokens), steering(&ready.tokenizer, &harmless), "{name}");
    }
}

/// What an agent has read and said, piece by piece, is what the template writes of the whole conversation.
#[test]
fn a_context_that_grew_is_the_conversation_as_the_template_has_it() {
    for shape in SHAPES.into_iter().filter(|shape| shape.calls) {
        let ready = shape.ready();
        let format = ready.format.as_ref().expect("a format");
        let Ready { template, tokenizer, .. } = &ready;
        let chat = Chat { template, tokenizer, now_s: 0 };
        let messages = [user("How warm is it in the lamp room?")];
        let tools = [definition("sensor", "Measures.", &json!({"type": "object", "properties": {}}))];
        let mut context = chat.encode_offering(&messages, &tools).expect("tokens");
        let arguments = json!({"place": "lamp room", "deep": {"list": [1, 2.5, null, true]}});
        let shape = &format.shape;
        let opens = match &shape.opens {
            Opens::Token(token) => spelled_out(tokenizer, &[*token]),
            Opens::Text(text) | Opens::Answer(text) => text.clone(),
        };
        let written = "{\"place\": \"lamp room\", \"deep\": {\"list\": [1, 2.5, null, true]}}";
        let call = [&opens, &shape.before, "sensor", &shape.between, written, &shape.after].concat();
        context.extend(tokenizer.encode(&call, agentos_desktop::text::Special::Parse).expect("tokens"));
        context.extend(format.result(tokenizer, 41, "21 degrees").expect("tokens"));
        let calls = [ToolCall {
            id: "call00042".to_owned(),
            name: "sensor".to_owned(),
            arguments,
            result: Some("21 degrees".to_owned()),
        }];
        let whole = Conversation { messages: &messages, tools: &tools, calls: &calls };
        let whole = template.render(whole, &PROMPT).expect("a text");
        assert_eq!(spelled_out(tokenizer, &context), whole, "{}", ready.shape.name);
    }
}

/// Calls of a conversation have ids of their own, of a kind that all templates take.
#[test]
fn every_call_has_another_id() {
    let ids: std::collections::BTreeSet<String> = (0..2000).map(call_id).collect();
    assert_eq!(ids.len(), 2000);
    for number in [0, 99_998, 99_999, u32::MAX] {
        let id = call_id(number);
        assert!(id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{id}");
    }
    // A model that has to write the id before the arguments writes the same one each time, and reads that.
    let ready = Shape::named("hermes").ready();
    let source = "{{ tools | tojson }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}\
        {% for c in m.tool_calls or [] %}<call:{{ c.id }}>{{ c.function.name }} {{ c.function.arguments | tojson }}\
        {% endfor %}{% if m.role == 'tool' %} for {{ m.tool_call_id }}{% endif %}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let template = Template::new(source, "", "").expect("a template");
    let format = CallFormat::of(&template, &ready.tokenizer, 0).expect("a format");
    let results = [0, 1].map(|number| format.result(&ready.tokenizer, number, "x").expect("tokens"));
    assert_eq!(results[0], results[1]);
    let id =
        format.shape.opens.text().and_then(|opens| opens.strip_prefix("<call:")?.get(..9).map(str::to_owned));
    let told = spelled_out(&ready.tokenizer, &results[0]);
    assert!(id.is_some_and(|id| told.contains(&format!("for {id}"))), "{format:?}");
}

/// A model may have a template of its own for conversations with tools (GGUF: `tokenizer.chat_template.tool_use`).
#[test]
fn a_template_for_tools_is_used_where_there_are_tools() {
    let ready = Shape::named("hermes").ready();
    let plain = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let alone = Template::new(plain, "", "").expect("a template");
    assert_eq!(CallFormat::of(&alone, &ready.tokenizer, 0), None);
    let both = Template::new(plain, "", "").and_then(|template| template.with_tool_use(ready.shape.source));
    let both = both.expect("two templates");
    assert_eq!(CallFormat::of(&both, &ready.tokenizer, 0).as_ref(), ready.format.as_deref());
    let messages = [user("How warm is it?")];
    let tools = [definition("sensor", "Measures.", &json!({"type": "object", "properties": {}}))];
    let render = |template: &Template, tools| {
        template.render(Conversation { messages: &messages, tools, calls: &[] }, &PROMPT).expect("a text")
    };
    assert_eq!(render(&both, &[]), render(&alone, &[]));
    assert_eq!(render(&both, &tools), render(&ready.template, &tools));
    assert!(both.source().contains(plain) && both.source().contains(ready.shape.source));
    // Of either, what is none is told.
    let broken = Template::new(plain, "", "").and_then(|template| template.with_tool_use("{% if %}"));
    assert!(matches!(broken.err(), Some(TemplateError::Broken { line: Some(1), .. })));
}

#[test]
fn templates_that_write_calls_in_other_ways_have_no_format() {
    let ready = Shape::named("hermes").ready();
    let turn = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}";
    let end = "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let called = "{% if m.tool_calls %}{% set f = m.tool_calls[0].function %}";
    let head = "{{ tools | tojson }}\n";
    let found = |source: &str| {
        let template = Template::new(source, "", "").expect("a template");
        CallFormat::of(&template, &ready.tokenizer, 0)
    };
    // It does not say that there are tools.
    assert_eq!(found(&format!("{turn}{called}<tool_call>{{{{ f | tojson }}}}{{% endif %}}{end}")), None);
    // It leaves calls out.
    assert_eq!(found(&[head, turn, end].concat()), None);
    for (call, is_one) in [
        ("<tool_call>{\"name\": \"{{ f.name }}\", \"arguments\": {{ f.arguments | tojson }}}", true),
        ("<function={{ f.name }}>{{ f.arguments | tojson }}</function>", true),
        // Arguments are no JSON, or JSON in a string, or written in another way than agents are held to.
        (
            "<function={{ f.name }}>{% for k, v in f.arguments.items() %}<{{ k }}>{{ v }}{% endfor %}</function>",
            false,
        ),
        (
            "<tool_call>{\"name\": \"{{ f.name }}\", \"arguments\": {{ f.arguments | tojson | tojson }}}",
            false,
        ),
        (
            "<tool_call>{\"name\": \"{{ f.name }}\", \"arguments\": {{ f.arguments | tojson(separators=(',', ':')) }}}",
            false,
        ),
        // The arguments come first, the name twice, or a control token stands within the call.
        ("<tool_call>{\"arguments\": {{ f.arguments | tojson }}, \"name\": \"{{ f.name }}\"}", false),
        (
            "<tool_call>{{ f.name }}: {\"name\": \"{{ f.name }}\", \"arguments\": {{ f.arguments | tojson }}}",
            false,
        ),
        ("<tool_call>{{ f.name }}<|endoftext|>{{ f.arguments | tojson }}", false),
    ] {
        let source = format!("{head}{turn}{called}{call}{{% endif %}}{end}");
        assert_eq!(found(&source).is_some(), is_one, "{call}");
    }
}

/// A value that holds another many times over is written at the cost of what comes of it.
#[test]
fn tojson_is_paid_for() {
    let doubling = "{% set ns = namespace(v=['x']) %}{% for i in range(40) %}{% set ns.v = [ns.v, ns.v] %}{% endfor %}{{ ns.v | tojson }}";
    let template = Template::new(doubling, "", "").expect("a template");
    let error = template.render(&[user("x")], &PROMPT).expect_err("endless");
    assert!(error.to_string().contains("works without end"), "{error}");
    let options = "{{ {'b': 'é\\n', 'a': [1, none]} | tojson(sort_keys=true, ensure_ascii=true) }} {{ [1] | tojson(indent=2) }}";
    let template = Template::new(options, "", "").expect("a template");
    let text = template.render(&[user("x")], &PROMPT).expect("a text");
    assert_eq!(text, "{\"a\": [1, null], \"b\": \"\\u00e9\\n\"} [\n  1\n]");
    let wrong = Template::new("{{ messages | tojson(colour=1) }}", "", "").expect("a template");
    assert!(wrong.render(&[user("x")], &PROMPT).is_err());
}

/// What JSON writes for a character could be a part of a control token, if a vocabulary had such.
#[test]
fn what_json_writes_for_other_characters_steers_nothing() {
    let control = &["<|im_start|>", "<|im_end|>", "\\", "x\\", "\\\"]", "nobody>", "001f>", "\\n"];
    let source = "<|im_start|>{{ tools | tojson }}<|im_end|>";
    let ready = Shape { source, control, ..Shape::named("chatml") }.ready();
    let chat = Chat { template: &ready.template, tokenizer: &ready.tokenizer, now_s: 0 };
    let context = |text: &str| chat.encode_offering(&[user("x")], &[json!({ "a": text })]).expect("tokens");
    let expected = steering(&ready.tokenizer, &context("harmless"));
    assert_eq!(spelled_out(&ready.tokenizer, &expected), "<|im_start|><|im_end|>");
    for (text, written) in [
        ("\nobody>", "\\nobody>"),
        ("x\"", "x\\\""),
        ("\u{1f}>", "\\u001f>"),
        ("\"] ]", "\\\"] ]"),
        ("\\", "\\\\"),
    ] {
        let context = context(text);
        assert_eq!(steering(&ready.tokenizer, &context), expected, "{text:?}");
        let spelled = spelled_out(&ready.tokenizer, &context);
        assert_eq!(spelled, format!("<|im_start|>[{{\"a\": \"{written}\"}}]<|im_end|>"));
    }
}
