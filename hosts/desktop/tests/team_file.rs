//! Team files: what a good one means, and where and why a wrong one is refused.

use std::path::Path;

use agentos_desktop::team::{
    MOST_AGENTS, MOST_BYTES, Place, Problem, Results, Team, TeamError, builtin, parse, read,
};
use agentos_kernel::agent::{Admission, Budget, MemoryMode, Priority};
use agentos_kernel::sample::Sampling;
use proptest::prelude::*;

fn team(text: &str) -> Team {
    parse(Path::new("team.toml"), text).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> TeamError {
    parse(Path::new("team.toml"), text).expect_err(text)
}

/// A team of one whose table goes on with `more`, on line 4.
fn one(more: &str) -> String {
    format!("[[agent]]\nname = \"a\"\nprompt = \"Hello\"\n{more}\n")
}

#[test]
fn a_team_is_what_its_file_says() {
    let team = team(
        r#"
model = "m.gguf"
document = { text = "Once.\n" }
memory = { l1_tokens = 1024, l2_mb = 256 }
schedule = { step_ms = 50, quantum = 64 }

[[agent]]
name = "scout"
system = "You are a scout."
prompt = "Look."
priority = 31
after = ["reader", "twin-2"]
memory = "bounded"
l1_tokens = 193
max_tokens = 200
context = 0x800
max_seconds = 1.5
admission = "refuse"
[agent.sampling]
temperature = 0.7
top_p = 0.9
top_k = 20
min_p = 0.05
repeat_penalty = 1.1
seed = 18446744073709551615

[[agent]]
name = "twin"
prompt = "Speak."
copies = 2
after = ["reader"]
sampling = { temperature = 1, seed = 7 }

[[agent]]
name = "reader"
prompt = "Read."
"#,
    );
    assert_eq!(team.model.as_deref(), Some(Path::new("m.gguf")));
    assert_eq!(team.document.as_deref(), Some("Once."));
    assert_eq!((team.memory.l1_tokens, team.memory.l2_mb), (Some(1024), Some(256)));
    assert_eq!((team.schedule.step_ms, team.schedule.quantum), (Some(50), Some(64)));
    let names: Vec<&str> = team.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["scout", "twin-1", "twin-2", "reader"]);
    let after: Vec<&[usize]> = team.agents.iter().map(|agent| agent.after.as_slice()).collect();
    assert_eq!(after, [&[3, 2][..], &[3], &[3], &[]]);

    let scout = &team.agents[0];
    assert_eq!(scout.system.as_deref(), Some("You are a scout."));
    assert_eq!(
        (&*scout.prompt, scout.priority, scout.admission),
        ("Look.", Priority::HIGHEST, Admission::Refuse)
    );
    assert_eq!(scout.memory, MemoryMode::Bounded { pages: 25, packed: false });
    assert_eq!((scout.max_tokens, scout.context, scout.max_time_us), (200, Some(2048), Some(1_500_000)));
    let expected = Sampling {
        temperature: 0.7,
        top_k: 20,
        top_p: 0.9,
        min_p: 0.05,
        repeat_penalty: 1.1,
        seed: u64::MAX,
        ..Sampling::GREEDY
    };
    assert_eq!(scout.sampling, expected);
    let seeds: Vec<u64> = team.agents[1..3].iter().map(|agent| agent.sampling.seed).collect();
    assert_eq!(seeds, [7, 8], "copies do not say the same");

    let reader = &team.agents[3];
    assert_eq!((reader.priority, reader.admission), (Priority::NORMAL, Admission::Wait));
    assert_eq!((reader.memory, reader.context, reader.sampling), (MemoryMode::Exact, None, Sampling::GREEDY));
}

#[test]
fn a_name_with_copies_means_all_of_them() {
    let text = "[[agent]]\nname='a'\nprompt='x'\ncopies=3\n[[agent]]\nname='b'\nprompt='y'\nafter=['a']\n";
    assert_eq!(team(text).agents[3].after, [0, 1, 2]);
}

#[test]
fn the_kernel_is_told_what_the_file_says() {
    let team = team(&one("max_tokens = 10\nmax_seconds = 2\npriority = 3"));
    let spec = team.spec(0, 90, 100, (Results::default(), 0)).expect("it fits exactly");
    assert_eq!((spec.context, spec.priority.level(), spec.tag), (100, 3, 0));
    assert_eq!(spec.budget, Budget { turn_tokens: 10, time_us: 2_000_000, calls: 0, ..Budget::UNBOUNDED });
    let error = team.spec(0, 91, 100, (Results::default(), 0)).expect_err("too long");
    assert_eq!(*error.problem, Problem::BeyondModel { name: "a".to_owned(), context: 101, limit: 100 });
    assert_eq!(error.place, Some(Place { line: 2, column: 8 }));
    assert!(team.spec(0, u32::MAX, u32::MAX, (Results::default(), 0)).is_err());

    let team = self::team(&one("context = 64"));
    assert_eq!(team.spec(0, 63, 64, (Results::default(), 0)).expect("room for one token").context, 64);
    let error = team.spec(0, 64, 64, (Results::default(), 0)).expect_err("no room for an answer");
    assert_eq!(error.place, Some(Place { line: 4, column: 11 }));
    assert_eq!(
        error.to_string(),
        "team.toml:4:11: \"a\" opens with 64 tokens, and its context has 64; at least 65 would fit"
    );
    let error = team.spec(0, 10, 63, (Results::default(), 0)).expect_err("the model has less");
    assert_eq!(
        error.to_string(),
        "team.toml:4:11: the context of \"a\" would be 64 tokens; the model's is 63"
    );
}

/// Every wrong file is refused with the place and in words that say what would do.
#[test]
fn a_wrong_file_is_refused_with_the_place_and_what_would_fit() {
    let two = |a: &str, b: &str| {
        format!("[[agent]]\nname = 'a'\nprompt = 'x'\n{a}\n[[agent]]\nname = 'b'\nprompt = 'y'\n{b}\n")
    };
    let over = format!("copies = {MOST_AGENTS}");
    let cases: Vec<(String, usize, usize, &str)> = vec![
        ("a = = 1".into(), 1, 5, "not TOML: "),
        (String::new(), 1, 1, "the team is empty; at least one [[agent]] is needed"),
        ("agent = []".into(), 1, 9, "the team is empty"),
        ("agent = 3".into(), 1, 9, "agent is the number 3; accepted is tables that begin with [[agent]]"),
        ("agent = [1]".into(), 1, 10, "agent is the number 1; accepted is tables that begin with [[agent]]"),
        (
            "[memroy]\nl1_tokens = 5".into(),
            1,
            2,
            "unknown key \"memroy\" in the file; did you mean \"memory\"?",
        ),
        ("[memory]\nl3 = 5".into(), 2, 1, "unknown key \"l3\" in [memory] Known keys are l1_tokens, l2_mb"),
        (one("promt = 1"), 4, 1, "unknown key \"promt\" in [[agent]]; did you mean \"prompt\"?"),
        (
            one("sampling = {topp = 1}"),
            4,
            13,
            "unknown key \"topp\" in [agent.sampling]; did you mean \"top_p\"?",
        ),
        (one("\"\\u001b[2J\" = 1"), 4, 1, "unknown key \"\\u{1b}[2J\" in [[agent]]"),
        ("[[agent]]\nprompt = 'x'".into(), 1, 1, "[[agent]] needs name"),
        ("[[agent]]\nname = 'x'".into(), 1, 1, "[[agent]] needs prompt or prompt_file"),
        ("[[agent]]\nname = ''".into(), 2, 8, "name is \"\"; accepted is 1 to 64 letters, digits, - and _"),
        ("[[agent]]\nname = 'a b'".into(), 2, 8, "name is \"a b\"; accepted is 1 to 64 letters"),
        ("[[agent]]\nname = 7".into(), 2, 8, "name is the number 7; accepted is a text"),
        ("[[agent]]\nname = 'x'\nprompt = \" \\n\"".into(), 3, 10, "prompt is "),
        (
            "[[agent]]\nname = 'x'\nprompt = ''".into(),
            3,
            10,
            "prompt is empty; accepted is a text of at least one",
        ),
        (one("prompt_file = 'p'"), 4, 15, "prompt_file does not go with prompt; accepted is one of the two"),
        (one("priority = 32"), 4, 12, "priority is 32; accepted is a whole number from 0 to 31"),
        (one("priority = -1"), 4, 12, "priority is -1; accepted is a whole number from 0 to 31"),
        (one("priority = 'high'"), 4, 12, "priority is the text \"high\"; accepted is a whole number"),
        (one("max_tokens = 0"), 4, 14, "max_tokens is 0; accepted is a whole number from 1"),
        (one("max_tokens = -5"), 4, 14, "max_tokens is -5; accepted is a whole number from 1"),
        (
            one("max_tokens = 99999999999999999999999999"),
            4,
            14,
            "max_tokens is 999999999999999999999999…; accepted",
        ),
        (one("max_tokens = 1.5"), 4, 14, "max_tokens is the number 1.5; accepted is a whole number"),
        (one("context = 0"), 4, 11, "context is 0; accepted"),
        (one("max_seconds = 0"), 4, 15, "max_seconds is 0; accepted is a number above 0"),
        (one("max_seconds = -1.5"), 4, 15, "max_seconds is -1.5; accepted is a number above 0"),
        (one("max_seconds = nan"), 4, 15, "max_seconds is NaN; accepted is a number above 0"),
        (one("max_seconds = inf"), 4, 15, "max_seconds is inf; accepted is a number above 0"),
        (one("copies = 0"), 4, 10, "copies is 0; accepted is a whole number from 1 to 1024"),
        (one("admission = 'never'"), 4, 13, "admission is \"never\"; accepted is \"wait\" or \"refuse\""),
        (one("memory = 'some'"), 4, 10, "memory is \"some\"; accepted is \"exact\" or \"bounded\""),
        (one("memory = 'bounded'"), 4, 10, "memory = \"bounded\" does not go with no l1_tokens; accepted is"),
        (
            one("l1_tokens = 256"),
            4,
            13,
            "l1_tokens does not go with memory = \"exact\"; accepted is l1_tokens together",
        ),
        (
            one("memory = 'bounded'\nl1_tokens = 191"),
            5,
            13,
            "l1_tokens is 191; accepted is a whole number from 192",
        ),
        (one("sampling = 5"), 4, 12, "sampling is the number 5; accepted is a table"),
        (one("sampling.temperature = -1"), 4, 24, "temperature is -1; accepted is a number of at least 0"),
        (one("sampling.temperature = inf"), 4, 24, "temperature is inf; accepted is a number of at least 0"),
        (one("sampling.top_p = 0"), 4, 18, "top-p is 0; accepted is a number above 0 and at most 1"),
        (one("sampling.min_p = 1.5"), 4, 18, "min-p is 1.5; accepted is a number from 0 to 1"),
        (one("sampling.repeat_penalty = 0.0"), 4, 27, "repeat-penalty is 0; accepted is a number above 0"),
        (one("sampling.top_k = 257"), 4, 18, "top_k is 257; accepted is a whole number from 0 to 256"),
        (
            one("sampling.seed = -1"),
            4,
            17,
            "seed is -1; accepted is a whole number from 0 to 18446744073709551615",
        ),
        (one("sampling.top_p = true"), 4, 18, "top_p is true; accepted is a number"),
        (one("after = 'b'"), 4, 9, "after is the text \"b\"; accepted is a list of names of agents"),
        (one("after = [1]"), 4, 10, "after is the number 1; accepted is a list of names of agents"),
        (one("after = ['a']"), 4, 10, "agents wait for each other: \"a\" after \"a\"; one of them must"),
        (
            two("after = ['c']", ""),
            4,
            10,
            "after names \"c\", and nobody has that name; did you mean \"a\"? There are a, b",
        ),
        (two("after = ['b', 'b']", ""), 4, 15, "after names \"b\" twice; once is enough"),
        (
            two("after = ['b']", "after = ['a']"),
            4,
            10,
            "\"a\" after \"b\" after \"a\"; one of them must come first",
        ),
        (
            two("copies = 9", "after = ['a']"),
            8,
            10,
            "the agent waits for 9 others, copies counted; 8 would fit",
        ),
        (two(&over, ""), 6, 8, "the team has 1025 agents, copies counted; 1024 would fit"),
        (format!("{0}{0}", one("")), 6, 8, "the name \"a\" is taken by the agent of line 2"),
        (
            one("copies = 2\n[[agent]]\nname = 'a-2'\nprompt = 'x'"),
            6,
            8,
            "the name \"a-2\" is taken by the agent of line 2",
        ),
        ("[memory]\nl1_tokens = 0".into(), 2, 13, "l1_tokens is 0; accepted is a whole number from 192"),
        ("[memory]\nl2_mb = -1".into(), 2, 9, "l2_mb is -1; accepted is a whole number from 0"),
        ("[schedule]\nstep_ms = 0".into(), 2, 11, "step_ms is 0; accepted is a whole number from 1 to 60000"),
        ("[schedule]\nquantum = -64".into(), 2, 11, "quantum is -64; accepted is a whole number from 1"),
        ("model = ''".into(), 1, 9, "model is empty; accepted is a text of at least one character"),
        (
            "document = 5".into(),
            1,
            12,
            "document is the number 5; accepted is the name of a file, or a table",
        ),
        ("[document]\ntext = ''".into(), 2, 8, "text is empty; accepted is a text"),
        ("[document]".into(), 1, 1, "[document] needs text"),
        ("document = 'nowhere.md'".into(), 1, 12, "cannot read nowhere.md: "),
        ("# é\r\n[[agent]]\r\nname = 'é' ; 3".into(), 3, 12, "not TOML: "),
    ];
    for (text, line, column, words) in cases {
        let error = refused(&text);
        assert_eq!(error.place, Some(Place { line, column }), "{text}\n{error}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("team.toml:{line}:{column}: ")), "{message}");
        assert!(message.contains(words), "{text}\n{message}\n{words}");
    }
}

#[test]
fn files_are_found_beside_the_team_and_refused_where_they_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("team.toml");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("written");
    write("notes.md", b"The notes.\r\n\n");
    write("ask.txt", "What is é?\n".as_bytes());
    let text = "model = 'm.gguf'\ndocument = 'notes.md'\n[[agent]]\nname = 'a'\nprompt_file = 'ask.txt'\n";
    write("team.toml", text.as_bytes());
    let team = read(&path).expect("a team");
    assert_eq!(team.model, Some(folder.path().join("m.gguf")));
    assert_eq!(team.document.as_deref(), Some("The notes."));
    assert_eq!(&*team.agents[0].prompt, "What is é?");

    let refused = |line, column, words: &str| {
        let error = read(&path).expect_err(words);
        assert_eq!(error.place, Some(Place { line, column }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    write("ask.txt", b" \n");
    refused(5, 15, "ask.txt is empty; at least one character is needed");
    write("ask.txt", b"ab\xff");
    refused(5, 15, "ask.txt is not UTF-8 text: byte 2 begins no character");
    std::fs::remove_file(folder.path().join("ask.txt")).expect("removed");
    refused(5, 15, "ask.txt: ");
    let large = std::fs::File::create(folder.path().join("notes.md")).expect("a file");
    large.set_len(MOST_BYTES + 1).expect("a length");
    refused(2, 12, "notes.md is too long; 16777216 bytes would fit");
    write("team.toml", b"# fine\nx = '\xc3\xa9\xff'\n");
    refused(2, 7, "team.toml is not UTF-8 text: byte 14 begins no character");

    std::fs::File::create(&path).expect("a file").set_len(MOST_BYTES + 1).expect("a length");
    let error = read(&path).expect_err("too long");
    assert_eq!(
        (&*error.problem, error.place),
        (&Problem::TooLong { path: path.clone(), limit: MOST_BYTES }, None)
    );
    std::fs::remove_file(&path).expect("removed");
    assert!(matches!(*read(&path).expect_err("gone").problem, Problem::Read { .. }));
}

#[test]
fn the_built_in_team_shares_a_text_and_has_an_order() {
    let team = builtin();
    let words = team.document.as_deref().expect("a document").split_whitespace().count();
    assert!((350..=450).contains(&words), "{words} words");
    assert_eq!(team.agents.len(), 9);
    assert_eq!(team.agents.iter().filter(|agent| agent.tools.is_some()).count(), 3);
    assert_eq!(team.agents.iter().filter(|agent| !agent.after.is_empty()).count(), 1);
    let levels: std::collections::BTreeSet<usize> =
        team.agents.iter().map(|agent| agent.priority.level()).collect();
    assert!(levels.len() >= 3, "{levels:?}");
    assert!(team.agents.iter().map(|agent| agent.max_tokens).sum::<u32>() <= 640);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is done to a good file, it is a team or refused at a place in it.
    #[test]
    fn a_damaged_file_is_a_team_or_refused_at_a_place_in_it(
        at in 0usize..4000, length in 0usize..40, insert in "[\\[\\]{}=\"'.,#\\n\\r a-z0-9é\u{0}-]{0,6}",
    ) {
        let good = include_str!("../src/team/builtin.toml");
        let at = good.floor_char_boundary(at);
        let end = good.floor_char_boundary(at + length);
        let bad = format!("{}{insert}{}", &good[..at], &good[end..]);
        if let Err(error) = parse(Path::new("team.toml"), &bad) {
            let place = error.place.expect("a place");
            let line = bad.split('\n').nth(place.line - 1).expect("the line is there");
            prop_assert!(place.column <= line.chars().count() + 1, "{}", error);
        }
    }
}
