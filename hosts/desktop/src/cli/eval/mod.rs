//! `agentos eval`: how well the program does what it promises, beside what it is compared with.

mod knowledge;
mod memory;
mod slicing;

use clap::Subcommand;

use super::error::CliError;
use super::options::ComputeOptions;

/// `agentos eval`.
#[derive(Debug, Subcommand)]
pub enum Eval {
    /// How soon and how well questions about a collection are answered
    Knowledge(knowledge::KnowledgeEval),
    /// What bounded memory costs
    #[command(subcommand)]
    Memory(memory::MemoryEval),
    /// Where topics end in joined documents
    Slicing(slicing::Slicing),
}

impl Eval {
    pub fn run(&self) -> Result<(), CliError> {
        match self {
            Eval::Knowledge(eval) => eval.run(),
            Eval::Memory(eval) => eval.run(),
            Eval::Slicing(eval) => eval.run(),
        }
    }

    /// Which device computes.
    pub fn compute(&self) -> &ComputeOptions {
        match self {
            Eval::Knowledge(eval) => &eval.compute,
            Eval::Memory(eval) => eval.compute(),
            Eval::Slicing(eval) => &eval.compute,
        }
    }
}
