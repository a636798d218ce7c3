//! `agentos ask`: one question, answered from a collection's passages.

use std::io::IsTerminal;
use std::time::Instant;

use agentos_hal::{ColdStore, Limits, NoStore};
use agentos_kernel::sample::Sampling;
use clap::Args;
use serde_json::{Value, json};

use super::error::CliError;
use super::interrupt::Interrupt;
use super::knowledge::{LibraryOptions, Reading, relevance};
use super::load;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::boot::Boot;
use crate::host::{StdConsole, SystemClock};
use crate::knowledge::ask::{Answered, Answerer, AskError, Bounds, Fidelity, Question};
use crate::knowledge::catalogue::{Catalogue, Hit};
use crate::knowledge::compute;
use crate::knowledge::library::{Access, Settings};
use crate::knowledge::passage::{Lengths, line_end};
use crate::knowledge::recall::{QUESTION_TOKENS, within};
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::{Special, TokenStream};

/// `agentos ask`.
#[derive(Args, Debug)]
pub struct Ask {
    /// The collection
    collection: String,
    /// The question
    question: String,
    /// Passages that go into the prompt at most
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    top: u16,
    /// Tokens of passages that go into the prompt at most
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    budget: u32,
    /// How passages behind the first come into the prompt
    #[arg(long, value_enum, default_value = "relocated")]
    fidelity: Fidelity,
    /// Compute all of the prompt, for comparison: nothing is taken from the library but its text
    #[arg(long, conflicts_with = "fidelity")]
    recompute: bool,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    max_tokens: u32,
    #[command(flatten)]
    library: LibraryOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// When what was done, in milliseconds from the start of the process.
struct Times {
    ready: f64,
    recalled: f64,
}

/// What stands before a question behind its passages.
const QUESTION: &str = "\nQuestion: ";

impl Ask {
    pub fn run(&self, start: Instant) -> Result<(), CliError> {
        let ms = || start.elapsed().as_secs_f64() * 1e3;
        let path = self.model.path()?;
        let interrupt = Interrupt::listen().map_err(CliError::Signals)?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let reading = Reading::new(&path, &file)?;
        let mut library = self.library.open(&file, self.kv.kv(), Access::Read)?;
        let settings = library.settings(&self.collection)?;
        let catalogue = Catalogue::load(&library, &self.collection, &reading.tokenizer)?;
        let asked = self.asked(&reading, &settings)?;

        let bounds = self.bounds(&settings, &asked);
        crate::context::fits(&file.model.shape, bounds.context())?;
        let config = bounds.config(self.kv.kv());
        let before = settings.frame.before.len();
        let looking = compute::limits(&file.model.shape, self.kv.kv(), before, QUESTION_TOKENS)?;
        let limits = both(&config.device_limits(&file.model.shape), &looking);
        let (mut prepared, ()) = load::prepare(&file, &limits, &self.compute.device(), || Ok(()))?;
        let ready = ms();
        let device = prepared.device.tensor_device();
        let relevance =
            relevance(&self.question, &file, reading.tokens(), &settings, (device, limits, self.kv.kv()))?;
        let found = catalogue.find(&self.question, &relevance, usize::from(self.top));
        let sizes: Vec<(usize, f64)> =
            found.iter().map(|hit| (hit.passage.tokens.len(), hit.score.total)).collect();
        let hits: Vec<Hit<'_>> =
            within(&sizes, self.budget as usize).into_iter().map(|number| found[number]).collect();
        let times = Times { ready, recalled: ms() };

        let ends =
            (0..reading.tokenizer.vocab_size()).filter(|&id| reading.tokenizer.is_end_of_generation(id));
        let mut boot = Boot::new(config, &file.model.shape, reading.delimiters.clone(), ends.collect());
        let kernel = boot.kernel(&model::identity(&file)).expect("the tables have the sizes of their kernel");
        let clock = SystemClock::since(Instant::now());
        let mut none = NoStore;
        let store: &mut dyn ColdStore = if self.recompute { &mut none } else { &mut library.store };
        let mut answerer = Answerer { kernel, device, store, clock: &clock };
        let passages: Vec<&[u32]> = hits.iter().map(|hit| &hit.passage.tokens[..]).collect();
        let question = Question {
            before: &settings.frame.before,
            passages: &passages,
            after: &asked,
            line_end: line_end(&reading.tokenizer, &reading.delimiters)?,
            fidelity: if self.recompute { Fidelity::Exact } else { self.fidelity },
            max_tokens: self.max_tokens,
            sampling: Sampling::GREEDY,
        };
        interrupt.hold();
        let (text, answered) = self.answer(&mut answerer, &question, &reading, &interrupt)?;
        self.tell(&hits, &text, &answered, &times)
    }

    /// The question's tokens, and what stands behind it. Nothing in a question becomes a control token.
    fn asked(&self, reading: &Reading, settings: &Settings) -> Result<Vec<u32>, CliError> {
        let text = format!("{QUESTION}{}", self.question.trim());
        let mut tokens = reading.tokenizer.encode(&text, Special::AsText)?;
        tokens.extend_from_slice(&settings.frame.after);
        Ok(tokens)
    }

    fn bounds(&self, settings: &Settings, asked: &[u32]) -> Bounds {
        let most = u32::from(self.top) * Lengths::DEFAULT.most as u32;
        Bounds {
            before: settings.frame.before.len() as u32,
            passages: self.top,
            passage_tokens: self.budget.min(most),
            after: asked.len() as u32,
            max_tokens: self.max_tokens,
        }
    }

    /// Answers, and prints the answer as it comes where a person reads it.
    fn answer(
        &self,
        answerer: &mut Answerer<'_, '_>,
        question: &Question<'_>,
        reading: &Reading,
        interrupt: &Interrupt,
    ) -> Result<(String, Answered), CliError> {
        let terminal = std::io::stdout().is_terminal();
        let mut out = StdConsole(std::io::stdout().lock());
        let mut stream = TokenStream::continuing(&reading.tokenizer);
        let (mut text, mut shown, mut written) = (String::new(), String::new(), Ok(()));
        let mut on_token = |token: u32| {
            let from = text.len();
            stream.push(token, &mut text);
            if !self.json {
                shown.clear();
                if terminal {
                    output::push_harmless(&text[from..], &mut shown);
                } else {
                    shown.push_str(&text[from..]);
                }
                written = output::write_all(&mut out, &shown);
            }
            written.is_ok() && !interrupt.has_come()
        };
        let answered = answerer.answer(question, &mut on_token);
        stream.finish(&mut text);
        if !self.json {
            written = written.and_then(|()| output::write_all(&mut out, "\n"));
        }
        match answered {
            Err(AskError::Closed) if interrupt.has_come() => Err(CliError::Interrupted),
            Err(AskError::Closed) => Err(written.err().unwrap_or(CliError::Closed)),
            Err(error) => Err(error.into()),
            Ok(answered) => {
                written?;
                Ok((text, answered))
            }
        }
    }

    fn tell(&self, hits: &[Hit<'_>], text: &str, answered: &Answered, times: &Times) -> Result<(), CliError> {
        if self.json {
            let sources: Vec<Value> =
                hits.iter().enumerate().map(|(number, hit)| self.source(number, hit)).collect();
            let value = json!({
                "collection": self.collection,
                "question": self.question,
                "answer": text.trim(),
                "sources": sources,
                "tokens": answered,
                "ready_ms": times.ready,
                "recall_ms": times.recalled - times.ready,
                "first_ms": answered.first_us as f64 / 1e3,
                "first_from_start_ms": times.recalled + answered.first_us as f64 / 1e3,
            });
            return output::write_json(&mut StdConsole(std::io::stdout().lock()), &value);
        }
        let mut lines = String::from("\n");
        for (number, hit) in hits.iter().enumerate() {
            let how = self.how(number);
            lines += &format!("  {} {} ({how})\n", hit.passage.path, hit.passage.place);
        }
        lines += &format!(
            "  {} of {} prompt tokens computed; found in {:.0} ms, first token after {:.0} ms\n",
            answered.computed_tokens.min(u64::from(answered.prompt_tokens)),
            answered.prompt_tokens,
            times.recalled - times.ready,
            answered.first_us as f64 / 1e3,
        );
        let mut harmless = String::new();
        output::push_harmless(&lines, &mut harmless);
        eprint!("{harmless}");
        Ok(())
    }

    fn source(&self, number: usize, hit: &Hit<'_>) -> Value {
        json!({
            "path": hit.passage.path,
            "place": hit.passage.place,
            "bytes": [hit.passage.bytes.start, hit.passage.bytes.end],
            "tokens": hit.passage.tokens.len(),
            "score": hit.score.total,
            "how": self.how(number),
        })
    }

    /// How the passage at this place of the prompt comes into it.
    fn how(&self, number: usize) -> &'static str {
        match (self.recompute, number, self.fidelity) {
            (true, ..) | (false, 1.., Fidelity::Exact) => "computed",
            (false, 0, _) => "exact",
            (false, 1.., Fidelity::Relocated) => "relocated",
        }
    }
}

/// Limits of a device that can do both: whoever has candidates has as many as the first wants.
fn both(one: &Limits, other: &Limits) -> Limits {
    Limits {
        rows: one.rows.max(other.rows),
        spans: one.spans.max(other.spans),
        segments: one.segments.max(other.segments),
        segment_pages: one.segment_pages.max(other.segment_pages),
        outcomes: one.outcomes.max(other.outcomes),
        candidates: one.candidates,
        masks: one.masks.max(other.masks),
        taps: one.taps.max(other.taps),
        exposed: one.exposed.max(other.exposed),
        context: one.context.max(other.context),
        pages: one.pages.max(other.pages),
        kv: one.kv,
    }
}
