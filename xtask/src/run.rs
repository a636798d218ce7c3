//! `cargo xtask run`: from a fresh clone to a model that answers.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::Outcome;
use crate::process::Repository;
use crate::{agentos, model};

/// What `agentos` does where no arguments say it: the built-in team.
const BUILT_IN: &str = "run";

/// Builds `agentos`, gets the default model unless the arguments name another, and becomes `agentos`
/// with these arguments; without any it runs the built-in team.
///
/// # Errors
/// Those of [`agentos::build`] and [`model::ensure`].
pub fn run(repository: &Repository, args: &[OsString]) -> Outcome {
    let program = agentos::build(repository)?;
    if wants_default_model(args) {
        model::ensure(&program)?;
    }
    let mut command = Command::new(program);
    command.args(args);
    if args.is_empty() {
        command.arg(BUILT_IN);
    }
    Err(agentos::become_it(command))
}

/// Whether `agentos` will ask for the default model. Where this errs, `agentos` says what is missing.
fn wants_default_model(args: &[OsString]) -> bool {
    const OTHER_MODEL: [&str; 3] = ["--model", "-hf", "--hf"];
    const NO_MODEL: [&str; 5] = ["--help", "-h", "--version", "-V", "help"];
    let names = |arg: &OsString, option: &str| {
        let arg = arg.to_string_lossy();
        arg == option || arg.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
    };
    let fetches_itself = args.first().is_some_and(|first| first == OsStr::new("model"));
    !fetches_itself
        && !args.iter().any(|arg| OTHER_MODEL.iter().chain(&NO_MODEL).any(|option| names(arg, option)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(line: &str) -> bool {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        wants_default_model(&args)
    }

    #[test]
    fn the_default_model_is_fetched_only_where_it_is_used() {
        assert!(wants(""));
        assert!(wants("generate --prompt hello"));
        assert!(wants("generate --models-are-fun"));
        assert!(!wants("generate --model m.gguf --prompt hello"));
        assert!(!wants("generate --model=m.gguf"));
        assert!(!wants("generate -hf owner/repository"));
        assert!(!wants("model"));
        assert!(!wants("generate --help"));
        assert!(!wants("--version"));
    }
}
