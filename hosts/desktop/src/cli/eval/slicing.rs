//! `agentos eval slicing`: where topics end in joined documents.

use std::path::PathBuf;

use clap::Args;

use crate::calibration::Known;
use crate::cli::error::CliError;
use crate::cli::load;
use crate::cli::options::{self, ComputeOptions, KvOptions, ModelOptions};
use crate::cli::output;
use crate::context::{self, CHUNK, DEFAULT_CONTEXT, Purpose, Tables};
use crate::eval::slicing::{Plan, draw, evaluate, table};
use crate::fetch::Environment;
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::slicing::{Policy, Runner};

/// `agentos eval slicing`.
#[derive(Args, Debug)]
pub struct Slicing {
    /// The documents: eight and more, each a file of text
    #[arg(required = true, num_args = 8..)]
    documents: Vec<PathBuf>,
    /// Only these policies
    #[arg(long, value_enum)]
    policy: Vec<Policy>,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON array instead of a table
    #[arg(long)]
    json: bool,
    /// Draw the figures into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Slicing {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let documents: Vec<String> =
            self.documents.iter().map(|path| options::read_text_file(path)).collect::<Result<_, _>>()?;
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let shape = &file.model.shape;
        let context = DEFAULT_CONTEXT.min(shape.context);
        let purpose = Purpose { outcomes: 1, candidates: 1, masks: 0, taps: 1, exposed: CHUNK };
        let limits = context::limits(shape, Some(context), self.kv.kv(), purpose)?;
        let known = Known::told(&file, &Environment::from_process());
        let encode = || {
            let tokenizer = model::tokenizer(&path, &file.vocabulary(&path)?, shape.vocab)?;
            Ok((tokenizer.delimiter_classes(), tokenizer))
        };
        let (mut prepared, (delimiters, tokenizer)) =
            load::prepare(&file, &limits, &self.compute.device(), encode)?;
        let mut tables = Tables::new(limits, delimiters.clone());
        let (mut sequence, mut pool) = tables.start()?;
        let mut runner =
            Runner::new((&mut sequence, &mut pool), prepared.device.tensor_device(), shape, context);
        let plan = Plan {
            documents: &documents,
            policies: if self.policy.is_empty() { &Policy::ALL } else { &self.policy },
            calibration: &known.calibration,
            layers: shape.layers,
            tokenizer: &tokenizer,
            delimiters: &delimiters,
        };
        let lines = evaluate(&mut runner, &plan, &mut |what| eprintln!("evaluating: {what}"))?;
        if let Some(path) = &self.svg {
            let failed = |source| CliError::Write { path: path.clone(), source };
            std::fs::write(path, draw(&lines)).map_err(failed)?;
        }
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            output::write_json(&mut console, &lines)
        } else {
            output::write_all(&mut console, &table(&lines))
        }
    }
}
