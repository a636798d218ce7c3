//! `agentos eval`: how well the program does what it promises, beside what it is compared with.

mod memory;
mod slicing;

use clap::Subcommand;

use super::error::CliError;
use super::options::ComputeOptions;

/// `agentos eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// What bounded memory costs
    #[command(subcommand)]
    Memory(memory::MemoryEval),
    /// Where topics end in joined documents
    Slicing(slicing::Slicing),
}

impl Eval {
    pub fn run(&self) -> Result<(), CliError> {
        match self {
            Eval::Memory(eval) => eval.run(),
            Eval::Slicing(eval) => eval.run(),
        }
    }

    /// Which device computes.
    pub fn compute(&self) -> &ComputeOptions {
        match self {
            Eval::Memory(eval) => eval.compute(),
            Eval::Slicing(eval) => &eval.compute,
        }
    }
}
