//! What may come next, and how far apart two such predictions are.

use agentos_hal::{Candidate, Outcome, StepReport};
use serde::Serialize;

/// What may come next, as far as a device tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// Tokens in their order, with log-probabilities.
    tokens: Vec<(u32, f32)>,
    best: Option<(u32, f32)>,
}

impl Distribution {
    /// That of candidates, best first.
    pub fn of(candidates: &[Candidate], outcome: &Outcome) -> Distribution {
        let logprob = |one: &Candidate| (one.token, one.logit - outcome.log_sum_exp);
        Distribution::new(candidates.iter().map(logprob).collect())
    }

    /// That of every outcome of a step.
    pub fn all<'r>(report: &'r StepReport<'_>) -> impl Iterator<Item = Distribution> + use<'r> {
        let of = |(index, outcome)| Distribution::of(report.candidates_of(index), outcome);
        report.outcomes.iter().enumerate().map(of)
    }

    fn new(mut tokens: Vec<(u32, f32)>) -> Distribution {
        let best = tokens.first().copied();
        tokens.sort_unstable_by_key(|one| one.0);
        Distribution { tokens, best }
    }

    /// The most probable token, with its log-probability.
    pub fn best(&self) -> Option<(u32, f32)> {
        self.best
    }

    /// KL divergence of another prediction from this one in nats, by what both tell; all other tokens count as one.
    pub fn divergence(&self, other: &Distribution) -> f64 {
        let (mut kl, mut own_rest, mut other_rest) = (0.0, 1.0f64, 1.0f64);
        let mut others = other.tokens.iter().peekable();
        for &(token, logprob) in &self.tokens {
            while others.next_if(|one| one.0 < token).is_some() {}
            let Some(&(_, found)) = others.next_if(|one| one.0 == token) else { continue };
            let (p, q) = (f64::from(logprob).exp(), f64::from(found).exp());
            kl += p * (f64::from(logprob) - f64::from(found));
            own_rest -= p;
            other_rest -= q;
        }
        if own_rest > REST && other_rest > REST {
            kl += own_rest * (own_rest / other_rest).ln();
        }
        kl.max(0.0)
    }
}

/// What is left of 1 by rounding is no token.
const REST: f64 = 1e-5;

/// How far predictions are from exact ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Distance {
    /// Predictions compared.
    pub tokens: u32,
    /// Mean KL divergence from the exact ones, in nats.
    pub kl: f64,
    /// The share of them whose most probable token is the same.
    pub top1: f64,
}

impl Distance {
    /// Counts predictions of the same tokens.
    pub fn add(&mut self, exact: &[Distribution], found: &[Distribution]) {
        let before = f64::from(self.tokens);
        let (mut kl, mut same) = (self.kl * before, self.top1 * before);
        for (exact, found) in exact.iter().zip(found) {
            kl += exact.divergence(found);
            let token = |one: &Distribution| one.best().map(|best| best.0);
            same += f64::from(u8::from(token(exact) == token(found)));
            self.tokens += 1;
        }
        let count = f64::from(self.tokens.max(1));
        (self.kl, self.top1) = (kl / count, same / count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(p: &[f64]) -> Distribution {
        let mut tokens: Vec<(u32, f32)> = (0..).zip(p).map(|(token, p)| (token, p.ln() as f32)).collect();
        tokens.sort_by(|a, b| b.1.total_cmp(&a.1));
        Distribution::new(tokens)
    }

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let (a, b) = (distribution(&[0.5, 0.3, 0.2]), distribution(&[0.4, 0.4, 0.2]));
        let expected = 0.5 * (0.5f64 / 0.4).ln() + 0.3 * (0.3f64 / 0.4).ln();
        assert!((a.divergence(&b) - expected).abs() < 1e-6);
        assert!(a.divergence(&a).abs() < 1e-6);
        // What is not among the candidates of both is one rest.
        let (a, b) = (distribution(&[0.5, 0.2]), distribution(&[0.25, 0.6]));
        let rest = 0.3 * (0.3f64 / 0.15).ln();
        let expected = 0.5 * 2f64.ln() + 0.2 * (0.2f64 / 0.6).ln() + rest;
        assert!((a.divergence(&b) - expected).abs() < 1e-6);
        assert_eq!(Distribution::default().divergence(&Distribution::default()), 0.0);
    }

    #[test]
    fn tokens_that_only_one_tells_are_part_of_the_rest() {
        let a = Distribution::new(vec![(7, 0.5f32.ln()), (1, 0.3f32.ln())]);
        let b = Distribution::new(vec![(7, 0.5f32.ln()), (3, 0.3f32.ln())]);
        assert!(a.divergence(&b).abs() < 1e-6);
        assert_eq!((a.best().unwrap().0, b.best().unwrap().0), (7, 7));
    }

    #[test]
    fn a_distance_is_a_mean_over_all_that_were_added() {
        let (a, b) = (distribution(&[0.75, 0.25]), distribution(&[0.25, 0.75]));
        let mut distance = Distance::default();
        distance.add(&[a.clone(), a.clone()], &[a.clone(), b.clone()]);
        distance.add(std::slice::from_ref(&a), &[b]);
        assert_eq!((distance.tokens, distance.top1), (3, 1.0 / 3.0));
        assert!((distance.kl - 2.0 / 3.0 * 0.5 * 3f64.ln()).abs() < 1e-6);
    }
}
