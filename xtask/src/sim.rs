//! `cargo xtask sim`: many simulated systems, and whether the simulator finds a mistake at all.

use clap::Args;

use crate::Outcome;
use crate::process::{Failure, Repository, output_and_status, shown, succeed};

/// Which seeds.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    pub seeds: u64,
    /// The first.
    #[arg(long, default_value_t = 0)]
    pub from: u64,
}

/// Runs the simulator on all cores.
///
/// # Errors
/// [`Failure::Exit`] when a seed breaks something; what it was is printed.
pub fn sim(repository: &Repository, options: &Options) -> Outcome {
    succeed(repository.cargo(&SIMULATOR).args(seeds(options.from, options.seeds)))
}

/// Plants a mistake in the kernel (its feature `planted-bug`) and sees that the simulator finds it within the
/// seeds that run with the tests. It runs as that test does, of the whole workspace, so that all but the
/// kernel and what is built on it is there already.
///
/// # Errors
/// [`Failure::Found`] when it finds nothing; [`Failure::Answer`] when it fails and names no seed.
pub fn finds_planted(repository: &Repository) -> Outcome {
    let mut cargo = repository.cargo(&["test", "--release", "--quiet", "--workspace", "--test", "sim"]);
    cargo.args(["--features", "agentos-kernel/planted-bug"]);
    let (output, status) = output_and_status(&mut cargo)?;
    let output = String::from_utf8_lossy(&output);
    match (status.success(), found(&output)) {
        (true, _) => Err(Failure::Found("the simulator's test does not find the planted mistake".to_owned())),
        (false, None) => Err(Failure::Answer { command: shown(&cargo), expected: "seed that broke" }),
        (false, Some(line)) => {
            println!("the planted mistake is found: {line}");
            Ok(())
        }
    }
}

const SIMULATOR: [&str; 8] =
    ["run", "--quiet", "--release", "--package", "agentos-tests", "--example", "sim", "--"];

fn seeds(from: u64, count: u64) -> [String; 2] {
    [from.to_string(), count.to_string()]
}

/// The line that names a broken seed.
fn found(output: &str) -> Option<&str> {
    output.lines().find(|line| line.starts_with("seed ") && line.contains(" broke at tick "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_seed_is_found_among_other_lines() {
        let output = "7 of 200 seeds\nseed 9 broke at tick 12: this\nagain: that\n";
        assert_eq!(found(output), Some("seed 9 broke at tick 12: this"));
        assert_eq!(found("200 of 200 seeds\nno seed broke anything\n"), None);
    }
}
