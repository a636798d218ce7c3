//! What masks add to steps: the time that a step waits for them, before the device begins and, where it computes in
//! `poll`, after it has computed what needs none. A device that computes by itself does so while masks that come later
//! are found, and when it could have gone on only it knows: of those the time is not counted, but the masks are.

use agentos_hal::{Clock, LateMasks};
use agentos_kernel::agent::AgentId;
use agentos_kernel::guard::{Allowed, Guard};
use agentos_kernel::system::Tick;
use agentos_kernel::system::latency::Latencies;

use crate::team::json::MaskSummary;
use crate::team::tools::Callers;

/// What masks have added to the steps so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Masks {
    /// The step that is being laid out or computed has any.
    any: bool,
    /// Waited for them before the device was given the step.
    before_us: u64,
    /// When it was given the step that is under way.
    given_us: Option<u64>,
    /// Waited for those that came after that, by a device that had computed all that needs none.
    after_us: u64,
    /// What the device does with those.
    late: LateMasks,
    /// How many those were, over all steps.
    later: u64,
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
    fn next(&mut self, agent: AgentId, mask: &mut [u32], late: LateMasks) -> Allowed {
        let before_us = self.clock.now().micros;
        let allowed = self.callers.next(agent, mask, late);
        self.masks.take(allowed, late, self.clock.now().micros.saturating_sub(before_us));
        allowed
    }

    fn ends(&self, agent: AgentId) -> bool {
        self.callers.ends(agent)
    }
}

impl Masks {
    /// Takes note of an answer that took so long.
    fn take(&mut self, allowed: Allowed, late: LateMasks, took_us: u64) {
        match allowed {
            Allowed::Later => (self.any, self.late) = (true, late),
            Allowed::Masked if self.given_us.is_none() => {
                self.any = true;
                self.before_us += took_us;
            }
            Allowed::Masked => {
                self.later += 1;
                self.after_us += if self.late == LateMasks::InPoll { took_us } else { 0 };
            }
            Allowed::Anything | Allowed::NotYet => (),
        }
    }

    /// Takes note of what a tick has come to, at a time.
    pub(super) fn note(&mut self, tick: Tick, now_us: u64) {
        match tick {
            Tick::Submitted { .. } => self.given_us = Some(now_us),
            Tick::Stepped { .. } => {
                let took_us = now_us.saturating_sub(self.given_us.unwrap_or(now_us));
                let waited_us = self.before_us + self.after_us;
                if self.any {
                    let step_us = took_us.saturating_sub(self.after_us).max(1);
                    self.shares.note(waited_us.saturating_mul(10_000) / step_us);
                }
                self.begin_anew();
            }
            // Those of a step that failed with its device are asked for again.
            Tick::DeviceLost => self.begin_anew(),
            _ => (),
        }
    }

    fn begin_anew(&mut self) {
        *self = Masks { later: self.later, shares: self.shares, ..Masks::default() };
    }

    /// What they came to; `None` without masks.
    pub(super) fn summary(&self) -> Option<MaskSummary> {
        let percent = |share| Some(self.shares.quantile_us(share)? as f32 / 100.0);
        Some(MaskSummary {
            steps: self.shares.count(),
            later: self.later,
            p50_percent: percent(0.5)?,
            p99_percent: percent(0.99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBMITTED: Tick = Tick::Submitted { rows: 1, agents: 1 };
    const STEPPED: Tick = Tick::Stepped { rows: 1 };

    #[test]
    fn the_share_is_of_the_step_that_the_masks_were_for() {
        let mut masks = Masks::default();
        assert_eq!(masks.summary(), None);
        for (waited_us, step_us) in [(Some(10), 1000), (None, 1000), (Some(400), 10_000)] {
            if let Some(waited_us) = waited_us {
                masks.take(Allowed::Masked, LateMasks::Refused, waited_us);
            }
            masks.note(SUBMITTED, 5000);
            masks.note(Tick::Pending, 5100);
            masks.note(STEPPED, 5000 + step_us);
        }
        let found = masks.summary().unwrap();
        assert_eq!((found.steps, found.later), (2, 0));
        // To within a fifth, as all times of the kernel.
        assert!((1.0..1.25).contains(&found.p50_percent) && found.p99_percent == 4.0, "{found:?}");
    }

    #[test]
    fn of_masks_that_come_later_counts_what_the_device_is_known_to_have_waited() {
        for (late, percent) in [(LateMasks::InPoll, 4.0), (LateMasks::Beside, 1.0)] {
            let mut masks = Masks::default();
            masks.take(Allowed::Masked, late, 100);
            masks.take(Allowed::Later, late, 0);
            masks.note(SUBMITTED, 5000);
            masks.take(Allowed::NotYet, LateMasks::Refused, 50);
            masks.take(Allowed::Masked, LateMasks::Refused, 300);
            // A wait within the step is no part of what it took.
            let within_us = if late == LateMasks::InPoll { 300 } else { 0 };
            masks.note(STEPPED, 5000 + within_us + 10_000);
            let found = masks.summary().unwrap();
            assert_eq!((found.steps, found.later), (1, 1));
            assert!((percent..1.25 * percent).contains(&found.p50_percent), "{found:?}");
        }
    }

    #[test]
    fn a_step_that_is_lost_with_its_device_counts_once() {
        let mut masks = Masks::default();
        masks.take(Allowed::Masked, LateMasks::Refused, 5000);
        masks.note(SUBMITTED, 0);
        masks.note(Tick::DeviceLost, 10);
        masks.take(Allowed::Masked, LateMasks::Refused, 100);
        masks.note(SUBMITTED, 20);
        masks.note(STEPPED, 10_020);
        let found = masks.summary().unwrap();
        assert_eq!(found.steps, 1);
        assert!((1.0..1.25).contains(&found.p99_percent), "{found:?}");
    }
}
