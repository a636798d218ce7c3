//! What is found likely of a few tokens.

use agentos_hal::LateMasks;
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

/// Sets the bits of a few tokens, and of no other.
pub fn allow(tokens: &[u32], mask: &mut [u32]) {
    mask.fill(0);
    for &token in tokens {
        mask[token as usize / 32] |= 1 << (token % 32);
    }
}

/// Allows a few tokens.
pub struct Among<'c>(pub &'c [u32]);

impl Guard for Among<'_> {
    fn next(&mut self, _: AgentId, mask: &mut [u32], _: LateMasks) -> Allowed {
        allow(self.0, mask);
        Allowed::Masked
    }

    fn ends(&self, _: AgentId) -> bool {
        true
    }
}
