//! A run that is killed at any moment goes on from its last checkpoint as if nothing had been.

mod cli_support;
mod team_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

/// Agents of every kind of memory, in memory for some of them.
const TEAM: &str = r#"
[memory]
l1_tokens = 2400
l2_mb = 4

[document]
text = "A kernel decides which program runs next. It never asks the programs. They wait, and run, and wait."

[[agent]]
name = "exact"
prompt = "What is a kernel?"
max_tokens = 500
copies = 3
priority = 9
[agent.sampling]
temperature = 0.9
seed = 5

[[agent]]
name = "bounded"
prompt = "Who runs next?"
memory = "bounded"
l1_tokens = 256
max_tokens = 500
[agent.sampling]
temperature = 0.7
seed = 8

[[agent]]
name = "last"
prompt = "Say it again."
after = ["exact-1"]
max_tokens = 60
"#;

/// Kills of the running process.
const KILLS: u64 = 50;

type Tokens = BTreeMap<(String, u64), u64>;

/// The tokens of whole lines; the last one may have been cut off.
fn tokens(stdout: &str) -> Tokens {
    let lines = stdout.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("whole lines are JSON"));
    let of = |line: Value| {
        let number = |key: &str| line[key].as_u64().unwrap();
        ((line["agent"].as_str().unwrap().to_owned(), number("address")), number("id"))
    };
    lines.filter(|line| line["event"] == "token").map(of).collect()
}

/// What must be as in the run that nobody killed.
fn ends(lines: &Lines) -> Vec<(String, Value, u64, u64)> {
    let agents = lines.summary()["agents"].as_array().unwrap().iter();
    let of = |agent: &Value| {
        let number = |key: &str| agent[key].as_u64().unwrap();
        (agent["name"].to_string(), agent["reason"].clone(), number("tokens"), number("generated"))
    };
    agents.map(of).collect()
}

fn desk() -> Desk {
    Desk::new(&Tiny { context: 2048, ..Tiny::default() }.gguf())
}

/// A number from 0 to 1 for each kill: spread evenly, in no order of their own.
fn moment(kill: u64) -> f64 {
    (kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64
}

/// Runs the team until it is killed after `life`; returns what it had printed.
fn killed(desk: &Desk, checkpoint: &Path, more: &[&str], life: Duration) -> String {
    let file = checkpoint.to_str().unwrap();
    let keep = ["--json", "--checkpoint", file, "--checkpoint-every", "0.004"];
    let mut command = desk.team_command(TEAM, &[&keep, more].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::scope(|scope| {
        let mut stdout = child.stdout.take().unwrap();
        let reader = scope.spawn(move || {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut stdout, &mut text).unwrap();
            // A character may have been cut in two.
            String::from_utf8_lossy(&text).into_owned()
        });
        std::thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap()
    })
}

#[test]
fn whoever_is_killed_goes_on_as_if_nothing_had_been() {
    let desk = desk();
    let begin = Instant::now();
    let whole = desk.team(TEAM, &["--json"]);
    let life = begin.elapsed();
    let (expected, expected_ends) = (tokens(&whole.stdout), ends(&Lines::of(&whole)));
    assert_eq!(whole.code, 0, "{} {:?}", whole.stderr, Lines::of(&whole).events("refused"));
    let checkpoint = desk.path("team.checkpoint");
    let mut restored = 0;
    for kill in 0..KILLS {
        let more: &[&str] = if kill % 2 == 0 { &["--checkpoint-pages"] } else { &[] };
        let printed = tokens(&killed(&desk, &checkpoint, more, life.mul_f64(moment(kill))));
        assert!(printed.iter().all(|(place, id)| expected[place] == *id), "before kill {kill}");
        if !checkpoint.exists() {
            continue;
        }
        restored += 1;
        let rest = desk.team(TEAM, &["--json", "--restore", checkpoint.to_str().unwrap()]);
        assert_eq!(rest.code, 0, "{}", rest.stderr);
        let lines = Lines::of(&rest);
        assert_eq!(ends(&lines), expected_ends, "after kill {kill}");
        let after = tokens(&rest.stdout);
        assert!(after.iter().all(|(place, id)| expected[place] == *id), "after kill {kill}");
        // From where an agent goes on, it goes on to its end.
        for (name, _, _, _) in &expected_ends {
            let name = name.trim_matches('"');
            let of = |tokens: &Tokens| tokens.keys().filter(|(agent, _)| agent == name).count();
            let first = after.keys().find(|(agent, _)| agent == name);
            let left = first
                .map_or(0, |first| expected.range(first..).filter(|((agent, _), _)| agent == name).count());
            assert_eq!(of(&after), left, "{name} after kill {kill}");
        }
        if !more.is_empty() {
            assert_eq!(lines.sum("recomputed"), 0, "after kill {kill}");
        }
        std::fs::remove_file(&checkpoint).unwrap();
        // What a killed process leaves beside the checkpoint is never taken for one.
        for entry in std::fs::read_dir(checkpoint.parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "part") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    assert!(restored >= KILLS / 3, "only {restored} of {KILLS} kills came after a checkpoint");
}

#[test]
fn an_interrupted_team_is_kept_and_a_wrong_checkpoint_is_refused() {
    let desk = desk();
    let checkpoint = desk.path("team.checkpoint");
    let file = checkpoint.to_str().unwrap();
    let whole = desk.team(TEAM, &["--json", "--replay", "3", "--checkpoint", file]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    // A team that was done is done.
    let again = desk.team(TEAM, &["--json", "--replay", "3", "--restore", file]);
    assert_eq!(ends(&Lines::of(&again)), ends(&Lines::of(&whole)));
    assert!(tokens(&again.stdout).is_empty());

    let refused = |team: &str, more: &[&str]| {
        let ran = desk.team(team, &[&["--json"], more].concat());
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        ran.stderr
    };
    let other = TEAM.replace("max_tokens = 60", "max_tokens = 61");
    assert!(refused(&other, &["--replay", "3", "--restore", file]).contains("another team file"));
    assert!(refused(TEAM, &["--restore", file]).contains("--replay 3"));
    assert!(refused(TEAM, &["--restore", "nowhere"]).contains("cannot read the checkpoint nowhere"));
    let folder = ["--checkpoint", "."];
    assert!(refused(TEAM, &folder).contains("cannot write the checkpoint ."));
    let kv = ["--replay", "3", "--kv", "f32", "--restore", file];
    assert!(refused(TEAM, &kv).contains("--kv"));

    let bytes = std::fs::read(&checkpoint).unwrap();
    for (damage, message) in [
        (&bytes[..bytes.len() - 1], "damaged"),
        (&bytes[..40], "damaged"),
        (&b"hello"[..], "no checkpoint of a team"),
        (&[&bytes[..bytes.len() - 50], &[0; 50][..]].concat(), "damaged"),
    ] {
        let file = desk.put("damaged", damage);
        let more = ["--replay", "3", "--restore", file.to_str().unwrap()];
        assert!(refused(TEAM, &more).contains(message), "{message}");
    }
}
