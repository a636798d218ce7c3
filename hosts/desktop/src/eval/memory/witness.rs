//! A device that tells what its rows foretell, whoever drives it: a kernel lays out its steps as it always does, and
//! asks for nothing.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DeviceError, Footprint, Limits, MaskError, ModelShape, PageError, PageId, PrepareError, Program,
    Row, Step, StepReport, SubmitError, TensorDevice, Want, WeightSource,
};

use agentos_kernel::system::Tick;

use crate::bench::BenchError;
use crate::distribution::Distribution;

/// A device that is watched. It has to be prepared so that every row may want an outcome.
pub struct Witness<'d> {
    device: &'d mut dyn TensorDevice,
    /// Candidates of the latest row that wanted them by itself, with log-probabilities among those allowed.
    pub found: Vec<(u32, f64)>,
    from: u32,
    text: Vec<u32>,
    seen: Seen,
    rows: Vec<Row>,
    /// The places in the text whose rows are in the step.
    asked: Vec<usize>,
}

/// What rows of a text foretold.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The log-probability of each token but the first, given all before it; none where no row was computed.
    logprobs: Vec<Option<f64>>,
    /// What may follow each token.
    next: Vec<Option<Distribution>>,
}

impl Seen {
    /// The log-probability of each token but the first.
    ///
    /// # Errors
    /// [`BenchError::Stopped`] when a row was not computed.
    pub fn logprobs(self) -> Result<Vec<f64>, BenchError> {
        all(self.logprobs)
    }

    /// What may follow each token.
    ///
    /// # Errors
    /// [`BenchError::Stopped`] when a row was not computed.
    pub fn next(self) -> Result<Vec<Distribution>, BenchError> {
        all(self.next)
    }
}

fn all<T>(seen: Vec<Option<T>>) -> Result<Vec<T>, BenchError> {
    let all: Option<Vec<T>> = seen.into_iter().collect();
    all.ok_or(BenchError::Stopped(Tick::Idle))
}

impl<'d> Witness<'d> {
    /// A device whose rows nobody watches yet.
    pub fn new(device: &'d mut dyn TensorDevice) -> Witness<'d> {
        Witness {
            device,
            found: Vec::new(),
            from: 0,
            text: Vec::new(),
            seen: Seen::default(),
            rows: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Watches the rows of a text that stands from address `from` on. No other rows may be computed at its addresses.
    pub fn watch(&mut self, from: u32, text: &[u32]) {
        (self.from, self.text) = (from, text.to_vec());
        let rest = text.len().saturating_sub(1);
        self.seen = Seen { logprobs: vec![None; rest], next: vec![None; text.len()] };
    }

    /// What was seen since. Nobody is watched any more.
    pub fn take(&mut self) -> Seen {
        self.text.clear();
        std::mem::take(&mut self.seen)
    }

    /// The place in the text of a row.
    fn place(&self, row: &Row) -> Option<usize> {
        let place = row.address.checked_sub(self.from)? as usize;
        (self.text.get(place) == Some(&row.token)).then_some(place)
    }
}

impl TensorDevice for Witness<'_> {
    fn caps(&self) -> Caps {
        self.device.caps()
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.device.prepare(program, shape, limits, weights)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        self.asked.clear();
        if step.rows.iter().any(|row| row.want != Want::Nothing) {
            // Somebody asks by himself, and gets what he asked for.
            return self.device.submit(step);
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        rows.extend_from_slice(step.rows);
        for row in &mut rows {
            if let Some(place) = self.place(row) {
                row.want = self.text.get(place + 1).map_or(Want::Candidates, |&next| Want::Score(next));
                self.asked.push(place);
            }
        }
        let submitted = self.device.submit(&Step { rows: &rows, ..*step });
        self.rows = rows;
        submitted
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        self.device.allow(mask, words)
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let polled = self.device.poll();
        let Poll::Ready(Ok(report)) = polled else { return polled };
        if self.asked.is_empty() {
            if let Some(outcome) = report.outcomes.last() {
                let candidates = report.candidates_of(report.outcomes.len() - 1);
                let logprob = |logit: f32| f64::from(logit) - f64::from(outcome.log_sum_exp);
                self.found.clear();
                self.found.extend(candidates.iter().map(|found| (found.token, logprob(found.logit))));
            }
            return Poll::Ready(Ok(report));
        }
        for (&place, (outcome, next)) in
            self.asked.iter().zip(report.outcomes.iter().zip(Distribution::all(&report)))
        {
            if let Some(logprob) = self.seen.logprobs.get_mut(place) {
                *logprob = Some(f64::from(outcome.scored) - f64::from(outcome.log_sum_exp));
            }
            self.seen.next[place] = Some(next);
        }
        // Who drives the device asked for none of it.
        Poll::Ready(Ok(StepReport { outcomes: &[], candidates: &[], ..report }))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        self.device.copy_out(page, image)
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        self.device.copy_in(page, image)
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        self.device.copy_pages(pairs)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        self.device.summarise(page, layer, tokens, summary)
    }
}
