//! `agentos ingest`: documents into a collection, computed once.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use agentos_documents::Limits;
use agentos_kernel::sequence::SequenceError;
use agentos_store::{Bound, Encoding, KnowledgeError};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::error::CliError;
use super::interrupt::Interrupt;
use super::knowledge::{LibraryOptions, Reading};
use super::load;
use super::options::{ComputeOptions, KvOptions, ModelOptions};
use super::output;
use crate::calibration::Known;
use crate::context::Tables;
use crate::fetch::Environment;
use crate::fetch::progress::{self, Progress, Quiet};
use crate::host::StdConsole;
use crate::knowledge::compute::{self, ComputeError, Computer, Layers};
use crate::knowledge::ingest::{Entered, Seen, Shelf};
use crate::knowledge::library::{Access, LibraryError, Settings};
use crate::knowledge::passage::{Cutter, Lengths};
use crate::knowledge::prefix;
use crate::knowledge::walk::{Found, Walk, walk};
use crate::map::ModelMap;
use crate::model::{self, ModelFile};
use crate::text::Special;

/// `agentos ingest`.
#[derive(Args, Debug)]
pub struct Ingest {
    /// Files, and folders with files: text, Markdown, HTML and PDF
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The collection that they go into
    #[arg(long, value_name = "NAME", default_value = "documents")]
    collection: String,
    #[command(flatten)]
    library: LibraryOptions,
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    pub(super) compute: ComputeOptions,
    #[command(flatten)]
    kv: KvOptions,
    /// Remove documents whose files are gone from these paths
    #[arg(long)]
    prune: bool,
    /// Gigabytes that the library may take; documents beyond are refused [default: 16, or what it has]
    #[arg(long, value_name = "GB", value_parser = gigabytes)]
    limit: Option<u64>,
    /// How passages' slices are kept: int8 takes half of the room and k4v4 a quarter, and who answers exactly computes
    /// them; what is there already stays as it is
    #[arg(long, value_enum, default_value_t)]
    packing: Packing,
    /// Print one JSON object per file, and a summary at the end
    #[arg(long)]
    json: bool,
}

/// How slices are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Packing {
    /// As they are: they come back bit for bit.
    #[default]
    Lossless,
    /// Int8 with a scale per token and head.
    Int8,
    /// Four bits: keys by channel, values by 32 dimensions.
    K4v4,
}

impl Packing {
    fn encoding(self) -> Encoding {
        match self {
            Packing::Lossless => Encoding::Lossless,
            Packing::Int8 => Encoding::Int8,
            Packing::K4v4 => Encoding::K4V4,
        }
    }
}

/// What is told of a file. Of a refused one the path is told as far as it is UTF-8: that it is not may be the reason.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum News<'a> {
    Entered { path: &'a Path, passages: usize, known: usize, tokens: usize, replaced: bool },
    Unchanged { path: &'a Path },
    Refused { path: Cow<'a, str>, reason: String },
    Removed { path: &'a Path },
    Summary(Summary),
}

/// What a run came to.
#[derive(Clone, Default, Serialize)]
struct Summary {
    entered: usize,
    unchanged: usize,
    refused: usize,
    removed: usize,
    passages: usize,
    known: usize,
    tokens: usize,
    compute_s: f64,
    library_bytes: u64,
    library: PathBuf,
}

impl Ingest {
    pub fn run(&self) -> Result<(), CliError> {
        let found = walk(&self.paths).map_err(|(path, source)| CliError::Read { path, source })?;
        let path = self.model.path()?;
        let interrupt = Interrupt::listen().map_err(CliError::Signals)?;
        let map = ModelMap::open(&path)?;
        let mut index = model::index(&path, &map)?;
        let file = ModelFile::read(&path, &map, &mut index)?;
        let reading = Reading::new(&path, &file)?;
        let max_bytes = self.limit.map_or(USUAL, Bound::Said);
        let access = Access::Write { max_bytes, packing: self.packing.encoding() };
        let mut library = self.library.open(&file, self.kv.kv(), access)?;
        let settings = library.settings_or(&self.collection, || self.settings(&file, &reading))?;
        interrupt.hold();
        let reader = std::env::current_exe()
            .map_err(|source| CliError::Read { path: PathBuf::from("this program"), source })?;
        let shelf = Shelf {
            library: &mut library,
            collection: &self.collection,
            settings: &settings,
            limits: Limits::DEFAULT,
            reader: &reader,
            packed: self.packing != Packing::Lossless,
            stored_beginning: None,
        };
        let mut work = Work { command: self, shelf, summary: Summary::default(), interrupt: &interrupt };
        let changed = work.look(&found)?;
        if !changed.is_empty() {
            work.enter(&changed, &file, &reading)?;
        }
        if self.prune {
            work.prune(&found)?;
        }
        work.end()
    }
}

impl Ingest {
    /// What a new collection's passages have in common.
    fn settings(&self, file: &ModelFile<'_>, reading: &Reading) -> Result<Settings, CliError> {
        let frame = prefix::frame(&reading.chat(), &reading.delimiters).map_err(LibraryError::from)?;
        let (shape, kv) = (file.model.shape, self.kv.kv());
        let known = Known::told(file, &Environment::from_process());
        let layers = Layers::of(&known.calibration, &shape);
        let limits = compute::limits(&shape, kv, frame.before.len(), Lengths::DEFAULT.most)?;
        let (mut prepared, ()) = load::prepare(file, &limits, &self.compute.device(), || Ok(()))?;
        let mut tables = Tables::new(limits, reading.delimiters.clone());
        let (mut sequence, mut pool) = tables.start()?;
        let device = prepared.device.tensor_device();
        let mut computer =
            Computer::new(&mut sequence, &mut pool, device, (shape, kv), layers, &frame.before);
        let mut usual_question = vec![0.0; shape.width as usize];
        for question in USUAL_QUESTIONS {
            let tokens = reading.tokenizer.encode(question, Special::AsText)?;
            let row = computer.topic(&tokens).map_err(LibraryError::from)?;
            let share = USUAL_QUESTIONS.len() as f32;
            usual_question.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / share);
        }
        Ok(Settings { frame, relevance_layer: layers.relevance, topic_layer: layers.topic, usual_question })
    }
}

/// What a library may take where nobody says how much.
const USUAL: Bound = Bound::Usual(16_000_000_000);

/// Questions about anything: what they have in common says nothing about what one is about.
const USUAL_QUESTIONS: [&str; 12] = [
    "What is the capital of the country?",
    "How do I start the program?",
    "Who wrote the first chapter?",
    "When was the bridge opened?",
    "Which option turns the light off?",
    "Where are the keys kept?",
    "Why does the engine stop?",
    "What does the second field mean?",
    "How many people live in the town?",
    "What should I do when it fails?",
    "Is it allowed to change the name?",
    "What is the difference between the two kinds?",
];

/// A run under way.
struct Work<'w> {
    command: &'w Ingest,
    shelf: Shelf<'w>,
    summary: Summary,
    interrupt: &'w Interrupt,
}

impl Work<'_> {
    /// Which of the files are to be entered.
    fn look<'f>(&mut self, walk: &'f Walk) -> Result<Vec<&'f Found>, CliError> {
        for (path, error) in &walk.refused {
            self.refuse(path, error.to_string(), None)?;
        }
        let mut changed = Vec::new();
        for found in &walk.files {
            self.go_on()?;
            match self.shelf.see(found)? {
                Seen::Changed => changed.push(found),
                Seen::Refused(error) => self.refuse(&found.path, error.to_string(), None)?,
                Seen::Unchanged => {
                    self.summary.unchanged += 1;
                    self.tell(&News::Unchanged { path: &found.path }, None)?;
                }
            }
        }
        Ok(changed)
    }

    /// Enters files, with a bar that counts their bytes.
    fn enter(&mut self, changed: &[&Found], file: &ModelFile<'_>, reading: &Reading) -> Result<(), CliError> {
        let shape = file.model.shape;
        let kv = self.command.kv.kv();
        let before = &self.shelf.settings.frame.before;
        let limits = compute::limits(&shape, kv, before.len(), Lengths::DEFAULT.most)?;
        let (mut prepared, ()) = load::prepare(file, &limits, &self.command.compute.device(), || Ok(()))?;
        let mut tables = Tables::new(limits, reading.delimiters.clone());
        let (mut sequence, mut pool) = tables.start()?;
        let device = prepared.device.tensor_device();
        let layers = self.shelf.settings.layers();
        let before = before.clone();
        let mut computer = Computer::new(&mut sequence, &mut pool, device, (shape, kv), layers, &before);
        let cutter = Cutter::new(&reading.tokenizer, &reading.delimiters, Lengths::DEFAULT)?;
        let mut progress: Box<dyn Progress> =
            if self.command.json { Box::new(Quiet) } else { progress::for_stderr() };
        let bytes = |found: &Found| std::fs::metadata(&found.path).map_or(0, |metadata| metadata.len());
        let total = changed.iter().map(|found| bytes(found)).sum();
        progress.begin(&format!("{} documents", changed.len()), total);
        for found in changed {
            let entered = self.enter_one((found, bytes(found)), &cutter, &mut computer, progress.as_mut());
            if entered.is_err() {
                progress.finish();
            }
            entered?;
        }
        progress.finish();
        Ok(())
    }

    /// Enters a file of so many bytes. Those count as done that are behind what is computed, passage by passage.
    fn enter_one(
        &mut self,
        (found, bytes): (&Found, u64),
        cutter: &Cutter<'_>,
        computer: &mut Computer<'_, '_, '_>,
        progress: &mut dyn Progress,
    ) -> Result<(), CliError> {
        self.go_on()?;
        let read = match self.shelf.read(found) {
            Ok(read) => read,
            Err(error) => {
                progress.advance(bytes);
                return self.refuse(&found.path, error.to_string(), Some(progress));
            }
        };
        let passages = match cutter.cut(&read.document, &found.name) {
            Ok(passages) => passages,
            Err(error) => {
                progress.advance(bytes);
                return self.refuse(&found.path, error.to_string(), Some(progress));
            }
        };
        let began = Instant::now();
        let interrupt = self.interrupt;
        let (all, mut done) = (passages.len().max(1) as u64, 0);
        let mut goes_on = |behind: usize| {
            let now = bytes * behind as u64 / all;
            progress.advance(now - done);
            done = now;
            !interrupt.has_come()
        };
        let entered = self.shelf.enter(found, &read, passages, computer, &mut goes_on);
        self.summary.compute_s += began.elapsed().as_secs_f64();
        progress.advance(bytes - done);
        let Entered { passages, known, tokens, replaced } = match entered {
            Err(error) if is_of_document(&error) => {
                return self.refuse(&found.path, error.to_string(), Some(progress));
            }
            entered => entered.map_err(interrupted)?,
        };
        self.summary.entered += 1;
        self.summary.passages += passages;
        self.summary.known += known;
        self.summary.tokens += tokens;
        self.tell(&News::Entered { path: &found.path, passages, known, tokens, replaced }, Some(progress))
    }

    /// Removes the documents that lie at or below the paths and whose files are gone.
    fn prune(&mut self, walk: &Walk) -> Result<(), CliError> {
        let collection = self.command.collection.as_str();
        for document in self.shelf.library.store.documents(collection).map_err(LibraryError::from)? {
            let path = Path::new(&document.path);
            if !walk.is_gone(path) {
                continue;
            }
            self.go_on()?;
            let store = &self.shelf.library.store;
            store.remove_document(collection, &document.path).map_err(LibraryError::from)?;
            self.summary.removed += 1;
            self.tell(&News::Removed { path }, None)?;
        }
        self.forget_aside(walk)
    }

    /// Forgets what an interrupted run has computed of files that are gone.
    fn forget_aside(&self, walk: &Walk) -> Result<(), CliError> {
        let collection = self.command.collection.as_str();
        let store = &self.shelf.library.store;
        for path in store.paths_aside(collection).map_err(LibraryError::from)? {
            if walk.is_gone(Path::new(&path)) {
                store.forget_aside(collection, &path).map_err(LibraryError::from)?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), CliError> {
        self.summary.library_bytes = self.shelf.library.store.stats().bytes;
        self.summary.library.clone_from(&self.shelf.library.path);
        let summary = self.summary;
        if self.command.json {
            return output::write_json(&mut StdConsole(std::io::stdout().lock()), &News::Summary(summary));
        }
        let rate = summary.tokens as f64 / summary.compute_s.max(1e-9);
        let mut computed = String::new();
        if summary.tokens > 0 {
            computed =
                format!("; {} passages, {} tokens at {rate:.0} a second", summary.passages, summary.tokens);
        }
        if summary.known > 0 {
            computed += &format!("; {} passages were known", summary.known);
        }
        let text = format!(
            "{} documents entered, {} unchanged, {} refused, {} removed{computed}; the library {} has {}\n",
            summary.entered,
            summary.unchanged,
            summary.refused,
            summary.removed,
            summary.library.display(),
            progress::megabytes(summary.library_bytes),
        );
        let mut harmless = String::new();
        output::push_harmless(&text, &mut harmless);
        output::write_all(&mut StdConsole(std::io::stdout().lock()), &harmless)
    }

    fn go_on(&self) -> Result<(), CliError> {
        if self.interrupt.has_come() { Err(CliError::Interrupted) } else { Ok(()) }
    }

    fn refuse(
        &mut self,
        path: &Path,
        reason: String,
        progress: Option<&mut dyn Progress>,
    ) -> Result<(), CliError> {
        self.summary.refused += 1;
        self.tell(&News::Refused { path: path.to_string_lossy(), reason }, progress)
    }

    /// Tells a person of what is worth a line, and a program of everything.
    fn tell(&self, news: &News<'_>, progress: Option<&mut dyn Progress>) -> Result<(), CliError> {
        if self.command.json {
            return output::write_json(&mut StdConsole(std::io::stdout().lock()), news);
        }
        let line = match news {
            News::Refused { path, reason } => format!("left out {path}: {reason}"),
            News::Removed { path } => format!("removed {}", path.display()),
            News::Entered { .. } | News::Unchanged { .. } | News::Summary(_) => return Ok(()),
        };
        let mut harmless = String::new();
        output::push_harmless(&line, &mut harmless);
        match progress {
            Some(progress) => progress.note(&harmless),
            None => eprintln!("{harmless}"),
        }
        Ok(())
    }
}

/// Whether it is only this document that is not computed or kept, so that others may be.
fn is_of_document(error: &LibraryError) -> bool {
    use LibraryError::{Compute, Store};
    matches!(
        error,
        Compute(ComputeError::Sequence(SequenceError::Full { .. })) | Store(KnowledgeError::TooLong { .. })
    )
}

fn interrupted(error: LibraryError) -> CliError {
    match error {
        LibraryError::Interrupted => CliError::Interrupted,
        error => error.into(),
    }
}

/// A size of a library, in bytes.
fn gigabytes(text: &str) -> Result<u64, String> {
    let gigabytes: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = (0.01..=1e6).contains(&gigabytes);
    if fits {
        Ok((gigabytes * 1e9) as u64)
    } else {
        Err("a number from 0.01 to 1000000 would fit".to_owned())
    }
}
