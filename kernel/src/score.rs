//! Judging a text: how probable a model finds each token of it, and the perplexity of all.

use agentos_hal::{Row, StepReport, Want};

/// A token that was scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Its address in the context.
    pub address: u32,
    /// The token.
    pub token: u32,
    /// The log of its probability, given everything before it.
    pub logprob: f64,
}

/// The scores in a finished step, by address.
pub fn scored<'a>(rows: &'a [Row], report: &StepReport<'a>) -> impl Iterator<Item = Scored> + 'a {
    report.outcomes.iter().filter_map(|outcome| {
        let row = rows[outcome.row as usize];
        let Want::Score(token) = row.want else { return None };
        let logprob = f64::from(outcome.scored) - f64::from(outcome.log_sum_exp);
        Some(Scored { address: row.address + 1, token, logprob })
    })
}

/// The sum over many scored tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likelihood {
    tokens: u64,
    sum: f64,
    sum_of_squares: f64,
}

impl Likelihood {
    /// Counts one token.
    pub fn add(&mut self, logprob: f64) {
        self.tokens += 1;
        self.sum += logprob;
        self.sum_of_squares += logprob * logprob;
    }

    /// Tokens counted.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// e^(−mean logprob), and its standard error; `None` with less than two tokens.
    pub fn perplexity(&self) -> Option<(f64, f64)> {
        if self.tokens < 2 {
            return None;
        }
        let tokens = self.tokens as f64;
        let mean = self.sum / tokens;
        let variance = (self.sum_of_squares / tokens - mean * mean).max(0.0);
        let perplexity = libm::exp(-mean);
        Some((perplexity, perplexity * libm::sqrt(variance / (tokens - 1.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fair_die_has_perplexity_six() {
        let mut die = Likelihood::default();
        assert_eq!(die.perplexity(), None);
        (0..10).for_each(|_| die.add(-libm::log(6.0)));
        let (perplexity, error) = die.perplexity().unwrap();
        assert!((perplexity - 6.0).abs() < 1e-12 && error < 1e-6);
    }

    #[test]
    fn the_error_shrinks_with_the_spread() {
        let mut coin = Likelihood::default();
        [-1.0, -3.0, -1.0, -3.0, -2.0].iter().for_each(|&logprob| coin.add(logprob));
        let (perplexity, error) = coin.perplexity().unwrap();
        assert!((perplexity - libm::exp(2.0)).abs() < 1e-12);
        assert!((error / perplexity - libm::sqrt(0.8 / 4.0)).abs() < 1e-12);
        assert_eq!(coin.tokens(), 5);
    }
}
