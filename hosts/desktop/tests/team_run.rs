//! `agentos run` on a small model: what it prints, and that it is the same again.

mod cli_support;
mod team_support;

use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

const TWO: &str = r#"
[[agent]]
name = "ann"
prompt = "What is a kernel?"
max_tokens = 40

[[agent]]
name = "bartholomew"
system = "Be short."
prompt = "Who are you?"
max_tokens = 60
priority = 20
"#;

fn long() -> Desk {
    Desk::new(&Tiny { context: 1024, ..Tiny::default() }.gguf())
}

/// The tokens and the text that an agent gives when it is alone, without a kernel.
fn alone(desk: &Desk, prompt: &str, more: &[&str]) -> (Vec<u64>, String) {
    let json = desk.generate(&[&["--prompt", prompt, "--json"], more].concat(), "").json();
    let ids = json["output_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
    (ids.collect(), json["text"].as_str().unwrap().to_owned())
}

#[test]
fn every_agent_says_what_it_says_alone() {
    let desk = Desk::tiny();
    let lines = Lines::of(&desk.team(TWO, &["--json"]));
    for (name, prompt, more) in [
        ("ann", "What is a kernel?", &["--max-tokens", "40"][..]),
        ("bartholomew", "Who are you?", &["--max-tokens", "60", "--system", "Be short."]),
    ] {
        let (ids, text) = alone(&desk, prompt, more);
        assert_eq!(lines.ids(name), ids);
        // A character that never ended is no token's.
        let rest = text.strip_prefix(&lines.text(name)).expect("the same text");
        assert!(["", "\u{fffd}"].contains(&rest), "{rest:?}");
    }
}

#[test]
fn lines_come_in_the_order_of_what_happens_and_add_up() {
    let desk = Desk::tiny();
    let lines = Lines::of(&desk.team(TWO, &["--json", "--replay", "0"]));
    let times: Vec<u64> = lines.0.iter().map(|line| line["at_us"].as_u64().unwrap()).collect();
    assert!(times.is_sorted());
    let spawned: Vec<&Value> = lines.events("spawned").iter().map(|line| &line["agent"]).collect();
    assert_eq!(spawned, ["ann", "bartholomew"]);
    for name in ["ann", "bartholomew"] {
        let tokens = lines.of_agent("token", name);
        let opening = lines.of_agent("spawned", name)[0]["tokens"].as_u64().unwrap();
        for (token, address) in tokens.iter().zip(opening..) {
            assert_eq!(token["address"], address);
        }
        let finished = lines.of_agent("finished", name)[0];
        let agent = lines.agent(name);
        assert_eq!(finished["generated"], tokens.len());
        assert_eq!(
            (&agent["generated"], &agent["budget"]["tokens"]),
            (&finished["generated"], &finished["generated"])
        );
        assert_eq!(agent["reason"], finished["reason"]);
        assert_eq!(agent["tokens"], opening + tokens.len() as u64);
        assert!(agent["l1_pages"].as_u64().unwrap() >= agent["tokens"].as_u64().unwrap() / 8);
        assert!(agent["first_token_us"].as_u64().unwrap() > 0);
    }
    let summary = lines.summary();
    assert_eq!(summary["generated"], lines.events("token").len());
    assert_eq!(
        (&summary["seed"], lines.agent("bartholomew")["priority"].as_u64()),
        (&Value::from(0), Some(20))
    );
    // Each row is a token of an opening or an answer, but for the last of each answer, and those that are
    // shared.
    let openings: u64 = lines.events("spawned").iter().map(|line| line["tokens"].as_u64().unwrap()).sum();
    let rows = openings + lines.sum("generated") - 2 - lines.sum("shared");
    assert_eq!(summary["rows"], rows);
    assert_eq!(lines.sum("recomputed"), 0);
    let (peak, pages) = (&summary["l1"]["peak"], &summary["l1"]["pages"]);
    assert!(peak.as_u64() > Some(0) && peak.as_u64() <= pages.as_u64(), "{peak} of {pages}");
}

#[test]
fn a_person_reads_each_line_under_its_name() {
    let desk = Desk::tiny();
    let lines = Lines::of(&desk.team(TWO, &["--json", "--replay", "0"]));
    let ran = desk.team(TWO, &["--replay", "0"]);
    let told = |ran: &str, name: &str| -> String {
        let begin = format!("{name:11} │ ");
        ran.lines().filter_map(|line| line.strip_prefix(&begin)).collect()
    };
    // What stands for what cannot be shown may differ, and so may white space.
    let letters = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != '\u{fffd}').collect()
    };
    assert!(ran.stderr.contains("team.toml: 2 agents, seed 0"), "{}", ran.stderr);
    assert!(ran.stderr.contains("page memory (L1)"), "{}", ran.stderr);
    let printed = ran.printed();
    for name in ["ann", "bartholomew"] {
        assert!(!letters(&lines.text(name)).is_empty());
        assert_eq!(letters(&told(&printed, name)), letters(&lines.text(name)));
    }
    let (streamed, table) = printed.split_once("\n\n").expect("a table below what was said");
    for line in streamed.lines() {
        assert!(line.starts_with("ann         ") || line.starts_with("bartholomew "), "{line:?}");
        assert!(
            line.chars().count() <= 100 && !line.contains('\u{1b}') && !line.contains("<|im_"),
            "{line:?}"
        );
    }
    assert!(streamed.contains("ann         · spawned with "), "{streamed}");
    assert!(streamed.contains("bartholomew · finished after "), "{streamed}");
    let titles: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles[..4], ["agent", "prio", "end", "said"]);
    assert!(table.contains("tokens/s") && table.contains("of page memory (L1)"), "{table}");
}

const HOT: &str = r#"
[memory]
l1_tokens = 640

[schedule]
step_ms = 10
quantum = 16

[[agent]]
name = "worker"
prompt = "Say something that is long enough to take a few slices of memory, please."
priority = 3
copies = 6
max_tokens = 120
sampling = { temperature = 1.0, seed = 5 }

[[agent]]
name = "hasty"
prompt = "Now!"
priority = 9
max_tokens = 60
max_seconds = 0.2

[[agent]]
name = "last"
prompt = "And you?"
after = ["hasty"]
max_tokens = 20
sampling = { temperature = 1.0 }
"#;

#[test]
fn a_replay_is_the_same_to_the_last_byte() {
    let desk = long();
    let run = |seed: &str, threads: &str| {
        desk.team(HOT, &["--json", "--replay", seed, "--threads", threads]).printed()
    };
    let one = run("7", "1");
    assert!(one == run("7", "1"), "two replays differ");
    assert!(one == run("7", "2"), "threads change a replay");
    assert!(one != run("8", "1"), "the seed changes nothing");
    // It is worth something: there was pressure on memory and time.
    assert!(one.contains("\"event\":\"paged\"") && one.contains("\"event\":\"preempted\""));
    assert!(one.contains("\"reason\":\"budget\""), "the time of one agent is up");
}

#[test]
fn a_run_by_the_clock_gives_the_texts_of_its_replay() {
    let desk = long();
    let run = |more: &[&str]| Lines::of(&desk.team(HOT, &[&["--json"], more].concat()));
    let (real, replay) = (run(&[]), run(&["--replay", "0"]));
    for copy in 1..=6 {
        let name = format!("worker-{copy}");
        assert_eq!(real.ids(&name), replay.ids(&name));
    }
    assert_ne!(real.ids("worker-1"), real.ids("worker-2"), "copies have their own seeds");
}

#[test]
fn eight_agents_in_memory_for_three_all_finish_as_if_alone() {
    let desk = long();
    let agent = |n: usize| {
        format!(
            "[[agent]]\nname = \"a{n}\"\nprompt = \"{}\"\nmax_tokens = 200\n",
            "Tell me more. ".repeat(5 + n % 2)
        )
    };
    let team: String = (0..8).map(agent).collect();
    let team = format!("[memory]\nl1_tokens = 1024\n{team}");
    let lines = Lines::of(&desk.team(&team, &["--json"]));
    for n in 0..8 {
        let prompt = "Tell me more. ".repeat(5 + n % 2);
        let (ids, _) = alone(&desk, &prompt, &["--max-tokens", "200"]);
        assert_eq!(lines.ids(&format!("a{n}")), ids, "a{n}");
        lines.answered(&format!("a{n}"));
    }
    assert_eq!((lines.sum("recomputed"), lines.events("finished").len()), (0, 8));
    assert!(lines.sum("shared") > 0);
    assert_eq!(lines.summary()["l1"]["pages"], 128);
}

#[test]
fn a_bounded_agent_pages_out_what_it_does_not_attend_to() {
    let desk = long();
    let team = "[memory]\nl1_tokens = 256\nl2_mb = 1\n[[agent]]\nname = \"a\"\nprompt = \"Go on and on.\"\n\
                max_tokens = 500\nmemory = \"bounded\"\nl1_tokens = 192\n";
    let lines = Lines::of(&desk.team(team, &["--json"]));
    let agent = lines.agent("a");
    assert!(agent["tokens"].as_u64() > Some(256), "{agent}");
    assert!(agent["l1_pages"].as_u64() <= Some(24 + 8) && agent["l2_pages"].as_u64() > Some(0), "{agent}");
    assert!(agent["paged_out"].as_u64() > Some(0) && agent["recomputed"] == 0, "{agent}");
}
