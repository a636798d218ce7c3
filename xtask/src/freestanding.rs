//! Proves that the core needs no operating system, no standard library and no heap.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::process::{Failure, Repository, output_of, shown, succeed};

/// The crates that promise it. `freestanding/probe.rs` names them too.
const CRATES: [&str; 4] = ["agentos-kernel", "agentos-hal", "agentos-cpu", "agentos-gguf"];

/// Builds the crates without their default features and links them into a library that has only a
/// panic handler beside them.
///
/// # Errors
/// [`Failure::Exit`] when something does not compile or link: the compiler has said what was missing.
pub fn check(repository: &Repository) -> Outcome {
    let mut cargo = repository.cargo(&["build", "--no-default-features"]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    // Nobody runs what is built here.
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = output_of(&mut cargo)?;
    let messages = String::from_utf8_lossy(&messages);
    let libraries: Option<Vec<PathBuf>> = CRATES.iter().map(|name| library(&messages, name)).collect();
    let missing = || Failure::Answer { command: shown(&cargo), expected: "library of each crate" };
    succeed(&mut link(repository, &libraries.ok_or_else(missing)?))
}

/// The compiler, told to link the probe with `libraries`, those of [`CRATES`].
fn link(repository: &Repository, libraries: &[PathBuf]) -> Command {
    let folder = libraries[0].parent().expect("a library lies in a folder");
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "--crate-type", "staticlib", "-C", "panic=abort", "--out-dir"])
        .arg(folder);
    rustc.arg("-L").arg(format!("dependency={}", folder.join("deps").display()));
    for (name, library) in CRATES.iter().zip(libraries) {
        rustc.arg("--extern").arg(format!("{}={}", name.replace('-', "_"), library.display()));
    }
    rustc.arg("xtask/freestanding/probe.rs").current_dir(&repository.root).stdin(Stdio::null());
    rustc
}

/// The library of `package` in cargo's messages, one JSON object a line.
fn library(messages: &str, package: &str) -> Option<PathBuf> {
    let name = package.replace('-', "_");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name.as_str())
        .find_map(|message| {
            let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
            files.map(PathBuf::from).find(|file| file.extension().is_some_and(|kind| kind == "rlib"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crates_library_is_found_among_cargos_messages() {
        let messages = r#"{"target":{"name":"half"},"filenames":["/t/debug/deps/libhalf-1.rlib"]}
{"target":{"name":"agentos_hal"},"filenames":["/t/debug/libagentos_hal.rmeta","/t/debug/libagentos_hal.rlib"]}"#;
        assert_eq!(library(messages, "agentos-hal"), Some(PathBuf::from("/t/debug/libagentos_hal.rlib")));
        assert_eq!(library(messages, "agentos-kernel"), None);
    }
}
