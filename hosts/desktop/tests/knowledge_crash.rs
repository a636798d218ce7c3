//! A library whose writers are killed at any moment, or have no room, ends as one that was made in one go.

#![cfg(unix)]

mod cli_support;
mod knowledge_support;
mod team_support;

use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_desktop::knowledge::library::{Access, Library};
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_hal::{ColdStore, Entry, KvType, StoreError, StoreKey};
use cli_support::Desk;
use serde_json::Value;
use sha2::{Digest, Sha256};
use team_support::Lines;

/// Time for killing.
const TIME: Duration = Duration::from_secs(40);
/// Kills at most, and at least.
const KILLS: std::ops::RangeInclusive<u64> = 12..=120;
const QUESTIONS: [&str; 3] =
    ["How tall is the tower?", "Who is the skipper of the ferry?", "What does the keeper of house 7 eat?"];
const TEAM: &str = "[[agent]]\nname = \"asker\"\nprompt = \"Who is the skipper of the ferry?\"\nmax_tokens = 8\n\
                    knowledge = [\"island\"]\n";

/// A number from 0 to 1 for each kill: spread evenly, in no order of their own.
fn moment(kill: u64) -> f64 {
    (kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64
}

/// Documents enough to be killed within.
fn desk() -> Desk {
    let desk = knowledge_support::desk();
    for house in 0..24 {
        let lines: String = (0..30)
            .map(|line| format!("The keeper of house {house} eats dish {} on day {line}.\n", house * line))
            .collect();
        desk.put(&format!("docs/house{house}.txt"), lines.as_bytes());
    }
    desk
}

/// A command line on a library of this name.
fn command(desk: &Desk, store: &str, arguments: &[&str]) -> Command {
    let (model, store) = (desk.model(), desk.path(store));
    let mut command = desk.command(arguments);
    command.arg("--model").arg(model).arg("--store").arg(store);
    command
}

fn ingest(desk: &Desk, store: &str) -> Command {
    command(desk, store, &["ingest", "docs", "--collection", "island", "--json"])
}

fn entered_whole(desk: &Desk, store: &str) {
    let ran = cli_support::run(&mut ingest(desk, store), "");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let summary = Lines::of(&ran).summary().clone();
    let all = summary["entered"].as_u64().unwrap() + summary["unchanged"].as_u64().unwrap();
    assert_eq!(all, 27, "{summary}");
}

/// Starts a program and kills it after `life`, if it has not ended.
fn kill(mut command: Command, life: Duration) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A slice as it is stored: its name, what it is, and a hash of its page images.
type Stored = (StoreKey, Entry, [u8; 32]);

/// The documents' paths, and their passages' slices, every page of which comes back as it was written.
fn contents(desk: &Desk, store: &str) -> Vec<(String, Vec<Stored>)> {
    let path = desk.model();
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let file = ModelFile::read(&path, &map, &mut index).unwrap();
    let (identity, shape) = (model::identity(&file), &file.model.shape);
    let mut library = Library::open(&desk.path(store), &identity, shape, KvType::F16, Access::Read).unwrap();
    let mut image = vec![0; library.store.kind().packing.image_bytes()];
    let mut contents = Vec::new();
    for document in library.store.documents("island").unwrap() {
        let mut slices = Vec::new();
        for passage in library.store.passages(document.number).unwrap() {
            for slice in passage.slices {
                let entry = library.store.find(&slice.key).expect("every slice is there");
                let mut images = Sha256::new();
                for page in 0..entry.pages {
                    loop {
                        match library.store.get(&slice.key, page, &mut image) {
                            Poll::Ready(Ok(())) => break,
                            Poll::Ready(Err(StoreError::Busy)) | Poll::Pending => std::thread::yield_now(),
                            Poll::Ready(Err(error)) => panic!("{:?}: {error}", slice.key),
                        }
                    }
                    images.update(&image);
                }
                slices.push((slice.key, entry, images.finalize().into()));
            }
        }
        contents.push((document.path, slices));
    }
    contents
}

/// What is answered from passages whose keys and values come from the library.
fn answered(desk: &Desk, store: &str) -> Vec<Value> {
    let ask = |question: &&str| {
        let arguments = ["ask", "island", question, "--json", "--max-tokens", "16"];
        let answer = cli_support::run(&mut command(desk, store, &arguments), "").json();
        assert!(answer["tokens"]["exact_tokens"].as_u64().unwrap() > 0, "{answer}");
        Value::from(vec![answer["answer"].clone(), answer["sources"].clone()])
    };
    QUESTIONS.iter().map(ask).collect()
}

fn recalled(desk: &Desk, store: &str) -> Vec<Value> {
    let recall = |question: &&str| {
        cli_support::run(
            &mut command(desk, store, &["recall", "island", question, "--json", "--top", "9"]),
            "",
        )
        .json()
    };
    QUESTIONS.iter().map(recall).collect()
}

#[test]
fn a_library_is_as_if_nobody_had_been_killed() {
    let desk = desk();
    let begin = Instant::now();
    entered_whole(&desk, "library.redb");
    let whole = begin.elapsed();
    let (wanted, found) = (contents(&desk, "library.redb"), recalled(&desk, "library.redb"));
    let said = answered(&desk, "library.redb");
    assert_eq!(wanted.len(), 27);
    let begin = Instant::now();
    let mut kills = 0;
    while kills < *KILLS.start() || kills < *KILLS.end() && begin.elapsed() < TIME {
        // Each library is made by whoever gets how far, with runs that are killed too in between.
        let _ = std::fs::remove_file(desk.path("killed.redb"));
        for _ in 0..8 {
            kill(ingest(&desk, "killed.redb"), whole.mul_f64(moment(kills) * 0.9));
            kills += 1;
            if kills % 3 == 0 {
                let store = desk.path("killed.redb");
                let run = desk.team_command(TEAM, &["--json", "--store", store.to_str().unwrap()]);
                kill(run, whole.mul_f64(moment(kills + 1000) * 0.5));
                kills += 1;
            }
        }
        entered_whole(&desk, "killed.redb");
        assert!(contents(&desk, "killed.redb") == wanted, "after {kills} kills");
        assert_eq!(recalled(&desk, "killed.redb"), found, "after {kills} kills");
        assert_eq!(answered(&desk, "killed.redb"), said, "after {kills} kills");
    }
    eprintln!("{kills} kills");
}

/// The passages that are put aside for a document while it is not entered; none where the library cannot be read yet.
fn put_aside(desk: &Desk, store: &str, document: &str) -> usize {
    let path = desk.model();
    let map = ModelMap::open(&path).unwrap();
    let mut index = model::index(&path, &map).unwrap();
    let file = ModelFile::read(&path, &map, &mut index).unwrap();
    let (identity, shape) = (model::identity(&file), &file.model.shape);
    let library = Library::open(&desk.path(store), &identity, shape, KvType::F16, Access::Read);
    let aside = |library: Library| library.store.aside("island", document).ok();
    library.ok().and_then(aside).map_or(0, |passages| passages.len())
}

/// What a run said of a document that it entered.
fn entered(lines: &Lines, document: &str) -> Value {
    let all = lines.events("entered");
    let own = all.iter().copied().find(|line| line["path"] == document);
    own.cloned().unwrap_or_else(|| panic!("{document} was not entered: {}", lines.summary()))
}

/// A run that is ended within one long document costs no more than what it had not put aside yet.
#[test]
fn a_long_document_goes_on_where_it_was_interrupted() {
    let desk = knowledge_support::desk();
    let text: String = (0..900)
        .map(|day| {
            format!("On day {day} the keeper of the light writes that lamp {} burns well.\n\n", day * 7)
        })
        .collect();
    desk.put("docs/log.txt", text.as_bytes());
    let document = desk.path("docs/log.txt").to_string_lossy().into_owned();
    let run = |store: &str| {
        let ran = cli_support::run(&mut ingest(&desk, store), "");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        Lines::of(&ran)
    };
    let whole = entered(&run("library.redb"), &document);
    let count = |line: &Value, key: &str| line[key].as_u64().unwrap() as usize;
    assert_eq!(count(&whole, "known"), 0);
    assert!(count(&whole, "passages") > 60, "{whole}");

    // It is killed twice, and told to end once, each time further on.
    let mut aside = 0;
    for signal in ["-KILL", "-KILL", "-INT"] {
        let mut command = ingest(&desk, "killed.redb");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while put_aside(&desk, "killed.redb", &document) <= aside + 4 {
            assert!(child.try_wait().unwrap().is_none(), "it was entered before it could be interrupted");
            std::thread::sleep(Duration::from_millis(2));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert!(!child.wait().unwrap().success());
        let now = put_aside(&desk, "killed.redb", &document);
        assert!(now > aside + 4, "{now} after {aside}");
        aside = now;
        // The document is nowhere to be seen.
        let listed = contents(&desk, "killed.redb");
        assert!(listed.iter().all(|(path, _)| *path != document), "{listed:?}");
        let found = recalled(&desk, "killed.redb");
        assert!(found.iter().all(|found| !found["passages"].to_string().contains("log.txt")), "{found:?}");
    }
    assert!(aside < count(&whole, "passages"), "{aside} of {whole}");

    let rest = entered(&run("killed.redb"), &document);
    assert_eq!(count(&rest, "known"), aside, "{rest}");
    assert_eq!(rest["passages"], whole["passages"]);
    assert!(count(&rest, "tokens") > 0 && count(&rest, "tokens") < count(&whole, "tokens"), "{rest}");
    assert_eq!(put_aside(&desk, "killed.redb", &document), 0);
    assert!(contents(&desk, "killed.redb") == contents(&desk, "library.redb"));
    assert_eq!(recalled(&desk, "killed.redb"), recalled(&desk, "library.redb"));
    assert_eq!(answered(&desk, "killed.redb"), answered(&desk, "library.redb"));
}

/// What was computed of a document whose file is gone goes with `--prune`.
#[test]
fn what_was_put_aside_of_a_file_that_is_gone_is_forgotten() {
    let desk = knowledge_support::desk();
    let text: String =
        (0..900).map(|day| format!("Day {day}: the {day}th shell lies on the beach.\n\n")).collect();
    desk.put("docs/log.txt", text.as_bytes());
    let document = desk.path("docs/log.txt").to_string_lossy().into_owned();
    let mut command = ingest(&desk, "library.redb");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while put_aside(&desk, "library.redb", &document) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it was entered before it could be killed");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(desk.path("docs/log.txt")).unwrap();
    for (more, is_kept) in [(&[][..], true), (&["--prune"][..], false)] {
        let arguments = [&["ingest", "docs", "--collection", "island", "--json"], more].concat();
        let ran = cli_support::run(&mut self::command(&desk, "library.redb", &arguments), "");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(put_aside(&desk, "library.redb", &document) > 0, is_kept);
    }
}

/// What was told as entered stays when there is no room any more, and the rest is refused with the reason.
#[test]
fn a_full_disk_refuses_documents_and_keeps_those_that_were_entered() {
    let desk = desk();
    entered_whole(&desk, "library.redb");
    let bytes = std::fs::metadata(desk.path("library.redb")).unwrap().len();
    let wanted = contents(&desk, "library.redb");
    let whole = ingest(&desk, "full.redb");
    let mut narrow = Command::new("sh");
    // A file that would grow beyond a bound is an error then, as on a disk that is full.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512 / 2);
    narrow.args(["-c", &script]).arg(whole.get_program()).args(whole.get_args());
    narrow.env_clear().env("AGENTOS_BACKEND", "cpu").env("PATH", "/usr/bin:/bin").current_dir(desk.path("."));
    let ran = cli_support::run(&mut narrow, "");
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("the library is full"), "{}", ran.stderr);
    let told: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<&Value> = told.iter().filter(|line| line["event"] == "entered").collect();
    let kept = contents(&desk, "full.redb");
    assert!(!told.is_empty() && kept.len() < 27, "{} of 27", kept.len());
    assert!(told.iter().all(|line| kept.iter().any(|(path, _)| line["path"] == path.as_str())), "{told:?}");
    assert!(kept.iter().all(|document| wanted.contains(document)));
    entered_whole(&desk, "full.redb");
    assert!(contents(&desk, "full.redb") == wanted);
}
