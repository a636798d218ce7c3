//! What masks add to steps: the time that a step which is being laid out waits for them.

use agentos_hal::Clock;
use agentos_kernel::agent::AgentId;
use agentos_kernel::guard::{Allowed, Guard};
use agentos_kernel::system::Tick;
use agentos_kernel::system::latency::Latencies;

use crate::team::json::MaskSummary;
use crate::team::tools::Callers;

/// What masks have added to the steps so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masks {
    /// Waited for those of the step that is being laid out.
    waited_us: u64,
    /// When the device was given the step that is under way.
    given_us: u64,
    /// For each step with masks, what they added to it, in hundredths of a percent of what it took.
    shares: Latencies,
}

/// The guard of all agents, and how long it is waited for.
pub(super) struct Timed<'g> {
    pub(super) callers: &'g mut Callers,
    pub(super) clock: &'g dyn Clock,
    pub(super) masks: &'g mut Masks,
}

impl Guard for Timed<'_> {
    fn next(&mut self, agent: AgentId, mask: &mut [u32]) -> Allowed {
        let before_us = self.clock.now().micros;
        let allowed = self.callers.next(agent, mask);
        if allowed == Allowed::Masked {
            self.masks.waited_us += self.clock.now().micros.saturating_sub(before_us);
        }
        allowed
    }
}

impl Masks {
    /// Takes note of what a tick has come to, at a time.
    pub(super) fn note(&mut self, tick: Tick, now_us: u64) {
        match tick {
            Tick::Submitted { .. } => self.given_us = now_us,
            Tick::Stepped { .. } => {
                let step_us = now_us.saturating_sub(self.given_us).max(1);
                match std::mem::take(&mut self.waited_us) {
                    0 => (),
                    waited_us => self.shares.note(waited_us.saturating_mul(10_000) / step_us),
                }
            }
            _ => (),
        }
    }

    /// What they came to; `None` without masks.
    pub(super) fn summary(&self) -> Option<MaskSummary> {
        let percent = |share| Some(self.shares.quantile_us(share)? as f32 / 100.0);
        Some(MaskSummary {
            steps: self.shares.count(),
            p50_percent: percent(0.5)?,
            p99_percent: percent(0.99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_step_that_the_masks_were_for() {
        let mut masks = Masks::default();
        assert_eq!(masks.summary(), None);
        for (waited_us, step_us) in [(10, 1000), (0, 1000), (400, 10_000)] {
            masks.waited_us = waited_us;
            masks.note(Tick::Submitted { rows: 1, agents: 1 }, 5000);
            masks.note(Tick::Pending, 5100);
            masks.note(Tick::Stepped { rows: 1 }, 5000 + step_us);
        }
        let found = masks.summary().unwrap();
        assert_eq!(found.steps, 2);
        // To within a fifth, as all times of the kernel.
        assert!((1.0..1.25).contains(&found.p50_percent) && found.p99_percent == 4.0, "{found:?}");
    }
}
