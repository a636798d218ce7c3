//! What counts as an agent's answer: what it says after its last call, if that is whole, and never half a call.

mod cli_support;
mod team_support;

use cli_support::tiny::IM_END;
use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

const QUOTE: u32 = b'"' as u32;
const FOUR: u32 = b'4' as u32;

/// A model that begins what it writes in quotes with a 4, goes on behind that as it is told to, and says "ok" on its
/// own turn.
fn desk(behind_4: u32) -> Desk {
    let byte = u32::from;
    let script = vec![
        (QUOTE, FOUR, 9.0),
        (FOUR, behind_4, 9.0),
        (byte(b'\n'), byte(b'o'), 9.0),
        (byte(b'o'), byte(b'k'), 9.0),
        (byte(b'k'), IM_END as u32, 9.0),
    ];
    Desk::new(&Tiny { context: 2048, script, ..Tiny::default() }.gguf())
}

const CLERK: &str = "[[agent]]\nname = \"clerk\"\nprompt = \"How much is 4?\"\nmax_tokens = 60\n\
                     tools = { use = [\"calculator\"], calls = 1 }\n";

const NOTE: &str = "[[agent]]\nname = \"clerk\"\nprompt = \"How much is 4?\"\nmax_tokens = 30\n\
                    response_schema = \"form.json\"\n";

const HEIR: &str =
    "\n[[agent]]\nname = \"heir\"\nprompt = \"Put it in a word.\"\nafter = [\"clerk\"]\nmax_tokens = 9\n";

const FORM: &[u8] = br#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
                         "additionalProperties": false}"#;

#[test]
fn who_comes_after_a_caller_reads_its_answer_and_not_its_call() {
    let desk = desk(QUOTE);
    let lines = Lines::of(&desk.team(&[CLERK, HEIR].concat(), &["--json"]));
    assert_eq!(lines.one("tool_over", "clerk")["outcome"], "done");
    assert_eq!(lines.text("clerk"), r#"{"expression": "4"}ok"#);
    let prompt = "Answer of clerk:\nok\n\nPut it in a word.";
    let answer = desk.generate(&["--prompt", prompt, "--max-tokens", "9", "--json"], "").json();
    let prompt = answer["prompt_ids"].as_array().unwrap().len();
    assert_eq!(lines.one("spawned", "heir")["tokens"], prompt);
    let ids: Vec<u64> =
        answer["output_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(lines.ids("heir"), ids);
}

#[test]
fn a_call_that_is_never_whole_is_ended_and_its_agent_answers() {
    let desk = desk(FOUR);
    let ran = desk.team(CLERK, &["--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines = Lines::of(&ran);
    let arguments = lines.one("tool_called", "clerk")["arguments"].as_str().unwrap();
    assert_eq!(arguments, format!("{{\"expression\": \"{}", "4".repeat(29)));
    assert!(lines.of_agent("tool_started", "clerk").is_empty(), "no tool is asked");
    let result = lines.one("tool_result", "clerk");
    assert_eq!(result["outcome"], "refused");
    let text = result["text"].as_str().unwrap();
    assert!(text.contains("was not whole after 45 tokens"), "{text}");
    assert!(lines.text("clerk").ends_with("44ok"), "{}", lines.text("clerk"));
    assert_eq!(lines.agent("clerk")["reason"], "stop");
    assert_eq!(lines.agent("clerk")["form"], Value::Null);
}

#[test]
fn an_answer_that_is_cut_within_its_form_is_told_as_such_and_is_nobody_s_to_build_on() {
    let desk = desk(FOUR);
    desk.put("form.json", FORM);
    let ran = desk.team(&[NOTE, HEIR].concat(), &["--json"]);
    let lines = Lines::of(&ran);
    assert_eq!(lines.agent("clerk")["reason"], "length");
    assert_eq!(lines.one("finished", "clerk")["form"], "unfinished");
    assert_eq!(lines.agent("clerk")["form"], "unfinished");
    let refused = lines.one("refused", "heir")["reason"].as_str().unwrap();
    assert!(refused.contains("waits for \"clerk\", which was cut before its answer was whole"), "{refused}");
    assert_ne!(ran.code, 0);
    let printed = desk.team(NOTE, &[]).printed();
    assert!(printed.contains("finished after 30 tokens (length), its answer unfinished"), "{printed}");
    // Whole, it is one.
    let whole = self::desk(QUOTE);
    whole.put("form.json", FORM);
    let lines = Lines::of(&whole.team(&[NOTE, HEIR].concat(), &["--json"]));
    assert_eq!(lines.text("clerk"), r#"{"a": "4"}"#);
    assert_eq!(lines.one("finished", "clerk")["form"], "whole");
    assert_eq!(lines.agent("clerk")["form"], "whole");
    assert_eq!(lines.agent("heir")["form"], Value::Null);
}

#[test]
fn a_result_stands_before_an_agent_however_long_its_prompt_is() {
    let desk = desk(QUOTE);
    let team = CLERK.replace("How much is 4?", &"How much is 4? ".repeat(40));
    let lines = Lines::of(&desk.team(&team, &["--json"]));
    let result = lines.one("tool_result", "clerk");
    assert_eq!(result["outcome"], "done");
    assert!(result["text"].as_str().unwrap().ends_with("4 = 4"), "{result}");
    assert_ne!(lines.one("tool_returned", "clerk")["tokens"], 0);
    assert_eq!(lines.text("clerk"), r#"{"expression": "4"}ok"#);
}

#[test]
fn a_result_that_does_not_fit_is_told_so_and_the_answer_keeps_to_its_form() {
    let desk = desk(QUOTE);
    desk.put("form.json", FORM);
    let prompt = {
        let lines = Lines::of(&desk.team(CLERK, &["--json"]));
        lines.one("spawned", "clerk")["tokens"].as_u64().unwrap()
    };
    // The call is 19 tokens, and what is told of its result would be more than is left.
    let context = prompt + 45;
    let team = CLERK.replace("max_tokens = 60", &format!("max_tokens = 40\ncontext = {context}"))
        + "response_schema = \"form.json\"\n";
    let lines = Lines::of(&desk.team(&team, &["--json"]));
    let result = lines.one("tool_result", "clerk");
    assert_eq!(result["outcome"], "output", "{result}");
    let text = result["text"].as_str().unwrap();
    assert!(text.contains("does not fit"), "{text}");
    assert_eq!(lines.text("clerk"), r#"{"expression": "4"}{"a": "4"}"#);
    assert_eq!(lines.agent("clerk")["form"], "whole");
}
