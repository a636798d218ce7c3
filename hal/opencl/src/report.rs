//! Where the parts of a report lie in its one buffer, on the device and on the host.

use agentos_hal::{DeviceError, Limits, ModelShape, Outcome, StepReport, walk};

use crate::batch::Batch;
use crate::machine::Machine;

/// Places of a step's report, in words of 32 bits. It begins with the masses, two words each; behind them
/// stands the lowest row that has no number, or `u32::MAX`.
#[derive(Clone, Copy, Default)]
pub struct Layout {
    pub lowest: usize,
    pub entropy: usize,
    pub outcomes: usize,
    pub candidates: usize,
    pub exposed: usize,
    pub words: usize,
}

impl Layout {
    /// The report of a step.
    pub fn of(batch: &Batch, shape: &ModelShape, limits: &Limits) -> Layout {
        let exposed = batch.exposed.len() * walk::exposed_width(&batch.taps, shape);
        let outcomes = batch.wanted.len();
        Layout::new(batch.segments, batch.rows.len(), outcomes, limits.candidates as usize, exposed)
    }

    /// The report of the worst step.
    pub fn worst(shape: &ModelShape, limits: &Limits) -> Layout {
        let taps = (limits.taps as usize).saturating_mul(shape.widest() as usize);
        let exposed = taps.saturating_mul(limits.exposed as usize);
        let [segments, rows, outcomes, candidates] =
            [limits.segments, limits.rows, limits.outcomes, limits.candidates].map(|limit| limit as usize);
        Layout::new(segments, rows, outcomes, candidates, exposed)
    }

    fn new(segments: usize, rows: usize, outcomes: usize, candidates: usize, exposed: usize) -> Layout {
        let lowest = 2 * segments;
        let entropy = lowest + 2;
        let of_outcomes = entropy + rows;
        let of_candidates = of_outcomes + outcomes * size_of::<Outcome>() / 4;
        let of_exposed = of_candidates.saturating_add((2 * outcomes).saturating_mul(candidates));
        let words = of_exposed.saturating_add(exposed).saturating_add(1) & !1;
        Layout {
            lowest,
            entropy,
            outcomes: of_outcomes,
            candidates: of_candidates,
            exposed: of_exposed,
            words,
        }
    }
}

impl Machine {
    /// The report in what was read from the device: pairs of words, because masses are.
    pub fn report(&self) -> Result<StepReport<'_>, DeviceError> {
        let (pairs, layout) = (&self.host_report, &self.layout);
        let words: &[u32] = bytemuck::cast_slice(pairs);
        let exposed = self.batch.exposed.len() * walk::exposed_width(&self.batch.taps, &self.prepared.shape);
        match words[layout.lowest] {
            u32::MAX => Ok(StepReport {
                mass: bytemuck::cast_slice(&pairs[..self.batch.segments]),
                entropy: bytemuck::cast_slice(&words[layout.entropy..layout.outcomes]),
                outcomes: bytemuck::cast_slice(&words[layout.outcomes..layout.candidates]),
                candidates: bytemuck::cast_slice(&words[layout.candidates..layout.exposed]),
                exposed: bytemuck::cast_slice(&words[layout.exposed..][..exposed]),
            }),
            row => Err(DeviceError::NotFinite { row }),
        }
    }
}
