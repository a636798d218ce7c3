//! `cargo xtask eval`: how well the default model does by public suites.

mod debian;
mod knowledge;
mod memory;
mod slicing;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};

use crate::Outcome;
use crate::process::{Failure, Repository, succeed};
use knowledge::Knowledge;
use memory::Memory;
use slicing::Slicing;
use wheel::Wheel;

/// Which suite.
#[derive(Clone, Debug, Subcommand)]
pub enum Suite {
    /// Calls of functions: the single-call cases of the Berkeley Function-Calling Leaderboard.
    Tools(Tools),
    /// How soon and how well questions about Debian's manuals are answered from what was entered before.
    Knowledge(Knowledge),
    /// What bounded memory costs: facts found, loss, passages moved, pages packed, topics; beside other policies.
    Memory(Memory),
    /// Where topics end: joined news items, against the boundaries that are known.
    Slicing(Slicing),
}

/// How much of it.
#[derive(Clone, Debug, Args)]
pub struct Tools {
    /// Cases of each category to ask at most.
    #[arg(long, default_value_t = 1000)]
    pub cases: usize,
    /// Where the results go, as JSON [default: target/eval/tools.json].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Runs a suite: gets its data once, and prints the table.
///
/// # Errors
/// [`Failure::Start`] and [`Failure::Exit`] of pip, Python and cargo; [`Failure::Found`] when the data is not what
/// it should be; [`Failure::Exit`] also when an answer does not keep to its schema.
pub fn eval(repository: &Repository, suite: &Suite) -> Outcome {
    match suite {
        Suite::Tools(options) => tools(repository, options),
        Suite::Knowledge(options) => knowledge::run(repository, options),
        Suite::Memory(options) => memory::run(repository, options),
        Suite::Slicing(options) => slicing::run(repository, options),
    }
}

fn tools(repository: &Repository, options: &Tools) -> Outcome {
    let folder = repository.root.join("target").join("eval");
    let data = leaderboard(&folder)?;
    let out = options.out.clone().unwrap_or_else(|| folder.join("tools.json"));
    let mut cargo = repository.cargo(&RUN);
    succeed(cargo.arg(data).arg(options.cases.to_string()).arg(out))
}

/// Built as tests are, so that whoever ran those has most of it.
const RUN: [&str; 8] =
    ["run", "--quiet", "--release", "--package", "agentos-tests", "--example", "tools", "--"];

const LEADERBOARD: Wheel = Wheel {
    package: "bfcl-eval==2026.3.23",
    file: "bfcl_eval-2026.3.23-py3-none-any.whl",
    sha256: "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    only: &[],
};

/// Unpacks the data files of the leaderboard's package, which is only read: none of its code runs.
fn leaderboard(folder: &Path) -> Result<PathBuf, Failure> {
    let data = folder.join("bfcl_eval").join("data");
    if data.is_dir() {
        return Ok(data);
    }
    let wheel = LEADERBOARD.fetch(folder)?;
    succeed(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder))?;
    Ok(data)
}
