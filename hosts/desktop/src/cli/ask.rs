//! `agentos ask`: one question, answered from a collection's passages.

use std::io::IsTerminal;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::asking::{Asked, Asking, DEFAULT_BUDGET, DEFAULT_TOP, Looking, Sizes, Way};
use super::error::CliError;
use super::interrupt::Interrupt;
use super::knowledge::{LibraryOptions, Reading};
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::host::{StdConsole, SystemClock};
use crate::knowledge::ask::{AskError, Fidelity};
use crate::knowledge::catalogue::Hit;
use crate::knowledge::library::Access;
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::TokenStream;

/// `agentos ask`.
#[derive(Args, Debug)]
pub struct Ask {
    /// The collection
    collection: String,
    /// The question
    question: String,
    /// Passages that go into the prompt at most
    #[arg(long, value_name = "K", default_value_t = DEFAULT_TOP, value_parser = clap::value_parser!(u16).range(1..=64))]
    top: u16,
    /// Tokens of passages that go into the prompt at most
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BUDGET, value_parser = clap::value_parser!(u32).range(64..))]
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

impl Ask {
    pub fn run(&self, start: Instant) -> Result<(), CliError> {
        let ms = || start.elapsed().as_secs_f64() * 1e3;
        let path = self.model.path()?;
        let interrupt = Interrupt::listen().map_err(CliError::Signals)?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let reading = Reading::new(&path, &file)?;
        let library = self.library.open(&file, self.kv.kv(), Access::Read)?;
        let sizes = Sizes { top: self.top, budget: self.budget, max_tokens: self.max_tokens };
        let mut asking = Asking::open(
            (&file, &reading),
            (library, &self.collection),
            &[&self.question],
            sizes,
            (&self.compute, self.kv.kv()),
        )?;
        let mut tables = asking.tables();
        let mut looking = asking.looking(&mut tables)?;
        let ready_ms = ms();
        interrupt.hold();
        let (text, asked) = self.answer(&mut asking, &mut looking, &reading, &interrupt)?;
        self.tell(&text, &asked, ready_ms)
    }

    fn way(&self) -> Way {
        if self.recompute { Way::Computed } else { Way::Library(self.fidelity) }
    }

    /// Answers, and prints the answer as it comes where a person reads it.
    fn answer<'c>(
        &self,
        asking: &'c mut Asking<'_>,
        looking: &mut Looking<'_>,
        reading: &Reading,
        interrupt: &Interrupt,
    ) -> Result<(String, Asked<'c>), CliError> {
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
        let clock = SystemClock::since(Instant::now());
        let asked = asking.ask(looking, &self.question, self.way(), &clock, &mut on_token);
        stream.finish(&mut text);
        if !self.json {
            written = written.and_then(|()| output::write_all(&mut out, "\n"));
        }
        match asked {
            Err(CliError::Ask(AskError::Closed)) if interrupt.has_come() => Err(CliError::Interrupted),
            Err(CliError::Ask(AskError::Closed)) => Err(written.err().unwrap_or(CliError::Closed)),
            Err(error) => Err(error),
            Ok(asked) => {
                written?;
                Ok((text, asked))
            }
        }
    }

    fn tell(&self, text: &str, asked: &Asked<'_>, ready_ms: f64) -> Result<(), CliError> {
        let (recall_ms, first_ms) = (asked.recall_us as f64 / 1e3, asked.first_us as f64 / 1e3);
        if self.json {
            let sources: Vec<Value> =
                asked.hits.iter().zip(&asked.hows).map(|(hit, how)| source(hit, how)).collect();
            let value = json!({
                "collection": self.collection,
                "question": self.question,
                "answer": text.trim(),
                "sources": sources,
                "tokens": asked.answered,
                "ready_ms": ready_ms,
                "recall_ms": recall_ms,
                "first_ms": first_ms,
                "first_from_start_ms": ready_ms + first_ms,
            });
            return output::write_json(&mut StdConsole(std::io::stdout().lock()), &value);
        }
        let mut lines = String::from("\n");
        for (hit, how) in asked.hits.iter().zip(&asked.hows) {
            lines += &format!("  {} {} ({how})\n", hit.passage.path, hit.passage.place);
        }
        lines += &format!(
            "  {} of {} prompt tokens computed; found in {:.0} ms, first token after {:.0} ms\n",
            asked.answered.computed_tokens.min(u64::from(asked.answered.prompt_tokens)),
            asked.answered.prompt_tokens,
            recall_ms,
            first_ms,
        );
        let mut harmless = String::new();
        output::push_harmless(&lines, &mut harmless);
        eprint!("{harmless}");
        Ok(())
    }
}

fn source(hit: &Hit<'_>, how: &str) -> Value {
    json!({
        "path": hit.passage.path,
        "place": hit.passage.place,
        "bytes": [hit.passage.bytes.start, hit.passage.bytes.end],
        "tokens": hit.passage.tokens.len(),
        "score": hit.score.total,
        "how": how,
    })
}
