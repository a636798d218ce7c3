//! Agents that wait for others, and agents that are refused.

mod cli_support;
mod team_support;

use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

fn desk() -> Desk {
    Desk::new(&Tiny { context: 1024, ..Tiny::default() }.gguf())
}

#[test]
fn whoever_waits_gets_the_answers() {
    let desk = desk();
    let team = r#"
[[agent]]
name = "third"
prompt = "Put it in a word."
after = ["second", "first"]
max_tokens = 20

[[agent]]
name = "first"
prompt = "One?"
max_tokens = 12

[[agent]]
name = "second"
prompt = "Two?"
after = ["first"]
max_tokens = 15
"#;
    let lines = Lines::of(&desk.team(team, &["--json"]));
    for (earlier, later) in [("first", "second"), ("second", "third")] {
        assert!(lines.place("finished", earlier) < lines.place("spawned", later));
    }
    let answer = |prompt: &str, tokens: &str| {
        desk.generate(&["--prompt", prompt, "--max-tokens", tokens, "--json"], "").json()
    };
    let text = |json: &Value| json["text"].as_str().unwrap().trim().to_owned();
    let ids = |json: &Value| -> Vec<u64> {
        json["output_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
    };
    let first = answer("One?", "12");
    let second = answer(&format!("Answer of first:\n{}\n\nTwo?", text(&first)), "15");
    let third = format!(
        "Answer of second:\n{}\n\nAnswer of first:\n{}\n\nPut it in a word.",
        text(&second),
        text(&first)
    );
    let third = answer(&third, "20");
    for (name, json) in [("first", first), ("second", second), ("third", third)] {
        assert_eq!(lines.ids(name), ids(&json), "{name}");
    }
}

#[test]
fn whoever_waits_lends_its_priority() {
    let desk = desk();
    // Memory for one at a time: who is admitted next is who is most urgent.
    let team = r#"
[memory]
l1_tokens = 384
l2_mb = 0

[[agent]]
name = "first"
prompt = "x"
context = 100
max_tokens = 20

[[agent]]
name = "middle"
prompt = "x y"
context = 100
max_tokens = 20
priority = 8

[[agent]]
name = "low"
prompt = "x z"
context = 100
max_tokens = 20
priority = 1

[[agent]]
name = "high"
prompt = "y"
max_tokens = 5
context = 110
priority = 30
after = ["low"]
"#;
    let lines = Lines::of(&desk.team(team, &["--json"]));
    let order: Vec<&str> =
        lines.events("finished").iter().map(|line| line["agent"].as_str().unwrap()).collect();
    assert_eq!(order, ["first", "low", "high", "middle"]);
    assert_eq!(lines.agent("low")["priority"], 1);
    let without = team.replace("after = [\"low\"]", "").replace("priority = 30", "priority = 0");
    let lines = Lines::of(&desk.team(&without, &["--json"]));
    assert!(lines.place("finished", "middle") < lines.place("finished", "low"));
}

/// Two agents that do not fit together, one of which does not wait.
const CROWDED: &str = r#"
[memory]
l1_tokens = 384
l2_mb = 0

[[agent]]
name = "first"
prompt = "x"
context = 100
max_tokens = 20

[[agent]]
name = "second"
prompt = "x y"
context = 100
max_tokens = 20
admission = "refuse"

[[agent]]
name = "third"
prompt = "z"
after = ["first", "second"]
max_tokens = 5

[[agent]]
name = "fourth"
prompt = "z"
after = ["third"]
max_tokens = 5
"#;

#[test]
fn what_was_refused_is_told_to_who_waits_for_it() {
    let desk = desk();
    let ran = desk.team(CROWDED, &["--json"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr
            .contains("error: these agents were refused or taken out of service: second, third, fourth"),
        "{}",
        ran.stderr
    );
    let lines = Lines::of(&ran);
    let reasons: Vec<(&str, &str)> = lines
        .events("refused")
        .iter()
        .map(|line| (line["agent"].as_str().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(reasons.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["second", "third", "fourth"]);
    assert!(reasons[0].1.starts_with("team.toml:15:"), "{}", reasons[0].1);
    assert!(reasons[0].1.contains("are not promised to others; a context of "), "{}", reasons[0].1);
    assert!(reasons[1].1.contains("\"third\" waits for \"second\", which was refused"), "{}", reasons[1].1);
    assert!(reasons[2].1.contains("\"fourth\" waits for \"third\", which was refused"), "{}", reasons[2].1);
    assert_eq!(lines.agent("first")["generated"], lines.ids("first").len());
    assert_eq!(lines.summary()["agents"].as_array().unwrap().len(), 1);
    // For a person, too.
    let ran = desk.team(CROWDED, &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("third  · refused: team.toml:"), "{}", ran.stdout);
}

#[test]
fn a_device_that_computes_no_numbers_faults_the_agents_and_not_the_program() {
    let desk = Desk::new(&Tiny { poison: Some(f32::NAN), ..Tiny::default() }.gguf());
    let team = "[[agent]]\nname = \"a\"\nprompt = \"x\"\nmax_tokens = 4\n\
                [[agent]]\nname = \"b\"\nprompt = \"x\"\nmax_tokens = 4\nafter = [\"a\"]\n";
    let ran = desk.team(team, &["--json"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let lines = Lines::of(&ran);
    assert_eq!(lines.of_agent("faulted", "a")[0]["reason"], "not-finite");
    let reason = lines.of_agent("refused", "b")[0]["reason"].as_str().unwrap();
    assert!(reason.ends_with("\"b\" waits for \"a\", which was taken out of service"), "{reason}");
}

#[test]
fn what_can_never_fit_is_refused_before_anything_runs() {
    let desk = desk();
    let team = |l1: u32| {
        format!(
            "[memory]\nl1_tokens = {l1}\nl2_mb = 0\n\n[[agent]]\nname = \"big\"\nprompt = \"x\"\ncontext = 600\nmax_tokens = 4\n"
        )
    };
    let ran = desk.team(&team(512), &[]);
    ran.refuses(
        1,
        &[
            "team.toml:8:11: \"big\" does not fit: its context needs up to ",
            "a context of ",
            "[memory] l1_tokens = ",
        ],
    );
    let fits = ran.stderr.trim_end().rsplit(' ').next().unwrap();
    desk.team(&team(fits.parse().unwrap()), &[]).printed();

    let refused = |team: &str, parts: &[&str]| desk.team(team, &[]).refuses(1, parts);
    refused("[[agent]]\nname = \"a\"\nprompt = \"x\"\ncontext = 5000\n", &["team.toml:4:11", "5000", "1024"]);
    refused(
        "[[agent]]\nname = \"a\"\nprompt = \"x\"\ncontext = 10\n",
        &["team.toml:4:11", "\"a\" opens with"],
    );
    refused(
        "[[agent]]\nname = \"a\"\nprompt = \"x\"\nmax_tokens = 500\n[[agent]]\nname = \"b\"\nprompt = \"x\"\n\
         max_tokens = 600\nafter = [\"a\"]\n",
        &["team.toml:6:8", "\"b\"", "1024"],
    );
    refused(
        "[[agent]]\nname = \"a\"\nprompt = \"x\"\nafter = [\"a\"]\n",
        &["team.toml:4:", "wait for each other"],
    );
    refused(
        "[[agent]]\nname = \"a\"\nprompt = \"x\"\nmax_tokens = 0\n",
        &["team.toml:4:14", "max_tokens is 0"],
    );
    desk.agentos(["run", "missing.toml"]).refuses(1, &["missing.toml: cannot read"]);
    desk.agentos(["run", "--replay", "x"]).refuses(2, &["--replay"]);
}

#[test]
fn an_answer_that_the_tokenizer_makes_longer_still_fits() {
    let desk = desk();
    // Bytes that begin no character become three tokens each.
    let team = "[[agent]]\nname = \"a\"\nprompt = \"x\"\nmax_tokens = 60\nsampling = { temperature = 50.0, top_k = 256 }\n\
                [[agent]]\nname = \"b\"\nprompt = \"y\"\nmax_tokens = 4\nafter = [\"a\"]\n";
    let lines = Lines::of(&desk.team(team, &["--json", "--replay", "4"]));
    assert!(lines.text("a").contains('\u{fffd}'));
    assert_eq!(lines.of_agent("finished", "b").len(), 1);
    let grown = lines.of_agent("spawned", "b")[0]["tokens"].as_u64().unwrap();
    let before = lines.of_agent("spawned", "a")[0]["tokens"].as_u64().unwrap();
    assert!(grown > before + 60, "{grown} against {before}");
}
