//! `agentos recall`: what `ask` would map for a question, in which order, and why.

use agentos_hal::ColdStore;
use agentos_store::scan::SearchBounds;
use clap::Args;
use serde_json::json;

use super::asking::{DEFAULT_BUDGET, DEFAULT_TOP};
use super::error::CliError;
use super::knowledge::{LibraryOptions, Reading, relevance};
use super::load;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::context::Tables;
use crate::host::StdConsole;
use crate::knowledge::ask::Fidelity;
use crate::knowledge::catalogue::{Catalogue, Hit, Known, fitting};
use crate::knowledge::compute;
use crate::knowledge::library::{Access, Library, Settings};
use crate::knowledge::recall::{QUESTION_TOKENS, RELEVANCE_WEIGHT};
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::Tokenizer;

/// `agentos recall`.
#[derive(Args, Debug)]
pub struct Recall {
    /// The collection
    collection: String,
    /// What is asked
    query: String,
    /// Passages to look at for the prompt, as for `ask`
    #[arg(long, value_name = "K", default_value_t = DEFAULT_TOP, value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: u16,
    /// Tokens of passages that would go into the prompt at most, as for `ask`
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BUDGET, value_parser = clap::value_parser!(u32).range(64..))]
    budget: u32,
    /// How passages behind the first would come into the prompt, as for `ask`
    #[arg(long, value_enum, default_value = "relocated")]
    fidelity: Fidelity,
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

impl Recall {
    pub fn run(&self) -> Result<(), CliError> {
        let path = self.model.path()?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let reading = Reading::new(&path, &file)?;
        let library = self.library.open(&file, self.kv.kv(), Access::Read)?;
        let settings = library.settings(&self.collection)?;
        let catalogue =
            Catalogue::load(&library, &self.collection, &reading.tokenizer, SearchBounds::default())?;
        let (shape, kv) = (file.model.shape, self.kv.kv());
        let limits = compute::limits(&shape, kv, settings.frame.before.len(), QUESTION_TOKENS)?;
        let (mut prepared, ()) = load::prepare(&file, &limits, &self.compute.device(), || Ok(()))?;
        let mut tables = Tables::new(limits, reading.delimiters.clone());
        let (mut sequence, mut pool) = tables.start()?;
        let (context, device) = ((&mut sequence, &mut pool), prepared.device.tensor_device());
        let relevance = relevance(&self.query, &reading.tokenizer, &settings, context, (device, &shape, kv))?;
        let hits = catalogue.find(&self.query, &relevance, usize::from(self.top));
        let text = if self.json {
            let value = self.as_json(&catalogue, &hits, (&library, &settings), &reading.tokenizer);
            format!("{value}\n")
        } else {
            self.as_text(&catalogue, &hits, (&library, &settings), &reading.tokenizer)
        };
        let mut harmless = String::new();
        output::push_harmless(&text, &mut harmless);
        output::write_all(&mut StdConsole(std::io::stdout().lock()), &harmless)
    }

    fn as_json(
        &self,
        catalogue: &Catalogue,
        hits: &[Hit<'_>],
        (library, settings): (&Library, &Settings),
        tokenizer: &Tokenizer,
    ) -> serde_json::Value {
        let words: Vec<_> = catalogue
            .weigh(&self.query)
            .into_iter()
            .map(|word| json!({ "word": word.word, "weight": word.weight }))
            .collect();
        let prompt = fitting(hits.iter(), self.budget as usize);
        let passage = |(rank, hit)| {
            let place = place(&prompt, (rank, hit), library, self.fidelity);
            passage(hit, library, tokenizer, place)
        };
        let passages: Vec<_> = hits.iter().enumerate().map(passage).collect();
        json!({
            "collection": self.collection,
            "query": self.query,
            "passages_searched": catalogue.passages().len(),
            "prefix_tokens": settings.frame.before.len(),
            "topic_layer": settings.topic_layer,
            "relevance_layer": settings.relevance_layer,
            "rare_words": words,
            "passages": passages,
        })
    }

    fn as_text(
        &self,
        catalogue: &Catalogue,
        hits: &[Hit<'_>],
        (library, settings): (&Library, &Settings),
        tokenizer: &Tokenizer,
    ) -> String {
        let words: Vec<String> = catalogue.weigh(&self.query).into_iter().map(|word| word.word).collect();
        let mut text = format!(
            "{} passages behind a shared beginning of {} tokens; rare words: {}\n",
            catalogue.passages().len(),
            settings.frame.before.len(),
            if words.is_empty() { "none".to_owned() } else { words.join(" ") }
        );
        let prompt = fitting(hits.iter(), self.budget as usize);
        for (rank, hit) in hits.iter().enumerate() {
            let taken = match place(&prompt, (rank, hit), library, self.fidelity) {
                Some((number, how)) => format!("{} of {} in the prompt, {how}", number + 1, prompt.len()),
                None => "not in the prompt".to_owned(),
            };
            let stored = stored(hit, library);
            text += &format!(
                "\n{}. {:.3} = words {:.3} + {RELEVANCE_WEIGHT} of relevance {:.3}   {} {}\n   {} tokens in {} slices, {stored} of them in the \
                 library; {taken}\n",
                rank + 1,
                hit.score.total,
                hit.score.words,
                hit.score.relevance,
                hit.passage.path,
                hit.passage.place,
                hit.passage.tokens.len(),
                hit.passage.slices.len(),
            );
            text += &format!("   most alike in slice {}", hit.score.slice + 1);
            let heavy = heaviest(hit.passage, tokenizer);
            if !heavy.is_empty() {
                text += &format!("; the model holds on to: {}", heavy.join(" "));
            }
            text.push('\n');
            if hit.twins > 0 {
                text += &format!("   {} more that say the same are left out\n", hit.twins);
            }
            for line in hit.passage.text.lines() {
                text += &format!("   │ {line}\n");
            }
        }
        text
    }
}

/// The heaviest word of each of a passage's slices, each word once.
fn heaviest(passage: &Known, tokenizer: &Tokenizer) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for slice in 0..passage.slices.len() {
        let heaviest = passage.heavy_words(slice, tokenizer).into_iter().next();
        words.extend(heaviest.filter(|word| !words.contains(word)));
    }
    words
}

/// How many of a passage's slices need not be computed.
fn stored(hit: &Hit<'_>, library: &Library) -> usize {
    hit.passage.keys.iter().filter(|key| library.store.find(key).is_some()).count()
}

/// Where the passage of a rank stands among those of a prompt, counted from 0, and how it comes there.
fn place(
    prompt: &[usize],
    (rank, hit): (usize, &Hit<'_>),
    library: &Library,
    fidelity: Fidelity,
) -> Option<(usize, &'static str)> {
    let number = prompt.iter().position(|&taken| taken == rank)?;
    Some((number, fidelity.how(number, prompt.len(), library.has_packed(&hit.passage.keys))))
}

fn passage(
    hit: &Hit<'_>,
    library: &Library,
    tokenizer: &Tokenizer,
    place: Option<(usize, &str)>,
) -> serde_json::Value {
    let known = hit.passage;
    let heavy = |(slice, tokens): (usize, &Vec<u32>)| json!({ "tokens": tokens, "words": known.heavy_words(slice, tokenizer) });
    let heavy: Vec<_> = known.heavy.iter().enumerate().map(heavy).collect();
    json!({
        "path": known.path,
        "place": known.place,
        "bytes": [known.bytes.start, known.bytes.end],
        "score": hit.score.total,
        "words": hit.score.words,
        "relevance": hit.score.relevance,
        "relevant_slice": hit.score.slice,
        "twins": hit.twins,
        "tokens": known.tokens.len(),
        "slices": known.slices,
        "heavy": heavy,
        "slices_stored": stored(hit, library),
        "prompt_place": place.map(|(number, _)| number),
        "how": place.map(|(_, how)| how),
        "text": known.text,
    })
}
