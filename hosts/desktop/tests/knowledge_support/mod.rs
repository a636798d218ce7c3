//! A library of a few documents, by the program's commands.

// Each test file uses its own part of this.
#![allow(dead_code)]

use super::cli_support::{Desk, Ran, Tiny};
use super::team_support::Lines;

/// A small model with room for passages, and a folder of documents.
pub fn desk() -> Desk {
    desk_with(&Tiny { context: 4096, ..Tiny::default() })
}

/// The same with another model.
pub fn desk_with(model: &Tiny) -> Desk {
    let desk = Desk::new(&model.gguf());
    std::fs::create_dir_all(desk.path("docs/deep")).unwrap();
    desk.put(
        "docs/light.md",
        b"# The light\n\nThe lamp burns whale oil.\n\n## Height\n\nThe tower is 38 meters tall.\n",
    );
    desk.put("docs/deep/boat.html", b"<title>Boat</title><p>The skipper of the ferry is named Quillon.</p>");
    desk.put("docs/notes.txt", b"Bread costs two crowns.\n\nThe mill stands by the river.\n");
    desk.put("docs/picture.png", b"\x89PNG\r\n\x1a\n");
    desk.put("docs/.hidden.md", b"never");
    desk
}

pub fn library(desk: &Desk) -> [String; 4] {
    let path = |name: &str| desk.path(name).to_string_lossy().into_owned();
    ["--model".into(), path("model.gguf"), "--store".into(), path("library.redb")]
}

pub fn agentos(desk: &Desk, arguments: &[&str]) -> Ran {
    let library = library(desk);
    desk.agentos(arguments.iter().copied().chain(library.iter().map(String::as_str)))
}

pub fn ingest(desk: &Desk, more: &[&str]) -> Lines {
    let arguments = [&["ingest", "docs", "--collection", "island", "--json"], more].concat();
    let ran = agentos(desk, &arguments);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    Lines::of(&ran)
}
