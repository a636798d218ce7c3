//! `cargo xtask conformance`: every backend against the suite, as the backend is shipped.

mod selection;

use clap::Args;

use crate::Outcome;
use crate::process::{Repository, succeed};
use selection::Selection;

/// What runs, and how it is built.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Builds with the profile for development: not what is shipped, and slower. For work on a backend.
    #[arg(long)]
    dev: bool,
}

impl Options {
    /// Every check of every backend.
    pub fn everything() -> Options {
        let selection = Selection { backend: None, adapter: None, only: None, seed: 1, cases: 6 };
        Options { selection, dev: false }
    }

    /// The arguments of cargo and of the example.
    fn args(&self) -> Vec<String> {
        let Selection { backend, adapter, only, seed, cases } = &self.selection;
        let mut args: Vec<String> = ["run", "--quiet"].map(String::from).to_vec();
        args.extend((!self.dev).then(|| "--release".to_owned()));
        args.extend(["--package", "xtask", "--example", "conformance", "--"].map(String::from));
        for (name, value) in [("backend", backend), ("adapter", adapter), ("only", only)] {
            args.extend(value.as_ref().map(|value| format!("--{name}={value}")));
        }
        args.extend([format!("--seed={seed}"), format!("--cases={cases}")]);
        args
    }
}

/// Prints the table of `agentos-conformance`. The list of backends is in `examples/conformance.rs`; it is
/// built only here, with optimisation unless the options say otherwise.
///
/// # Errors
/// [`crate::process::Failure::Exit`] when a check fails, or nothing is called as the options say.
pub fn conformance(repository: &Repository, options: &Options) -> Outcome {
    succeed(repository.cargo(&[]).args(options.args()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn args(line: &[&str]) -> Vec<String> {
        Line::parse_from(line).options.args()
    }

    #[test]
    fn options_reach_the_example() {
        let given = args(&["_", "--dev", "--backend", "cpu", "--only", "MatMul Q4_1", "--seed", "7"]);
        let dashes = given.iter().position(|arg| arg == "--").expect("arguments for the example");
        assert_eq!(given[dashes + 1..], ["--backend=cpu", "--only=MatMul Q4_1", "--seed=7", "--cases=6"]);
        assert!(!given.contains(&"--release".to_owned()));
    }

    #[test]
    fn an_adapter_belongs_to_a_backend() {
        let given = args(&["_", "--backend", "wgpu", "--adapter", "llvmpipe"]);
        assert!(
            given.ends_with(
                &["--backend=wgpu", "--adapter=llvmpipe", "--seed=1", "--cases=6"].map(String::from)
            )
        );
        assert!(Line::try_parse_from(["_", "--adapter", "0"]).is_err());
    }

    #[test]
    fn everything_is_what_no_option_says() {
        assert_eq!(args(&["_"]), Options::everything().args());
    }
}
