//! `agentos perplexity`: how well a model foretells a text.

use std::path::{Path, PathBuf};

use agentos_kernel::score::Likelihood;
use clap::Args;

use super::error::CliError;
use super::load;
use super::options::{self, ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::context::{self, CHUNK, Purpose, Tables};
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::perplexity::{self, SHORTEST_WINDOW};
use crate::text::Special;

/// `agentos perplexity`.
#[derive(Args, Debug)]
pub struct Perplexity {
    /// The text
    file: PathBuf,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    /// Tokens of a window; the second half of each full one is judged
    #[arg(long, value_name = "N", default_value_t = 512,
          value_parser = clap::value_parser!(u32).range(i64::from(SHORTEST_WINDOW)..))]
    ctx: u32,
    #[command(flatten)]
    kv: KvOptions,
    /// Judge the first N windows only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    chunks: Option<u32>,
}

impl Perplexity {
    pub fn run(&self) -> Result<(), CliError> {
        let text = options::read_text_file(&self.file)?;
        let path = self.model.path()?;
        let summary = self.measure(&path, &text)?;
        output::write_all(&mut StdConsole(std::io::stdout().lock()), &summary)
    }

    fn measure(&self, path: &Path, text: &str) -> Result<String, CliError> {
        let map = ModelMap::open(path)?;
        let mut index = model::index(path, &map)?;
        let file = ModelFile::read(path, &map, &mut index)?;
        let purpose = Purpose { outcomes: CHUNK, candidates: 1, ..Purpose::GENERATE };
        let limits = context::limits(&file.model.shape, Some(self.ctx), self.kv.kv(), purpose)?;
        let encode = || {
            let tokenizer = model::tokenizer(path, &file.vocabulary(path)?, file.model.shape.vocab)?;
            let bos = tokenizer.leading_bos();
            let mut tokens: Vec<u32> = bos.into_iter().collect();
            tokens.extend(tokenizer.encode(text, Special::AsText)?);
            Ok((tokens, bos, tokenizer.delimiter_classes()))
        };
        let (mut prepared, (tokens, bos, delimiters)) =
            load::prepare(&file, &limits, &self.compute.device(), encode)?;

        let mut tables = Tables::new(limits, delimiters);
        let (mut sequence, mut pool) = tables.start()?;
        let windows = perplexity::windows(&tokens, self.ctx)?;
        let count = windows.len().min(self.chunks.map_or(usize::MAX, |chunks| chunks as usize));
        let mut likelihood = Likelihood::default();
        for (index, window) in windows.take(count).enumerate() {
            let device = prepared.device.tensor_device();
            perplexity::judge(window, bos, &mut sequence, &mut pool, device, &mut likelihood)?;
            if let Some((so_far, _)) = likelihood.perplexity() {
                eprintln!("window {} of {count}: {so_far:.4}", index + 1);
            }
        }
        let (perplexity, error) = likelihood.perplexity().expect("every window has judged tokens");
        Ok(format!(
            "perplexity {perplexity:.4} +/- {error:.4} ({} tokens in {count} windows of {})\n",
            likelihood.tokens(),
            self.ctx
        ))
    }
}
