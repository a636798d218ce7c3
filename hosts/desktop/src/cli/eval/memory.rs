//! `agentos eval memory`: whether a bounded agent finds what it was told.

use std::path::PathBuf;

use agentos_kernel::system::config::Paging;
use clap::Args;

use crate::calibration::Known;
use crate::cli::error::CliError;
use crate::cli::options::{self, ComputeOptions, KvOptions, ModelOptions};
use crate::cli::output;
use crate::device::Device;
use crate::eval::memory::{FACTS, Maker, Memory, Place, Plan, Sheet};
use crate::fetch::Environment;
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::Template;

/// `agentos eval memory`.
#[derive(Args, Debug)]
pub struct MemoryEval {
    /// Texts that the facts are put into, one behind the other
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Tokens of a text with its question
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(512..=262_144))]
    tokens: u32,
    /// Tokens that an agent may attend to
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(192..))]
    l1: u32,
    /// Questions, four of each text
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    questions: u32,
    /// Where the facts are
    #[arg(long, value_enum, default_value = "anywhere")]
    place: Place,
    /// What an agent may attend to
    #[arg(long, value_enum, value_delimiter = ',', default_value = "full,relevance,recency,window")]
    memory: Vec<Memory>,
    /// The layer whose attention tells what is relevant [default: the calibrated one]
    #[arg(long, value_name = "N")]
    layer: Option<u32>,
    /// The share of the quota that the latest slices have, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.window_percent,
          value_parser = clap::value_parser!(u32).range(0..=70))]
    window: u32,
    /// The share of the quota that a choice leaves free, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.headroom_percent,
          value_parser = clap::value_parser!(u32).range(0..=30))]
    headroom: u32,
    /// What a selected slice's share counts more, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = Paging::DEFAULT.hysteresis_percent,
          value_parser = clap::value_parser!(u32).range(100..=1000))]
    hysteresis: u32,
    /// Tokens beyond which slices count as equally far
    #[arg(long, value_name = "N", default_value_t = Paging::DEFAULT.far)]
    far: u32,
    /// How often a question is read again at most
    #[arg(long, value_name = "N", default_value_t = Paging::DEFAULT.replays,
          value_parser = clap::value_parser!(u32).range(0..=8))]
    replays: u32,
    /// Print one JSON object per memory instead of text
    #[arg(long)]
    json: bool,
}

impl MemoryEval {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let (vocabulary, shape) = (file.vocabulary(&path)?, &file.model.shape);
        let tokenizer = model::tokenizer(&path, &vocabulary, shape.vocab)?;
        let template = Template::of(&vocabulary)?;
        let mut filler = String::new();
        for file in &self.files {
            filler.push_str(&options::read_text_file(file)?);
            filler.push('\n');
        }
        let maker = Maker { tokenizer: &tokenizer, template: &template, filler: &filler };
        let exams = (0..u64::from(self.questions.div_ceil(FACTS as u32)))
            .map(|seed| maker.exam(self.tokens as usize, self.place, seed))
            .collect::<Result<Vec<_>, _>>()?;
        let delimiters = tokenizer.delimiter_classes();
        let calibration = Known::told(&file, &Environment::from_process()).calibration;
        for &memory in &self.memory {
            let plan = self.plan(memory, calibration.relevance_layer);
            let mut device = Device::open(&self.compute.device())?;
            device.prepare(&file.model, &plan.limits(shape), &mut file.weights())?;
            let sheet = plan.run(&exams, shape, &delimiters, device.tensor_device())?;
            self.print(&sheet)?;
        }
        Ok(())
    }

    fn plan(&self, memory: Memory, layer: u32) -> Plan {
        let paging = Paging {
            window_percent: self.window,
            headroom_percent: self.headroom,
            hysteresis_percent: self.hysteresis,
            far: self.far,
            replays: self.replays,
            ..Paging::DEFAULT
        };
        let layer = self.layer.unwrap_or(layer);
        Plan { memory, tokens: self.tokens, l1: self.l1, layer, paging, kv: self.kv.kv() }
    }

    fn print(&self, sheet: &Sheet) -> Result<(), CliError> {
        let console = &mut StdConsole(std::io::stdout().lock());
        if self.json {
            return output::write_json(console, sheet);
        }
        let name = format!("{:?}", sheet.memory).to_lowercase();
        output::write_all(
            console,
            &format!(
                "{name:9} first {:.2}, top four {:.2}, log-probability {:.2} ({} questions, {} of {} tokens); \
                 {} page faults, {} questions read again ({} rows)\n",
                sheet.first,
                sheet.top4,
                sheet.logprob,
                sheet.questions,
                sheet.l1,
                sheet.tokens,
                sheet.faults,
                sheet.replays,
                sheet.replayed
            ),
        )
    }
}
