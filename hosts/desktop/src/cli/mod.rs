//! The command line: one file per command, and what they share.
//!
//! A command prints its result on standard output and everything else on standard error. Exit codes: 0
//! for success, 1 for a failure, 2 for a command line that cannot be meant, 130 for an interruption.

mod ask;
mod asking;
mod bench;
mod calibrate;
mod choose;
mod devices;
mod error;
mod eval;
mod generate;
mod ingest;
mod inspect;
mod interrupt;
mod knowledge;
mod load;
mod model;
mod options;
mod output;
mod perplexity;
mod prompt;
mod quiet;
mod recall;
mod report;
mod run;
mod schema;
mod slice;
mod store;
mod stream;
mod tooling;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use crate::team::tools::WARDEN;
use agentos_documents::apart::READER;
use clap::{Parser, Subcommand};

pub use error::CliError;

/// An operating system for language-model agents: runs models on this machine.
#[derive(Debug, Parser)]
#[command(name = "agentos", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a team of agents together
    Run(run::Run),
    /// Answer a prompt, or go on with a text
    Generate(generate::Generate),
    /// Enter documents into a collection: they are read and computed once
    Ingest(ingest::Ingest),
    /// Show which passages of a collection a question would get, and why
    Recall(recall::Recall),
    /// Answer a question from a collection's passages
    Ask(ask::Ask),
    /// Show what a model file holds, and what running it takes
    Inspect(inspect::Inspect),
    /// Measure how well a model foretells a text
    Perplexity(perplexity::Perplexity),
    /// Divide a text into topics
    Slice(slice::Slice),
    /// Measure what a model's layers are good for, and keep it
    Calibrate(calibrate::Calibrate),
    /// Time a model on this machine, beside what the machine allows
    Bench(bench::Bench),
    /// Measure how well the program does on data that is not its own
    #[command(subcommand)]
    Eval(eval::Eval),
    /// List what can compute on this machine
    Devices(devices::Devices),
    /// List the tools that agents may be granted, or try one
    Tools(tools::Tools),
    /// Fetch a model if it is not there, and print its path
    Model(model::Fetch),
}

impl Command {
    /// Whether a driver for GPUs may be loaded.
    fn may_load_drivers(&self) -> bool {
        let compute = match self {
            Command::Run(command) => &command.compute,
            Command::Generate(command) => &command.compute,
            Command::Ingest(command) => &command.compute,
            Command::Recall(command) => &command.compute,
            Command::Ask(command) => &command.compute,
            Command::Inspect(command) => &command.compute,
            Command::Perplexity(command) => &command.compute,
            Command::Slice(command) => &command.compute,
            Command::Calibrate(command) => &command.compute,
            Command::Bench(command) => &command.compute,
            Command::Eval(command) => command.compute(),
            Command::Devices(_) => return true,
            Command::Model(_) | Command::Tools(_) => return false,
        };
        compute.may_load_drivers()
    }
}

/// Runs the program: `start` is when the process began.
pub fn run(arguments: impl Iterator<Item = OsString>, start: Instant) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // This process is to stand between the program and a command that it runs.
    if arguments.get(1).is_some_and(|first| first == WARDEN) {
        return agentos_tools::run::warden::serve();
    }
    // This process is to read one document, which may be hostile.
    if arguments.get(1).is_some_and(|first| first == READER) {
        return agentos_documents::apart::serve();
    }
    let cli = match Cli::try_parse_from(arguments.into_iter().map(long_hub_option)) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    if cli.command.may_load_drivers() {
        quiet::hush_drivers();
    }
    let result = match cli.command {
        Command::Run(command) => command.run(start),
        Command::Generate(command) => command.run(start),
        Command::Ingest(command) => command.run(),
        Command::Recall(command) => command.run(),
        Command::Ask(command) => command.run(start),
        Command::Inspect(command) => command.run(),
        Command::Perplexity(command) => command.run(),
        Command::Slice(command) => command.run(),
        Command::Calibrate(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Devices(command) => command.run(),
        Command::Tools(command) => command.run(),
        Command::Model(command) => command.run(),
    };
    match result {
        // Whoever read the output has seen enough.
        Ok(()) | Err(CliError::Closed) => ExitCode::SUCCESS,
        // Whoever interrupted it knows why.
        Err(CliError::Interrupted) => ExitCode::from(interrupt::INTERRUPTED),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.is_usage() { USAGE } else { FAILURE })
        }
    }
}

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// `-hf`, as users of llama.cpp type it, would be two short options.
fn long_hub_option(argument: OsString) -> OsString {
    if argument == "-hf" { OsString::from("--hf") } else { argument }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_short_hub_option_is_known() {
        let line = ["agentos", "model", "-hf", "a/b"].map(OsString::from);
        let cli = Cli::try_parse_from(line.into_iter().map(long_hub_option)).unwrap();
        assert!(matches!(cli.command, Command::Model(_)));
    }
}
