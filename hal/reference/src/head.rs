//! `Head`: logits, and what becomes of them.

use alloc::vec::Vec;

use agentos_hal::{Candidate, DeviceError, Outcome, Reg, Want, WeightRole, walk};

use crate::interpret::dot;
use crate::machine::{Batch, Machine};

impl Machine {
    /// Fills the report's outcomes and candidates.
    pub fn head(&mut self, step: &Batch, input: Reg, weight: WeightRole) -> Result<(), DeviceError> {
        self.logits(step, input, weight);
        let (vocab, words) = (self.shape.vocab as usize, step.mask_words);
        for ((number, row), logits) in walk::wanted(&step.rows).zip(self.logits.chunks_exact(vocab)) {
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(DeviceError::NotFinite { row: number as u32 });
            }
            let mask = row.mask.map(|mask| &step.masks[usize::from(mask) * words..][..words]);
            let (log_sum_exp, entropy) = distribution(logits, mask);
            let candidates = select(logits, mask, self.limits.candidates as usize, &mut self.candidates);
            let scored = if let Want::Score(token) = row.want { logits[token as usize] } else { 0.0 };
            self.outcomes.push(Outcome { row: number as u32, candidates, log_sum_exp, entropy, scored });
        }
        Ok(())
    }

    fn logits(&mut self, step: &Batch, input: Reg, weight: WeightRole) {
        let (vocab, width) = (self.shape.vocab as usize, input.width(&self.shape) as usize);
        self.logits.resize(walk::wanted(&step.rows).count() * vocab, 0.0);
        for token in 0..vocab {
            self.weights.row(weight, None, token, &mut self.weight_row);
            let wanted = walk::wanted(&step.rows).zip(self.logits.chunks_exact_mut(vocab));
            for ((number, _), logits) in wanted {
                let vector = &self.regs[input as usize][number * width..][..width];
                logits[token] = dot(&self.weight_row, vector) as f32;
            }
        }
    }
}

fn allowed<'a>(logits: &'a [f32], mask: Option<&'a [u32]>) -> impl Iterator<Item = Candidate> + 'a {
    let candidates = logits.iter().zip(0..).map(|(&logit, token)| Candidate { token, logit });
    candidates.filter(move |&Candidate { token, .. }| {
        mask.is_none_or(|mask| mask[token as usize / 32] >> (token % 32) & 1 == 1)
    })
}

/// Log-sum-exp and entropy over the allowed tokens.
fn distribution(logits: &[f32], mask: Option<&[u32]>) -> (f32, f32) {
    let all = || allowed(logits, mask).map(|candidate| f64::from(candidate.logit));
    let largest = all().fold(f64::NEG_INFINITY, f64::max);
    let log_sum_exp = largest + libm::log(all().map(|logit| libm::exp(logit - largest)).sum());
    let surprise = |logit| libm::exp(logit - log_sum_exp) * (log_sum_exp - logit);
    (log_sum_exp as f32, all().map(surprise).sum::<f64>() as f32)
}

/// Appends `places` candidates, the best first, equal logits by lower token. Returns how many are
/// of use.
fn select(logits: &[f32], mask: Option<&[u32]>, places: usize, candidates: &mut Vec<Candidate>) -> u32 {
    let first = candidates.len();
    candidates.resize(first + places, Candidate { token: 0, logit: f32::NEG_INFINITY });
    let best = &mut candidates[first..];
    for candidate in allowed(logits, mask) {
        // Tokens come in ascending order: a later equal one belongs behind.
        let place = best.partition_point(|other| other.logit >= candidate.logit);
        if let Some(behind) = best.get_mut(place..).filter(|behind| !behind.is_empty()) {
            behind.rotate_right(1);
            behind[0] = candidate;
        }
    }
    allowed(logits, mask).take(places).count() as u32
}
