//! A collection that is ready to be asked: what `ask` and `eval knowledge` share.

use agentos_hal::{Clock, ColdStore, KvType, Limits, NoStore};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sample::Sampling;
use agentos_kernel::sequence::Sequence;
use agentos_store::scan::SearchBounds;

use super::error::CliError;
use super::knowledge::{Reading, relevance};
use super::load;
use super::options::ComputeOptions;
use crate::boot::Boot;
use crate::context::Tables;
use crate::device::Device;
use crate::knowledge::ask::{Answered, Answerer, Bounds, Fidelity, OnToken, Question};
use crate::knowledge::catalogue::{Catalogue, Hit, fitting};
use crate::knowledge::compute;
use crate::knowledge::library::{Library, Settings};
use crate::knowledge::passage::Lengths;
use crate::knowledge::recall::QUESTION_TOKENS;
use crate::model::{self, ModelFile};
use crate::text::Special;

/// What stands before a question behind its passages.
const QUESTION: &str = "\nQuestion: ";

/// Passages of a prompt where nobody says how many.
pub const DEFAULT_TOP: u16 = 3;
/// Tokens of them.
pub const DEFAULT_BUDGET: u32 = 1024;

/// How large a question and its answer may be.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Passages that go into the prompt at most.
    pub top: u16,
    /// Tokens of them at most.
    pub budget: u32,
    /// Tokens of the answer at most.
    pub max_tokens: u32,
}

/// Where what a prompt needs comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the library, passages behind the first as this says.
    Library(Fidelity),
    /// Nothing but the text comes from the library: all is computed.
    Computed,
}

impl Way {
    fn fidelity(self) -> Fidelity {
        match self {
            Way::Library(fidelity) => fidelity,
            Way::Computed => Fidelity::Exact,
        }
    }

    /// How the passage at a place of a prompt with so many comes into it. `packed`: its slices are not kept bit for bit.
    fn of_passage(self, number: usize, passages: usize, packed: bool) -> &'static str {
        match self {
            Way::Computed => "computed",
            Way::Library(fidelity) => fidelity.how(number, passages, packed),
        }
    }
}

/// A collection, and all that answering from it takes.
pub struct Asking<'a> {
    file: &'a ModelFile<'a>,
    reading: &'a Reading,
    library: Library,
    settings: Settings,
    catalogue: Catalogue,
    device: Device,
    boot: Boot,
    sizes: Sizes,
    kv: KvType,
    looking: Limits,
    identity: [u8; 32],
}

/// What looks a question up. It has pages of its own, so that it keeps what all questions stand behind.
pub struct Looking<'t> {
    sequence: Sequence<'t>,
    pool: PagePool<'t>,
}

/// What a question came to.
pub struct Asked<'c> {
    /// The passages that went into the prompt, in its order.
    pub hits: Vec<Hit<'c>>,
    /// How each came into it.
    pub hows: Vec<&'static str>,
    /// Its tokens.
    pub prompt: Vec<u32>,
    /// Its answer's figures.
    pub answered: Answered,
    /// From the question to its passages, in microseconds.
    pub recall_us: u64,
    /// From the question to the first token.
    pub first_us: u64,
}

impl<'a> Asking<'a> {
    /// Gets a collection ready for questions, the longest of which is among `questions`.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn open(
        (file, reading): (&'a ModelFile<'a>, &'a Reading),
        (library, collection): (Library, &str),
        questions: &[&str],
        sizes: Sizes,
        (compute, kv): (&ComputeOptions, KvType),
    ) -> Result<Asking<'a>, CliError> {
        let shape = &file.model.shape;
        let settings = library.settings(collection)?;
        let catalogue = Catalogue::load(&library, collection, &reading.tokenizer, SearchBounds::default())?;
        let mut longest = 0;
        for question in questions {
            longest = longest.max(after(question, reading, &settings)?.len());
        }
        let bounds = bounds(&settings, longest, &sizes);
        crate::context::fits(shape, bounds.context())?;
        let config = bounds.config(kv);
        let looking = compute::limits(shape, kv, settings.frame.before.len(), QUESTION_TOKENS)?;
        let limits = both(&config.device_limits(shape), &looking);
        let (prepared, ()) = load::prepare(file, &limits, &compute.device(), || Ok(()))?;
        let ends =
            (0..reading.tokenizer.vocab_size()).filter(|&id| reading.tokenizer.is_end_of_generation(id));
        let boot = Boot::new(config, shape, reading.delimiters.clone(), ends.collect());
        let device = prepared.device;
        let identity = model::identity(file);
        Ok(Asking { file, reading, library, settings, catalogue, device, boot, sizes, kv, looking, identity })
    }

    /// The tables of what looks questions up.
    pub fn tables(&self) -> Tables {
        Tables::new(self.looking, self.reading.delimiters.clone())
    }

    /// What looks questions up, in its tables.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn looking<'t>(&self, tables: &'t mut Tables) -> Result<Looking<'t>, CliError> {
        let (sequence, pool) = tables.start_above(self.boot.pages())?;
        Ok(Looking { sequence, pool })
    }

    /// Answers a question.
    ///
    /// # Errors
    /// [`CliError`].
    pub fn ask(
        &mut self,
        looking: &mut Looking<'_>,
        question: &str,
        way: Way,
        clock: &dyn Clock,
        on_token: OnToken<'_>,
    ) -> Result<Asked<'_>, CliError> {
        let began_us = clock.now().micros;
        let (top, budget) = (usize::from(self.sizes.top), self.sizes.budget as usize);
        let device = self.device.tensor_device();
        let context = (&mut looking.sequence, &mut looking.pool);
        let relevance = relevance(
            question,
            &self.reading.tokenizer,
            &self.settings,
            context,
            (&mut *device, &self.file.model.shape, self.kv),
        )?;
        let found = self.catalogue.find(question, &relevance, top);
        let hits: Vec<Hit<'_>> =
            fitting(found.iter(), budget).into_iter().map(|number| found[number]).collect();
        let recall_us = clock.now().micros - began_us;

        let passages: Vec<&[u32]> = hits.iter().map(|hit| &hit.passage.tokens[..]).collect();
        let after = after(question, self.reading, &self.settings)?;
        let question = Question {
            before: &self.settings.frame.before,
            passages: &passages,
            after: &after,
            fidelity: way.fidelity(),
            max_tokens: self.sizes.max_tokens,
            sampling: Sampling::GREEDY,
        };
        let kernel = self.boot.kernel(&self.identity).expect("the tables have the sizes of their kernel");
        let mut none = NoStore;
        let store: &mut dyn ColdStore =
            if way == Way::Computed { &mut none } else { &mut self.library.store };
        let from_us = clock.now().micros;
        let answered = Answerer { kernel, device, store, clock }.answer(&question, on_token)?;
        let first_us = from_us - began_us + answered.first_us;
        let prompt = question.prompt();
        let packed = |hit: &Hit<'_>| self.library.has_packed(&hit.passage.keys);
        let how = |(number, hit)| way.of_passage(number, hits.len(), packed(hit));
        let hows = hits.iter().enumerate().map(how).collect();
        Ok(Asked { hits, hows, prompt, answered, recall_us, first_us })
    }
}

/// A question's tokens, and what stands behind it. Nothing in a question becomes a control token.
fn after(question: &str, reading: &Reading, settings: &Settings) -> Result<Vec<u32>, CliError> {
    let text = format!("{QUESTION}{}", question.trim());
    let mut tokens = reading.tokenizer.encode(&text, Special::AsText)?;
    tokens.extend_from_slice(&settings.frame.after);
    Ok(tokens)
}

fn bounds(settings: &Settings, after: usize, sizes: &Sizes) -> Bounds {
    let most = u32::from(sizes.top) * Lengths::DEFAULT.most as u32;
    Bounds {
        before: settings.frame.before.len() as u32,
        passages: sizes.top,
        passage_tokens: sizes.budget.min(most),
        after: after as u32,
        max_tokens: sizes.max_tokens,
    }
}

/// Limits of a device that does both, each in pages of its own: whoever has candidates has as many as the first wants.
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
        pages: one.pages + other.pages,
        kv: one.kv,
    }
}
