//! Agents that ask other agents.

mod cli_support;
mod team_support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli_support::tiny::IM_END;
use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

/// It asks "?", and answers "ok".
fn desk() -> Desk {
    answering(u32::from(b'k'), IM_END as u32)
}

/// It asks "?", and answers "o" and what it likes to say then, of which this comes behind that. To commands it adds
/// nothing.
fn answering(last: u32, next: u32) -> Desk {
    let byte = u32::from;
    let script = vec![
        (byte(b'"'), byte(b'?'), 9.0),
        (byte(b'?'), byte(b'"'), 9.0),
        (byte(b'\n'), byte(b'o'), 9.0),
        (byte(b'o'), byte(b'k'), 9.0),
        (last, next, 9.0),
        (byte(b'['), byte(b']'), 9.0),
    ];
    Desk::new(&Tiny { context: 16_384, script, ..Tiny::default() }.gguf())
}

const TEAM: &str = r#"
[[agent]]
name = "chief"
prompt = "Who is it?"
max_tokens = 60
tools = { agents = ["aide"], calls = 1 }

[[agent]]
name = "aide"
system = "Answer briefly."
max_tokens = 40
"#;

const CLERK: &str =
    "tools = { agents = [\"clerk\"], calls = 1 }\n[[agent]]\nname = \"clerk\"\nmax_tokens = 40\n";

#[test]
fn what_an_agent_that_was_asked_answers_is_a_result() {
    let lines = Lines::of(&desk().team(TEAM, &["--json"]));
    let called = lines.one("tool_called", "chief");
    assert_eq!((&called["tool"], &called["arguments"]), (&"ask.aide".into(), &r#"{"request": "?"}"#.into()));
    let asked = lines.one("asked", "aide");
    assert_eq!(
        (&asked["by"], &asked["depth"], &asked["call"]),
        (&"chief".into(), &1.into(), &called["call"])
    );
    let text = lines.one("tool_result", "chief")["text"].as_str().unwrap();
    assert!(text.starts_with("[tool \"ask.aide\"") && text.ends_with("]\nok"), "{text}");
    assert_eq!((lines.text("aide").as_str(), lines.text("chief").as_str()), ("ok", "{\"request\": \"?\"}ok"));
    assert_eq!((&lines.agent("aide")["depth"], &lines.agent("chief")["depth"]), (&1.into(), &0.into()));
    let place = |event, agent| lines.place(event, agent);
    assert!(place("tool_called", "chief") < place("spawned", "aide"), "it is spawned when it is asked");
    assert!(place("finished", "aide") < place("tool_over", "chief"));
}

#[test]
fn who_is_asked_asks_in_turn() {
    let lines = Lines::of(&desk().team(&format!("{TEAM}{CLERK}"), &["--json"]));
    assert_eq!(lines.one("asked", "clerk")["depth"], 2);
    assert_eq!(lines.one("tool_called", "aide")["tool"], "ask.clerk");
    let over = |agent: &str| lines.place("tool_result", agent);
    assert!(over("aide") < over("chief"));
    for agent in ["chief", "aide"] {
        assert_eq!(lines.text(agent), "{\"request\": \"?\"}ok");
        // Only what comes behind the last call is an answer.
        assert!(lines.one("tool_result", agent)["text"].as_str().unwrap().ends_with("]\nok"));
    }
}

#[test]
fn one_who_is_asked_by_several_answers_each() {
    let lines =
        Lines::of(&desk().team(&TEAM.replace("max_tokens = 60", "max_tokens = 60\ncopies = 3"), &["--json"]));
    let asked = lines.of_agent("asked", "aide");
    let calls = |lines: &[&Value]| -> Vec<u64> {
        let mut calls: Vec<u64> = lines.iter().map(|line| line["call"].as_u64().unwrap()).collect();
        calls.sort_unstable();
        calls
    };
    assert_eq!(calls(&asked), calls(&lines.events("tool_called")));
    for number in 1..=3 {
        let result = lines.one("tool_result", &format!("chief-{number}"));
        assert_eq!(result["outcome"], "done");
        assert_eq!(lines.text(&format!("chief-{number}")), "{\"request\": \"?\"}ok");
    }
    // Checkpoints take every moment at which one could be asked or answer.
    let desk = desk();
    let file = desk.path("kept");
    let keep = ["--json", "--checkpoint", file.to_str().unwrap(), "--checkpoint-every", "0.000001"];
    let kept = Lines::of(&desk.team(&format!("{TEAM}{CLERK}"), &keep));
    assert_eq!(kept.text("chief"), "{\"request\": \"?\"}ok");
}

/// Runs until this was told of this agent and the run was kept after that, and kills it.
fn killed_after(desk: &Desk, team: &str, (event, agent): (&str, &str)) {
    let file = desk.path("kept");
    let keep = ["--json", "--checkpoint", file.to_str().unwrap(), "--checkpoint-every", "0.001"];
    let mut command = desk.team_command(team, &keep);
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let is = |line: &Value| line["event"] == event && line["agent"] == agent;
    assert!(told.any(|line| is(&serde_json::from_str(&line.unwrap()).unwrap())), "{agent} is never {event}");
    let (then, begin) = (std::time::SystemTime::now(), Instant::now());
    let kept = || std::fs::metadata(&file).and_then(|file| file.modified()).ok();
    let reader = std::thread::spawn(move || told.for_each(drop));
    while kept().is_none_or(|kept| kept <= then) {
        assert!(begin.elapsed() < Duration::from_secs(120), "it is never kept");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}

#[test]
fn who_was_being_asked_when_the_run_was_kept_goes_on_and_answers() {
    // The answer is long: "okkk…"
    let desk = answering(u32::from(b'k'), u32::from(b'k'));
    for nested in ["", CLERK] {
        let team = format!("{TEAM}{nested}").replace("max_tokens = 40", "max_tokens = 3000");
        // What others answer is cut to what fits.
        let whole = Lines::of(&desk.team(&team, &["--json"]));
        let last = if nested.is_empty() { "aide" } else { "clerk" };
        killed_after(&desk, &team, ("token", last));
        let file = desk.path("kept");
        let rest = Lines::of(&desk.team(&team, &["--json", "--restore", file.to_str().unwrap()]));
        assert!(rest.of_agent("spawned", last).is_empty() && rest.of_agent("asked", last).is_empty());
        for agent in ["chief", "aide", last] {
            assert!(!rest.ids(agent).is_empty(), "{agent}");
            assert!(whole.ids(agent).ends_with(&rest.ids(agent)), "{agent} says what it would have said");
        }
        let text = |lines: &Lines| lines.one("tool_result", "chief")["text"].clone();
        assert_eq!(
            text(&rest).as_str().map(|text| text.split_once("]\n").unwrap().1.to_owned()),
            text(&whole).as_str().map(|text| text.split_once("]\n").unwrap().1.to_owned())
        );
    }
}

#[test]
fn who_is_asked_ends_with_who_asks() {
    let desk = answering(u32::from(b'k'), u32::from(b'k'));
    let team = format!("{TEAM}{CLERK}")
        .replace("max_tokens = 60", "max_tokens = 60\nmax_seconds = 0.5")
        .replace("max_tokens = 40", "max_tokens = 12000");
    let lines = Lines::of(&desk.team(&team, &["--json"]));
    assert_eq!(lines.one("finished", "chief")["reason"], "budget");
    lines.one("asked", "clerk");
    for agent in ["aide", "clerk"] {
        assert!(lines.of_agent("finished", agent).is_empty(), "nobody waits for the answer of {agent}");
    }
}

/// What somebody who is ended had begun ends with it, and what waits for its turn does not begin.
#[cfg(target_os = "linux")]
#[test]
fn what_runs_for_who_is_not_asked_any_more_is_ended() {
    let desk = desk();
    let shell = |then: &str| {
        format!(
            "tools = {{ use = [\"run\"], calls = 1, commands = [{{ name = \"note\", program = \"/bin/sh\", \
             before = [\"-c\", \"{then}\"], folder = \".\" }}] }}\n"
        )
    };
    // It shows that it lives, until it is ended; somebody else looks twice when the time of who asked is up.
    let team = TEAM.replace("max_tokens = 60", "max_tokens = 60\nmax_seconds = 4")
        + &shell("while :; do date +%s%N > beat; sleep 0.05; done")
        + "[[agent]]\nname = \"watch\"\nprompt = \"Wait.\"\nmax_tokens = 200\n"
        + &shell("sleep 8; cp beat one; sleep 1; cp beat other");
    let team = team.replace("max_tokens = 40", "max_tokens = 200");
    let lines = Lines::of(&desk.team(&team, &["--json"]));
    assert_eq!(lines.one("finished", "chief")["reason"], "budget");
    assert_eq!(lines.one("tool_result", "watch")["outcome"], "done");
    let seen = |name| std::fs::read_to_string(desk.path(name)).expect("it was begun before that time");
    assert_eq!(seen("one"), seen("other"), "it goes on, though nobody wants it any more");
}

#[test]
fn what_cannot_be_asked_is_refused_with_the_place() {
    let chief =
        |tools: &str| format!("[[agent]]\nname = \"chief\"\nprompt = \"Hello\"\ntools = {{ {tools} }}\n");
    let on_call = |name: &str, more: &str| format!("[[agent]]\nname = \"{name}\"\n{more}\n");
    let asks = |name: &str| format!("tools = {{ agents = [\"{name}\"] }}");
    let aide = on_call("aide", "");
    for (team, reason) in [
        (
            chief("agents = [\"aid\"]") + &aide,
            "agents names \"aid\", and nobody has that name; did you mean \"aide\"",
        ),
        (chief("agents = [\"aide\", \"aide\"]") + &aide, "agents names \"aide\" twice"),
        (chief("agents = [\"aide\"]") + &on_call("aide", "prompt = \"x\""), "has a prompt of its own"),
        (chief("use = [\"clock\"]") + &aide, "prompt or prompt_file"),
        (chief("agents = [\"aide\"]") + &on_call("aide", "copies = 2"), "one of them would do"),
        (
            chief("agents = [\"aide\"]")
                + &aide
                + "[[agent]]\nname = \"b\"\nprompt = \"x\"\nafter = [\"aide\"]\n",
            "after names \"aide\", which answers whoever asks it",
        ),
        (
            chief("agents = [\"aide\"]") + &on_call("aide", "tools = { use = [\"clock\", \"sensor\"] }"),
            "what it is asked is not known before",
        ),
        (
            chief("agents = [\"aide\"]")
                + &on_call("aide", &asks("clerk"))
                + &on_call("clerk", &asks("aide")),
            "agents ask each other",
        ),
        (
            (0..9).fold(chief("agents = [\"a0\"]"), |team, n| {
                team + &on_call(
                    &format!("a{n}"),
                    &if n < 8 { asks(&format!("a{}", n + 1)) } else { String::new() },
                )
            }),
            "9 agents would wait for each other's answers at once; 8 may",
        ),
    ] {
        let refused = desk().team(&team, &[]);
        assert_ne!(refused.code, 0, "{team}");
        assert!(refused.stderr.contains(reason), "{team}: {}", refused.stderr);
    }
}
