//! Files: what is read, listed and found, and how much of it.

mod rig;

use std::fs;

use agentos_hal::PeripheralError;
use agentos_tools::Tool;
use agentos_tools::files::{Roots, list_files, read_file, search_text};
use agentos_tools::grant::{Grant, RootGrant};
use proptest::prelude::*;
use rig::{call, pool};
use serde_json::{Value, json};
use tempfile::TempDir;

fn root() -> (TempDir, Roots) {
    let folder = tempfile::tempdir().unwrap();
    let root = RootGrant { name: "docs".to_owned(), folder: folder.path().to_owned() };
    let roots = Roots::open(&Grant { roots: vec![root], ..Grant::default() }).unwrap();
    (folder, roots)
}

fn why(tool: &mut Tool, arguments: &Value) -> String {
    let (error, why) = call(tool, arguments).unwrap_err();
    assert_eq!(error, PeripheralError::Failed, "{why}");
    why
}

#[test]
fn lines_are_read_from_one_on() {
    let (folder, roots) = root();
    let text: String = (1..=100).map(|number| format!("line {number}\n")).collect();
    fs::write(folder.path().join("log.txt"), &text).unwrap();
    let mut tool = read_file(roots, &pool()).unwrap();
    assert_eq!(call(&mut tool, &json!({ "path": "docs/log.txt" })).unwrap(), text);
    let part = json!({ "path": "docs/log.txt", "from_line": 50, "lines": 2 });
    assert_eq!(call(&mut tool, &part).unwrap(), "line 50\nline 51\n");
    let end = json!({ "path": "docs/log.txt", "from_line": 100, "lines": 9 });
    assert_eq!(call(&mut tool, &end).unwrap(), "line 100\n");
    let beyond = json!({ "path": "docs/log.txt", "from_line": 101 });
    assert!(why(&mut tool, &beyond).contains("docs/log.txt has no line 101"));
    for wrong in [json!({ "from_line": 0 }), json!({ "lines": -1 }), json!({ "lines": "all" })] {
        let mut arguments = json!({ "path": "docs/log.txt" });
        arguments.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(call(&mut tool, &arguments).unwrap_err().0, PeripheralError::Refused);
    }
}

#[test]
fn what_does_not_fit_is_cut_and_says_how_to_go_on() {
    let (folder, roots) = root();
    let text: String = (1..=20_000).map(|number| format!("line {number}\n")).collect();
    fs::write(folder.path().join("long.txt"), &text).unwrap();
    fs::write(folder.path().join("wide.txt"), "x".repeat(10_000_000) + "\nend\n").unwrap();
    fs::write(folder.path().join("invalid.txt"), vec![0xff; 100_000]).unwrap();
    let mut tool = read_file(roots, &pool()).unwrap();
    // Following the notes, everything is read, once.
    let (mut whole, mut from) = (String::new(), 1);
    loop {
        let part = call(&mut tool, &json!({ "path": "docs/long.txt", "from_line": from })).unwrap();
        assert!(part.len() <= 64 << 10);
        let Some((lines, note)) = part.split_once("[cut here: no more fits; from_line ") else {
            whole.push_str(&part);
            break;
        };
        whole.push_str(lines);
        from = note.split(' ').next().unwrap().parse().unwrap();
    }
    assert_eq!(whole, text);
    for path in ["docs/wide.txt", "docs/invalid.txt"] {
        let wide = call(&mut tool, &json!({ "path": path })).unwrap();
        assert!(wide.len() <= 64 << 10, "{}", wide.len());
        assert!(wide.ends_with("\n[cut here: line 1 is longer than what fits]\n"));
    }
    assert_eq!(call(&mut tool, &json!({ "path": "docs/wide.txt", "from_line": 2 })).unwrap(), "end\n");
}

#[test]
fn what_is_no_text_is_told() {
    let (folder, roots) = root();
    fs::write(folder.path().join("binary"), b"\x7fELF\0\0").unwrap();
    fs::write(folder.path().join("empty"), b"").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let mut tool = read_file(roots, &pool()).unwrap();
    assert!(why(&mut tool, &json!({ "path": "docs/binary" })).contains("is no text"));
    assert!(why(&mut tool, &json!({ "path": "docs/folder" })).contains("is a folder; list_files"));
    assert!(why(&mut tool, &json!({ "path": "docs" })).contains("is a folder"));
    assert!(why(&mut tool, &json!({ "path": "docs/binary/x" })).contains("docs/binary/x"));
    assert!(why(&mut tool, &json!({ "path": "docs/missing" })).contains("there is no docs/missing"));
    assert_eq!(call(&mut tool, &json!({ "path": "docs/empty" })).unwrap(), "");
}

/// What would be waited for is not: pipes, sockets, devices.
#[cfg(unix)]
#[test]
fn only_files_are_read() {
    let (folder, roots) = root();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let pool = pool();
    let mut read = read_file(roots.clone(), &pool).unwrap();
    for path in ["docs/pipe", "docs/socket"] {
        assert!(why(&mut read, &json!({ "path": path })).contains("cannot be opened"));
    }
    let mut search = search_text(roots, &pool).unwrap();
    assert_eq!(call(&mut search, &json!({ "path": "docs", "pattern": "x" })).unwrap(), "[nothing matches]\n");
}

#[test]
fn folders_are_listed_in_order() {
    let (folder, roots) = root();
    let mut tool = list_files(roots, &pool()).unwrap();
    assert_eq!(call(&mut tool, &json!({ "path": "docs" })).unwrap(), "[the folder is empty]\n");
    fs::create_dir(folder.path().join("b")).unwrap();
    fs::write(folder.path().join("c.txt"), "12345").unwrap();
    fs::write(folder.path().join("a.txt"), "").unwrap();
    let listed = call(&mut tool, &json!({ "path": "docs" })).unwrap();
    assert_eq!(listed, "docs/a.txt (0 bytes)\ndocs/b/\ndocs/c.txt (5 bytes)\n");
    assert_eq!(call(&mut tool, &json!({})).unwrap(), "docs/\n");
    assert!(why(&mut tool, &json!({ "path": "docs/a.txt" })).contains("is a file; read_file reads it"));
    let long = "x".repeat(200);
    for number in 0..1000 {
        fs::write(folder.path().join("b").join(format!("{long}{number}")), "").unwrap();
    }
    let listed = call(&mut tool, &json!({ "path": "docs/b" })).unwrap();
    assert!(listed.len() <= 64 << 10);
    assert!(listed.ends_with("[cut here: there are more; a folder in it has fewer]\n"));
}

#[test]
fn lines_that_match_are_found() {
    let (folder, roots) = root();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    fs::write(folder.path().join("a/one.txt"), "The Lighthouse\nnothing\na lighthouse again\n").unwrap();
    fs::write(
        folder.path().join("a/b/two.txt"),
        format!("{} lighthouse {}", "x".repeat(500), "y".repeat(500)),
    )
    .unwrap();
    fs::write(folder.path().join("binary"), b"lighthouse\0").unwrap();
    let mut tool = search_text(roots, &pool()).unwrap();
    let found = call(&mut tool, &json!({ "path": "docs", "pattern": "lighthouse" })).unwrap();
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 4, "{found}");
    assert!(
        lines[0].starts_with("docs/a/b/two.txt:1: …xxx") && lines[0].contains(" lighthouse yyy"),
        "{found}"
    );
    assert!(lines[0].chars().count() < 200);
    assert_eq!(lines[1..3], ["docs/a/one.txt:1: The Lighthouse", "docs/a/one.txt:3: a lighthouse again"]);
    assert_eq!(lines[3], "[not searched: binary files]");
    let cased = json!({ "path": "docs/a/one.txt", "pattern": "L.*e$", "match_case": true });
    assert_eq!(call(&mut tool, &cased).unwrap(), "docs/a/one.txt:1: The Lighthouse\n");
    let (error, refusal) = call(&mut tool, &json!({ "path": "docs", "pattern": "(" })).unwrap_err();
    assert_eq!(error, PeripheralError::Refused);
    assert!(refusal.contains("the pattern is none") && refusal.contains("unclosed group"), "{refusal}");
    let (_, refusal) = call(&mut tool, &json!({ "path": "docs", "pattern": "(a{1000}){1000}" })).unwrap_err();
    assert!(refusal.contains("size limit"), "{refusal}");
}

#[test]
fn a_search_that_finds_too_much_says_so() {
    let (folder, roots) = root();
    fs::write(folder.path().join("many.txt"), "hit\n".repeat(1000)).unwrap();
    let mut tool = search_text(roots, &pool()).unwrap();
    let found = call(&mut tool, &json!({ "path": "docs", "pattern": "hit" })).unwrap();
    assert_eq!(found.lines().count(), 201);
    assert!(found.ends_with("[cut here: no more hits fit; a narrower path would do]\n"));
}

/// A folder of more files than one call looks at: those that it looks at are searched.
#[test]
fn a_folder_of_too_many_files_is_searched_as_far_as_it_goes() {
    let (folder, roots) = root();
    for number in 0..20_001 {
        fs::write(folder.path().join(format!("{number}.txt")), "hit\n").unwrap();
    }
    let mut tool = search_text(roots, &pool()).unwrap();
    let mut found = |pattern: &str| call(&mut tool, &json!({ "path": "docs", "pattern": pattern })).unwrap();
    assert_eq!(found("hit").lines().count(), 201);
    let cut = "[cut here: as many files as one call looks at were looked at; a narrower path would do]\n";
    assert_eq!(found("miss"), cut);
    fs::remove_file(folder.path().join("7.txt")).unwrap();
    assert_eq!(found("miss"), "[nothing matches]\n");
}

#[test]
fn a_search_says_what_it_passed_over() {
    let (folder, roots) = root();
    let mut tool = search_text(roots, &pool()).unwrap();
    let mut found = |path: &str| call(&mut tool, &json!({ "path": path, "pattern": "needle" })).unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("binary"), b"\0needle").unwrap();
    fs::write(path("wide.txt"), "x".repeat(65 << 10) + "needle\n").unwrap();
    fs::write(path("long.txt"), ("x".repeat(1023) + "\n").repeat(16 << 10) + "needle\n").unwrap();
    fs::write(path("whole.txt"), ("x".repeat(1023) + "\n").repeat(16 << 10)).unwrap();
    fs::create_dir_all(path("deep").join("d/".repeat(33))).unwrap();
    for (name, passed_over) in [
        ("docs/binary", "; not searched: binary files"),
        ("docs/wide.txt", "; not searched: lines behind their first 64 KiB"),
        ("docs/long.txt", "; not searched: files behind their first 16 MiB"),
        ("docs/whole.txt", ""),
        ("docs/deep", "; not searched: folders more than 32 deep"),
        ("docs/deep/d", ""),
    ] {
        assert_eq!(found(name), format!("[nothing matches{passed_over}]\n"), "{name}");
    }
    fs::write(path("deep/needle.txt"), "a needle\n").unwrap();
    let all = found("docs");
    assert!(all.starts_with("docs/deep/needle.txt:1: a needle\n[not searched: binary files, "), "{all}");
}

#[test]
fn a_root_that_is_not_there_is_told() {
    let root = RootGrant { name: "docs".to_owned(), folder: "/nowhere/at/all".into() };
    let error = Roots::open(&Grant { roots: vec![root], ..Grant::default() }).unwrap_err().to_string();
    assert!(error.starts_with("root `docs`: the folder /nowhere/at/all cannot be opened"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes without a 0 are read as their text, line by line.
    #[test]
    fn any_text_is_read(bytes in prop::collection::vec(1u8..=255, 0..300), from in 1u64..6) {
        let (folder, roots) = root();
        fs::write(folder.path().join("any"), &bytes).unwrap();
        let mut tool = read_file(roots, &pool()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        // What follows the last line's end is no line.
        if lines.last() == Some(&"") {
            lines.pop();
        }
        let expected: String =
            lines.iter().skip(from as usize - 1).map(|line| format!("{line}\n")).collect();
        match call(&mut tool, &json!({ "path": "docs/any", "from_line": from })) {
            Ok(read) => prop_assert_eq!(read, expected),
            Err((_, why)) => prop_assert!(from as usize > lines.len(), "{}", why),
        }
    }
}
