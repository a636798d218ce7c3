//! `agentos slice`: a text in topics.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use agentos_hal::Mass;
use agentos_kernel::slicing::topics::Cause;
use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::load;
use super::options::{self, ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::calibration::{Calibration, Known};
use crate::context::{self, CHUNK, DEFAULT_CONTEXT, Purpose, Tables};
use crate::fetch::Environment;
use crate::host::StdConsole;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::slicing::{Policy, Rule, Runner, Sliced, figure, slice};
use crate::text::{Special, Tokenizer};

/// `agentos slice`.
#[derive(Args, Debug)]
pub struct Slice {
    /// The text
    file: PathBuf,
    /// What decides where a topic ends
    #[arg(long, value_enum, default_value = "hidden")]
    policy: Policy,
    /// The only layer that it looks at; structure looks at none [default: as the model is calibrated; all for density]
    #[arg(long, value_name = "N")]
    layer: Option<u32>,
    /// How much the text has to change where a topic ends [default: as the model is calibrated]
    #[arg(long, value_name = "X", value_parser = threshold)]
    threshold: Option<f32>,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    /// Tokens of a window; longer texts are computed in windows that overlap [default: the model's, at most 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..))]
    ctx: Option<u32>,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON object instead of text: also the slices, with what finds them
    #[arg(long)]
    json: bool,
    /// Draw the density curve and the attention between slices, with the blocks of topics
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Sheet<'s> {
    policy: &'static str,
    threshold: f32,
    tokens: u32,
    topics: Vec<TopicSheet>,
    slices: Vec<SliceSheet>,
    /// The density of each token's attention (paper eq. 6).
    density: &'s [f32],
    /// What share of the attention of each slice goes to each slice up to itself.
    attention: Vec<Vec<f64>>,
    /// Slices that are nearly what an earlier one is: which, that one, and the bits of 64 in which they differ.
    near_duplicates: Vec<(usize, usize, u32)>,
}

#[derive(Serialize)]
struct TopicSheet {
    /// The first token, and one past the last.
    from: u32,
    to: u32,
    /// Why it ends, and how much the text changes there; the last one ends with the text.
    ends: &'static str,
    score: Option<f32>,
    begins_with: String,
}

#[derive(Serialize)]
struct SliceSheet {
    from: u32,
    to: u32,
    /// How much the text changes at its end, where the policy scores it.
    score: Option<f32>,
    /// 64 bits of what it says, in hexadecimal digits.
    hash: String,
    /// The tokens that received most attention.
    heavy: Vec<String>,
}

/// Words of a topic that are shown.
const WORDS: usize = 9;

impl Slice {
    pub fn run(&self) -> Result<(), CliError> {
        let text = options::read_text_file(&self.file)?;
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let shape = &file.model.shape;
        if let Some(found) = self.layer.filter(|&layer| layer >= shape.layers) {
            return Err(CliError::Layer { found, layers: shape.layers });
        }
        let context = self.ctx.unwrap_or(DEFAULT_CONTEXT.min(shape.context));
        let purpose = Purpose { outcomes: 1, candidates: 1, masks: 0, taps: 1, exposed: CHUNK };
        let limits = context::limits(shape, Some(context), self.kv.kv(), purpose)?;
        let calibration = Known::told(&file, &Environment::from_process()).calibration;
        let encode = || {
            let tokenizer = model::tokenizer(&path, &file.vocabulary(&path)?, shape.vocab)?;
            let mut tokens: Vec<u32> = tokenizer.leading_bos().into_iter().collect();
            tokens.extend(tokenizer.encode(&text, Special::AsText)?);
            let delimiters = tokenizer.delimiter_classes();
            Ok((tokens, delimiters, tokenizer))
        };
        let (mut prepared, (tokens, delimiters, tokenizer)) =
            load::prepare(&file, &limits, &self.compute.device(), encode)?;
        let mut tables = Tables::new(limits, delimiters.clone());
        let (mut sequence, mut pool) = tables.start()?;
        let mut runner =
            Runner::new((&mut sequence, &mut pool), prepared.device.tensor_device(), shape, context);
        let picture = self.svg.is_some() || self.json;
        let known = (&calibration, shape.layers);
        let sliced = slice(&mut runner, (&tokens, &delimiters), self.rule(), known, picture)?;
        if let Some(path) = &self.svg {
            self.draw(path, &sliced)?;
        }
        self.print(&sliced, (&tokens, &tokenizer), &calibration)
    }

    fn rule(&self) -> Rule {
        Rule { policy: self.policy, layer: self.layer, threshold: self.threshold }
    }

    fn draw(&self, path: &Path, sliced: &Sliced) -> Result<(), CliError> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let title = format!("{name}: density of attention, and topics by {}", self.policy.name());
        std::fs::write(path, figure::draw(sliced, &title))
            .map_err(|source| CliError::Write { path: path.to_owned(), source })
    }

    fn print(
        &self,
        sliced: &Sliced,
        (tokens, tokenizer): (&[u32], &Tokenizer),
        calibration: &Calibration,
    ) -> Result<(), CliError> {
        let topics = topics(sliced, tokens, tokenizer);
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            let sheet = Sheet {
                policy: self.policy.name(),
                threshold: self.rule().threshold(calibration),
                tokens: tokens.len() as u32,
                topics,
                slices: slices(sliced, tokenizer),
                density: &sliced.density,
                attention: shares(&sliced.attention),
                near_duplicates: sliced.near_duplicates(calibration.duplicate_bits),
            };
            return output::write_json(&mut console, &sheet);
        }
        let mut text = String::new();
        for (index, topic) in topics.iter().enumerate() {
            let mut words = String::new();
            output::push_harmless(&topic.begins_with, &mut words);
            let score = topic.score.map_or_else(String::new, |score| format!("{score:.3}"));
            writeln!(
                text,
                "{:>3}  {:>6} … {:<6} {:>8} {:<8} {words}",
                index + 1,
                topic.from,
                topic.to,
                score,
                topic.ends
            )
            .expect("a string takes all text");
        }
        let near = sliced.near_duplicates(calibration.duplicate_bits);
        writeln!(
            text,
            "{} tokens, {} slices, {} topics by {} (threshold {:.3}); {} slices are nearly what an earlier one is",
            tokens.len(),
            sliced.ends.len(),
            topics.len(),
            self.policy.name(),
            self.rule().threshold(calibration),
            near.len()
        )
        .expect("a string takes all text");
        output::write_all(&mut console, &text)
    }
}

/// A threshold of a command line: a number that is one, and not below 0.
fn threshold(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| format!("{text} is no number"))?;
    if number.is_finite() && number >= 0.0 { Ok(number) } else { Err(format!("{text} is not 0 or more")) }
}

/// What each slice pays to others, as shares of all that it pays.
fn shares(attention: &[Vec<Mass>]) -> Vec<Vec<f64>> {
    let of_slice = |masses: &Vec<Mass>| {
        let all = masses.iter().map(|mass| mass.0 as f64).sum::<f64>().max(1.0);
        masses.iter().map(|mass| mass.0 as f64 / all).collect()
    };
    attention.iter().map(of_slice).collect()
}

fn topics(sliced: &Sliced, tokens: &[u32], tokenizer: &Tokenizer) -> Vec<TopicSheet> {
    let sheet = |topic: std::ops::Range<u32>| {
        let boundary = sliced.boundaries.iter().find(|boundary| boundary.end.at == topic.end);
        let ends = match boundary.map(|boundary| boundary.cause) {
            Some(Cause::Message) => "message",
            Some(Cause::Change) => "change",
            Some(Cause::Length) => "length",
            None => "end",
        };
        let text = tokenizer.decode(&tokens[topic.start as usize..topic.end as usize]);
        let begins_with = text.split_whitespace().take(WORDS).collect::<Vec<_>>().join(" ");
        let score = boundary.map(|boundary| boundary.score);
        TopicSheet { from: topic.start, to: topic.end, ends, score, begins_with }
    };
    sliced.topics().into_iter().map(sheet).collect()
}

fn slices(sliced: &Sliced, tokenizer: &Tokenizer) -> Vec<SliceSheet> {
    let starts = std::iter::once(0).chain(sliced.ends.iter().copied());
    let sheet = |((from, &to), schema): ((u32, &u32), &crate::slicing::topics::Schema)| SliceSheet {
        from,
        to,
        score: sliced.scored.iter().find(|scored| scored.end.at == to).map(|scored| scored.score),
        hash: format!("{:016x}", schema.hash.0),
        heavy: schema.heavy.iter().map(|&token| tokenizer.decode(&[token])).collect(),
    };
    starts.zip(&sliced.ends).zip(&sliced.schemas).map(sheet).collect()
}
