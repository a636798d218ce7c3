//! What a run computes is there for the next one, in a file.

mod cli_support;
mod team_support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use cli_support::{Desk, Tiny};
use serde_json::Value;
use team_support::Lines;

/// Two agents behind the same text.
const TEAM: &str = r#"
[document]
text = """
A kernel decides which program runs next. It never asks the programs. They wait, and run, and wait. What they have \
computed stays in memory as long as there is room, and goes to a slower place when there is none. From there it comes \
back when it is needed, and nobody has to compute it again. That is all that a memory hierarchy is.
"""

[[agent]]
name = "one"
prompt = "What is a kernel?"
max_tokens = 12

[[agent]]
name = "two"
prompt = "What comes back?"
max_tokens = 12
"#;

/// A bounded agent with a text that is many times its quota, and a question about it.
fn long() -> String {
    let line = |number: u32| format!("Room {number} of the house has {} chairs and a lamp.", number * 7 % 11);
    let text: Vec<String> = (0..90).map(line).collect();
    format!(
        "[[agent]]\nname = \"reader\"\nmemory = \"bounded\"\nl1_tokens = 256\nmax_tokens = 20\nprompt = \"\"\"\n{}\nHow many \
         chairs are in room 13?\"\"\"\n",
        text.join("\n")
    )
}

fn desk() -> Desk {
    Desk::new(&Tiny { context: 2048, ..Tiny::default() }.gguf())
}

#[track_caller]
fn count(lines: &Lines, figure: &str) -> u64 {
    lines.summary()["store"][figure].as_u64().unwrap_or_else(|| panic!("no {figure}: {}", lines.summary()))
}

fn ids(lines: &Lines) -> [Vec<u64>; 2] {
    ["one", "two"].map(|name| lines.ids(name))
}

#[test]
fn the_second_run_computes_nothing_that_the_first_one_stored() {
    let desk = desk();
    let without = Lines::of(&desk.team(TEAM, &["--json"]));
    assert_eq!(without.summary()["store"], Value::Null);
    let first = Lines::of(&desk.team(TEAM, &["--json", "--store", "cold.db"]));
    let stored = count(&first, "stored_slices");
    assert!(stored > 4, "{}", first.summary());
    assert_eq!(first.events("stored").len() as u64, stored);
    assert_eq!((count(&first, "loaded_slices"), count(&first, "store_failures")), (0, 0));
    let second = Lines::of(&desk.team(TEAM, &["--json", "--store", "cold.db"]));
    assert_eq!((ids(&first), ids(&second)), (ids(&without), ids(&without)));
    let recalled = count(&second, "loaded_tokens");
    assert_eq!(recalled, second.sum("recalled"));
    // Each agent's prompt and all that goes before it, but for less than a slice at its end.
    let openings: u64 = second.events("spawned").iter().map(|line| line["tokens"].as_u64().unwrap()).sum();
    assert!(recalled + second.sum("shared") + 2 * 64 > openings, "{recalled} of {openings}");
    let rows = |lines: &Lines| lines.summary()["rows"].as_u64().unwrap();
    assert_eq!(rows(&second) + recalled + second.sum("shared"), rows(&first) + first.sum("shared"));
    assert_eq!((count(&second, "stored_slices"), second.sum("recomputed")), (0, 0));
    let told = desk.team(TEAM, &["--store", "cold.db"]).printed();
    assert!(told.contains(&format!("cold store (L3): {recalled} tokens in ")), "{told}");
}

#[test]
fn a_bounded_agent_finds_what_an_earlier_run_computed() {
    let (desk, team) = (desk(), long());
    let without = Lines::of(&desk.team(&team, &["--json"]));
    let summary = |lines: &Lines, figure: &str| lines.agent("reader")[figure].as_u64().unwrap();
    assert!(without.agent("reader")["coverage"].is_number(), "{}", without.summary());
    let first = Lines::of(&desk.team(&team, &["--json", "--store", "cold.db"]));
    assert!(count(&first, "stored_slices") > 40, "{}", first.summary());
    let second = Lines::of(&desk.team(&team, &["--json", "--store", "cold.db"]));
    assert_eq!((first.ids("reader"), second.ids("reader")), (without.ids("reader"), without.ids("reader")));
    let (rows, recalled) = (second.summary()["rows"].as_u64().unwrap(), second.sum("recalled"));
    assert_eq!(rows + recalled, without.summary()["rows"].as_u64().unwrap());
    // All but what is behind the last state that was stored: one each 256 tokens, unless the store is busy with another.
    assert!(recalled > 3000, "{rows} rows: {}", second.summary());
    for figure in ["faults", "replays", "replayed", "recomputed"] {
        assert_eq!(summary(&second, figure), summary(&without, figure), "{figure}");
    }
    // Another quota is another agent: only what comes before any choice is the same.
    let other = Lines::of(&desk.team(&team.replace("256", "320"), &["--json", "--store", "cold.db"]));
    assert!((1..320).contains(&other.sum("recalled")), "{}", other.summary());
    let alone = Lines::of(&desk.team(&team.replace("256", "320"), &["--json"]));
    assert_eq!(other.ids("reader"), alone.ids("reader"));
}

/// Killed while it reads, a bounded agent's next run computes only what was not durable yet.
#[test]
fn a_long_text_that_was_interrupted_is_not_computed_again() {
    let (desk, team) = (desk(), long());
    let expected = Lines::of(&desk.team(&team, &["--json"])).ids("reader");
    let mut found = 0;
    for kill in 0..8u64 {
        let file = format!("cold-{kill}.db");
        let mut command = desk.team_command(&team, &["--json", "--store", &file]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let stored = lines.filter(|line| line.contains("\"event\":\"stored\""));
        let told = stored.take(5 + 8 * kill as usize).count();
        child.kill().unwrap();
        child.wait().unwrap();
        let second = Lines::of(&desk.team(&team, &["--json", "--store", &file]));
        assert_eq!(second.ids("reader"), expected, "killed after {told} slices");
        found = found.max(second.sum("recalled"));
    }
    assert!(found > 400, "{found} tokens at most");
}

/// A store that is full lets go what was attended to least: of a text that an earlier run has read, the beginning stays,
/// though it is what was stored first.
#[test]
fn what_was_attended_to_most_is_there_when_the_store_is_full() {
    let desk = desk();
    let team = |number: usize| {
        let text: String = (0..24)
            .map(|line| format!("Text {number} says {} in its line {line}.\n", line * number))
            .collect();
        format!(
            "[store]\npath = \"small.db\"\nsize_mb = 1\n[[agent]]\nname = \"a\"\nmax_tokens = 8\nprompt = \"\"\"\n{number}: {text}\
             What does it say?\"\"\"\n"
        )
    };
    let run = |number: usize| Lines::of(&desk.team(&team(number), &["--json"]));
    let first = run(1);
    // Five others and this one take a half more than there is room for.
    (2..7).for_each(|number| drop(run(number)));
    let again = run(1);
    assert!(again.sum("recalled") > 0, "{}", again.summary());
    // Not all of it is: of each text the end went.
    let (stored, recalled) = (count(&first, "stored_slices"), count(&again, "loaded_slices"));
    assert!(recalled < stored / 2 && count(&again, "stored_slices") > 0, "{recalled} of {stored}");
}

#[test]
fn a_team_file_names_its_store_and_who_is_kept_there() {
    let desk = desk();
    let team = |one: &str| {
        let text = TEAM.replacen("name = \"one\"\n", &format!("name = \"one\"\n{one}\n"), 1);
        format!("[store]\npath = \"kept/cold.db\"\nsize_mb = 64\n{text}")
    };
    std::fs::create_dir(desk.path("kept")).unwrap();
    let alone = team("persist = false").replace("name = \"two\"", "name = \"two\"\npersist = false");
    let first = Lines::of(&desk.team(&alone, &["--json"]));
    assert_eq!(
        (count(&first, "stored_slices"), ids(&first)),
        (0, ids(&Lines::of(&desk.team(TEAM, &["--json"]))))
    );
    let second = Lines::of(&desk.team(&team(""), &["--json"]));
    assert!(count(&second, "stored_slices") > 4 && desk.path("kept/cold.db").exists());
    let third = Lines::of(&desk.team(&alone, &["--json"]));
    assert!(third.sum("recalled") > 0, "whoever is not kept may read");
    desk.team(&team("persist = 3"), &[]).refuses(1, &["persist", "true or false"]);
    desk.team("[store]\nsize_mb = 1\n[[agent]]\nname = \"a\"\nprompt = \"b\"\n", &[]).refuses(1, &["path"]);
}

/// What an agent keeps packed is found by who accepts it, and takes less room.
#[test]
fn what_is_kept_packed_is_found_by_who_accepts_it() {
    let team = |store: &str, agents: &str| {
        let text = TEAM.replace("max_tokens = 12\n", &format!("max_tokens = 12\n{agents}"));
        format!("[store]\npath = \"cold.db\"\n{store}{text}")
    };
    let desk = desk();
    let exact = Lines::of(&desk.team(&team("", ""), &["--json"]));
    let bytes = |lines: &Lines| count(lines, "stored_slices");
    let slices = bytes(&exact);
    for store in ["", "packing = \"int8\"\n", "packing = \"k4v4\"\n"] {
        std::fs::remove_file(desk.path("cold.db")).unwrap();
        let first = Lines::of(&desk.team(&team(store, "packed = true\n"), &["--json"]));
        assert_eq!((bytes(&first), ids(&first)), (slices, ids(&exact)), "nothing is read yet");
        // Who takes slices as they are or not at all has the first one.
        let plain = Lines::of(&desk.team(&team(store, "persist = false\n"), &["--json"]));
        assert_eq!(ids(&plain), ids(&exact));
        assert!((1..=64).contains(&plain.sum("recalled")), "{}", plain.summary());
        let second = Lines::of(&desk.team(&team(store, "packed = true\n"), &["--json"]));
        let openings: u64 =
            second.events("spawned").iter().map(|line| line["tokens"].as_u64().unwrap()).sum();
        assert!(second.sum("recalled") + second.sum("shared") + 2 * 64 > openings, "{}", second.summary());
        assert_eq!(count(&second, "load_failures"), 0);
    }
    desk.team(&team("packing = \"int4\"\n", ""), &[]).refuses(1, &["packing", "\"int8\" or \"k4v4\""]);
    desk.team(&team("", "packed = 3\n"), &[]).refuses(1, &["packed", "true or false"]);
}

/// A bounded agent that packs has its context in fewer bytes of the arena.
#[test]
fn an_arena_that_is_too_small_for_a_context_holds_it_packed() {
    let desk = desk();
    let memory = "[memory]\nl1_tokens = 384\nl2_mb = 1\n";
    let text = |packed: &str| long().replace("max_tokens = 20\n", &format!("max_tokens = 20\n{packed}"));
    let repeated = |packed: &str| {
        let more = "More of it follows, and nobody knows how much. ".repeat(26);
        format!("{memory}{}", text(packed).replace("How many", &format!("{more}\nHow many")))
    };
    desk.team(&repeated(""), &[]).refuses(1, &["reader", "l2_mb"]);
    let lines = Lines::of(&desk.team(&repeated("packed = true\n"), &["--json"]));
    assert!(lines.ids("reader").len() == 20 || lines.agent("reader")["reason"] == "stop");
    assert!(lines.sum("paged_out") > 0, "{}", lines.summary());
}

#[test]
fn a_store_that_cannot_be_used_is_refused_with_its_reason() {
    let desk = desk();
    let store: &[&str] = &["--store", "cold.db"];
    desk.put("cold.db", b"this is no store, and nobody overwrites it");
    desk.team(TEAM, store).refuses(1, &["cold.db", "no store"]);
    assert!(std::fs::read(desk.path("cold.db")).unwrap().starts_with(b"this is no store"));
    desk.team(TEAM, &["--store", "nowhere/cold.db"]).refuses(1, &["nowhere/cold.db"]);
    std::fs::remove_file(desk.path("cold.db")).unwrap();
    assert_eq!(desk.team(TEAM, store).code, 0);
    desk.team(TEAM, &["--store", "cold.db", "--kv", "f32"]).refuses(1, &["made for", "another file"]);
    desk.team(TEAM, &["--store", "cold.db", "--replay", "1"]).refuses(1, &["--replay", "store"]);
}
