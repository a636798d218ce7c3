//! Where what `agentos run` tells goes: a trace, a pipe that is closed, an end by Ctrl-C.

mod cli_support;
mod team_support;

use cli_support::{Desk, Tiny};
use serde_json::Value;

const TEAM: &str = r#"
[[agent]]
name = "a"
prompt = "Tell me."
max_tokens = 30
copies = 3

[[agent]]
name = "b"
prompt = "And you?"
after = ["a-1"]
max_tokens = 10
"#;

#[test]
fn a_trace_is_whole_or_not_there() {
    let desk = Desk::tiny();
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(desk.path("")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    desk.team(TEAM, &["--trace", "trace.json", "--replay", "0"]).printed();
    let first = std::fs::read(desk.path("trace.json")).unwrap();
    let trace: Value = serde_json::from_slice(&first).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    let tracks: Vec<&str> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    for track in ["steps", "a-1", "a-2", "a-3", "b"] {
        assert!(tracks.contains(&track), "{track} in {tracks:?}");
    }
    assert_eq!(named("finished"), 4);
    assert!(named("l1_pages") > 1 && named("rows") > 1 && named("step") > 1);
    let count = |ph: &str| events.iter().filter(|event| event["ph"] == ph).count();
    assert_eq!(count("B"), count("E"));
    desk.team(TEAM, &["--json", "--trace", "trace.json", "--replay", "0"]).printed();
    assert!(std::fs::read(desk.path("trace.json")).unwrap() == first, "traces of replays are the same");

    for path in ["missing/trace.json", "."] {
        desk.team(TEAM, &["--trace", path]).refuses(1, &["cannot write the trace", path]);
    }
    let mut left = names();
    left.sort();
    assert_eq!(left, ["model.gguf", "team.toml", "trace.json"]);
}

#[cfg(unix)]
mod processes {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A model and a team that go on for minutes.
    fn desk() -> Desk {
        Desk::new(&Tiny { context: 1 << 20, ..Tiny::default() }.gguf())
    }

    const ENDLESS: &str = "[[agent]]\nname = \"a\"\nprompt = \"x\"\nmax_tokens = 100000\ncopies = 2\n\
                           sampling = { repeat_penalty = 1.0 }\n\
                           [[agent]]\nname = \"b\"\nprompt = \"x\"\nafter = [\"a-1\"]\n";

    fn start(desk: &Desk, more: &[&str]) -> Child {
        let mut command = desk.team_command(ENDLESS, &[&["--backend", "reference"], more].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn interrupt(child: &Child) {
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The lines of a run that is interrupted once it speaks.
    fn interrupted(desk: &Desk, more: &[&str]) -> Vec<String> {
        let mut child = start(desk, more);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = vec![String::new()];
        output.read_line(&mut lines[0]).unwrap();
        interrupt(&child);
        lines.extend(output.lines().map(|line| line.expect("what was printed is whole characters")));
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{errors}");
        assert!(!errors.contains("error") && !errors.contains("panicked"), "{errors}");
        lines
    }

    #[test]
    fn an_interrupted_run_ends_in_good_order() {
        let desk = desk();
        let lines = interrupted(&desk, &["--json", "--trace", "trace.json"]);
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let summary = lines.last().unwrap();
        assert_eq!(summary["event"], "summary");
        let agents = summary["agents"].as_array().unwrap();
        assert_eq!(agents.len(), 2, "b was never spawned");
        assert!(agents.iter().all(|agent| agent["reason"] == "unfinished"), "{summary}");
        assert!(lines.iter().any(|line| line["vector"] == "SIG_SHUTDOWN"));
        let trace = std::fs::read(desk.path("trace.json")).unwrap();
        assert!(serde_json::from_slice::<Value>(&trace).is_ok());

        let lines = interrupted(&desk, &[]);
        assert!(lines.iter().any(|line| line.starts_with("agent ")), "a table comes last");
        assert!(lines.last().unwrap().contains("of the arena (L2)"));
    }

    #[test]
    fn a_run_that_nobody_reads_stops() {
        let desk = desk();
        for more in [&["--json"][..], &[]] {
            let mut child = start(&desk, &[more, &["--trace", "trace.json"]].concat());
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut String::new()).unwrap();
            drop(output);
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{errors}");
            assert!(!errors.contains("error") && !errors.contains("panicked"), "{errors}");
            assert!(!desk.path("trace.json").exists());
        }
    }
}
