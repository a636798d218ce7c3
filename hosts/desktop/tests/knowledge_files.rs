//! Files that documents come from: what is not read any more is not gone, and names may be anything.

#![cfg(unix)]

mod cli_support;
mod knowledge_support;
mod team_support;

use std::os::unix::fs::symlink;

use knowledge_support::{agentos, desk, ingest};
use team_support::Lines;

fn counts(lines: &Lines) -> [u64; 4] {
    ["entered", "unchanged", "refused", "removed"].map(|key| lines.summary()[key].as_u64().unwrap())
}

/// What is named itself stays when its folder is looked at, which does not find it, until its file is gone.
#[test]
fn only_documents_go_whose_files_are_gone() {
    let desk = desk();
    symlink(desk.path("docs/light.md"), desk.path("docs/link.md")).unwrap();
    let deep = format!("docs/{}", "in/".repeat(70));
    std::fs::create_dir_all(desk.path(&deep)).unwrap();
    let deep = deep + "end.md";
    desk.put(&deep, b"This is far below.");
    let named = ["docs/.hidden.md", "docs/link.md", &deep];
    let arguments = [&["ingest"][..], &named, &["--collection", "island", "--json"]].concat();
    assert_eq!(counts(&Lines::of(&agentos(&desk, &arguments))), [3, 0, 0, 0]);
    assert_eq!(counts(&ingest(&desk, &["--prune"])), [3, 0, 1, 0]);
    assert_eq!(counts(&Lines::of(&agentos(&desk, &arguments))), [0, 3, 0, 0]);
    for (removed, name) in named.iter().enumerate() {
        std::fs::remove_file(desk.path(name)).unwrap();
        let gone = ingest(&desk, &["--prune"]);
        assert_eq!(counts(&gone), [0, 3, 1, 1], "file {removed}");
        assert!(gone.events("removed")[0]["path"].as_str().unwrap().ends_with(name));
    }
}

/// Names that are not UTF-8 could be taken for one another; they are left out, and told.
#[test]
#[cfg(target_os = "linux")]
fn files_whose_names_are_not_utf8_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let desk = desk();
    for (name, text) in [(b"ca\xe7a.txt", "The hunt begins at dawn."), (b"ca\xe8a.txt", "The hut is blue.")] {
        std::fs::write(desk.path("docs").join(OsStr::from_bytes(name)), text).unwrap();
    }
    for expected in [[3, 0, 3, 0], [0, 3, 3, 0]] {
        let lines = ingest(&desk, &["--prune"]);
        assert_eq!(counts(&lines), expected);
        let refused = lines.events("refused");
        let of_name = refused.iter().filter(|line| line["reason"].as_str().unwrap().contains("UTF-8"));
        assert_eq!(of_name.count(), 2, "{refused:?}");
    }
}

/// What stands above a passage takes no more room than there is beside it.
#[test]
fn a_document_of_any_name_is_entered() {
    let desk = desk();
    let folder = format!("docs/{}", "🦀".repeat(50));
    std::fs::create_dir(desk.path(&folder)).unwrap();
    let text: String =
        (0..40).map(|day| format!("On day {day} the keeper of the light counts crabs.\n\n")).collect();
    desk.put(&format!("{folder}/{}log.txt", "🦀".repeat(50)), text.as_bytes());
    assert_eq!(counts(&ingest(&desk, &[])), [4, 0, 1, 0]);
    let found = agentos(&desk, &["recall", "island", "keeper counts crabs", "--json", "--top", "9"]).json();
    let passages = found["passages"].as_array().unwrap();
    let of_log: Vec<_> =
        passages.iter().filter(|passage| passage["path"].as_str().unwrap().ends_with("log.txt")).collect();
    assert!(!of_log.is_empty(), "{passages:?}");
    for passage in of_log {
        let slices = passage["slices"].as_array().unwrap();
        assert!(slices.iter().map(|slice| slice.as_u64().unwrap()).sum::<u64>() <= 512, "{passage}");
        let text = passage["text"].as_str().unwrap();
        let (header, _) = text.split_once('\n').unwrap();
        assert!(header.starts_with("[document \"…🦀") && header.contains("log.txt\" line "), "{header}");
    }
}
