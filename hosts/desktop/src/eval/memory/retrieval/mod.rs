//! Retrieval: an agent reads a text with a few facts in it and is asked for them, one by one, each time from
//! the same beginning. Its answer is judged among twenty candidates by their probabilities.
//!
//! * `facts`: the texts. `reader`: an agent that reads them. `answer`: what it finds likely.

mod answer;
mod facts;
mod reader;

use std::time::Instant;

use agentos_hal::TensorDevice;
use agentos_kernel::agent::Metrics;
use serde::Serialize;

use super::baseline::{Asked, Baseline, h2o::H2o, quest::Quest};
use super::{Memory, Setup, Subject};
use crate::bench::BenchError;
use crate::boot::Boot;
use answer::{Answer, allow};
pub use facts::{Exam, ExamError, FACTS, Maker, Place, Question};
use reader::Reader;

/// What came of a setup.
#[derive(Clone, Debug, Serialize)]
pub struct Sheet {
    /// What the agent might attend to.
    pub memory: Memory,
    /// Tokens of the longest text.
    pub tokens: u32,
    /// The quota in tokens.
    pub l1: u32,
    /// Questions asked.
    pub questions: u32,
    /// The share of them whose answer was the most likely candidate.
    pub first: f64,
    /// The share of them whose answer was among the four most likely.
    pub top4: f64,
    /// The mean log-probability of the right answer, among all candidates.
    pub logprob: f64,
    /// Slices that were brought in for questions.
    pub faults: u64,
    /// Questions that were read again.
    pub replays: u64,
    /// Rows of those.
    pub replayed: u64,
    /// Pages that came back into page memory.
    pub paged_in: u64,
    /// Microseconds per token of each thousand of the first text, in order; of the kernel's policies alone.
    pub us_per_token: Vec<f64>,
    /// The kernel's own share of the time of an exam, at most; of its own policies alone.
    pub kernel_share: f64,
    /// Pages of page memory that were in use at most; of the kernel's policies alone.
    pub l1_pages: u32,
}

impl Sheet {
    fn new(setup: &Setup) -> Sheet {
        Sheet {
            memory: setup.memory,
            tokens: 0,
            l1: setup.l1,
            questions: 0,
            first: 0.0,
            top4: 0.0,
            logprob: 0.0,
            faults: 0,
            replays: 0,
            replayed: 0,
            paged_in: 0,
            us_per_token: Vec::new(),
            kernel_share: 0.0,
            l1_pages: 0,
        }
    }

    fn count(&mut self, exam: &Exam, question: &Question, answer: &Answer) {
        let rank = answer.rank(question.answer);
        self.questions += 1;
        self.first += f64::from(u8::from(rank == 0));
        self.top4 += f64::from(u8::from(rank < 4));
        self.logprob += answer.logprob(question.answer);
        self.faults += answer.metrics.faults;
        self.replays += answer.metrics.replays;
        self.replayed += answer.metrics.replayed;
        self.paged_in += answer.metrics.paged_in;
        self.tokens = self.tokens.max((exam.text.len() + question.tokens.len()) as u32);
    }

    fn finish(&mut self) {
        let count = f64::from(self.questions.max(1));
        self.first /= count;
        self.top4 /= count;
        self.logprob /= count;
    }
}

/// Asks all questions of all exams, on a device that was prepared with [`Setup::limits`].
///
/// # Errors
/// Any [`BenchError`].
pub fn run(
    setup: &Setup,
    exams: &[Exam],
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
) -> Result<Sheet, BenchError> {
    let mut sheet = Sheet::new(setup);
    for exam in exams {
        match setup.memory {
            Memory::H2o => examine(&mut H2o::new(subject, device, setup.l1), exam, subject, &mut sheet)?,
            Memory::Quest => examine(&mut Quest::new(subject, device, setup.l1), exam, subject, &mut sheet)?,
            _ => examine_agent(setup, exam, subject, device, &mut sheet)?,
        }
    }
    sheet.finish();
    Ok(sheet)
}

fn examine_agent(
    setup: &Setup,
    exam: &Exam,
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
    sheet: &mut Sheet,
) -> Result<(), BenchError> {
    let start = Instant::now();
    let mut boot = Boot::new(setup.config(subject), subject.shape, subject.delimiters.to_vec(), Vec::new());
    let mut reader = Reader::new(&mut boot, device, setup)?;
    let times = reader.read(&exam.text)?;
    for question in &exam.questions {
        let answer = reader.ask(&question.tokens, &exam.candidates)?;
        sheet.count(exam, question, &answer);
    }
    let share = reader.kernel_us() as f64 / 1e6 / start.elapsed().as_secs_f64();
    sheet.kernel_share = sheet.kernel_share.max(share);
    sheet.l1_pages = sheet.l1_pages.max(reader.l1_pages);
    if sheet.us_per_token.is_empty() {
        sheet.us_per_token = times;
    }
    Ok(())
}

fn examine(
    baseline: &mut dyn Baseline,
    exam: &Exam,
    subject: &Subject<'_>,
    sheet: &mut Sheet,
) -> Result<(), BenchError> {
    let mut mask = vec![0; subject.shape.mask_words()];
    allow(&exam.candidates, &mut mask);
    baseline.read(&exam.text, Asked::Nothing)?;
    baseline.mark();
    for question in &exam.questions {
        let told = baseline.read(&question.tokens, Asked::Next(&mask))?;
        let candidates = told.into_iter().last().map(|told| told.candidates).unwrap_or_default();
        let answer = Answer { candidates, metrics: Metrics::default() };
        sheet.count(exam, question, &answer);
        baseline.go_back()?;
    }
    Ok(())
}
