//! Documents into a library, and out of it again, by the program's commands.

mod cli_support;
mod knowledge_support;
mod team_support;

use std::path::PathBuf;

use agentos_desktop::knowledge::library::{Access, Library};
use agentos_desktop::knowledge::recall::RELEVANCE_WEIGHT;
use agentos_desktop::map::ModelMap;
use agentos_desktop::model::{self, ModelFile};
use agentos_hal::KvType;
use agentos_store::{Bound, Document, Draft, Encoding};
use cli_support::{Desk, Tiny};
use knowledge_support::{agentos, desk, ingest};
use serde_json::Value;
use team_support::Lines;

fn counts(lines: &Lines) -> [u64; 4] {
    ["entered", "unchanged", "refused", "removed"].map(|key| lines.summary()[key].as_u64().unwrap())
}

fn recall(desk: &Desk, question: &str) -> Value {
    agentos(desk, &["recall", "island", question, "--json"]).json()
}

fn best(desk: &Desk, question: &str) -> (String, String) {
    let found = recall(desk, question);
    let text = |key: &str| found["passages"][0][key].as_str().unwrap().to_owned();
    let path = PathBuf::from(text("path"));
    (path.file_name().unwrap().to_string_lossy().into_owned(), text("text"))
}

#[test]
fn documents_are_entered_once_and_found_again() {
    let desk = desk();
    let first = ingest(&desk, &[]);
    assert_eq!(counts(&first), [3, 0, 1, 0]);
    let refused = first.events("refused");
    assert!(refused[0]["reason"].as_str().unwrap().contains("PNG image"), "{refused:?}");
    assert_eq!(counts(&ingest(&desk, &[])), [0, 3, 1, 0]);

    let (file, text) = best(&desk, "Who is the skipper of the ferry?");
    assert_eq!(file, "boat.html");
    assert!(text.starts_with("[document \"deep/boat.html\" line 1]\n"), "{text}");
    assert!(text.contains("Quillon"), "{text}");
    let found = recall(&desk, "How tall is the tower?");
    let passage = &found["passages"][0];
    assert!(passage["text"].as_str().unwrap().contains("38 meters"), "{passage}");
    assert_eq!(
        passage["slices_stored"].as_u64().unwrap() as usize,
        passage["slices"].as_array().unwrap().len()
    );
    let number = |key: &str| passage[key].as_f64().unwrap();
    assert!(number("words") > 0.4, "{passage}");
    assert!(
        (number("score") - number("words") - RELEVANCE_WEIGHT * number("relevance")).abs() < 1e-9,
        "{passage}"
    );
}

/// Of each slice the tokens that drew most attention are kept, and shown as words; a collection from before they were
/// counted is read as it is.
#[test]
fn what_the_model_holds_on_to_is_shown() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let question = "How tall is the tower?";
    let heavy = |passage: &Value| passage["heavy"].as_array().unwrap().clone();
    let found = recall(&desk, question);
    for passage in found["passages"].as_array().unwrap() {
        let (heavy, slices) = (heavy(passage), passage["slices"].as_array().unwrap());
        assert_eq!(heavy.len(), slices.len(), "{passage}");
        for (heavy, slice) in heavy.iter().zip(slices) {
            let (tokens, words) = (heavy["tokens"].as_array().unwrap(), heavy["words"].as_array().unwrap());
            assert!((1..=slice.as_u64().unwrap().min(4)).contains(&(tokens.len() as u64)), "{heavy}");
            let text = passage["text"].as_str().unwrap();
            assert!(words.iter().all(|word| text.contains(word.as_str().unwrap())), "{words:?} in {text}");
        }
        assert!((passage["relevant_slice"].as_u64().unwrap() as usize) < slices.len(), "{passage}");
    }
    let shown = |desk: &Desk| agentos(desk, &["recall", "island", question]).printed();
    assert!(shown(&desk).contains("; the model holds on to: "), "{}", shown(&desk));

    let model = desk.model();
    let map = ModelMap::open(&model).unwrap();
    let mut index = model::index(&model, &map).unwrap();
    let file = ModelFile::read(&model, &map, &mut index).unwrap();
    let access = Access::Write { max_bytes: Bound::Usual(1 << 30), packing: Encoding::Lossless };
    let (path, identity) = (desk.path("library.redb"), model::identity(&file));
    let library = Library::open(&path, &identity, &file.model.shape, KvType::F16, access).unwrap();
    for Document { number, path, content, modified, .. } in library.store.documents("island").unwrap() {
        let mut passages = library.store.passages_with_schemas(number).unwrap();
        passages
            .iter_mut()
            .flat_map(|(passage, _)| &mut passage.slices)
            .for_each(|slice| slice.heavy.clear());
        library.store.enter("island", Draft { path, content, modified, passages }).unwrap();
    }
    drop(library);
    let old = recall(&desk, question);
    assert!(
        heavy(&old["passages"][0]).iter().all(|heavy| heavy["tokens"] == Value::from(vec![0; 0])),
        "{old}"
    );
    assert_eq!(old["passages"][0]["text"], found["passages"][0]["text"]);
    assert!(!shown(&desk).contains("holds on to"), "{}", shown(&desk));
}

#[test]
fn what_changed_is_entered_anew_and_what_is_gone_goes() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    desk.put("docs/notes.txt", b"Bread costs seven crowns now, and the baker is called Ottoline.\n");
    std::fs::remove_file(desk.path("docs/light.md")).unwrap();
    let again = ingest(&desk, &[]);
    assert_eq!(counts(&again), [1, 1, 1, 0]);
    assert_eq!(again.events("entered")[0]["replaced"], true);
    assert!(best(&desk, "Who is the baker Ottoline?").1.contains("seven crowns"));
    assert!(best(&desk, "whale oil lamp").1.contains("whale"));
    assert_eq!(counts(&ingest(&desk, &["--prune"])), [0, 2, 1, 1]);
    let left = recall(&desk, "whale oil lamp");
    let texts = left["passages"].to_string();
    assert!(!texts.contains("whale"), "{texts}");
    // A file that is only touched is not computed again.
    let text = std::fs::read(desk.path("docs/notes.txt")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    desk.put("docs/notes.txt", &text);
    assert_eq!(counts(&ingest(&desk, &[])), [0, 2, 1, 0]);
}

#[test]
fn a_team_reads_what_its_prompts_are_about() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let team = "[[agent]]\nname = \"asker\"\nprompt = \"Who is the skipper of the ferry?\"\nmax_tokens = 4\n\
                knowledge = [\"island\"]\nknowledge_tokens = 400\n\
                [[agent]]\nname = \"other\"\nprompt = \"Hello\"\nmax_tokens = 4\n";
    let store = desk.path("library.redb");
    let ran = desk.team(team, &["--json", "--store", store.to_str().unwrap()]);
    let lines = Lines::of(&ran);
    let told = lines.events("knowledge");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["agent"], "asker");
    let passages = told[0]["passages"].as_array().unwrap();
    assert!(passages.last().unwrap()["path"].as_str().unwrap().ends_with("boat.html"), "{passages:?}");
    let spawned = lines.of_agent("spawned", "asker")[0]["tokens"].as_u64().unwrap();
    assert!(spawned > passages.iter().map(|passage| passage["tokens"].as_u64().unwrap()).sum());
    let plain = desk.team(team, &["--store", store.to_str().unwrap()]).printed();
    assert!(plain.contains("· reads ") && plain.contains("boat.html line 1"), "{plain}");
}

#[test]
fn a_team_maps_passages_as_they_are_where_it_may() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    let team = "[[agent]]\nname = \"asker\"\nmax_tokens = 4\nknowledge = [\"island\"]\nfidelity = \"relocated\"\n\
                prompt = \"Is the lamp of the tower by the ferry or the mill by the river?\"\n";
    let store = desk.path("library.redb");
    let arguments = ["--store", store.to_str().unwrap()];
    let lines = Lines::of(&desk.team(team, &["--json", arguments[0], arguments[1]]));
    let passages = lines.events("knowledge")[0]["passages"].as_array().unwrap().clone();
    assert!(passages.len() > 1, "{passages:?}");
    let sent: u64 = passages[1..].iter().map(|passage| passage["tokens"].as_u64().unwrap()).sum();
    let asker = lines.agent("asker");
    assert_eq!(asker["relocated"].as_u64(), Some(sent), "{asker}");
    // What was sent came from the library.
    let recalled = lines.events("recalled").iter().map(|line| line["tokens"].as_u64().unwrap()).sum::<u64>();
    assert!(recalled >= sent, "{recalled} of {sent}");
    let plain = desk.team(team, &arguments).printed();
    assert!(plain.contains(", relocated)") && plain.contains(" relocated "), "{plain}");
}

/// In the midst of a run passages are found by their words, under the line that says where each is from.
#[test]
fn an_agent_looks_things_up_while_it_runs() {
    let likes = |from: u8, to: u8, how_much: f32| (u32::from(from), u32::from(to), how_much);
    let mut script: Vec<_> = b"\"boat\"".windows(2).map(|pair| likes(pair[0], pair[1], 9.0)).collect();
    script.push(likes(b'"', b'}', 5.0));
    let model = Tiny { context: 4096, script, ..Tiny::default() };
    let desk = knowledge_support::desk_with(&model);
    let _ = ingest(&desk, &[]);
    let team = "[[agent]]\nname = \"asker\"\nprompt = \"What do the documents say?\"\nmax_tokens = 80\n\
                knowledge = [\"island\"]\ntools = { use = [\"look_up\"], calls = 1, tokens = 400 }\n";
    let store = desk.path("library.redb");
    let lines = Lines::of(&desk.team(team, &["--json", "--store", store.to_str().unwrap()]));
    let called = lines.one("tool_called", "asker");
    let result = lines.one("tool_result", "asker");
    assert_eq!(result["outcome"], "done", "{called} {result}");
    let text = result["text"].as_str().unwrap();
    assert!(text.contains("boat.html") && text.contains("Quillon"), "{called} {text}");
    assert!(!text.contains("whale"), "{text}");
    let nowhere = team.replace("knowledge = [\"island\"]\n", "");
    desk.team(&nowhere, &[]).refuses(1, &["look_up together with knowledge"]);
}

#[test]
fn refusals_say_what_would_fit() {
    let desk = desk();
    let _ = ingest(&desk, &[]);
    agentos(&desk, &["recall", "iland", "x"]).refuses(1, &["no collection \"iland\"", "it has island"]);
    agentos(&desk, &["ingest", "nowhere"]).refuses(1, &["nowhere"]);
    let other = desk.put("other.gguf", &Tiny { context: 2048, ..Tiny::default() }.gguf());
    let store = desk.path("library.redb");
    let arguments =
        ["recall", "island", "x", "--model", other.to_str().unwrap(), "--store", store.to_str().unwrap()];
    desk.agentos(arguments).refuses(1, &["another"]);
    let team = "[[agent]]\nname = \"a\"\nprompt = \"x\"\nknowledge_tokens = 100\n";
    desk.team(team, &[]).refuses(1, &["knowledge_tokens together with knowledge"]);
    let team = "[[agent]]\nname = \"a\"\nprompt = \"x\"\nfidelity = \"relocated\"\n";
    desk.team(team, &[]).refuses(1, &["team.toml:4:12", "fidelity together with knowledge"]);
    let team = "[[agent]]\nname = \"a\"\nprompt = \"x\"\nknowledge = [\"island\"]\nfidelity = \"near\"\n";
    desk.team(team, &[]).refuses(1, &["team.toml:5:12", "\"exact\", \"relocated\" or \"decisive\""]);
}

/// A library that is full refuses what is new, and gives nothing of what it has for it.
#[test]
fn a_full_library_keeps_what_it_has() {
    let desk = desk();
    let first = ingest(&desk, &[]);
    let bytes = first.summary()["library_bytes"].as_u64().unwrap();
    let text: String = (0..4000).map(|line| format!("The {line}th shell lies on the beach.\n")).collect();
    desk.put("docs/shells.txt", text.as_bytes());
    let arguments = ["ingest", "docs", "--collection", "island", "--json", "--limit", "0.01"];
    let refused = agentos(&desk, &arguments);
    assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
    assert!(
        refused.stderr.contains("the library is full") && refused.stderr.contains("--limit"),
        "{}",
        refused.stderr
    );
    // A run that opens it puts nothing away either, however small it wants the store.
    let store = desk.path("library.redb");
    let small = format!("[store]\npath = {:?}\nsize_mb = 1\n{HELLO}", store.to_str().unwrap());
    let _ = desk.team(&small, &[]).printed();
    let _ = desk.team(HELLO, &["--store", store.to_str().unwrap()]).printed();
    let found = recall(&desk, "How tall is the tower?");
    for passage in found["passages"].as_array().unwrap() {
        let slices = passage["slices"].as_array().unwrap().len();
        assert_eq!(passage["slices_stored"].as_u64().unwrap() as usize, slices, "{passage}");
    }
    let large = ingest(&desk, &["--limit", "1"]);
    assert_eq!(counts(&large), [1, 3, 1, 0]);
    assert!(large.summary()["library_bytes"].as_u64().unwrap() > bytes);
}

const HELLO: &str = "[[agent]]\nname = \"a\"\nprompt = \"Hello\"\nmax_tokens = 4\n";

/// A team without a store of its own finds its passages in the library that they come from, and puts nothing there.
#[test]
fn a_team_computes_only_its_own_tokens() {
    let desk = desk();
    let home = desk.path("home");
    let at_home =
        |mut command: std::process::Command| cli_support::run(command.env("AGENTOS_HOME", &home), "");
    let model = desk.model();
    let arguments =
        ["ingest", "docs", "--collection", "island", "--json", "--model", model.to_str().unwrap()];
    let entered = Lines::of(&at_home(desk.command(arguments)));
    let library = PathBuf::from(entered.summary()["library"].as_str().unwrap());
    assert!(library.starts_with(&home) && library.is_file(), "{library:?}");
    let question = "Is the lamp of the tower by the ferry or the mill by the river?";
    for fidelity in ["relocated", "decisive", "exact"] {
        let team = format!(
            "[[agent]]\nname = \"asker\"\nmax_tokens = 4\nknowledge = [\"island\"]\nfidelity = \"{fidelity}\"\n\
             prompt = \"{question}\"\n"
        );
        let before = std::fs::metadata(&library).unwrap().len();
        let lines = Lines::of(&at_home(desk.team_command(&team, &["--json"])));
        let passages = lines.events("knowledge")[0]["passages"].as_array().unwrap().clone();
        assert_eq!(passages.len(), 3, "{passages:?}");
        let tokens = |how: &str| -> u64 {
            let taken = passages.iter().filter(|passage| passage["how"] == how);
            taken.map(|passage| passage["tokens"].as_u64().unwrap()).sum()
        };
        let recalled: u64 =
            lines.events("recalled").iter().map(|line| line["tokens"].as_u64().unwrap()).sum();
        // Both are mapped from the library: what stands where it stood, and what is moved.
        let mapped = tokens("exact") + tokens("relocated");
        assert!(tokens("exact") > 0 && recalled >= mapped, "{fidelity}: {recalled} of {mapped}");
        assert_eq!(lines.agent("asker")["relocated"].as_u64(), Some(tokens("relocated")));
        assert_eq!(std::fs::metadata(&library).unwrap().len(), before);
    }
    // By a clock that only work moves nothing is loaded, and the run is still one.
    let team = "[[agent]]\nname = \"asker\"\nmax_tokens = 4\nknowledge = [\"island\"]\nprompt = \"Who is the skipper?\"\n";
    let lines = Lines::of(&at_home(desk.team_command(team, &["--json", "--replay", "1"])));
    assert_eq!(lines.events("recalled").len(), 0);
}

/// A library that packs is read by who accepts that, and whoever wants passages as they are computes them.
#[test]
fn a_packed_library_is_smaller_and_is_read_by_who_accepts_it() {
    let bytes = |packing: &str| {
        let desk = desk();
        let lines = ingest(&desk, &["--packing", packing]);
        let bytes = lines.summary()["library_bytes"].as_u64().unwrap();
        (desk, bytes)
    };
    let (_, lossless) = bytes("lossless");
    let question = "Is the lamp of the tower by the ferry or the mill by the river?";
    for (packing, least, most) in [("int8", 40, 96), ("k4v4", 20, 96)] {
        let (desk, packed) = bytes(packing);
        // The beginning, which is most of so small a library, stays as it is.
        let percent = packed * 100 / lossless;
        assert!((least..most).contains(&percent), "{packing}: {percent} %");
        for (fidelity, agent, how) in [
            ("relocated", "", "packed"),
            ("decisive", "", "packed"),
            ("exact", "", "computed"),
            ("exact", "packed = true\n", "packed"),
        ] {
            let team = format!(
                "[[agent]]\nname = \"asker\"\nmax_tokens = 4\nknowledge = [\"island\"]\nfidelity = \"{fidelity}\"\n\
                 {agent}persist = false\nprompt = \"{question}\"\n"
            );
            let store = desk.path("library.redb");
            let lines = Lines::of(&desk.team(&team, &["--json", "--store", store.to_str().unwrap()]));
            let passages = lines.events("knowledge")[0]["passages"].as_array().unwrap().clone();
            assert_eq!(passages[0]["how"], how, "{fidelity} {agent}");
            let first = passages[0]["tokens"].as_u64().unwrap();
            let recalled: u64 =
                lines.events("recalled").iter().map(|line| line["tokens"].as_u64().unwrap()).sum();
            let sent = lines.agent("asker")["relocated"].as_u64().unwrap();
            let beginning = recall(&desk, question)["prefix_tokens"].as_u64().unwrap();
            let expected = if how == "packed" { beginning + first + sent } else { beginning };
            assert!(recalled.abs_diff(expected) < 64, "{fidelity} {agent}: {recalled} of {expected}");
        }
        let asked = agentos(&desk, &["ask", "island", question, "--json"]).json();
        assert_eq!(asked["sources"][0]["how"], "packed", "{asked}");
        // What is there is not computed again, whatever it would be kept as now.
        assert_eq!(counts(&ingest(&desk, &[])), [0, 3, 1, 0]);
    }
}

/// A document that changed in one place is computed there.
#[test]
fn only_the_passages_that_changed_are_computed() {
    let desk = desk();
    let chapter = |number: usize, what: &str| {
        let lines: String = (0..20).map(|line| format!("Line {line} of it tells of {what}.\n")).collect();
        format!("# Chapter {number}\n\n{lines}\n")
    };
    let text = |last: &str| [chapter(1, "harbours"), chapter(2, "ropes"), chapter(3, last)].concat();
    desk.put("docs/book.md", text("anchors").as_bytes());
    let first = ingest(&desk, &[]);
    let of = |lines: &Lines, key: &str| -> u64 {
        let all = lines.events("entered");
        let book = all.iter().find(|line| line["path"].as_str().unwrap().ends_with("book.md")).unwrap();
        book[key].as_u64().unwrap()
    };
    assert_eq!(of(&first, "known"), 0);
    desk.put("docs/book.md", text("rudders").as_bytes());
    let again = ingest(&desk, &[]);
    let (passages, known) = (of(&again, "passages"), of(&again, "known"));
    assert!(known >= 2 && known < passages, "{known} of {passages}");
    assert!(of(&again, "tokens") < of(&first, "tokens") / 2 + 200);
    assert_eq!(again.summary()["known"], known);
    // What was known is found as before, and what changed as it is now.
    for (question, word) in [("What tells of harbours?", "harbours"), ("What tells of rudders?", "rudders")] {
        let found = recall(&desk, question);
        let passage = &found["passages"][0];
        assert!(passage["text"].as_str().unwrap().contains(word), "{passage}");
        let slices = passage["slices"].as_array().unwrap().len();
        assert_eq!(passage["slices_stored"].as_u64().unwrap() as usize, slices);
        assert!(passage["relevance"].as_f64().unwrap() != 0.0, "{passage}");
    }
    let other = desk_of_one(&text("rudders"));
    let fresh = ingest(&other, &[]);
    assert_eq!(of(&fresh, "known"), 0);
    let (one, two) = (recall(&desk, "What tells of ropes?"), recall(&other, "What tells of ropes?"));
    for key in ["text", "slices", "relevance", "place"] {
        assert_eq!(one["passages"][0][key], two["passages"][0][key]);
    }
}

/// The usual documents, and a book that was never another.
fn desk_of_one(book: &str) -> Desk {
    let desk = desk();
    desk.put("docs/book.md", book.as_bytes());
    desk
}
