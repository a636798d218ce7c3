//! Why a team file is refused.

use std::path::{Path, PathBuf};

use agentos_kernel::call::CallError;
use agentos_kernel::memory::admit::Unfit;
use agentos_kernel::sample::SamplingError;

use super::MOST_AGENTS;
use crate::text::ChatError;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl Place {
    /// The place of a byte of `text`.
    pub fn of(text: &str, at: usize) -> Place {
        let before = &text[..text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Place { line, column: before[line_start..].chars().count() + 1 }
    }
}

/// Why a team file is refused, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamError {
    /// The team file.
    pub path: PathBuf,
    /// The place in it; `None` when the file itself cannot be read.
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: Box<Problem>,
}

/// What is wrong with a team file.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// A file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// A file is too long.
    TooLong {
        /// Which.
        path: PathBuf,
        /// Bytes that would fit.
        limit: u64,
    },
    /// A file is not UTF-8 text.
    NotText {
        /// Which.
        path: PathBuf,
        /// The first byte that begins no character.
        at: usize,
    },
    /// A file that should say something has nothing but white space.
    EmptyFile {
        /// Which.
        path: PathBuf,
    },
    /// It is not TOML.
    Toml {
        /// Why, in the words of the parser.
        message: String,
    },
    /// A key means nothing here.
    UnknownKey {
        /// Where it stands.
        section: &'static str,
        /// The key.
        key: String,
        /// The known key that it is most like.
        nearest: Option<&'static str>,
        /// All known keys.
        known: &'static [&'static str],
    },
    /// A key that is needed is not there.
    MissingKey {
        /// Where it should stand.
        section: &'static str,
        /// The key, or the keys one of which is needed.
        key: &'static str,
    },
    /// A value is of the wrong type or not in its range.
    Value {
        /// The key.
        key: &'static str,
        /// What it is.
        found: String,
        /// What would be accepted.
        accepted: String,
    },
    /// A key does not go with another.
    Conflict {
        /// The key.
        key: &'static str,
        /// What it does not go with.
        with: &'static str,
        /// What would be accepted.
        accepted: &'static str,
    },
    /// Nobody is in the team.
    NoAgents,
    /// Too many are in the team.
    TooManyAgents {
        /// How many.
        found: usize,
    },
    /// Two agents have the same name.
    DuplicateName {
        /// The name.
        name: String,
        /// Where the other one is.
        first: Place,
    },
    /// `after` or `agents` names nobody.
    UnknownName {
        /// Which of the two.
        key: &'static str,
        /// The name.
        name: String,
        /// The name that it is most like.
        nearest: Option<String>,
        /// The names that there are.
        names: Vec<String>,
    },
    /// `after` or `agents` names somebody twice.
    NamedTwice {
        /// Which of the two.
        key: &'static str,
        /// The name.
        name: String,
    },
    /// An agent waits for too many others.
    TooManyWaits {
        /// How many.
        found: usize,
        /// How many would fit.
        limit: usize,
    },
    /// Agents wait for each other.
    Cycle {
        /// Each waits for the next, the last for the first.
        names: Vec<String>,
    },
    /// `agents` names several copies at once.
    AskedCopies {
        /// What they have in common.
        name: String,
    },
    /// `agents` names somebody who has a prompt.
    NotOnCall {
        /// The name.
        name: String,
    },
    /// `after` names somebody who is on call.
    AfterOnCall {
        /// The name.
        name: String,
    },
    /// Somebody who is on call has what only goes with a prompt that is known.
    OnCall {
        /// The name.
        name: String,
    },
    /// Agents may ask each other in a circle.
    AskCycle {
        /// Each may ask the next, the last the first.
        names: Vec<String>,
    },
    /// Too many agents may wait for each other's answers, one for the next.
    Depth {
        /// How many.
        found: usize,
        /// How many may.
        limit: usize,
    },
    /// A sampling parameter is not in its range.
    Sampling(SamplingError),
    /// A context is longer than the model's.
    BeyondModel {
        /// The agent.
        name: String,
        /// Tokens of the context.
        context: u64,
        /// Tokens of the model's.
        limit: u32,
    },
    /// An agent's opening leaves no room for an answer.
    NoRoom {
        /// The agent.
        name: String,
        /// Tokens of its opening.
        prompt: u32,
        /// Tokens of its context.
        context: u32,
    },
    /// The team's memory cannot hold an agent, not even alone.
    Unfit {
        /// The agent.
        name: String,
        /// Why not.
        unfit: Unfit,
        /// A size of `[memory]` that would hold it, as the file would say it.
        remedy: Option<String>,
    },
    /// The kernel refuses an agent.
    Refused {
        /// The agent.
        name: String,
        /// Why.
        error: CallError,
    },
    /// What is granted to an agent means nothing, or two things.
    Grant {
        /// What is wrong.
        error: String,
    },
    /// An agent's tools cannot be had.
    Tools {
        /// The agent.
        name: String,
        /// Why.
        error: String,
    },
    /// What an agent is to begin with cannot be encoded.
    Opening {
        /// The agent.
        name: String,
        /// Why.
        error: ChatError,
    },
    /// An agent waits for an answer that never comes.
    NoAnswer {
        /// The agent.
        name: String,
        /// For whom it waits.
        other: String,
        /// What became of that one.
        became: &'static str,
    },
}

impl std::fmt::Display for TeamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for TeamError {}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read { path, message } => write!(f, "cannot read {}: {message}", path.display()),
            Self::TooLong { path, limit } => {
                write!(f, "{} is too long; {limit} bytes would fit", path.display())
            }
            Self::NotText { path, at } => {
                write!(f, "{} is not UTF-8 text: byte {at} begins no character", path.display())
            }
            Self::EmptyFile { path } => {
                write!(f, "{} is empty; at least one character is needed", path.display())
            }
            Self::Toml { message } => write!(f, "not TOML: {message}"),
            Self::UnknownKey { section, key, nearest, known } => {
                write!(f, "unknown key {} in {section}", quoted(key))?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean {nearest:?}?")?;
                }
                write!(f, " Known keys are {}", known.join(", "))
            }
            Self::MissingKey { section, key } => write!(f, "{section} needs {key}"),
            Self::Value { key, found, accepted } => write!(f, "{key} is {found}; accepted is {accepted}"),
            Self::Conflict { key, with, accepted } => {
                write!(f, "{key} does not go with {with}; accepted is {accepted}")
            }
            Self::NoAgents => f.write_str("the team is empty; at least one [[agent]] is needed"),
            Self::TooManyAgents { found } => {
                write!(f, "the team has {found} agents, copies counted; {MOST_AGENTS} would fit")
            }
            Self::DuplicateName { name, first } => write!(
                f,
                "the name {} is taken by the agent of line {}; another name is needed",
                quoted(name),
                first.line
            ),
            Self::UnknownName { key, name, nearest, names } => {
                write!(f, "{key} names {}, and nobody has that name", quoted(name))?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean {nearest:?}?")?;
                }
                write!(f, " There are {}", listed(names))
            }
            Self::NamedTwice { key, name } => {
                write!(f, "{key} names {} twice; once is enough", quoted(name))
            }
            Self::AskedCopies { name } => {
                write!(f, "agents names all copies of {name}; one of them would do, as \"{name}-1\"")
            }
            Self::NotOnCall { name } => write!(
                f,
                "{} has a prompt of its own, and cannot be asked; without prompt and prompt_file it would be on call",
                quoted(name)
            ),
            Self::AfterOnCall { name } => write!(
                f,
                "after names {}, which answers whoever asks it; agents = [{name:?}] would ask it",
                quoted(name)
            ),
            Self::OnCall { name } => write!(
                f,
                "{} is on call: what it is asked is not known before; it has neither after nor knowledge, and one tool, \
                 a chain of tools or choose = \"model\"",
                quoted(name)
            ),
            Self::AskCycle { names } => {
                write!(f, "agents ask each other: ")?;
                for name in names {
                    write!(f, "{} asks ", quoted(name))?;
                }
                write!(f, "{}; one of them must answer by itself", quoted(&names[0]))
            }
            Self::Depth { found, limit } => {
                write!(f, "{found} agents would wait for each other's answers at once; {limit} may")
            }
            Self::TooManyWaits { found, limit } => {
                write!(f, "the agent waits for {found} others, copies counted; {limit} would fit")
            }
            Self::Cycle { names } => {
                write!(f, "agents wait for each other: ")?;
                for name in names {
                    write!(f, "{} after ", quoted(name))?;
                }
                write!(f, "{}; one of them must come first", quoted(&names[0]))
            }
            Self::Sampling(error) => error.fmt(f),
            Self::BeyondModel { name, context, limit } => {
                write!(f, "the context of {} would be {context} tokens; the model's is {limit}", quoted(name))
            }
            Self::NoRoom { name, prompt, context } => write!(
                f,
                "{} opens with {prompt} tokens, and its context has {context}; at least {} would fit",
                quoted(name),
                u64::from(*prompt) + 1
            ),
            Self::Unfit { name, unfit, remedy } => {
                write!(f, "{} does not fit: {unfit}", quoted(name))?;
                remedy.iter().try_for_each(|remedy| write!(f, ", and so would [memory] {remedy}"))
            }
            Self::Refused { name, error } => write!(f, "{} is refused: {error}", quoted(name)),
            Self::Grant { error } => write!(f, "[agent.tools]: {error}"),
            Self::Tools { name, error } => write!(f, "the tools of {}: {error}", quoted(name)),
            Self::Opening { name, error } => {
                write!(f, "what {} is to begin with cannot be encoded: {error}", quoted(name))
            }
            Self::NoAnswer { name, other, became } => {
                write!(f, "{} waits for {}, which was {became}", quoted(name), quoted(other))
            }
        }
    }
}

/// Characters of an outside text that a message shows.
const SHOWN: usize = 60;

/// An outside text as a message shows it: its control characters escaped, its end left out.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

/// Names that a message shows.
const LISTED: usize = 16;

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    match names.len() {
        ..=LISTED => shown,
        all => format!("{shown} and {} more", all - LISTED),
    }
}

/// The error of a file that cannot be opened or read.
pub(super) fn read_problem(path: &Path, error: &std::io::Error) -> Problem {
    Problem::Read { path: path.to_owned(), message: error.to_string() }
}
