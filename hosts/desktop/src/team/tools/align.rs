//! What a tool gave becomes what its agent reads, beside the run: from the end of the tool on, while others
//! compute.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Poll;

use agentos_kernel::tool::CallOutcome;
use agentos_perception::{self as perception, ControlStrings, Measures, Misfit};
use agentos_tools::{Descriptor, Effect};

use super::words;
use crate::text::{Special, Tokenizer};

/// What all results are aligned with.
pub struct Aligner {
    /// The model's tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// The model's control strings.
    pub controls: ControlStrings,
    /// When results are taken: one time for a whole run.
    pub taken: String,
}

/// A tool as its results are aligned.
pub struct Known {
    /// What is known of it.
    pub descriptor: Descriptor,
    /// The declared form of its output.
    output: Option<perception::Schema>,
}

impl Known {
    /// Reads the form of the output once. One that is none holds nothing.
    pub fn new(descriptor: Descriptor) -> Known {
        let output = descriptor.output.as_ref().and_then(|schema| perception::Schema::new(schema).ok());
        Known { descriptor, output }
    }
}

/// What the result of one call is aligned for.
#[derive(Clone)]
pub struct Terms {
    /// What all results are aligned with.
    pub aligner: Arc<Aligner>,
    /// The tool that was called.
    pub tool: Arc<Known>,
    /// What the agent was asked.
    pub about: String,
    /// Tokens that the result may take.
    pub room: u32,
    /// The agent may be asked to call once more when the output breaks its form.
    pub repairable: bool,
}

/// A result as its agent reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aligned {
    /// The result itself.
    pub text: String,
    /// The output was of the form that its tool declares.
    pub fits: bool,
    /// The agent is asked to call once more.
    pub again: bool,
    /// All that the agent is told.
    pub next: String,
    /// The tokens of that, as text.
    pub tokens: Vec<u32>,
}

impl Terms {
    /// Makes of an output what the agent reads.
    pub fn align(&self, outcome: CallOutcome, output: &[u8]) -> Aligned {
        let tool = &self.tool.descriptor;
        let (text, fits) = self.text(outcome, output);
        let again = !fits && self.repairable && tool.effect != Effect::Irreversible;
        let next =
            if again { words::repair(tool, &text, &self.about) } else { words::result(&text, &self.about) };
        let tokens = self.aligner.tokenizer.encode(&next, Special::AsText).unwrap_or_default();
        Aligned { text, fits, again, next, tokens }
    }

    /// The text of an output, and whether it is of its form.
    fn text(&self, outcome: CallOutcome, output: &[u8]) -> (String, bool) {
        let Aligner { tokenizer, controls, taken } = &*self.aligner;
        let tool = &self.tool.descriptor;
        let failed = outcome != CallOutcome::Done;
        let reason = words::reason(outcome, tool);
        let output = if output.is_empty() && failed { reason.as_bytes() } else { output };
        let room = self.room as usize;
        let request = perception::Request {
            tool: &tool.name,
            source: "",
            failed,
            taken,
            about: &self.about,
            charset: None,
            schema: self.tool.output.as_ref().filter(|_| !failed),
            controls,
            limit_bytes: tool.output_bytes,
            budget_tokens: room,
        };
        let count = |text: &str| most_tokens(text, room, tokenizer);
        let measures = || Measures { count: &count, score: None };
        match perception::align(output, &request, measures()) {
            Ok(aligned) => (aligned.text, true),
            Err(misfit) => {
                let fits = !matches!(misfit, Misfit::Schema(_));
                let reason = misfit.to_string();
                let request = perception::Request { failed: true, schema: None, ..request };
                let text = perception::align(reason.as_bytes(), &request, measures())
                    .map_or_else(|_| String::new(), |aligned| aligned.text);
                (text, fits)
            }
        }
    }
}

/// The tokens of a text, or more where that fits the room as well: every token has a byte, and the tokenizer
/// may put one before them.
fn most_tokens(text: &str, room: usize, tokenizer: &Tokenizer) -> usize {
    match text.len() + 1 {
        most if most <= room => most,
        _ => tokenizer.encode(text, Special::AsText).map_or(usize::MAX, |tokens| tokens.len()),
    }
}

/// A result on its way. Whoever comes to it first makes it: a thread of the crew, or who needs it. Copies are the
/// same.
#[derive(Clone)]
pub struct Coming {
    /// What came of the call.
    pub outcome: CallOutcome,
    is_short: bool,
    work: Arc<Mutex<Work>>,
}

enum Work {
    ToDo {
        terms: Box<Terms>,
        outcome: CallOutcome,
        output: Vec<u8>,
    },
    Done(Aligned),
    /// Its maker broke.
    Broken,
}

/// Bytes of an output that is aligned in less time than a step of its agent's takes: who needs it waits for it.
const SHORT_BYTES: usize = 2048;

impl Coming {
    /// What is to be made of an output.
    pub fn of(terms: Terms, outcome: CallOutcome, output: Vec<u8>) -> Coming {
        let is_short = output.len() <= SHORT_BYTES;
        let work = Work::ToDo { terms: Box::new(terms), outcome, output };
        Coming { outcome, is_short, work: Arc::new(Mutex::new(work)) }
    }

    /// Makes it, unless it is made; waits while somebody else does.
    pub fn make(&self) {
        lock(&self.work).make();
    }

    /// The result, when it is there. One of a short output is.
    pub fn poll(&self) -> Poll<Aligned> {
        if self.is_short {
            self.make();
        }
        let work = match self.work.try_lock() {
            Ok(work) => work,
            Err(TryLockError::Poisoned(broken)) => broken.into_inner(),
            Err(TryLockError::WouldBlock) => return Poll::Pending,
        };
        match &*work {
            Work::ToDo { .. } => Poll::Pending,
            Work::Done(aligned) => Poll::Ready(aligned.clone()),
            // The agent reads that nothing came, as of a tool that gave nothing.
            Work::Broken => Poll::Ready(Aligned {
                text: String::new(),
                fits: true,
                again: false,
                next: String::new(),
                tokens: Vec::new(),
            }),
        }
    }
}

impl Work {
    fn make(&mut self) {
        match std::mem::replace(self, Work::Broken) {
            Work::ToDo { terms, outcome, output } => {
                let made = catch_unwind(AssertUnwindSafe(|| terms.align(outcome, &output)));
                *self = made.map_or(Work::Broken, Work::Done);
            }
            made => *self = made,
        }
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}
