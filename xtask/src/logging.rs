//! Links what the kernel logs by `defmt` into a program, and runs it.
//!
//! A build with the feature `defmt` needs a logger and a linker script to link at all, so the workspace's
//! tests are built without it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Outcome;
use crate::process::{Failure, Repository, output_of, shown, succeed};

/// Whether a program for this system can be linked with the script.
pub const LINKS_HERE: bool = cfg!(target_os = "linux");

/// Builds the kernel's test `logging` with every level of log, and runs it.
///
/// # Errors
/// [`Failure::Exit`] when it does not compile or link, or when the test fails.
pub fn check(repository: &Repository) -> Outcome {
    let mut cargo =
        repository.cargo(&["rustc", "--release", "--package", "agentos-kernel", "--features", "defmt"]);
    cargo.args(["--test", "logging", "--message-format=json-render-diagnostics", "--"]);
    // defmt's texts have addresses from 1 on, which a program that may lie anywhere cannot name.
    let script = repository.root.join("kernel/tests/logging.x");
    cargo.args(["-C", "relocation-model=static", "-C"]);
    cargo.arg(format!("link-arg=-T{}", script.display())).env("DEFMT_LOG", "trace");
    let messages = output_of(&mut cargo)?;
    let program = executable(&String::from_utf8_lossy(&messages));
    let missing = || Failure::Answer { command: shown(&cargo), expected: "path of the test" };
    succeed(&mut Command::new(program.ok_or_else(missing)?))
}

/// The program in cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let messages = r#"{"target":{"name":"agentos_kernel"},"executable":null}
{"target":{"name":"logging"},"executable":"/t/release/deps/logging-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/deps/logging-1")));
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}
