//! The machine's performance counters, and what it found for the next token.

use bytemuck::{Pod, Zeroable};

/// Attention mass as a fixed-point number, so that sums are exact in any order: units of 2⁻³² of one
/// head's attention of one row in one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub struct Mass(pub u64);

impl Mass {
    /// Units in a mass of 1.
    pub const ONE: f32 = 4_294_967_296.0;

    /// A share of attention (0 … 1) as a mass; every backend rounds through this function.
    pub fn from_share(share: f32) -> Mass {
        Mass((share * Mass::ONE) as u64)
    }

    /// The mass as a number of whole heads' attention.
    pub fn as_f32(self) -> f32 {
        self.0 as f32 / Mass::ONE
    }
}

/// Adds up, and stays at the largest mass when that is passed: a token that everybody looks at gets
/// there within days.
impl core::ops::AddAssign for Mass {
    fn add_assign(&mut self, other: Mass) {
        self.0 = self.0.saturating_add(other.0);
    }
}

/// A possible next token.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Candidate {
    /// The token.
    pub token: u32,
    /// Its logit.
    pub logit: f32,
}

/// What a row that wanted it learned about the next token.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Outcome {
    /// The row, counted within the step.
    pub row: u32,
    /// Candidates there are of it: `Limits::candidates`, or fewer when the mask allows fewer.
    pub candidates: u32,
    /// ln Σ e^logit over the allowed tokens: logprob = logit − log_sum_exp.
    pub log_sum_exp: f32,
    /// Entropy of the distribution over the allowed tokens, in nats.
    pub entropy: f32,
    /// The logit of the token in `Want::Score`, masked or not; 0 for `Want::Candidates`.
    pub scored: f32,
}

/// What a finished step reports. The slices live in the device until its next `submit`.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepReport<'d> {
    /// Per row: attention entropy in nats (paper eq. 2's H), mean over heads and over the layers of
    /// `Step::counters`; 0 when there are none.
    pub entropy: &'d [f32],
    /// Per segment of the step: attention mass it received from its span's rows, summed over rows,
    /// heads and the layers of `Step::counters`.
    pub mass: &'d [Mass],
    /// Per row that wants one, in row order.
    pub outcomes: &'d [Outcome],
    /// `Limits::candidates` places per outcome, best first, equal logits by lower token; places
    /// beyond `Outcome::candidates` hold nothing of use.
    pub candidates: &'d [Candidate],
    /// For each exposed row in row order, for each tap in the step's order: the register's row.
    pub exposed: &'d [f32],
}

impl<'d> StepReport<'d> {
    /// The candidates of outcome `index`, best first.
    pub fn candidates_of(&self, index: usize) -> &'d [Candidate] {
        let stride = if self.outcomes.is_empty() { 0 } else { self.candidates.len() / self.outcomes.len() };
        let first = index * stride;
        &self.candidates[first..first + self.outcomes[index].candidates as usize]
    }
}
