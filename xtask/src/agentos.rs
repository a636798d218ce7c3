//! The `agentos` program, built as it is shipped.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::process::{Failure, Repository, output_of, shown};

/// Builds the program, with optimisation, and returns its path.
///
/// # Errors
/// [`Failure::Start`], [`Failure::Exit`] when it does not compile, [`Failure::Answer`].
pub fn build(repository: &Repository) -> Result<PathBuf, Failure> {
    // Packages get the features that the whole workspace asks of them, so that its tests find them built.
    program_of(repository.cargo(&["build", "--release", "--workspace", "--bin", "agentos"]))
}

/// Builds the program and all tests, and returns the program's path.
///
/// # Errors
/// As [`build`].
pub fn build_with_tests(repository: &Repository) -> Result<PathBuf, Failure> {
    program_of(repository.cargo(&["test", "--release", "--workspace", "--no-run"]))
}

fn program_of(mut cargo: Command) -> Result<PathBuf, Failure> {
    // The messages say where the program went: a user's own settings may have moved it.
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = output_of(&mut cargo)?;
    executable(&String::from_utf8_lossy(&messages))
        .ok_or_else(|| Failure::Answer { command: shown(&cargo), expected: "path of the program agentos" })
}

/// The path of the program in cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "agentos" && message["profile"]["test"] != true)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Becomes the program: signals and the exit code are its own. Returns only when that fails.
#[cfg(unix)]
pub fn become_it(mut command: Command) -> Failure {
    use std::os::unix::process::CommandExt;
    let source = command.exec();
    crate::process::not_started(&command, source)
}

/// Runs the program and ends with its exit code. Returns only when it cannot be started.
#[cfg(not(unix))]
pub fn become_it(mut command: Command) -> Failure {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(source) => crate::process::not_started(&command, source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"agentos"},"profile":{"test":true},"executable":"/t/release/deps/agentos-1"}
{"reason":"compiler-artifact","target":{"name":"agentos"},"profile":{"test":false},"executable":"/t/release/agentos"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/agentos")));
        assert_eq!(executable("{}"), None);
    }
}
