//! A device that computes one context, and shows the queries of every row in every layer.

use std::task::Poll;

use agentos_hal::page::image_bytes;
use agentos_hal::{
    LayerRange, Limits, PageId, Reg, Row, Segment, Span, Step, StepReport, Tap, TensorDevice, Want,
};

use super::super::Subject;
use super::Asked;
use crate::bench::BenchError;
use crate::device::until_ready;

/// What was asked of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// The log-probability of the token that follows it; 0 where it was not asked for.
    pub logprob: f64,
    /// What may follow, best first, with log-probabilities among those allowed.
    pub candidates: Vec<(u32, f64)>,
}

/// What a step showed.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Of each row that was asked.
    pub told: Vec<Told>,
    /// Of each row, of each layer, the queries of all heads, not rotated.
    pub queries: Vec<f32>,
}

/// What a device is prepared with for a baseline that computes so many rows of one context in a step, and maps so many
/// segments and pages.
pub fn limits(subject: &Subject<'_>, rows: u32, tokens: u32, (segments, pages): (u32, u32)) -> Limits {
    Limits {
        rows,
        spans: 1,
        segments,
        segment_pages: pages,
        outcomes: rows,
        candidates: 64.min(subject.shape.vocab),
        masks: 1,
        taps: subject.shape.layers,
        exposed: rows,
        context: tokens,
        pages,
        kv: subject.kv,
    }
}

/// A device.
pub struct Machine<'d> {
    device: &'d mut dyn TensorDevice,
    taps: Vec<Tap>,
    image: Vec<u8>,
}

impl<'d> Machine<'d> {
    /// A device that was prepared for a baseline.
    pub fn new(subject: &Subject<'_>, device: &'d mut dyn TensorDevice) -> Machine<'d> {
        let taps = (0..subject.shape.layers).map(|layer| Tap::Layer(layer, Reg::Query)).collect();
        Machine { device, taps, image: vec![0; image_bytes(subject.shape, subject.kv)] }
    }

    /// Computes rows of one context.
    ///
    /// # Errors
    /// What the device says.
    pub fn step(
        &mut self,
        rows: &[Row],
        segments: &[Segment],
        pages: &[PageId],
        asked: Asked<'_>,
    ) -> Result<Shown, BenchError> {
        let masks: &[&[u32]] = match &asked {
            Asked::Next(mask) => std::slice::from_ref(mask),
            _ => &[],
        };
        let step = Step {
            rows,
            spans: &[Span { rows: rows.len() as u32, segments: segments.len() as u32 }],
            segments,
            pages,
            masks,
            taps: &self.taps,
            counters: LayerRange::NONE,
            depth: None,
        };
        self.device.submit(&step).map_err(BenchError::Submit)?;
        loop {
            match self.device.poll() {
                Poll::Ready(report) => return Ok(shown(&report.map_err(BenchError::Device)?)),
                Poll::Pending => std::thread::yield_now(),
            }
        }
    }

    /// The image of a page.
    ///
    /// # Errors
    /// What the device says.
    pub fn image(&mut self, page: PageId) -> Result<&[u8], BenchError> {
        until_ready(|| self.device.copy_out(page, &mut self.image)).map_err(BenchError::Page)?;
        Ok(&self.image)
    }

    /// Fills a page.
    ///
    /// # Errors
    /// What the device says.
    pub fn fill(&mut self, page: PageId, image: &[u8]) -> Result<(), BenchError> {
        until_ready(|| self.device.copy_in(page, image)).map_err(BenchError::Page)
    }
}

fn shown(report: &StepReport<'_>) -> Shown {
    let told = |(index, outcome): (usize, &agentos_hal::Outcome)| {
        let logprob = |logit: f32| f64::from(logit) - f64::from(outcome.log_sum_exp);
        let candidates = report.candidates_of(index).iter();
        Told {
            logprob: logprob(outcome.scored),
            candidates: candidates.map(|one| (one.token, logprob(one.logit))).collect(),
        }
    };
    Shown { told: report.outcomes.iter().enumerate().map(told).collect(), queries: report.exposed.to_vec() }
}

/// The row of a token: in a segment that begins at `base`, of whose pages `page` is the one that takes it.
pub fn row(tokens: &[u32], at: usize, (address, base): (u32, u32), page: PageId, asked: Asked<'_>) -> Row {
    let offset = address - base;
    let next = tokens.get(at + 1);
    let (want, mask) = match (asked, next) {
        (Asked::Scores, Some(&next)) => (Want::Score(next), None),
        (Asked::Next(_), None) => (Want::Candidates, Some(0)),
        _ => (Want::Nothing, None),
    };
    let place = (offset as usize % agentos_hal::PAGE_TOKENS) as u8;
    Row { token: tokens[at], address, page, place, offset, want, mask, expose: true }
}
