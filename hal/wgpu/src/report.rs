//! The report: one buffer that a step's kernels write, one copy of which comes back.

use agentos_hal::{Candidate, DeviceError, LayerRange, Limits, Mass, ModelShape, Outcome, Reg, StepReport};

use crate::step::Counts;

/// Words of an outcome: row, candidates, greatest logit, sum of powers, weighted sum, scored logit,
/// whether all logits are numbers, nothing.
const OUTCOME_WORDS: usize = 8;

/// Where the report keeps what, in words. Entropies begin it, one a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Masses, two words a segment.
    pub mass: u32,
    /// Outcomes.
    pub outcomes: u32,
    /// Candidates, two words each.
    pub candidates: u32,
    /// Exposed rows.
    pub exposed: u32,
    /// One past the last word.
    pub end: u32,
}

impl Parts {
    /// The parts of a step's report.
    pub fn of(counts: &Counts, limits: &Limits) -> Parts {
        let mass = counts.rows;
        let outcomes = mass + 2 * counts.segments;
        let candidates = outcomes + counts.wants * OUTCOME_WORDS as u32;
        let exposed = candidates + counts.wants * limits.candidates * 2;
        Parts { mass, outcomes, candidates, exposed, end: exposed + counts.exposed * counts.exposed_width }
    }

    /// Words of the worst step's report.
    pub fn most_words(shape: &ModelShape, limits: &Limits) -> u64 {
        let l = |count: u32| u64::from(count);
        let widest = Reg::ALL.iter().map(|reg| reg.width(shape)).max().unwrap_or(0);
        let outcome = OUTCOME_WORDS as u64 + 2 * l(limits.candidates);
        let exposed = l(limits.exposed) * l(limits.taps);
        [l(limits.rows), 2 * l(limits.segments), l(limits.outcomes) * outcome]
            .into_iter()
            .sum::<u64>()
            .saturating_add(exposed.saturating_mul(l(widest)))
    }
}

/// The report on the host. Made once; a step allocates nothing.
#[derive(Default)]
pub struct Report {
    entropy: Vec<f32>,
    mass: Vec<Mass>,
    outcomes: Vec<Outcome>,
    candidates: Vec<Candidate>,
    exposed: Vec<f32>,
}

impl Report {
    /// Room for the worst step.
    pub fn new(shape: &ModelShape, limits: &Limits) -> Report {
        let widest = Reg::ALL.iter().map(|reg| reg.width(shape)).max().unwrap_or(0);
        Report {
            entropy: Vec::with_capacity(limits.rows as usize),
            mass: Vec::with_capacity(limits.segments as usize),
            outcomes: Vec::with_capacity(limits.outcomes as usize),
            candidates: Vec::with_capacity(limits.outcomes as usize * limits.candidates as usize),
            exposed: Vec::with_capacity((limits.exposed * limits.taps * widest) as usize),
        }
    }

    /// Nothing of a step without rows.
    pub fn clear(&mut self, segments: u32) {
        self.entropy.clear();
        self.mass.clear();
        self.mass.resize(segments as usize, Mass(0));
        self.outcomes.clear();
        self.candidates.clear();
        self.exposed.clear();
    }

    /// Takes what came back.
    ///
    /// # Errors
    /// [`DeviceError::NotFinite`].
    pub fn take(
        &mut self,
        words: &[u32],
        parts: &Parts,
        shape: &ModelShape,
        counters: LayerRange,
    ) -> Result<(), DeviceError> {
        let part = |from: u32, to: u32| &words[from as usize..to as usize];
        self.clear(0);
        let averaged = shape.heads * (counters.end - counters.start).max(1);
        let entropies = part(0, parts.mass).iter();
        self.entropy.extend(entropies.map(|&bits| f32::from_bits(bits) / averaged as f32));
        let masses = part(parts.mass, parts.outcomes).chunks_exact(2);
        self.mass.extend(masses.map(|pair| Mass(u64::from(pair[1]) << 32 | u64::from(pair[0]))));
        for outcome in part(parts.outcomes, parts.candidates).chunks_exact(OUTCOME_WORDS) {
            if outcome[6] == 0 {
                return Err(DeviceError::NotFinite { row: outcome[0] });
            }
            self.outcomes.push(outcome_of(outcome));
        }
        self.candidates.extend_from_slice(bytemuck::cast_slice(part(parts.candidates, parts.exposed)));
        self.exposed.extend_from_slice(bytemuck::cast_slice(part(parts.exposed, parts.end)));
        Ok(())
    }

    /// As the trait lends it.
    pub fn lent(&self) -> StepReport<'_> {
        StepReport {
            entropy: &self.entropy,
            mass: &self.mass,
            outcomes: &self.outcomes,
            candidates: &self.candidates,
            exposed: &self.exposed,
        }
    }
}

/// The logarithm is taken here: every host has an exact one.
fn outcome_of(words: &[u32]) -> Outcome {
    let [greatest, sum, weighted, scored] = [2, 3, 4, 5].map(|at| f32::from_bits(words[at]));
    let (sum, weighted) = (f64::from(sum), f64::from(weighted));
    let log_sum = libm::log(sum);
    Outcome {
        row: words[0],
        candidates: words[1],
        log_sum_exp: (f64::from(greatest) + log_sum) as f32,
        entropy: (log_sum - weighted / sum) as f32,
        scored,
    }
}
