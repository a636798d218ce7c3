//! What a command can fail of: every failure of the library, and those of the command line itself.

use std::path::PathBuf;

use agentos_grammar::{GrammarError, VocabularyError};
use agentos_kernel::sample::SamplingError;
use agentos_kernel::sequence::SequenceError;
use embedded_io::ErrorKind;

use crate::bench::BenchError;
use crate::calibration::measure::CalibrateError;
use crate::context::ContextError;
use crate::device::OpenDeviceError;
use crate::eval::knowledge::QuestionError;
use crate::eval::memory::SetupError;
use crate::eval::memory::retrieval::ExamError;
use crate::fetch::FetchError;
use crate::generate::GenerateError;
use crate::knowledge::ask::AskError;
use crate::knowledge::library::LibraryError;
use crate::map::OpenError;
use crate::model::{LoadError, TextError};
use crate::perplexity::TooShort;
use crate::slicing::SliceError;
use crate::team::TeamError;
use crate::team::people::PeopleError;
use crate::team::runner::RunError;
use crate::team::tools::RecordingError;
use crate::text::{ChatError, TemplateError, TokenizerError};

/// Why a command failed. Messages say what was wrong, where, and what would fit.
#[derive(Debug)]
pub enum CliError {
    /// The model cannot be had.
    Fetch(FetchError),
    /// The model's file cannot be opened.
    Open(OpenError),
    /// The model's file is refused.
    Load(LoadError),
    /// The model's vocabulary is refused.
    Text(TextError),
    /// The model's chat template is refused.
    Template(TemplateError),
    /// The conversation cannot be encoded.
    Chat(ChatError),
    /// The text cannot be encoded.
    Encode(TokenizerError),
    /// The context is too long.
    Context(ContextError),
    /// The device cannot be opened or refuses the model.
    Device(OpenDeviceError),
    /// A sampling option is out of its range.
    Sampling(SamplingError),
    /// The kernel or the device cannot go on.
    Sequence(SequenceError),
    /// The generation failed.
    Generate(GenerateError),
    /// The model's vocabulary cannot be held to a grammar.
    Vocabulary(VocabularyError),
    /// No answer can be held to what a file says.
    Grammar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: GrammarError,
    },
    /// A file is no JSON.
    NotJson {
        /// Which.
        path: PathBuf,
        /// Where it is wrong, and why.
        reason: String,
    },
    /// There is no exam to be had of a text.
    Exam(ExamError),
    /// Memory cannot be measured so.
    Memory(SetupError),
    /// The benchmark failed.
    Bench(BenchError),
    /// The text is shorter than a window.
    TooShort(TooShort),
    /// The team's file is refused.
    Team(TeamError),
    /// The team cannot go on.
    Run(RunError),
    /// The run is over, and some agents are not done: their names.
    Unfinished(Vec<String>),
    /// Nothing says what to answer.
    NoPrompt,
    /// The prompt has no characters.
    EmptyPrompt,
    /// A file or stream cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written.
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing says where the user's folder is.
    NoFolder,
    /// The model has no such layer.
    Layer {
        /// The layer.
        found: u32,
        /// How many it has.
        layers: u32,
    },
    /// The text cannot be sliced.
    Slice(SliceError),
    /// The model cannot be calibrated.
    Calibrate(CalibrateError),
    /// A file or stream is no text.
    NotText {
        /// Which.
        path: PathBuf,
        /// The first byte that is wrong.
        at: usize,
    },
    /// A file or stream has more than what can be encoded.
    TextTooLong {
        /// Which.
        path: PathBuf,
        /// Bytes that would fit.
        limit: usize,
    },
    /// Standard output cannot be written.
    Output(ErrorKind),
    /// Nobody reads standard output any more.
    Closed,
    /// Interruptions cannot be taken.
    Signals(std::io::Error),
    /// The program was interrupted.
    Interrupted,
    /// The library does not do what it is asked.
    Library(LibraryError),
    /// There is no answer.
    Ask(AskError),
    /// A file of questions has a line that is none.
    Questions {
        /// The file.
        path: PathBuf,
        /// The line.
        error: QuestionError,
    },
    /// A tool cannot be had, or its call came to nothing.
    Tools(String),
    /// The cold store cannot be opened.
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: agentos_store::OpenError,
    },
    /// People cannot answer over HTTP.
    People(PeopleError),
    /// What tools gave in another run cannot be had.
    Recording(RecordingError),
    /// A replay of a team with tools was asked for, without what they gave.
    ReplayWithTools,
    /// A replay of a team with a store was asked for.
    ReplayWithStore,
}

impl CliError {
    /// The command line is at fault, not what it led to.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            CliError::Sampling(_) | CliError::NoPrompt | CliError::Device(OpenDeviceError::NoAdapters { .. })
        )
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CliError::Fetch(error) => error.fmt(f),
            CliError::Open(error) => error.fmt(f),
            CliError::Load(error) => error.fmt(f),
            CliError::Text(error) => error.fmt(f),
            CliError::Template(error) => error.fmt(f),
            CliError::Chat(error) => error.fmt(f),
            CliError::Encode(error) => error.fmt(f),
            CliError::Context(error) => error.fmt(f),
            CliError::Device(error) => error.fmt(f),
            CliError::Sampling(error) => write!(f, "--{error}"),
            CliError::Sequence(error) => error.fmt(f),
            CliError::Generate(error) => error.fmt(f),
            CliError::Vocabulary(error) => error.fmt(f),
            CliError::Grammar { path, error } => write!(f, "{}: {error}", path.display()),
            CliError::NotJson { path, reason } => write!(f, "{} is not JSON: {reason}", path.display()),
            CliError::Exam(error) => error.fmt(f),
            CliError::Memory(error) => error.fmt(f),
            CliError::Bench(error) => error.fmt(f),
            CliError::TooShort(error) => error.fmt(f),
            CliError::Team(error) => error.fmt(f),
            CliError::Run(error) => error.fmt(f),
            CliError::Unfinished(names) => {
                write!(f, "these agents were refused or taken out of service: {}", names.join(", "))
            }
            CliError::NoPrompt => f.write_str(
                "there is no prompt: give --prompt TEXT, --prompt-file FILE, or text on standard input",
            ),
            CliError::Layer { found, layers } => {
                write!(f, "the model has no layer {found}; its layers are 0 to {}", layers.saturating_sub(1))
            }
            CliError::EmptyPrompt => f.write_str("the prompt is empty; at least one character is needed"),
            CliError::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            CliError::Write { path, source } => write!(f, "cannot write {}: {source}", path.display()),
            CliError::NoFolder => f.write_str(
                "nothing says where the user's folder is; set AGENTOS_HOME, or name a file with --out",
            ),
            CliError::Slice(error) => error.fmt(f),
            CliError::Calibrate(error) => error.fmt(f),
            CliError::NotText { path, at } => {
                write!(f, "{} is not UTF-8 text: byte {at} begins no character", path.display())
            }
            CliError::TextTooLong { path, limit } => {
                write!(f, "{} has more than the {limit} bytes that would fit", path.display())
            }
            CliError::Output(kind) => write!(f, "cannot write to standard output: {kind:?}"),
            CliError::Closed => f.write_str("standard output is closed"),
            CliError::Signals(source) => write!(f, "cannot listen for interruptions: {source}"),
            CliError::Interrupted => f.write_str("interrupted"),
            CliError::Library(error) => error.fmt(f),
            CliError::Ask(error) => error.fmt(f),
            CliError::Questions { path, error } => write!(f, "{}, {error}", path.display()),
            CliError::Tools(reason) => f.write_str(reason),
            CliError::Store { path, error } => write!(f, "{}: {error}", path.display()),
            CliError::People(error) => error.fmt(f),
            CliError::Recording(error) => error.fmt(f),
            CliError::ReplayWithStore => f.write_str(
                "--replay cannot be had with a store: what it has is not in the team file; without --replay, or without \
                 --store and [store], it runs",
            ),
            CliError::ReplayWithTools => f.write_str(
                "--replay cannot be had with tools alone: what they say is not in the team file; with --results RUN.jsonl, \
                 what --json told of a run, it is",
            ),
        }
    }
}

impl std::error::Error for CliError {}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> CliError {
                CliError::$variant(error)
            }
        }
    )*};
}

from! {
    FetchError => Fetch,
    OpenError => Open,
    LoadError => Load,
    TextError => Text,
    TemplateError => Template,
    ChatError => Chat,
    ExamError => Exam,
    SetupError => Memory,
    TokenizerError => Encode,
    ContextError => Context,
    OpenDeviceError => Device,
    SamplingError => Sampling,
    SequenceError => Sequence,
    TooShort => TooShort,
    VocabularyError => Vocabulary,
    TeamError => Team,
    LibraryError => Library,
    SliceError => Slice,
    CalibrateError => Calibrate,
    AskError => Ask,
    PeopleError => People,
    RecordingError => Recording,
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> CliError {
        match error {
            RunError::Output(source) if source.kind() == std::io::ErrorKind::BrokenPipe => CliError::Closed,
            RunError::Team(error) => CliError::Team(error),
            error => CliError::Run(error),
        }
    }
}

impl From<BenchError> for CliError {
    fn from(error: BenchError) -> CliError {
        CliError::Bench(error)
    }
}

impl From<GenerateError> for CliError {
    fn from(error: GenerateError) -> CliError {
        match error {
            GenerateError::Output(kind) => kind.into(),
            error => CliError::Generate(error),
        }
    }
}

impl From<ErrorKind> for CliError {
    fn from(kind: ErrorKind) -> CliError {
        match kind {
            ErrorKind::BrokenPipe => CliError::Closed,
            ErrorKind::Interrupted => CliError::Interrupted,
            kind => CliError::Output(kind),
        }
    }
}
