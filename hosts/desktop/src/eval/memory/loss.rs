//! Loss gap: how much worse each token of a text is foretold when less may be attended to.

use agentos_hal::TensorDevice;
use serde::Serialize;

use super::baseline::{self, Asked};
use super::reading::foretold;
use super::{Memory, Setup, Subject};
use crate::bench::BenchError;

/// How well a text is foretold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// What may be attended to.
    pub memory: Memory,
    /// Tokens that may be attended to.
    pub l1: u32,
    /// Tokens of the text.
    pub tokens: u32,
    /// Mean of −ln p over all its tokens but the first, in nats.
    pub loss: f64,
    /// How much that is above full attention's.
    pub gap: f64,
    /// The gap in each stretch of [`STRETCH`] tokens, in order.
    pub gaps: Vec<f64>,
}

/// Tokens over which the gap is told along a text.
pub const STRETCH: usize = 256;

impl Loss {
    /// Compares the log-probabilities of a text's tokens with full attention's.
    ///
    /// # Panics
    /// When the two are not of the same text.
    pub fn of(setup: &Setup, logprobs: &[f64], full: &[f64]) -> Loss {
        assert_eq!(logprobs.len(), full.len(), "the same tokens");
        let gaps = full.chunks(STRETCH).zip(logprobs.chunks(STRETCH));
        Loss {
            memory: setup.memory,
            l1: setup.l1,
            tokens: logprobs.len() as u32 + 1,
            loss: -mean(logprobs),
            gap: mean(full) - mean(logprobs),
            gaps: gaps.map(|(full, own)| mean(full) - mean(own)).collect(),
        }
    }
}

/// The mean over several texts of the same policy and quota, by tokens; the stretches of the shortest count.
pub fn over(losses: &[Loss]) -> Option<Loss> {
    let first = losses.first()?;
    let counted: f64 = losses.iter().map(|loss| f64::from(loss.tokens - 1)).sum();
    let weighted = |of: fn(&Loss) -> f64| {
        losses.iter().map(|loss| of(loss) * f64::from(loss.tokens - 1)).sum::<f64>() / counted.max(1.0)
    };
    let stretches = losses.iter().map(|loss| loss.gaps.len()).min()?;
    let stretch = |at: usize| losses.iter().map(|loss| loss.gaps[at]).sum::<f64>() / losses.len() as f64;
    Some(Loss {
        memory: first.memory,
        l1: first.l1,
        tokens: losses.iter().map(|loss| loss.tokens).sum(),
        loss: weighted(|loss| loss.loss),
        gap: weighted(|loss| loss.gap),
        gaps: (0..stretches).map(stretch).collect(),
    })
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// The log-probability of each token of a text but the first, on a device that was prepared with
/// [`Setup::telling_limits`].
///
/// # Errors
/// Any [`BenchError`].
pub fn logprobs(
    setup: &Setup,
    text: &[u32],
    subject: &Subject<'_>,
    device: &mut dyn TensorDevice,
) -> Result<Vec<f64>, BenchError> {
    match setup.memory {
        Memory::H2o => scores(&mut baseline::h2o::H2o::new(subject, device, setup.l1), text),
        Memory::Quest => scores(&mut baseline::quest::Quest::new(subject, device, setup.l1), text),
        _ => foretold(setup, (&[], text), subject, device)?.0.logprobs(),
    }
}

fn scores(baseline: &mut dyn baseline::Baseline, text: &[u32]) -> Result<Vec<f64>, BenchError> {
    Ok(baseline.read(text, Asked::Scores)?.into_iter().map(|told| told.logprob).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentos_kernel::system::config::Paging;

    #[test]
    fn a_gap_is_what_is_lost_on_average() {
        let setup = Setup {
            memory: Memory::Window,
            tokens: 600,
            l1: 64,
            layer: 0,
            paging: Paging::DEFAULT,
            packed: false,
        };
        let full = vec![-1.0; 512];
        let own: Vec<f64> = (0..512).map(|token| if token < 256 { -1.0 } else { -2.0 }).collect();
        let loss = Loss::of(&setup, &own, &full);
        assert_eq!((loss.loss, loss.gap, loss.gaps), (1.5, 0.5, vec![0.0, 1.0]));
        let short = Loss::of(&setup, &own[384..], &full[384..]);
        let both = over(&[Loss::of(&setup, &own, &full), short]).unwrap();
        assert_eq!((both.gap, both.gaps), ((0.5 * 512.0 + 128.0) / 640.0, vec![0.5]));
        assert_eq!(over(&[]), None);
    }
}
