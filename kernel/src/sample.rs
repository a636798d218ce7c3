//! Choosing the next token: pure functions over a device's candidates.
//!
//! A device hands over its best k candidates and the exact log-sum-exp of all logits, so every
//! probability here is that of the whole vocabulary, but only those k can be chosen. Tokens beyond
//! them count as mass that top-p has not reached. A penalty on a token beyond them has no effect.
//!
//! The order is penalty, top-k, top-p, min-p, temperature; the filters see the distribution before
//! temperature.

use agentos_hal::Candidate;
use serde::{Deserialize, Serialize};

use crate::random;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the best candidate.
    pub temperature: f32,
    /// Only the best so many; 0 for no such limit.
    pub top_k: u32,
    /// Only the fewest best candidates that together have this probability, of what top-k left;
    /// 1 for all.
    pub top_p: f32,
    /// Only candidates at least this share as probable as the best; 0 for all.
    pub min_p: f32,
    /// Positive logits of recent tokens are divided by it, negative ones multiplied; 1 for none.
    /// Source: Keskar et al., "CTRL" (arXiv 1909.05858), section 4.1.
    pub repeat_penalty: f32,
    /// How many tokens back the penalty looks.
    pub repeat_window: u32,
    /// Same seed, same text.
    pub seed: u64,
}

impl Sampling {
    /// Always the best candidate.
    pub const GREEDY: Sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        repeat_window: 64,
        seed: 0,
    };
}

/// A parameter that is not in its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingError {
    /// The parameter.
    pub name: &'static str,
    /// What it is.
    pub value: f32,
    /// What would be accepted.
    pub accepted: &'static str,
}

impl core::fmt::Display for SamplingError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} is {}; accepted is {}", self.name, self.value, self.accepted)
    }
}

impl core::error::Error for SamplingError {}

/// What may follow a sequence, as the device found it.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    /// The best candidates, best first; at least one.
    pub candidates: &'a [Candidate],
    /// ln Σ e^logit over all allowed tokens: logprob = logit − log_sum_exp.
    pub log_sum_exp: f32,
    /// Entropy of the distribution over all allowed tokens, in nats.
    pub entropy: f32,
}

impl Next<'_> {
    /// The log of a candidate's probability under the model.
    pub fn logprob(&self, candidate: &Candidate) -> f32 {
        candidate.logit - self.log_sum_exp
    }
}

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The token.
    pub token: u32,
    /// Its logit, before any penalty.
    pub logit: f32,
    /// The log of its probability under the model, before penalty and filters.
    pub logprob: f32,
}

/// A candidate on its way through the filters: scratch that the caller lends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weighed {
    candidate: u32,
    token: u32,
    /// The logit after the penalty.
    logit: f64,
    /// e^(logit − log-sum-exp): the probability, but for the penalties' renormalisation.
    weight: f64,
}

impl Weighed {
    /// What a table of them starts with.
    pub const ZERO: Weighed = Weighed { candidate: 0, token: 0, logit: 0.0, weight: 0.0 };
}

/// Parameters that were checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    sampling: Sampling,
}

impl Sampler {
    /// Checks the parameters.
    ///
    /// # Errors
    /// The first parameter that is not in its range.
    pub fn new(sampling: Sampling) -> Result<Sampler, SamplingError> {
        let Sampling { temperature, top_p, min_p, repeat_penalty, .. } = sampling;
        let at_least_0 = temperature.is_finite() && temperature >= 0.0;
        let positive = repeat_penalty.is_finite() && repeat_penalty > 0.0;
        for (right, name, value, accepted) in [
            (at_least_0, "temperature", temperature, "a number of at least 0"),
            (top_p > 0.0 && top_p <= 1.0, "top-p", top_p, "a number above 0 and at most 1"),
            ((0.0..=1.0).contains(&min_p), "min-p", min_p, "a number from 0 to 1"),
            (positive, "repeat-penalty", repeat_penalty, "a number above 0"),
        ] {
            if !right {
                return Err(SamplingError { name, value, accepted });
            }
        }
        Ok(Sampler { sampling })
    }

    /// The parameters.
    pub const fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// Chooses the token at `address`, which is all that the draw depends on besides the seed.
    /// `past` are the tokens before it; `scratch` has room for every candidate.
    ///
    /// # Panics
    /// Without candidates, or with too little scratch.
    pub fn choose(&self, next: &Next<'_>, past: &[u32], address: u32, scratch: &mut [Weighed]) -> Choice {
        assert!(!next.candidates.is_empty(), "a device gives at least one candidate");
        let sampling = &self.sampling;
        let recent = &past[past.len().saturating_sub(sampling.repeat_window as usize)..];
        let weighed = &mut scratch[..next.candidates.len()];
        let beyond = weigh(next, recent, f64::from(sampling.repeat_penalty), weighed);
        weighed.sort_unstable_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
        let chosen = if sampling.temperature == 0.0 {
            weighed[0]
        } else {
            let kept = keep(weighed, beyond, sampling);
            draw(kept, f64::from(sampling.temperature), random::unit(sampling.seed, u64::from(address)))
        };
        let candidate = &next.candidates[chosen.candidate as usize];
        Choice { token: candidate.token, logit: candidate.logit, logprob: next.logprob(candidate) }
    }
}

/// Fills `weighed`, and returns the weight of all tokens that are no candidates.
fn weigh(next: &Next<'_>, recent: &[u32], penalty: f64, weighed: &mut [Weighed]) -> f64 {
    let log_sum_exp = f64::from(next.log_sum_exp);
    let mut beyond = 1.0;
    for (index, (candidate, out)) in next.candidates.iter().zip(weighed).enumerate() {
        let logit = f64::from(candidate.logit);
        beyond -= libm::exp(logit - log_sum_exp);
        let logit = if recent.contains(&candidate.token) { penalised(logit, penalty) } else { logit };
        let weight = libm::exp(logit - log_sum_exp);
        *out = Weighed { candidate: index as u32, token: candidate.token, logit, weight };
    }
    beyond.max(0.0)
}

fn penalised(logit: f64, penalty: f64) -> f64 {
    if logit > 0.0 { logit / penalty } else { logit * penalty }
}

/// The candidates that pass top-k, top-p and min-p; never none.
fn keep<'w>(sorted: &'w [Weighed], beyond: f64, sampling: &Sampling) -> &'w [Weighed] {
    let best = sorted[0];
    let (kept, beyond) = match sampling.top_k as usize {
        0 => (sorted, beyond),
        k => (&sorted[..k.min(sorted.len())], 0.0),
    };
    let total = beyond + kept.iter().map(|one| one.weight).sum::<f64>();
    let enough = f64::from(sampling.top_p) * total;
    let mut reached = 0.0;
    let short = kept.iter().take_while(|one| {
        let before = reached;
        reached += one.weight;
        before < enough
    });
    let kept = if sampling.top_p < 1.0 { &kept[..short.count().max(1)] } else { kept };
    // In logs, because the weights themselves may underflow.
    let least = best.logit + libm::log(f64::from(sampling.min_p));
    &kept[..kept.iter().take_while(|one| one.logit >= least).count().max(1)]
}

/// Draws from the candidates at a temperature; `unit` is a number in \[0, 1).
fn draw(kept: &[Weighed], temperature: f64, unit: f64) -> Weighed {
    let best = kept[0].logit;
    let heat = |one: &Weighed| libm::exp((one.logit - best) / temperature);
    let target = unit * kept.iter().map(heat).sum::<f64>();
    let mut reached = 0.0;
    let found = kept.iter().find(|one| {
        reached += heat(one);
        target < reached
    });
    // Rounding may leave the target a hair above the last sum.
    *found.unwrap_or(&kept[kept.len() - 1])
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
