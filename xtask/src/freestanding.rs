//! Proves that the core needs no operating system, no standard library and no heap.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::process::{Failure, Repository, output_of, shown, succeed};

/// The crates that promise it, and what else `freestanding/probe.rs` names.
const CRATES: [&str; 4] = ["agentos-kernel", "agentos-hal", "agentos-cpu", "agentos-gguf"];
const ALSO_NAMED: [&str; 1] = ["embedded-hal"];

/// Whether the program can be linked and run here.
pub const RUNS_HERE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// Builds the crates without their default features, links them into a program that has nothing beside
/// them, and runs it: a kernel in static memory, agents on the CPU backend.
///
/// # Errors
/// [`Failure::Exit`] when something does not compile or link (the compiler has said what was missing), or
/// when the program finds that something is not as it should be.
pub fn check(repository: &Repository) -> Outcome {
    let mut cargo = repository.cargo(&["build", "--no-default-features"]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    cargo.args(["--target-dir", "target/freestanding"]);
    cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_PANIC", "abort");
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = output_of(&mut cargo)?;
    let messages = String::from_utf8_lossy(&messages);
    let named = CRATES.iter().chain(&ALSO_NAMED);
    let libraries: Option<Vec<(&str, PathBuf)>> =
        named.map(|name| library(&messages, name).map(|library| (*name, library))).collect();
    let missing = || Failure::Answer { command: shown(&cargo), expected: "library of each crate" };
    let program = repository.root.join("target/freestanding/probe");
    succeed(&mut link(repository, &libraries.ok_or_else(missing)?, &program))?;
    succeed(&mut Command::new(program))
}

/// The compiler, told to link the probe with `libraries`.
fn link(repository: &Repository, libraries: &[(&str, PathBuf)], program: &Path) -> Command {
    let folder = libraries[0].1.parent().expect("a library lies in a folder");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "probe"]);
    rustc.args(["-C", "panic=abort", "-C", "opt-level=1", "-C", "relocation-model=static"]);
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
        rustc.arg("-C").arg(format!("link-arg={argument}"));
    }
    rustc.arg("-o").arg(program);
    rustc.arg("-L").arg(format!("dependency={}", folder.join("deps").display()));
    for (name, library) in libraries {
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
