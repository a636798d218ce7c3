//! `agentos generate`: what a model says to a prompt.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use agentos_hal::{Clock, Limits};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sample::{Sampler, Sampling};
use clap::Args;
use embedded_io::ErrorKind;

use super::error::CliError;
use super::interrupt::Interrupt;
use super::load::{self, Prepared};
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use super::prompt::PromptOptions;
use super::report::{Recorder, Timing};
use super::schema::{self, Schema};
use super::stream::Stream;
use crate::constraint::Constraint;
use crate::context::{self, Purpose, Tables};
use crate::generate::{self, Finish, GenerateError, Generated, Generation, Request};
use crate::host::{StdConsole, SystemClock};
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::{TokenStream, Tokenizer};

/// `agentos generate`.
#[derive(Args, Debug)]
pub struct Generate {
    #[command(flatten)]
    prompt: PromptOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    /// Tokens of context: prompt and answer together [default: the model's, at most 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ctx: Option<u32>,
    #[command(flatten)]
    kv: KvOptions,
    /// Tokens to generate at most
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// A file with a JSON schema that the answer is to keep to: it is valid JSON of that schema, or the command
    /// fails and prints none of it
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    #[command(flatten)]
    sampling: SamplingOptions,
    /// Best candidates to tell with each token
    #[arg(long, value_name = "K", default_value_t = 0, requires = "json",
          value_parser = clap::value_parser!(u32).range(0..=MOST_CANDIDATES))]
    top_logprobs: u32,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// How tokens are chosen.
#[derive(Args, Clone, Copy, Debug)]
struct SamplingOptions {
    /// How much chance: 0 always takes the most probable token
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f32,
    /// Same seed, same text
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Only the best K tokens; 0 for as many as a step gives, which is 64 or more
    #[arg(long, value_name = "K", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=MOST_CANDIDATES))]
    top_k: u32,
    /// Only the fewest best tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Only tokens at least this share as probable as the best
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Makes recent tokens less probable when above 1
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    repeat_penalty: f32,
}

/// Candidates for the next token where no option asks for more: sampling never looks beyond them.
const CANDIDATES: u32 = 64;

/// Candidates that an option may ask for.
const MOST_CANDIDATES: i64 = 256;

impl SamplingOptions {
    fn sampler(&self) -> Result<Sampler, CliError> {
        Ok(Sampler::new(Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repeat_penalty: self.repeat_penalty,
            seed: self.seed,
            ..Sampling::GREEDY
        })?)
    }
}

/// What is left when the model's file is closed again.
struct Loaded {
    prepared: Prepared,
    limits: Limits,
    tokenizer: Arc<Tokenizer>,
    constraint: Option<Constraint>,
    prompt: Vec<u32>,
    tables: Tables,
}

/// A tokenizer, what each of its tokens ends, and the prompt's tokens.
type TextSide = (Arc<Tokenizer>, Vec<Delimiter>, Vec<u32>);

impl Generate {
    pub fn run(&self, start: Instant) -> Result<(), CliError> {
        let clock = SystemClock::since(start);
        let sampler = self.sampling.sampler()?;
        let prompt = self.prompt.read()?;
        let schema = self.json_schema.as_deref().map(schema::read).transpose()?;
        let path = self.model.path()?;
        let interrupt = Interrupt::listen().map_err(CliError::Signals)?;
        let opened = clock.now();
        let loaded = self.load(&path, &prompt, schema.as_ref())?;
        let Loaded { mut prepared, limits, tokenizer, mut constraint, prompt, mut tables } = loaded;
        let load_ms = clock.now().micros_since(opened) as f64 / 1e3;

        let (mut sequence, mut pool) = tables.start()?;
        let device = prepared.device.tensor_device();
        let request = Request {
            prompt: &prompt,
            sampler: &sampler,
            max_tokens: self.max_tokens,
            is_end: &|token| tokenizer.is_end_of_generation(token),
        };
        let mut run = |on_token: &mut dyn FnMut(&Generated<'_>) -> _| {
            generate::generate(
                &mut sequence,
                &mut pool,
                device,
                &clock,
                &request,
                constraint.as_mut(),
                on_token,
            )
        };
        if self.json {
            let most = self.max_tokens.min(limits.context) as usize;
            let mut recorder = Recorder::new(&tokenizer, most, self.top_logprobs as usize);
            let generation = run(&mut |token| {
                recorder.push(token);
                Ok(())
            })?;
            let report = recorder.report(&prompt, &generation, load_ms, &prepared.footprint);
            return output::write_json(&mut StdConsole(std::io::stdout().lock()), &report);
        }
        let generation = if schema.is_some() {
            print_whole(&tokenizer, &interrupt, run)?
        } else {
            stream(&tokenizer, &interrupt, run)?
        };
        let timing = Timing::new(&generation.timeline, prompt.len(), generation.tokens, load_ms);
        conclude(&generation, &limits, &timing);
        Ok(())
    }

    fn load(&self, path: &Path, prompt: &str, schema: Option<&Schema>) -> Result<Loaded, CliError> {
        let map = ModelMap::open(path)?;
        let mut index = model::index(path, &map)?;
        let file = ModelFile::read(path, &map, &mut index)?;
        let candidates = CANDIDATES.max(self.top_logprobs).max(self.sampling.top_k);
        let purpose = Purpose { candidates, masks: u32::from(schema.is_some()), ..Purpose::GENERATE };
        let limits = context::limits(&file.model.shape, self.ctx, self.kv.kv(), purpose)?;
        let encode = || self.encode(path, &file, prompt);
        let (prepared, (tokenizer, delimiters, prompt, constraint)) =
            load::prepare(&file, &limits, &self.compute.device(), || {
                let (tokenizer, delimiters, prompt) = encode()?;
                let constraint = schema.map(|schema| schema.constraint(&tokenizer)).transpose()?;
                Ok((tokenizer, delimiters, prompt, constraint))
            })?;
        let tables = Tables::new(limits, delimiters);
        Ok(Loaded { prepared, limits, tokenizer, constraint, prompt, tables })
    }

    /// The text side: what does not need the device.
    fn encode(&self, path: &Path, file: &ModelFile<'_>, prompt: &str) -> Result<TextSide, CliError> {
        let vocabulary = file.vocabulary(path)?;
        let tokenizer = Arc::new(model::tokenizer(path, &vocabulary, file.model.shape.vocab)?);
        let prompt = self.prompt.encode(prompt, &tokenizer, &vocabulary)?;
        let delimiters = tokenizer.delimiter_classes();
        Ok((tokenizer, delimiters, prompt))
    }
}

/// Runs a generation and prints its text while it comes. An interruption ends the text with the line.
fn stream(
    tokenizer: &Tokenizer,
    interrupt: &Interrupt,
    run: impl FnOnce(&mut dyn FnMut(&Generated<'_>) -> Result<(), ErrorKind>) -> Result<Generation, GenerateError>,
) -> Result<Generation, CliError> {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let mut console = StdConsole(stdout.lock());
    let mut stream = Stream::new(&mut console, tokenizer, terminal);
    let generation = run(&mut |token| {
        if stream.is_empty() {
            interrupt.hold();
        }
        stream.push(token)?;
        if interrupt.has_come() { Err(ErrorKind::Interrupted) } else { Ok(()) }
    });
    match generation {
        Ok(_) | Err(GenerateError::Output(ErrorKind::Interrupted)) => stream.finish()?,
        Err(_) => {}
    }
    Ok(generation?)
}

/// Runs a generation and prints its text when it is over, so that nobody reads half an answer as a whole one.
fn print_whole(
    tokenizer: &Tokenizer,
    interrupt: &Interrupt,
    run: impl FnOnce(&mut dyn FnMut(&Generated<'_>) -> Result<(), ErrorKind>) -> Result<Generation, GenerateError>,
) -> Result<Generation, CliError> {
    let (mut tokens, mut text) = (TokenStream::continuing(tokenizer), String::new());
    interrupt.hold();
    let generation = run(&mut |token| {
        tokens.push(token.choice.token, &mut text);
        if interrupt.has_come() { Err(ErrorKind::Interrupted) } else { Ok(()) }
    })?;
    tokens.finish(&mut text);
    let stdout = std::io::stdout();
    let mut shown = String::new();
    if stdout.is_terminal() {
        output::push_harmless(&text, &mut shown);
    } else {
        shown = text;
    }
    shown.push('\n');
    output::write_all(&mut StdConsole(stdout.lock()), &shown)?;
    Ok(generation)
}

/// Tells a person what the text itself does not.
fn conclude(generation: &Generation, limits: &Limits, timing: &Timing) {
    if generation.finish == Finish::Context {
        eprintln!("(the context of {} tokens is full; a larger --ctx would go on)", limits.context);
    }
    if std::io::stderr().is_terminal() {
        eprintln!("({})", timing.summary(generation.tokens));
    }
}
