//! `Head`: logits, and what becomes of them.

use alloc::vec::Vec;

use agentos_hal::{Candidate, DeviceError, Outcome, Reg, Want, WeightRole};

use crate::interpret::dot;
use crate::memory::Machine;

impl Machine {
    /// Fills the report's outcomes and candidates.
    pub fn head(&mut self, input: Reg, weight: WeightRole) -> Result<(), DeviceError> {
        self.logits(input, weight);
        let vocab = self.shape.vocab as usize;
        let words = vocab.div_ceil(32);
        let wanted = self.rows.iter().zip(0..).filter(|(row, _)| row.want != Want::Nothing);
        for ((row, number), logits) in wanted.zip(self.logits.chunks_exact(vocab)) {
            if logits.iter().any(|logit| !logit.is_finite()) {
                return Err(DeviceError::NotFinite { row: number });
            }
            let mask = row.mask.map(|mask| &self.masks[usize::from(mask) * words..][..words]);
            let (log_sum_exp, entropy) = distribution(logits, mask);
            let candidates = select(logits, mask, self.limits.candidates as usize, &mut self.candidates);
            let scored = if let Want::Score(token) = row.want { logits[token as usize] } else { 0.0 };
            self.outcomes.push(Outcome { row: number, candidates, log_sum_exp, entropy, scored });
        }
        Ok(())
    }

    fn logits(&mut self, input: Reg, weight: WeightRole) {
        let (vocab, width) = (self.shape.vocab as usize, input.width(&self.shape));
        let wanted = self.rows.iter().filter(|row| row.want != Want::Nothing).count();
        self.logits.resize(wanted * vocab, 0.0);
        for token in 0..vocab {
            let weights = self.weights_of(weight, None, token, width);
            let rows = self.rows.iter().zip(self.regs[input as usize].chunks_exact(width as usize));
            let wanted = rows.filter(|(row, _)| row.want != Want::Nothing);
            for ((_, vector), logits) in wanted.zip(self.logits.chunks_exact_mut(vocab)) {
                logits[token] = dot(&weights, vector) as f32;
            }
            self.weight_row = weights;
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
