//! Retrieval: an agent reads a text with a few facts in it and is asked for them, one by one, each time from
//! the same beginning. Its answer is judged among twenty candidates by their probabilities.
//!
//! * [`Plan`]: how long the text is, how much of it the agent may attend to, by which policy.
//! * `facts`: the texts. `reader`: an agent that reads them. `probe`: what it finds likely.

mod facts;
mod probe;
mod reader;

use std::time::Instant;

use agentos_hal::{KvType, Limits, ModelShape, PAGE_TOKENS, TensorDevice};
use agentos_kernel::agent::MemoryMode;
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::memory::admit::SPARE_PAGES;
use agentos_kernel::memory::select::Policy;
use agentos_kernel::system::Config;
use agentos_kernel::system::config::Paging;
use serde::Serialize;

use crate::bench::BenchError;
pub use facts::{Exam, ExamError, FACTS, Maker, Place, Question};
use reader::Reader;

/// What an agent may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// All of its context.
    Full,
    /// What is relevant, within the quota.
    Relevance,
    /// What held attention, within the quota.
    Recency,
    /// The sink and the latest, within the quota.
    Window,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What the agent may attend to.
    pub memory: Memory,
    /// Tokens of a text with its question, at most.
    pub tokens: u32,
    /// The quota in tokens.
    pub l1: u32,
    /// The layer whose attention tells what is relevant.
    pub layer: u32,
    /// How it pages.
    pub paging: Paging,
    /// How keys and values are kept.
    pub kv: KvType,
}

/// What came of it.
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
    /// Slices that were brought in for questions, and how often questions were read again.
    pub faults: u64,
    /// Questions that were read again.
    pub replays: u64,
    /// Rows of those.
    pub replayed: u64,
    /// Pages that came back into page memory.
    pub paged_in: u64,
    /// Microseconds per token of each thousand of the first text, in order.
    pub us_per_token: Vec<f64>,
    /// The kernel's own share of all time.
    pub kernel_share: f64,
    /// Pages of page memory that were in use at most.
    pub l1_pages: u32,
}

impl Plan {
    /// The sizes of a system for it: a reader and one fork of it.
    pub fn config(&self, shape: &ModelShape) -> Config {
        let worst = SliceLimits::DEFAULT.worst_pages(self.tokens);
        let quota = self.l1.div_ceil(PAGE_TOKENS as u32);
        let l1 = match self.memory {
            Memory::Full => 2 * worst + SPARE_PAGES,
            _ => 2 * quota + SPARE_PAGES,
        };
        let l2 = (2 * worst + SPARE_PAGES).saturating_sub(l1) + SPARE_PAGES;
        Config {
            candidates: 64,
            masks: 1,
            mask_words: shape.mask_words() as u32,
            kv: self.kv,
            paging: self.paging,
            ..Config::new(2, self.tokens, l1, l2).with_relevance(shape, self.layer)
        }
        .checked()
    }

    /// What a device is prepared with.
    pub fn limits(&self, shape: &ModelShape) -> Limits {
        self.config(shape).device_limits(shape)
    }

    fn mode(&self) -> MemoryMode {
        match self.memory {
            Memory::Full => MemoryMode::Exact,
            _ => MemoryMode::Bounded { pages: self.l1.div_ceil(PAGE_TOKENS as u32), packed: false },
        }
    }

    fn policy(&self) -> Policy {
        match self.memory {
            Memory::Full | Memory::Relevance => Policy::Relevance,
            Memory::Recency => Policy::Recency,
            Memory::Window => Policy::Window,
        }
    }

    /// Asks all questions of all exams, on a device that was prepared with [`Plan::limits`].
    ///
    /// # Errors
    /// Any [`BenchError`].
    pub fn run(
        &self,
        exams: &[Exam],
        shape: &ModelShape,
        delimiters: &[Delimiter],
        device: &mut dyn TensorDevice,
    ) -> Result<Sheet, BenchError> {
        let mut sheet = Sheet {
            memory: self.memory,
            tokens: 0,
            l1: self.l1,
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
        };
        let start = Instant::now();
        let mut kernel_us = 0;
        for (number, exam) in exams.iter().enumerate() {
            let mut boot = crate::boot::Boot::new(self.config(shape), shape, delimiters.to_vec(), Vec::new());
            let mut reader = Reader::new(&mut boot, device, self.mode(), self.policy(), self.tokens)?;
            let times = reader.read(&exam.text)?;
            if number == 0 {
                sheet.us_per_token = times;
            }
            for question in &exam.questions {
                let answer = reader.ask(&question.tokens, &exam.candidates)?;
                let rank = answer.rank(question.answer);
                sheet.questions += 1;
                sheet.first += f64::from(u8::from(rank == 0));
                sheet.top4 += f64::from(u8::from(rank < 4));
                sheet.logprob += answer.logprob(question.answer);
                sheet.faults += answer.metrics.faults;
                sheet.replays += answer.metrics.replays;
                sheet.replayed += answer.metrics.replayed;
                sheet.paged_in += answer.metrics.paged_in;
                let tokens = exam.text.len() + question.tokens.len();
                sheet.tokens = sheet.tokens.max(tokens as u32);
            }
            kernel_us += reader.kernel_us();
            sheet.l1_pages = sheet.l1_pages.max(reader.l1_pages());
        }
        let count = f64::from(sheet.questions.max(1));
        sheet.first /= count;
        sheet.top4 /= count;
        sheet.logprob /= count;
        sheet.kernel_share = kernel_us as f64 / 1e6 / start.elapsed().as_secs_f64();
        Ok(sheet)
    }
}
