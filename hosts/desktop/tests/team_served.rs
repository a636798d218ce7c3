//! Teams with a server of tools: this very test program, run as one.

mod cli_support;
mod team_support;

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli_support::tiny::IM_END;
use cli_support::{Desk, Tiny};
use serde_json::{Value, json};
use team_support::Lines;

/// Names the folder that the server keeps its books in.
const FOLDER: &str = "RIG_FOLDER";

/// Not a test: the server.
#[test]
#[ignore = "it is run as a server by the others"]
fn serves() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let folder = folder.to_owned();
        let number = message["params"]["name"].as_str().map_or(0, |name| enter(&folder, name));
        let answers = move || {
            let Some(answer) = answer(&message, number, &folder) else { return };
            let mut out = std::io::stdout().lock();
            writeln!(out, "{answer}").and_then(|()| out.flush()).expect("a pipe");
        };
        // Calls are answered whenever each is ready.
        std::thread::spawn(answers);
    }
}

/// Enters a call. Returns how many there are with it.
fn enter(folder: &Path, name: &str) -> usize {
    let books = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("books"));
    writeln!(books.expect("a folder"), "{name}").expect("a file");
    std::fs::read_to_string(folder.join("books")).expect("a file").lines().count()
}

fn answer(message: &Value, number: usize, folder: &Path) -> Option<Value> {
    let id = message.get("id")?;
    let result = match message["method"].as_str()? {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "rig", "version": "1" },
        }),
        "tools/list" => {
            let none = json!({ "type": "object", "properties": {}, "additionalProperties": false });
            json!({ "tools": [
                { "name": "lamp", "description": "Says whether the lamp burns.", "inputSchema": none,
                  "annotations": { "readOnlyHint": true } },
                { "name": "ring", "description": "Rings the bell.", "inputSchema": none },
                { "name": "gauge", "description": "Says how high the water is.", "inputSchema": none,
                  "annotations": { "readOnlyHint": true },
                  "outputSchema": { "type": "object", "properties": { "feet": { "type": "integer" } },
                                    "required": ["feet"] } },
            ] })
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str()?;
            let closed = ["closed".to_owned(), format!("closed-{number}")];
            while closed.iter().any(|closed| folder.join(closed).exists()) {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The gauge sticks once.
            let stuck = number < 2;
            match name {
                "gauge" => {
                    let feet = if stuck { json!("many") } else { json!(7) };
                    json!({ "content": [], "structuredContent": { "feet": feet } })
                }
                _ => json!({ "content": [{ "type": "text", "text": "It burns." }] }),
            }
        }
        _ => return None,
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// A desk, and a team whose keeper calls this tool of the server.
fn rig(tool: &str) -> (Desk, String) {
    rig_with(&Tiny { context: 2048, ..Tiny::default() }, tool)
}

fn rig_with(model: &Tiny, tool: &str) -> (Desk, String) {
    let desk = Desk::new(&model.gguf());
    std::fs::create_dir(desk.path("books")).unwrap();
    let program = std::env::current_exe().unwrap();
    let command = [program.to_str().unwrap(), "--exact", "serves", "--ignored", "--nocapture"];
    let team = format!(
        r#"
[[server]]
name = "rig"
command = {command:?}
environment = ["{FOLDER}"]
trusted = true

[[agent]]
name = "keeper"
prompt = "Does the lamp burn?"
max_tokens = 30
tools = {{ use = ["rig.{tool}"], calls = 1 }}

[[agent]]
name = "other"
prompt = "Who are you?"
max_tokens = 30
"#
    );
    (desk, team)
}

fn books(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("books").join("books")).map_or(0, |books| books.lines().count())
}

fn team(desk: &Desk, team: &str, arguments: &[&str]) -> Lines {
    let mut command = desk.team_command(team, &[&["--json"], arguments].concat());
    let ran = cli_support::run(command.env(FOLDER, desk.path("books")), "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    Lines::of(&ran)
}

#[test]
fn an_agent_calls_a_tool_of_a_server() {
    let (desk, text) = rig("lamp");
    let lines = team(&desk, &text, &[]);
    let called = lines.of_agent("tool_called", "keeper");
    assert_eq!((&called[0]["tool"], &called[0]["arguments"]), (&"rig.lamp".into(), &"{}".into()));
    let result = lines.of_agent("tool_result", "keeper")[0]["text"].as_str().unwrap();
    assert!(result.starts_with("[tool \"rig.lamp\"") && result.ends_with("It burns."), "{result}");
    assert_eq!(books(&desk), 1);
    lines.answered("keeper");
}

/// What agents are granted is listed with what servers say of it, and can be tried by hand.
#[test]
fn tools_of_a_team_are_listed_shown_and_tried_by_hand() {
    let (desk, text) = rig("lamp");
    let more = "tools = { use = [\"clock\", \"rig.lamp\"], limits = { seconds = 3 } }";
    let text = format!("{text}{more}\n");
    desk.put("team.toml", text.as_bytes());
    let team = desk.path("team.toml");
    let tools = |arguments: &[&str]| {
        let mut command = desk.command([&["tools", "--team", team.to_str().unwrap()], arguments].concat());
        cli_support::run(command.env(FOLDER, desk.path("books")), "")
    };
    let listed = tools(&[]).printed();
    assert!(listed.starts_with("keeper\n  rig.lamp") && listed.contains("other\n  clock"), "{listed}");
    let all = tools(&["--json"]).json();
    assert_eq!(all["keeper"][0]["effect"], "none");
    let names: Vec<&Value> = all["other"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["clock", "rig.lamp"]);
    assert_eq!(all["other"][1]["timeout_s"], 3.0);
    assert_eq!(all["keeper"][0]["timeout_s"], 30.0);
    let shown = tools(&["rig.lamp", "--agent", "other"]).printed();
    assert!(shown.contains("Says whether the lamp burns.") && shown.contains("limits       3 s"), "{shown}");
    assert_eq!(books(&desk), 0, "nothing was called");
    assert_eq!(tools(&["rig.lamp", "--agent", "keeper", "--call", "{}"]).printed(), "It burns.\n");
    assert_eq!(books(&desk), 1);
    assert!(tools(&["clock", "--call", r#"{"time_zone": "Asia/Tokyo"}"#]).printed().contains("Asia/Tokyo"));
    for (arguments, reason) in [
        (&["rig.lamp"][..], "keeper, other are granted rig.lamp; --agent NAME says for whom"),
        (&["calculator"], "no agent of the team is granted the tool calculator"),
        (&["clock", "--agent", "keeper"], "there is no tool `clock`"),
        (&["--agent", "nobody"], "those with tools: keeper, other"),
        (&["clock", "--root", "a=b"], "cannot be used with"),
    ] {
        let refused = tools(arguments);
        assert_ne!(refused.code, 0, "{arguments:?}");
        assert!(refused.stderr.contains(reason), "{arguments:?}: {}", refused.stderr);
    }
}

/// Runs the team until the server has so many calls, of which those that `closed` names are not answered, and the run
/// was kept after that; and kills it.
fn killed_amid(desk: &Desk, text: &str, checkpoint: &Path, (calls, closed): (usize, &str)) {
    std::fs::write(desk.path("books").join(closed), "").unwrap();
    let file = checkpoint.to_str().unwrap();
    let mut command =
        desk.team_command(text, &["--json", "--checkpoint", file, "--checkpoint-every", "0.02"]);
    command.env(FOLDER, desk.path("books")).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while books(desk) < calls {
        assert!(begin.elapsed() < Duration::from_secs(120), "the server is never called");
        std::thread::sleep(Duration::from_millis(5));
    }
    let called = std::time::SystemTime::now();
    let kept = || std::fs::metadata(checkpoint).and_then(|file| file.modified()).ok();
    while kept().is_none_or(|kept| kept <= called) {
        assert!(begin.elapsed() < Duration::from_secs(120), "it is never kept");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(desk.path("books").join(closed)).unwrap();
}

#[test]
fn a_call_that_was_open_when_the_run_was_kept_is_made_again_if_it_may_be() {
    for (tool, again) in [("lamp", true), ("ring", false)] {
        let (desk, text) = rig(tool);
        let whole = team(&desk, &text, &[]);
        assert_eq!(books(&desk), 1);
        std::fs::remove_file(desk.path("books").join("books")).unwrap();
        let checkpoint = desk.path("kept");
        killed_amid(&desk, &text, &checkpoint, (1, "closed"));
        let rest = team(&desk, &text, &["--restore", checkpoint.to_str().unwrap()]);
        let restored = rest.of_agent("tool_restored", "keeper");
        assert_eq!(restored.len(), 1, "{tool}");
        assert_eq!(restored[0]["again"], again, "{tool}");
        let over = rest.of_agent("tool_over", "keeper");
        let result = rest.of_agent("tool_result", "keeper")[0]["text"].as_str().unwrap().to_owned();
        let said = |lines: &Lines| lines.ids("keeper");
        if again {
            assert_eq!((books(&desk), &over[0]["outcome"]), (2, &"done".into()));
            assert!(result.ends_with("It burns."), "{result}");
            assert!(said(&whole).ends_with(&said(&rest)) && !said(&rest).is_empty());
        } else {
            assert_eq!((books(&desk), &over[0]["outcome"]), (1, &"unknown".into()), "it rings once");
            assert!(result.contains("whether it had an effect is not known"), "{result}");
        }
        rest.answered("keeper");
    }
}

/// What came of each call of the keeper: the outcome, and whether the output was of its form.
fn results(lines: &Lines) -> Vec<(String, bool)> {
    let result = |line: &&Value| (line["outcome"].as_str().unwrap().to_owned(), line["fits"] == true);
    lines.of_agent("tool_result", "keeper").iter().map(result).collect()
}

/// A model that calls by itself whenever it is its turn.
fn caller() -> Tiny {
    let mut model = Tiny { context: 2048, ..Tiny::default() };
    model.tokens.push("<tool_call>".to_owned());
    model.types.push(1);
    model.rows += 1;
    model.script = vec![(u32::from(b'\n'), model.rows - 1, 9.0)];
    model
}

#[test]
fn an_output_of_a_wrong_form_is_asked_for_once_more_whoever_calls() {
    let (done, wrong) = (("done".to_owned(), true), ("done".to_owned(), false));
    let (desk, text) = rig("gauge");
    let lines = team(&desk, &text, &[]);
    assert_eq!(results(&lines), [wrong.clone(), done.clone()]);
    assert_eq!(books(&desk), 2);
    // Of the calls that an agent decides on, that one is no further one either; the next is one too many.
    let (desk, text) = rig_with(&caller(), "gauge");
    let text = text.replace("calls = 1", "calls = 1, choose = \"model\"").replacen(
        "max_tokens = 30",
        "max_tokens = 400",
        1,
    );
    let lines = team(&desk, &text, &[]);
    let over = ("budget".to_owned(), true);
    assert_eq!(results(&lines)[..3], [wrong, done, over], "{}", lines.text("keeper"));
    assert_eq!(books(&desk), 2);
}

/// A keeper that writes three calls of this tool one behind another.
fn thrice(tool: &str) -> (Desk, String) {
    let (desk, text) = rig_with(&caller(), tool);
    let text = text.replace("calls = 1", "calls = 3, choose = \"model\"");
    (desk, text.replacen("max_tokens = 30", "max_tokens = 300", 1))
}

/// The numbers of the keeper's first three calls in the order of an event.
fn numbers(lines: &Lines, event: &str) -> Vec<u64> {
    lines.of_agent(event, "keeper").iter().take(3).map(|line| line["call"].as_u64().unwrap()).collect()
}

#[test]
fn the_calls_of_a_turn_are_all_made_before_one_is_answered_and_read_in_their_order() {
    let (desk, text) = thrice("lamp");
    // The first is answered when the others have been.
    std::fs::write(desk.path("books").join("closed-1"), "").unwrap();
    let lines = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begin = Instant::now();
            while books(&desk) < 3 && begin.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(300));
            std::fs::remove_file(desk.path("books").join("closed-1")).unwrap();
        });
        team(&desk, &text, &[])
    });
    assert_eq!(books(&desk), 3, "{}", lines.text("keeper"));
    let called = numbers(&lines, "tool_called");
    assert_eq!(numbers(&lines, "tool_result"), called, "they are read in the order of the calls");
    assert_eq!(numbers(&lines, "tool_over").last(), called.first(), "the first was over last");
    let place = |event| lines.place(event, "keeper");
    let third = lines.0.iter().position(|line| line["event"] == "tool_called" && line["call"] == called[2]);
    assert!(third.unwrap() < place("tool_over"), "all of them were made before one was answered");
    let call = r#"{"name": "rig.lamp", "arguments": {}}"#;
    let turn = [call; 3].join("</tool_call>\n<tool_call>");
    let said = lines.text("keeper");
    assert!(said.starts_with(&format!("<tool_call>{turn}")), "{said}");
    // The run of which this was told is made again, and no tool is asked.
    let told: Vec<String> = lines.0.iter().map(Value::to_string).collect();
    desk.put("run.jsonl", told.join("\n").as_bytes());
    let again = team(&desk, &text, &["--replay", "0", "--results", "run.jsonl"]);
    assert_eq!((again.ids("keeper"), books(&desk)), (lines.ids("keeper"), 3));
    assert_eq!(results(&again), results(&lines));
}

#[test]
fn calls_of_a_turn_that_were_open_when_the_run_was_kept_are_answered_once_each() {
    for (tool, outcome) in [("lamp", "done"), ("ring", "unknown")] {
        // All are open; or two of them are over, and their results wait for that of the first.
        for closed in ["closed", "closed-1"] {
            let (desk, text) = thrice(tool);
            let whole = team(&desk, &text, &[]);
            assert_eq!(books(&desk), 3);
            std::fs::remove_file(desk.path("books").join("books")).unwrap();
            let checkpoint = desk.path("kept");
            killed_amid(&desk, &text, &checkpoint, (3, closed));
            let rest = team(&desk, &text, &["--restore", checkpoint.to_str().unwrap()]);
            assert_eq!(rest.of_agent("tool_restored", "keeper").len(), 3);
            assert_eq!(books(&desk), if tool == "lamp" { 6 } else { 3 }, "{tool} {closed}");
            let results = results(&rest);
            assert_eq!(&results[..3], [(); 3].map(|()| (outcome.to_owned(), true)), "{tool} {closed}");
            assert_eq!(numbers(&rest, "tool_result"), numbers(&rest, "tool_restored"), "in their order");
            if tool == "lamp" {
                assert!(whole.ids("keeper").ends_with(&rest.ids("keeper")) && !rest.ids("keeper").is_empty());
            }
        }
    }
}

#[test]
fn who_calls_by_itself_calls_again_with_what_it_has_read() {
    // It ends behind each call, and a turn of its own begins with the next.
    let mut model = caller();
    model.script.push((u32::from(b'>'), IM_END as u32, 9.0));
    let (desk, text) = rig_with(&model, "lamp");
    let text = text.replace("calls = 1", "calls = 2, choose = \"model\"").replacen(
        "max_tokens = 30",
        "max_tokens = 120",
        1,
    );
    let lines = team(&desk, &text, &[]);
    let of_calls = |line: &&Value| {
        let event = line["event"].as_str().unwrap_or_default();
        (line["agent"] == "keeper" && ["tool_called", "tool_result"].contains(&event))
            .then(|| event.to_owned())
    };
    let order: Vec<String> = lines.0.iter().filter_map(|line| of_calls(&line)).take(4).collect();
    assert_eq!(order, ["tool_called", "tool_result", "tool_called", "tool_result"]);
    assert_eq!(books(&desk), 2);
    let call = r#"{"name": "rig.lamp", "arguments": {}}"#;
    let said = lines.text("keeper");
    assert!(said.starts_with(&format!("<tool_call>{call}</tool_call><tool_call>{call}")), "{said}");
    assert_eq!(lines.ids("keeper").iter().filter(|&&id| id == IM_END).count(), 1, "behind the first");
    assert_eq!(lines.of_agent("finished", "keeper").len(), 1);
}

#[test]
fn who_calls_by_itself_answers_in_its_form() {
    const FORM: &[u8] = br#"{"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
                             "additionalProperties": false}"#;
    // One calls, and answers when no call is left; the other answers at once.
    for (model, calls) in [(caller(), 1), (Tiny { context: 2048, ..Tiny::default() }, 0)] {
        let (desk, text) = rig_with(&model, "lamp");
        desk.put("form.json", FORM);
        let text =
            text.replace("calls = 1 }", "calls = 1, choose = \"model\" }\nresponse_schema = \"form.json\"");
        let text = text.replacen("max_tokens = 30", "max_tokens = 120", 1);
        let lines = team(&desk, &text, &[]);
        assert_eq!(lines.of_agent("tool_called", "keeper").len(), calls, "{}", lines.text("keeper"));
        let said = lines.text("keeper");
        let answer = match calls {
            0 => said.as_str(),
            _ => said.split_once("\"arguments\": {}}").expect("a call").1,
        };
        assert!(
            serde_json::from_str::<Value>(answer).is_ok_and(|answer| answer["ok"].is_boolean()),
            "{said}"
        );
        assert_eq!(lines.agent("keeper")["form"], "whole");
    }
}

/// Starts the team and waits until something is so; then it is killed.
fn killed_when(desk: &Desk, text: &str, arguments: &[&str], so: impl Fn() -> bool) {
    let mut command = desk.team_command(text, &[&["--json"], arguments].concat());
    command.env(FOLDER, desk.path("books")).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < Duration::from_secs(120), "it never comes to that");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_call_that_began_behind_the_last_checkpoint_is_not_made_again() {
    let (desk, text) = rig("ring");
    // It calls when the other has said all that it has to say.
    let text = text.replace("calls = 1 }", "calls = 1 }\nafter = [\"other\"]");
    let text = text
        .replace("prompt = \"Who are you?\"\nmax_tokens = 30", "prompt = \"Who are you?\"\nmax_tokens = 400");
    let checkpoint = desk.path("kept");
    let file = checkpoint.to_str().unwrap();
    killed_when(&desk, &text, &["--checkpoint", file, "--checkpoint-every", "0.001"], || checkpoint.exists());
    assert_eq!(books(&desk), 0, "it was killed before the call");
    std::fs::write(desk.path("books").join("closed"), "").unwrap();
    killed_when(&desk, &text, &["--restore", file], || books(&desk) == 1);
    std::fs::remove_file(desk.path("books").join("closed")).unwrap();
    for _ in 0..2 {
        let rest = team(&desk, &text, &["--restore", file]);
        assert_eq!(books(&desk), 1, "it rings once");
        assert_eq!(rest.of_agent("tool_over", "keeper")[0]["outcome"], "gone");
        let result = rest.of_agent("tool_result", "keeper")[0]["text"].as_str().unwrap();
        assert!(result.contains("whether it had an effect is not known"), "{result}");
        rest.answered("keeper");
    }
    // Of what may be repeated, nothing is noted.
    let other = text.replace("rig.ring", "rig.lamp");
    let again = desk.path("again");
    team(&desk, &other, &["--checkpoint", again.to_str().unwrap()]);
    assert!(desk.path("kept.calls").exists() && !desk.path("again.calls").exists());
}

/// The model chooses by examples that the team file gives; one of them is the prompt itself.
#[test]
fn a_tool_of_a_server_is_chosen_by_the_examples_of_the_team_file() {
    let shown = |of_lamp: &str, of_ring: &str| {
        format!(
            "trusted = true\nexamples = [{{ tool = \"lamp\", request = \"{of_lamp}\" }}, \
             {{ tool = \"ring\", request = \"{of_ring}\", arguments = {{}} }}]"
        )
    };
    let (asked, other) = ("Does the lamp burn?", "It is noon.");
    for (of_lamp, of_ring, called) in [(asked, other, "rig.lamp"), (other, asked, "rig.ring")] {
        let (desk, text) = rig("lamp");
        let text = text
            .replace("trusted = true", &shown(of_lamp, of_ring))
            .replace("use = [\"rig.lamp\"]", "use = [\"rig.lamp\", \"rig.ring\"]");
        let lines = team(&desk, &text, &[]);
        assert_eq!(lines.of_agent("tool_called", "keeper")[0]["tool"], called);
    }
    let (desk, text) = rig("lamp");
    let text = text.replace("trusted = true", "examples = [{ tool = \"lamb\", request = \"x\" }]");
    let refused = cli_support::run(desk.team_command(&text, &[]).env(FOLDER, desk.path("books")), "");
    assert!(
        refused.code != 0 && refused.stderr.contains("examples name the tool lamb"),
        "{}",
        refused.stderr
    );
}
