//! `cargo xtask bench`: speeds of the shipped program, beside the machine's limits and beside a peer.
//!
//! Each work runs in turns with the peer's, process by process, so that what disturbs the machine
//! disturbs both. Figures are medians; a ratio compares medians of the same run. With `--backend` the tables of
//! [`gpu`] are printed instead.

mod agents;
mod calls;
mod gpu;
pub mod peer;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Failure, Repository, output_of, shown};
use crate::{Outcome, agentos};
use peer::Peer;
use table::Row;

/// Works of `agentos bench`, in the order of the table.
const WORKS: [&str; 7] = ["prefill", "decode", "deep", "batch1", "batch4", "batch8", "batch16"];

/// Turns that each side takes.
const TURNS: usize = 3;

/// Runs of a work in one turn; the first warms up.
const RUNS: &str = "4";

/// What to time.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Also time llama.cpp, installed from its Python package into target/peer, in turns.
    #[arg(long)]
    peer: bool,
    /// Time what the kernel makes of many agents, beside its targets, with the last of `--threads`.
    #[arg(long, conflicts_with = "busy")]
    agents: bool,
    /// Time the tool calls of sixteen agents, and what masks add to a step, beside their targets.
    #[arg(long, conflicts_with_all = ["peer", "agents", "busy", "threads", "work", "activations"])]
    calls: bool,
    /// Time this backend of agentos and tell what a step costs; all works of the CPU's table without.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["peer", "agents", "calls", "busy", "threads"])]
    backend: Option<String>,
    /// Which GPU: its number in `agentos devices`, or a part of its name.
    #[arg(long, value_name = "NAME|INDEX", requires = "backend")]
    adapter: Option<String>,
    /// Only these works.
    #[arg(long, value_delimiter = ',')]
    work: Vec<String>,
    /// Threads to time with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    threads: Vec<u32>,
    /// Time while another process keeps one core busy.
    #[arg(long)]
    busy: bool,
    /// What matrix products make of their inputs, as `agentos bench --activations` takes it.
    #[arg(long, conflicts_with = "agents")]
    activations: Option<String>,
    /// A GGUF file instead of the default model.
    #[arg(long)]
    model: Option<PathBuf>,
}

/// Times the works and prints the table.
///
/// # Errors
/// When a program cannot be built, installed or run.
pub fn bench(repository: &Repository, options: &Options) -> Outcome {
    if options.backend.is_some() {
        gpu::check(&options.work)?;
    }
    let program = agentos::build(repository)?;
    let model = model(&program, options)?;
    if let Some(backend) = &options.backend {
        return gpu::bench(&program, &model, backend, options);
    }
    if options.calls {
        return calls::bench(repository, &program, &model);
    }
    let peer = if options.peer { Some(Peer::install(repository, &model)?) } else { None };
    if options.agents {
        return agents::bench(&program, &model, peer.as_ref(), options);
    }
    let neighbour = if options.busy { Some(Busy::start()?) } else { None };
    let wanted = |work: &&&str| options.work.is_empty() || options.work.iter().any(|chosen| chosen == **work);
    let activations = options.activations.as_deref();
    print!("{}", table::heading(&table::COLUMNS, peer.as_ref()));
    for &threads in &options.threads {
        for work in WORKS.iter().filter(wanted) {
            print!("{}", turns(&program, &model, peer.as_ref(), work, threads, activations)?);
        }
        if options.work.is_empty() {
            print!("{}", first_token(&program, &model, peer.as_ref(), threads, activations)?);
        }
    }
    drop(neighbour);
    Ok(())
}

/// The model's path: the program itself knows where the default one is, and gets it.
fn model(program: &Path, options: &Options) -> Result<PathBuf, Failure> {
    if let Some(path) = &options.model {
        return Ok(path.clone());
    }
    crate::model::path(program)
}

fn turns(
    program: &Path,
    model: &Path,
    peer: Option<&Peer>,
    work: &str,
    threads: u32,
    activations: Option<&str>,
) -> Result<Row, Failure> {
    let mut row = Row::new(work, threads);
    for _ in 0..TURNS {
        let mut command = Command::new(program);
        command.args(["bench", "--json", "--runs", RUNS, "--work", work]);
        command.arg("--threads").arg(threads.to_string()).arg("--model").arg(model);
        if let Some(activations) = activations {
            command.args(["--activations", activations]);
        }
        let answer = json(&mut command)?;
        row.ours.extend(samples(&answer));
        row.limit = row.limit.max(limit(&answer));
        if let Some(peer) = peer {
            for (variant, samples) in peer.variants().iter().zip(&mut row.peers) {
                samples.extend(peer.samples(variant, work, threads, RUNS)?);
            }
        }
    }
    Ok(row)
}

/// The time from the start of the process to the first token of an answer to a short prompt.
fn first_token(
    program: &Path,
    model: &Path,
    peer: Option<&Peer>,
    threads: u32,
    activations: Option<&str>,
) -> Result<Row, Failure> {
    // 30 tokens in the default model's vocabulary.
    const PROMPT: &str = "The quick brown fox jumps over the lazy dog, and an operating system kernel \
                          is a program that decides which of many other programs may run and when.";
    let mut row = Row::new("first token, ms", threads);
    for _ in 0..TURNS * 3 {
        let mut command = Command::new(program);
        command.args(["generate", "--json", "--raw", "--max-tokens", "1", "--prompt", PROMPT]);
        command.arg("--threads").arg(threads.to_string()).arg("--model").arg(model);
        if let Some(activations) = activations {
            command.args(["--activations", activations]);
        }
        let answer = json(&mut command)?;
        row.ours.extend(answer["timing"]["first_token_ms"].as_f64());
    }
    if let Some(peer) = peer {
        for (variant, samples) in peer.variants().iter().zip(&mut row.peers) {
            samples.extend(peer.samples(variant, "first_token", threads, RUNS)?);
        }
    }
    Ok(row)
}

fn json(command: &mut Command) -> Result<Value, Failure> {
    let output = output_of(command)?;
    serde_json::from_slice(&output)
        .map_err(|_| Failure::Answer { command: shown(command), expected: "JSON object" })
}

fn samples(answer: &Value) -> Vec<f64> {
    answer["samples"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// Tokens per second that the machine allows, by its arithmetic or by its memory.
fn limit(answer: &Value) -> f64 {
    let bound = |name: &str| answer["bounds"][name].as_f64().unwrap_or(f64::INFINITY);
    bound("arithmetic").min(bound("memory"))
}

/// A process that keeps one core busy until it is dropped.
struct Busy(std::process::Child);

impl Busy {
    fn start() -> Result<Busy, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        let child = command.spawn().map_err(|source| crate::process::not_started(&command, source))?;
        Ok(Busy(child))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // It may have been ended by somebody else.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
