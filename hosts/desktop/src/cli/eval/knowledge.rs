//! `agentos eval knowledge`: questions about a collection whose answers are known.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::asking::{Asking, Looking, Sizes, Way};
use crate::cli::error::CliError;
use crate::cli::interrupt::Interrupt;
use crate::cli::knowledge::{LibraryOptions, Reading};
use crate::cli::options::{self, ComputeOptions, KvOptions, ModelOptions};
use crate::cli::output;
use crate::eval::knowledge::{Line, Question, Sample, questions, table};
use crate::host::{StdConsole, SystemClock};
use crate::knowledge::ask::Fidelity;
use crate::knowledge::library::Access;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::TokenStream;

/// `agentos eval knowledge`.
#[derive(Args, Debug)]
pub struct KnowledgeEval {
    /// The collection, which was ingested
    collection: String,
    /// The questions: lines of three columns with tabs between them (a question, words of the passage that answers it,
    /// and answers with | between them)
    #[arg(long, value_name = "FILE")]
    questions: PathBuf,
    /// Questions to ask at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    count: usize,
    /// Passages that go into a prompt at most
    #[arg(long, value_name = "K", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    top: u16,
    /// Tokens of passages that go into a prompt at most
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(64..))]
    budget: u32,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    max_tokens: u32,
    #[command(flatten)]
    library: LibraryOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Print one JSON object, with the prompts, instead of a table
    #[arg(long)]
    json: bool,
}

/// Where a prompt's passages come from, the one that all are compared with last.
const WAYS: [(&str, Way); 4] = [
    ("relocated", Way::Library(Fidelity::Relocated)),
    ("decisive", Way::Library(Fidelity::Decisive)),
    ("exact", Way::Library(Fidelity::Exact)),
    ("computed", Way::Computed),
];

/// What came of one question.
struct Answers {
    samples: [Sample; WAYS.len()],
    texts: [String; WAYS.len()],
    prompt: Vec<u32>,
    found: bool,
}

impl KnowledgeEval {
    pub(super) fn run(&self) -> Result<(), CliError> {
        let mut asked = questions(&options::read_text_file(&self.questions)?)
            .map_err(|error| CliError::Questions { path: self.questions.clone(), error })?;
        asked.truncate(self.count);
        let path = self.model.path()?;
        let interrupt = Interrupt::listen().map_err(CliError::Signals)?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let reading = Reading::new(&path, &file)?;
        let library = self.library.open(&file, self.kv.kv(), Access::Read)?;
        let texts: Vec<&str> = asked.iter().map(|question| &question.question[..]).collect();
        let sizes = Sizes { top: self.top, budget: self.budget, max_tokens: self.max_tokens };
        let mut asking = Asking::open(
            (&file, &reading),
            (library, &self.collection),
            &texts,
            sizes,
            (&self.compute, self.kv.kv()),
        )?;
        let mut tables = asking.tables();
        let mut looking = asking.looking(&mut tables)?;
        interrupt.hold();
        if let Some(first) = asked.first() {
            // The first touch of pages and files is not what is measured.
            answers(first, &mut asking, &mut looking, &reading, &interrupt)?;
        }
        let mut all = Vec::with_capacity(asked.len());
        for (number, question) in asked.iter().enumerate() {
            eprintln!("question {} of {}", number + 1, asked.len());
            all.push(answers(question, &mut asking, &mut looking, &reading, &interrupt)?);
        }
        self.tell(&asked, &all)
    }

    fn tell(&self, asked: &[Question], all: &[Answers]) -> Result<(), CliError> {
        let lines: Vec<Line> = (0..WAYS.len())
            .map(|way| {
                Line::of(WAYS[way].0, &all.iter().map(|answers| answers.samples[way]).collect::<Vec<_>>())
            })
            .collect();
        let found = all.iter().filter(|answers| answers.found).count();
        let mut console = StdConsole(std::io::stdout().lock());
        if self.json {
            let asked: Vec<Value> =
                asked.iter().zip(all).map(|(question, answers)| one(question, answers)).collect();
            let value =
                json!({ "collection": self.collection, "found": found, "ways": lines, "asked": asked });
            return output::write_json(&mut console, &value);
        }
        let found =
            format!("\nThe passage that answers was in the prompt of {found} of {} questions.\n", all.len());
        output::write_all(&mut console, &(table(&lines) + &found))
    }
}

/// Asks a question in every way, one after the other.
fn answers(
    question: &Question,
    asking: &mut Asking<'_>,
    looking: &mut Looking<'_>,
    reading: &Reading,
    interrupt: &Interrupt,
) -> Result<Answers, CliError> {
    let mut answers = Answers {
        samples: [Sample {
            right: false,
            recall_ms: 0.0,
            mapped_ms: 0.0,
            first_ms: 0.0,
            prompt_tokens: 0,
            computed_tokens: 0,
        }; WAYS.len()],
        texts: Default::default(),
        prompt: Vec::new(),
        found: false,
    };
    for (place, &(_, way)) in WAYS.iter().enumerate() {
        if interrupt.has_come() {
            return Err(CliError::Interrupted);
        }
        let mut text = String::new();
        let mut stream = TokenStream::continuing(&reading.tokenizer);
        let clock = SystemClock::since(Instant::now());
        let mut on_token = |token| {
            stream.push(token, &mut text);
            true
        };
        let asked = asking.ask(looking, &question.question, way, &clock, &mut on_token)?;
        stream.finish(&mut text);
        answers.samples[place] = Sample {
            right: question.is_answered_by(&text),
            recall_ms: asked.recall_us as f64 / 1e3,
            mapped_ms: asked.answered.mapped_us as f64 / 1e3,
            first_ms: asked.first_us as f64 / 1e3,
            prompt_tokens: asked.answered.prompt_tokens,
            computed_tokens: asked.answered.computed_tokens,
        };
        answers.found = asked.hits.iter().any(|hit| question.is_in(&hit.passage.text));
        answers.prompt = asked.prompt;
        answers.texts[place] = text;
    }
    Ok(answers)
}

fn one(question: &Question, answers: &Answers) -> Value {
    let said: serde_json::Map<String, Value> = WAYS
        .iter()
        .zip(answers.samples.iter().zip(&answers.texts))
        .map(|(&(name, _), (sample, text))| {
            (name.to_owned(), json!({ "text": text.trim(), "figures": sample }))
        })
        .collect();
    json!({
        "question": question.question,
        "answers": question.answers,
        "found": answers.found,
        "prompt_ids": answers.prompt,
        "said": said,
    })
}
