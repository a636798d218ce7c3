//! `cargo xtask ci`: what has to hold before a change is merged.

use std::process::{Command, Stdio};

use crate::Outcome;
use crate::conformance;
use crate::process::{Repository, succeed};
use crate::stage::Stages;
use crate::test;

/// How long the parser of model files is fuzzed.
const FUZZ_SECONDS: u32 = 60;

/// Runs everything, quick things first, and says at the end what failed and what was left out.
///
/// # Errors
/// [`crate::process::Failure::Found`] when a stage failed.
pub fn ci(repository: &Repository) -> Outcome {
    let mut stages = Stages::default();
    stages.run("format", || succeed(&mut repository.cargo(&["fmt", "--all", "--check"])));
    stages.run("lints", || {
        let args = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        succeed(&mut repository.cargo(&args))
    });
    stages.run("documentation", || {
        let mut cargo = repository.cargo(&["doc", "--workspace", "--no-deps"]);
        succeed(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    stages.run("test", || test::test(repository, &[]));
    stages.run("conformance", || conformance::conformance(repository, &conformance::Options::everything()));
    stages.run("fuzz", || fuzz(repository));
    stages.print_summary();
    stages.outcome()
}

/// Fuzzes the GGUF parser, from its seed corpus.
fn fuzz(repository: &Repository) -> Outcome {
    if !succeeds(&mut repository.cargo(&["fuzz", "--version"])) {
        succeed(&mut repository.cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    let mut cargo =
        repository.cargo(&["fuzz", "run", "parse", "--", &format!("-max_total_time={FUZZ_SECONDS}")]);
    // The address sanitizer is an unstable option; with this the pinned compiler takes it, and nobody needs another.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    succeed(cargo.current_dir(repository.root.join("hosts/gguf")))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
