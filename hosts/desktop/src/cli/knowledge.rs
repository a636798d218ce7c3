//! What the commands about knowledge share.

use std::path::{Path, PathBuf};

use agentos_hal::{KvType, ModelShape, TensorDevice};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::pool::PagePool;
use agentos_kernel::sequence::Sequence;
use agentos_store::scan::SearchBounds;
use clap::Args;

use super::error::CliError;
use super::load;
use super::options::ComputeOptions;
use super::prompt;
use crate::context::Tables;
use crate::fetch::Environment;
use crate::knowledge;
use crate::knowledge::catalogue::{Catalogue, Hit, fitting};
use crate::knowledge::compute::Computer;

use crate::knowledge::library::{self, Access, Library, LibraryError, Settings};
use crate::knowledge::recall::QUESTION_TOKENS;
use crate::knowledge::relevance::Relevance;
use crate::model::{self, ModelFile};
use crate::team::Team;
use crate::team::knowledge::{Given, GivenPassage, KnowledgeUse};
use crate::team::prompt::Chat;
use crate::team::tools::Shelves;
use crate::text::{Special, Template, Tokenizer};

/// Where the library is.
#[derive(Args, Clone, Debug)]
pub struct LibraryOptions {
    /// The library's file [default: one for each model, in the cache folder]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
}

impl LibraryOptions {
    /// The library in this file, or where it is by default.
    pub fn at(store: Option<&Path>) -> LibraryOptions {
        LibraryOptions { store: store.map(Path::to_owned) }
    }

    /// Opens the library of a model.
    pub fn open(&self, file: &ModelFile<'_>, kv: KvType, access: Access) -> Result<Library, CliError> {
        let identity = model::identity(file);
        let path = match &self.store {
            Some(path) => path.clone(),
            None => library::default_path(Environment::from_process().home.as_deref(), &identity, kv)?,
        };
        Ok(Library::open(&path, &identity, &file.model.shape, kv, access)?)
    }
}

/// A model's text side.
pub struct Reading {
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What each token ends.
    pub delimiters: Vec<Delimiter>,
    template: Template,
    now_s: i64,
}

impl Reading {
    /// That of a model's file.
    pub fn new(path: &Path, file: &ModelFile<'_>) -> Result<Reading, CliError> {
        let vocabulary = file.vocabulary(path)?;
        let tokenizer = model::tokenizer(path, &vocabulary, file.model.shape.vocab)?;
        let delimiters = tokenizer.delimiter_classes();
        Ok(Reading { delimiters, template: Template::of(&vocabulary)?, tokenizer, now_s: prompt::now_s() })
    }

    /// Its way of conversing.
    pub fn chat(&self) -> Chat<'_> {
        Chat { template: &self.template, tokenizer: &self.tokenizer, now_s: self.now_s }
    }
}

/// Passages of each collection that are looked at for an agent.
const CANDIDATES: usize = 32;

/// What each agent of a team is given to read, found by its prompt. Nothing is opened where nobody is granted anything.
/// Collections that agents may look things up in are put on the shelves.
pub fn given(
    team: &Team,
    (options, lasting): (&LibraryOptions, &Shelves),
    file: &ModelFile<'_>,
    (tokenizer, delimiters): (&Tokenizer, &[Delimiter]),
    (compute, kv): (&ComputeOptions, KvType),
) -> Result<Vec<Option<Given>>, CliError> {
    let mut given = vec![None; team.agents.len()];
    let granted: Vec<(usize, &KnowledgeUse)> = team
        .agents
        .iter()
        .enumerate()
        .filter_map(|(index, agent)| Some((index, agent.knowledge.as_ref()?)))
        .collect();
    if granted.is_empty() {
        return Ok(given);
    }
    let library = options.open(file, kv, Access::Read)?;
    let mut names: Vec<&str> =
        granted.iter().flat_map(|(_, grant)| grant.collections.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    let mut shelves = Vec::with_capacity(names.len());
    for &name in &names {
        shelves.push((
            name,
            library.settings(name)?,
            Catalogue::load(&library, name, tokenizer, SearchBounds::default())?,
        ));
    }
    let before = shelves.iter().map(|(_, settings, _)| settings.frame.before.len()).max().unwrap_or(0);
    let limits = knowledge::compute::limits(&file.model.shape, kv, before, QUESTION_TOKENS)?;
    let (mut prepared, ()) = load::prepare(file, &limits, &compute.device(), || Ok(()))?;
    let mut tables = Tables::new(limits, delimiters.to_vec());
    let (mut sequence, mut pool) = tables.start()?;
    for (index, grant) in granted {
        let prompt = &team.agents[index].prompt;
        let mut found: Vec<(&str, &Settings, Hit<'_>)> = Vec::new();
        for (name, settings, catalogue) in &shelves {
            if grant.collections.iter().any(|granted| granted == name) {
                let device = (prepared.device.tensor_device(), &file.model.shape, kv);
                let relevance = relevance(prompt, tokenizer, settings, (&mut sequence, &mut pool), device)?;
                let hits = catalogue.find(prompt, &relevance, CANDIDATES);
                found.extend(hits.into_iter().map(|hit| (*name, settings, hit)));
            }
        }
        found.sort_by(|one, other| other.2.score.total.total_cmp(&one.2.score.total));
        let taken = fitting(found.iter().map(|(_, _, hit)| hit), grant.tokens as usize);
        // Passages of several collections stand behind the beginning of the first one's.
        let Some((_, settings, _)) = taken.first().map_or(found.first(), |&first| found.get(first)) else {
            continue;
        };
        let passage = |number: usize| {
            let (collection, _, hit) = &found[number];
            GivenPassage {
                collection: (*collection).to_owned(),
                path: hit.passage.path.clone(),
                place: hit.passage.place.clone(),
                tokens: hit.passage.tokens.clone(),
                score: hit.score.total,
                packed: library.has_packed(&hit.passage.keys),
            }
        };
        let passages = taken.into_iter().map(passage).collect();
        let (frame, fidelity) = (settings.frame.clone(), grant.fidelity);
        let accepts_packed = team.agents[index].accepts_packed();
        given[index] = Some(Given { frame, passages, fidelity, accepts_packed });
    }
    let tools = || team.agents.iter().filter_map(|agent| agent.tools.as_ref());
    let is_kept = |name: &str| tools().any(|tools| tools.grant.collections.iter().any(|kept| kept == name));
    let kept = shelves.into_iter().filter(|(name, ..)| is_kept(name));
    lasting.fill(kept.map(|(name, _, catalogue)| (name.to_owned(), catalogue)).collect());
    Ok(given)
}

/// What a question is about, behind the collection's beginning. A context that has that beginning already keeps it.
pub fn relevance<'p>(
    question: &str,
    tokenizer: &Tokenizer,
    settings: &Settings,
    (sequence, pool): (&mut Sequence<'p>, &mut PagePool<'p>),
    (device, shape, kv): (&mut dyn TensorDevice, &ModelShape, KvType),
) -> Result<Relevance, CliError> {
    let mut tokens = tokenizer.encode(question, Special::AsText)?;
    let rest = tokens.len().saturating_sub(QUESTION_TOKENS);
    tokens.drain(..rest);
    if tokens.is_empty() {
        return Err(CliError::EmptyPrompt);
    }
    let before = &settings.frame.before;
    let mut computer = Computer::new(sequence, pool, device, (*shape, kv), settings.layers(), before);
    let row = computer.topic(&tokens).map_err(LibraryError::from)?;
    Ok(Relevance::new(&row, &settings.usual_question))
}
