//! `agentos eval memory`: what bounded memory costs.

mod loss;
mod packing;
mod relocation;
mod retrieval;

use std::path::PathBuf;

use agentos_hal::weight::rope_factors;
use agentos_hal::{Limits, rope::MOST_PAIRS};
use agentos_kernel::system::config::Paging;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::calibration::{Calibration, Known};
use crate::cli::error::CliError;
use crate::cli::knowledge::Reading;
use crate::cli::options::{self, ComputeOptions, KvOptions, ModelOptions};
use crate::cli::output;
use crate::device::{Device, OpenDeviceError};
use crate::eval::memory::{SetupError, Subject};
use crate::fetch::Environment;
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::Special;

/// `agentos eval memory`.
#[derive(Debug, Subcommand)]
pub enum MemoryEval {
    /// Whether an agent finds what it was told: facts hidden in a text, by policy
    Retrieval(retrieval::Retrieval),
    /// How much worse a text is foretold than by full attention, by policy
    Loss(loss::LossEval),
    /// What it costs to map passages that were computed elsewhere
    Relocation(relocation::Relocation),
    /// What it costs to pack pages
    Packing(packing::PackingEval),
}

impl MemoryEval {
    pub(super) fn run(&self) -> Result<(), CliError> {
        match self {
            MemoryEval::Retrieval(eval) => eval.run(),
            MemoryEval::Loss(eval) => eval.run(),
            MemoryEval::Relocation(eval) => eval.run(),
            MemoryEval::Packing(eval) => eval.run(),
        }
    }

    pub(super) fn compute(&self) -> &ComputeOptions {
        match self {
            MemoryEval::Retrieval(eval) => &eval.common.compute,
            MemoryEval::Loss(eval) => &eval.common.compute,
            MemoryEval::Relocation(eval) => &eval.common.compute,
            MemoryEval::Packing(eval) => &eval.common.compute,
        }
    }
}

/// The smallest quota that a bounded agent works in, in tokens.
const LEAST_L1: u32 = 192;

/// What all of them take.
#[derive(Args, Debug)]
struct Common {
    /// Texts: files of your own, one behind the other
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON array instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the figures into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// How the kernel pages by relevance.
#[derive(Args, Debug)]
struct PagingOptions {
    /// The layer whose attention tells what is relevant [default: the calibrated one]
    #[arg(long, value_name = "N")]
    layer: Option<u32>,
    /// The share of the quota that the latest slices have, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.window_percent,
          value_parser = clap::value_parser!(u32).range(0..=70))]
    window: u32,
    /// The same when a question is read again, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.replay_window_percent,
          value_parser = clap::value_parser!(u32).range(0..=90))]
    replay_window: u32,
    /// The share of the quota that a choice leaves free, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.headroom_percent,
          value_parser = clap::value_parser!(u32).range(0..=10))]
    headroom: u32,
    /// What a selected slice's share counts more, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.hysteresis_percent,
          value_parser = clap::value_parser!(u32).range(100..=1000))]
    hysteresis: u32,
    /// The share of the quota for slices that held most attention, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.held_percent,
          value_parser = clap::value_parser!(u32).range(0..=20))]
    held: u32,
    /// Tokens beyond which slices count as equally far
    #[arg(long, value_name = "N", default_value_t = Paging::DEFAULT.far)]
    far: u32,
    /// How often a question is read again at most
    #[arg(long, value_name = "N", default_value_t = Paging::DEFAULT.replays,
          value_parser = clap::value_parser!(u32).range(0..=8))]
    replays: u32,
}

impl PagingOptions {
    fn paging(&self) -> Paging {
        Paging {
            window_percent: self.window,
            replay_window_percent: self.replay_window,
            headroom_percent: self.headroom,
            hysteresis_percent: self.hysteresis,
            held_percent: self.held,
            far: self.far,
            replays: self.replays,
            ..Paging::DEFAULT
        }
    }

    fn layer(&self, opened: &Opened<'_>) -> Result<u32, SetupError> {
        let (layer, layers) =
            (self.layer.unwrap_or(opened.calibration.relevance_layer), opened.subject.shape.layers);
        if layer < layers { Ok(layer) } else { Err(SetupError::Layer { layer, layers }) }
    }
}

/// A model that is open, with its text side.
struct Opened<'m> {
    file: &'m ModelFile<'m>,
    reading: &'m Reading,
    calibration: Calibration,
    subject: Subject<'m>,
}

impl Common {
    /// Opens the model for what `run` does with it.
    fn open<T>(&self, run: impl FnOnce(&Opened<'_>) -> Result<T, CliError>) -> Result<T, CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let reading = Reading::new(&path, &file)?;
        let shape = &file.model.shape;
        let mut factors = [0.0; MOST_PAIRS];
        let factors =
            rope_factors(shape, &mut file.weights(), &mut factors).map_err(OpenDeviceError::Prepare)?;
        let frequencies: Vec<f64> = shape.rope.frequencies(factors).collect();
        let delimiters = &reading.delimiters;
        let calibration = Known::told(&file, &Environment::from_process()).calibration;
        let subject = Subject { shape, delimiters, frequencies: &frequencies, kv: self.kv.kv() };
        run(&Opened { file: &file, reading: &reading, calibration, subject })
    }

    /// A device that holds the model.
    fn device(&self, opened: &Opened<'_>, limits: &Limits) -> Result<Device, CliError> {
        let mut device = Device::open(&self.compute.device())?;
        device.prepare(&opened.file.model, limits, &mut opened.file.weights())?;
        Ok(device)
    }

    /// The files' texts.
    fn texts(&self) -> Result<Vec<String>, CliError> {
        self.files.iter().map(|path| options::read_text_file(path)).collect()
    }

    /// The tokens of each file, as a model of its own begins a text.
    fn tokens(&self, opened: &Opened<'_>) -> Result<Vec<Vec<u32>>, CliError> {
        let tokenizer = &opened.reading.tokenizer;
        let encode =
            |text: String| -> Result<Vec<u32>, CliError> { Ok(tokenizer.encode(&text, Special::AsText)?) };
        self.texts()?.into_iter().map(encode).collect()
    }

    /// Tells figures as they were asked for.
    fn tell(
        &self,
        figures: &impl Serialize,
        table: &str,
        draw: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if let Some(path) = &self.svg {
            std::fs::write(path, draw()).map_err(|source| CliError::Write { path: path.clone(), source })?;
        }
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            output::write_json(&mut console, figures)
        } else {
            output::write_all(&mut console, table)
        }
    }
}
