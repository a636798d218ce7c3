//! The chores of the repository, as `cargo xtask <chore>`.
//!
//! One file or folder per chore. They only start other programs (cargo, the `agentos` binary) and judge
//! what those say, so that a fresh clone waits seconds for this crate and not minutes: it depends on
//! nothing of AgentOS. What several chores share: [`process`] (starting programs, and why that fails),
//! [`agentos`] (the built program) and [`stage`] (a chore in parts, with times).

mod agentos;
mod bench;
mod ci;
mod conformance;
mod drivers;
mod eval;
mod freestanding;
mod logging;
mod memory;
mod model;
mod process;
mod results;
mod run;
mod sim;
mod stage;
mod test;
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use process::{Failure, Repository};

/// The chores of the AgentOS repository.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
enum Chore {
    /// Builds agentos, gets the default model if needed, and runs agentos with the arguments.
    ///
    /// Without arguments: the built-in team of agents, which ends by itself.
    #[command(disable_help_flag = true)]
    Run {
        /// Arguments for agentos.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Everything that a fresh clone has to pass: the model, all tests, memory, logging, a planted mistake, freestanding link, tidy.
    Test {
        /// Only tests whose name contains one of these; then nothing but tests.
        filters: Vec<String>,
    },
    /// Format, lints, documentation, `test`, conformance, and a minute of fuzzing.
    Ci,
    /// Times the shipped program beside the machine's limits, and beside llama.cpp with --peer.
    Bench(bench::Options),
    /// Asks the default model the questions of a public suite and prints how well it does.
    #[command(subcommand)]
    Eval(eval::Suite),
    /// Holds the backends to the conformance suite and prints the table.
    Conformance(conformance::Options),
    /// Gets the default model, or does what else `agentos model` takes.
    #[command(disable_help_flag = true)]
    Model {
        /// Arguments for `agentos model`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Simulates many systems of agents, each from one seed, and says which seed breaks what.
    Sim(sim::Options),
    /// Checks the dependency rule, file lengths, forbidden words and the places of `unsafe`.
    Tidy,
}

fn main() -> ExitCode {
    let repository = Repository::find();
    let outcome = match Chore::parse() {
        Chore::Run { args } => run::run(&repository, &args),
        Chore::Test { filters } => test::test(&repository, &filters),
        Chore::Ci => ci::ci(&repository),
        Chore::Bench(options) => bench::bench(&repository, &options),
        Chore::Eval(suite) => eval::eval(&repository, &suite),
        Chore::Conformance(options) => conformance::conformance(&repository, &options),
        Chore::Model { args } => model::model(&repository, &args),
        Chore::Sim(options) => sim::sim(&repository, &options),
        Chore::Tidy => tidy::tidy(&repository),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Told) {
                eprintln!("{failure}");
            }
            failure.exit_code()
        }
    }
}

/// What every chore returns.
type Outcome = Result<(), Failure>;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Chore::command().debug_assert();
    }

    #[test]
    fn what_follows_run_is_for_agentos() {
        let line = ["xtask", "run", "generate", "--help", "-hf", "a/b", "--prompt", "x"];
        match Chore::parse_from(line) {
            Chore::Run { args } => assert_eq!(args, line[2..].iter().map(OsString::from).collect::<Vec<_>>()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_option_may_come_first_after_run() {
        match Chore::parse_from(["xtask", "run", "--help"]) {
            Chore::Run { args } => assert_eq!(args, ["--help"]),
            other => panic!("{other:?}"),
        }
    }
}
