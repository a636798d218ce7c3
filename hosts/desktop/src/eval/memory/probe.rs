//! A device that remembers what it last found for the next token, and a guard that asks it of a few.

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DeviceError, Footprint, Limits, ModelShape, PageError, PageId, PrepareError, Program, Step,
    StepReport, SubmitError, TensorDevice, WeightSource,
};
use agentos_kernel::agent::{AgentId, Metrics};
use agentos_kernel::guard::{Allowed, Guard};

/// What was found for an answer.
pub struct Answer {
    /// Each candidate, the most likely first, with its log-probability among them.
    pub candidates: Vec<(u32, f64)>,
    /// What the agent used for it.
    pub metrics: Metrics,
}

impl Answer {
    /// How many candidates are more likely than this one.
    pub fn rank(&self, token: u32) -> usize {
        self.candidates.iter().position(|candidate| candidate.0 == token).unwrap_or(usize::MAX)
    }

    /// The log-probability of a candidate.
    pub fn logprob(&self, token: u32) -> f64 {
        let found = self.candidates.iter().find(|candidate| candidate.0 == token);
        found.map_or(f64::NEG_INFINITY, |found| found.1)
    }
}

/// A device that remembers the candidates that it last reported.
pub struct Probe<'d> {
    pub device: &'d mut dyn TensorDevice,
    pub found: Vec<(u32, f64)>,
}

impl TensorDevice for Probe<'_> {
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
        self.device.submit(step)
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        let polled = self.device.poll();
        if let Poll::Ready(Ok(report)) = &polled
            && let Some(outcome) = report.outcomes.last()
        {
            let candidates = report.candidates_of(report.outcomes.len() - 1);
            let logprob = |logit: f32| f64::from(logit) - f64::from(outcome.log_sum_exp);
            self.found.clear();
            self.found.extend(candidates.iter().map(|found| (found.token, logprob(found.logit))));
        }
        polled
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

/// Allows a few tokens.
pub struct Among<'c>(pub &'c [u32]);

impl Guard for Among<'_> {
    fn next(&mut self, _: AgentId, mask: &mut [u32]) -> Allowed {
        mask.fill(0);
        for &token in self.0 {
            mask[token as usize / 32] |= 1 << (token % 32);
        }
        Allowed::Masked
    }
}
