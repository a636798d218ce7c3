//! Telling what a team does, while it does it.
//!
//! * [`Sink`]: who is told.
//! * [`Plain`]: lines for a person, each under the name of who speaks; a table at the end.
//! * [`JsonLines`]: a line of JSON for every event.
//! * [`TraceFile`]: a trace to look at later, beside one of the others.

mod jsonl;
mod plain;
mod table;
mod trace_file;
mod wrap;

pub use jsonl::JsonLines;
pub use plain::{Plain, Style};
pub use trace_file::TraceFile;

use agentos_kernel::event::Record;

use super::json::Summary;
use super::knowledge::Given;
use super::name::Names;
use super::runner::RunError;
use super::tools::{Form, Spoken};

/// Something that happened, with what the team knows of it.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// What happened.
    pub record: &'a Record,
    /// The agent that it happened to: its index in the team.
    pub member: Option<usize>,
    /// What it makes whole of that agent's answer.
    pub text: &'a str,
    /// What became of that agent's answer, once it has ended.
    pub form: Option<Form>,
    /// The agents' names.
    pub names: &'a Names,
}

/// An agent that was not let in.
#[derive(Clone, Copy)]
pub struct Refusal<'a> {
    /// Its index in the team.
    pub member: usize,
    /// Its name.
    pub name: &'a str,
    /// Why, and what would fit.
    pub reason: &'a str,
    /// When, in microseconds on the kernel's clock.
    pub at_us: u64,
}

/// What an agent has to do with a tool. Texts are as the agent has them: what came from outside is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolNews<'a> {
    /// It has written a call, which is made.
    Called {
        /// Its index in the team.
        member: usize,
        /// Its name.
        name: &'a str,
        /// When, in microseconds on the run's clock.
        at_us: u64,
        /// The call.
        call: u64,
        /// The tool.
        tool: &'a str,
        /// The arguments, as JSON.
        arguments: &'a str,
    },
    /// It was asked by another one, and is spawned to answer.
    Asked {
        /// Its index in the team.
        member: usize,
        /// Its name.
        name: &'a str,
        /// When, in microseconds on the run's clock.
        at_us: u64,
        /// The call of who asks.
        call: u64,
        /// Who asks.
        by: &'a str,
        /// Agents that wait for its answer, one for the next.
        depth: u32,
    },
    /// It reads what came of a call.
    Result {
        /// Its index in the team.
        member: usize,
        /// Its name.
        name: &'a str,
        /// When, in microseconds on the run's clock.
        at_us: u64,
        /// The call.
        call: u64,
        /// The tool.
        tool: &'a str,
        /// What came of it: the names of [`agentos_kernel::tool::CallOutcome`].
        outcome: &'static str,
        /// What it reads.
        text: &'a str,
        /// Whether the output was of the form that the tool declares.
        fits: bool,
        /// What decided what of a long text is there; `None` where nothing of a text was left out.
        reduced: Option<&'static str>,
    },
}

/// What people were asked, or have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeopleNews<'a> {
    /// When, in microseconds on the run's clock.
    pub at_us: u64,
    /// What it is.
    pub spoken: &'a Spoken,
}

/// What an agent was given to read when it was spawned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnowledgeNews<'a> {
    /// Its index in the team.
    pub member: usize,
    /// Its name.
    pub name: &'a str,
    /// When, in microseconds on the run's clock.
    pub at_us: u64,
    /// The passages, in the order of its prompt.
    pub given: &'a Given,
}

/// What became of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceNews {
    /// It lost its memory, and what the agents had computed there.
    Lost {
        /// When, in microseconds on the run's clock.
        at_us: u64,
        /// Losses since the last step that succeeded, with this one.
        losses: u32,
    },
    /// It was prepared again: agents go on.
    Restored {
        /// When, in microseconds on the run's clock.
        at_us: u64,
        /// How often it was tried.
        tries: u32,
        /// Microseconds since the loss.
        took_us: u64,
    },
}

/// Who is told what a team does.
///
/// # Errors
/// Of every method: [`RunError::Output`] or [`RunError::Trace`], and the run ends.
pub trait Sink {
    /// Something happened.
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError>;

    /// An agent was not let in.
    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), RunError>;

    /// Something became of the device.
    fn device(&mut self, news: &DeviceNews) -> Result<(), RunError>;

    /// An agent calls a tool, or has its result.
    fn tool(&mut self, news: &ToolNews<'_>) -> Result<(), RunError> {
        let _ = news;
        Ok(())
    }

    /// People were asked something, or have said something.
    fn people(&mut self, news: &PeopleNews<'_>) -> Result<(), RunError> {
        let _ = news;
        Ok(())
    }

    /// An agent was given passages to read.
    fn knowledge(&mut self, news: &KnowledgeNews<'_>) -> Result<(), RunError> {
        let _ = news;
        Ok(())
    }

    /// So many pages of page memory are in use.
    fn l1_pages(&mut self, at_us: u64, pages: u32) -> Result<(), RunError> {
        let _ = (at_us, pages);
        Ok(())
    }

    /// Nothing more happens for a while.
    fn flush(&mut self) -> Result<(), RunError>;

    /// The run is over.
    fn end(&mut self, at_us: u64, summary: &Summary) -> Result<(), RunError>;
}

/// Tells two.
pub struct Both<'a>(pub &'a mut dyn Sink, pub &'a mut dyn Sink);

impl Sink for Both<'_> {
    fn event(&mut self, told: &Told<'_>) -> Result<(), RunError> {
        self.0.event(told)?;
        self.1.event(told)
    }

    fn refused(&mut self, refusal: &Refusal<'_>) -> Result<(), RunError> {
        self.0.refused(refusal)?;
        self.1.refused(refusal)
    }

    fn device(&mut self, news: &DeviceNews) -> Result<(), RunError> {
        self.0.device(news)?;
        self.1.device(news)
    }

    fn tool(&mut self, news: &ToolNews<'_>) -> Result<(), RunError> {
        self.0.tool(news)?;
        self.1.tool(news)
    }

    fn people(&mut self, news: &PeopleNews<'_>) -> Result<(), RunError> {
        self.0.people(news)?;
        self.1.people(news)
    }

    fn knowledge(&mut self, news: &KnowledgeNews<'_>) -> Result<(), RunError> {
        self.0.knowledge(news)?;
        self.1.knowledge(news)
    }

    fn l1_pages(&mut self, at_us: u64, pages: u32) -> Result<(), RunError> {
        self.0.l1_pages(at_us, pages)?;
        self.1.l1_pages(at_us, pages)
    }

    fn flush(&mut self) -> Result<(), RunError> {
        self.0.flush()?;
        self.1.flush()
    }

    fn end(&mut self, at_us: u64, summary: &Summary) -> Result<(), RunError> {
        self.0.end(at_us, summary)?;
        self.1.end(at_us, summary)
    }
}
