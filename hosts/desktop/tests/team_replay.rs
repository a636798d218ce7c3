//! Runs that are made again with what tools gave.

mod cli_support;
mod team_support;

use cli_support::{Desk, Ran, Tiny};
use serde_json::{Value, json};
use team_support::Lines;

const TEAM: &str = r#"
[[agent]]
name = "keeper"
prompt = "How warm is it?"
max_tokens = 30
tools = { use = ["sensor"], calls = 1, policy = "ask" }

[[agent]]
name = "hand"
prompt = "Is it damp?"
max_tokens = 30
tools = { use = ["sensor"], calls = 1 }
"#;

/// A run of the team, as it was told.
fn recorded() -> (Desk, Vec<Value>) {
    let desk = Desk::new(&Tiny { context: 2048, ..Tiny::default() }.gguf());
    let told = desk.team(TEAM, &["--json"]).printed();
    (desk, told.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn replay(desk: &Desk, recording: &[Value]) -> Ran {
    let lines: Vec<String> = recording.iter().map(Value::to_string).collect();
    desk.put("run.jsonl", lines.join("\n").as_bytes());
    desk.team(TEAM, &["--json", "--replay", "0", "--results", "run.jsonl"])
}

/// What a line tells of the keeper.
fn of_keeper<'v>(recording: &'v mut [Value], event: &str) -> &'v mut Value {
    let line = recording.iter_mut().find(|line| line["event"] == event && line["agent"] == "keeper");
    line.expect("it called")
}

#[test]
fn a_run_with_tools_is_made_again_as_it_was() {
    let (desk, recording) = recorded();
    let again = replay(&desk, &recording).printed();
    assert_eq!(again, replay(&desk, &recording).printed());
    let (first, again) = (Lines(recording), again.lines().map(|line| serde_json::from_str(line).unwrap()));
    let again = Lines(again.collect());
    for agent in ["keeper", "hand"] {
        assert!(!first.ids(agent).is_empty());
        assert_eq!(again.ids(agent), first.ids(agent));
        let results = [&again, &first].map(|lines| {
            let result = lines.of_agent("tool_result", agent)[0];
            (result["outcome"].clone(), result["text"].clone(), result["fits"].clone())
        });
        assert_eq!(results[0], results[1]);
    }
}

#[test]
fn calls_come_to_what_is_recorded_and_nobody_is_asked() {
    let (desk, mut recording) = recorded();
    assert_eq!(of_keeper(&mut recording, "tool_result")["outcome"], "refused", "nobody was there to agree");
    for (outcome, text) in [("done", "It is 99 degrees."), ("timed-out", "It took too long."), ("gone", "")] {
        let result = of_keeper(&mut recording, "tool_result");
        (result["outcome"], result["text"]) = (outcome.into(), text.into());
        let lines = Lines::of(&replay(&desk, &recording));
        assert_eq!(lines.of_agent("tool_over", "keeper")[0]["outcome"], outcome);
        let result = lines.of_agent("tool_result", "keeper")[0];
        assert_eq!((&result["outcome"], &result["text"]), (&json!(outcome), &json!(text)));
    }
}

/// It has begun, and ended with a message that has these parts.
fn ends(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(parts.iter().all(|part| ran.stderr.contains(part)), "{}", ran.stderr);
}

#[test]
fn what_is_no_recording_of_the_run_is_refused() {
    let (desk, recording) = recorded();
    let mut other = recording.clone();
    of_keeper(&mut other, "tool_called")["arguments"] = "{\"of\": \"the cellar\"}".into();
    ends(&replay(&desk, &other), &["agent keeper calls sensor with {}", "the cellar", "same team"]);
    let unanswered: Vec<Value> =
        recording.iter().filter(|line| line["event"] != "tool_result").cloned().collect();
    ends(&replay(&desk, &unanswered), &["the recording has no result for that"]);
    let mut spoken = recording.clone();
    spoken.insert(0, json!({ "at_us": 0, "event": "message", "from": null, "to": "hand", "tokens": 3 }));
    replay(&desk, &spoken).refuses(1, &["run.jsonl, line 1", "somebody spoke"]);
    desk.team(TEAM, &["--replay", "0"]).refuses(1, &["--results RUN.jsonl"]);
    desk.team(TEAM, &["--replay", "0", "--results", "absent"])
        .refuses(1, &["cannot read the recording absent"]);
    desk.team(TEAM, &["--results", "run.jsonl"]).refuses(2, &["--replay"]);
}
