//! What must hold after every tick.

use agentos_kernel::agent::{Rcb, State, StateKind};
use agentos_kernel::interrupt::{QUEUE_DEPTH, Urgency, VectorId};
use agentos_kernel::memory::SLICE_PAGES;
use agentos_kernel::system::Tick;

use crate::world::World;

type Done = Result<(), String>;

impl World<'_> {
    /// Checks everything after a tick; `before` is what the one before came to.
    pub fn check(&mut self, before: Tick) -> Done {
        self.kernel.audit().map_err(|broken| broken.to_string())?;
        self.check_lives()?;
        self.check_interrupts()?;
        match self.last {
            Tick::Idle => self.check_idle(),
            // A step that was refused before may have been laid out before somebody came.
            Tick::Submitted { .. } if before != Tick::Pending => self.check_order(),
            _ => Ok(()),
        }
    }

    fn check_lives(&mut self) -> Done {
        for life in &mut self.lives {
            let Some(rcb) = self.kernel.agents().find(|rcb| rcb.id == life.id) else {
                let told = life.gone || self.setup.deaf;
                life.gone = true;
                if told {
                    continue;
                }
                return Err(format!("agent {} is gone, and no event says so", life.id));
            };
            let text = self.kernel.tokens(life.id);
            if self.setup.deaf {
                // Events may still be in the ring, or lost.
                life.unseen = true;
                life.kind = rcb.state.kind();
            }
            life.read(text, rcb.inbox)?;
            let queued = |kind| matches!(kind, StateKind::Ready | StateKind::Running);
            let kind = rcb.state.kind();
            if kind != life.kind && !(queued(kind) && queued(life.kind)) {
                return Err(format!(
                    "agent {} is {kind:?}, and was last told to be {:?}",
                    life.id, life.kind
                ));
            }
            check_figures(rcb, life.given.len(), life.unseen)?;
            let lost = self.tally.losses + self.kernel.figures().store.load_failures;
            if rcb.metrics.recomputed > rcb.metrics.replayed && lost == 0 {
                let again = rcb.metrics.recomputed - rcb.metrics.replayed;
                return Err(format!(
                    "agent {} computed {again} rows again, and no device and no slice was lost",
                    rcb.id
                ));
            }
        }
        Ok(())
    }

    fn check_interrupts(&self) -> Done {
        for vector in VectorId::ALL {
            let stats = self.kernel.interrupts().stats(vector);
            let waiting = stats.posted - stats.delivered;
            if waiting as usize > QUEUE_DEPTH {
                return Err(format!("{waiting} interrupts {vector:?} wait"));
            }
            if self.setup.deaf {
                continue;
            }
            // A delivery may stand for those that were lost.
            let told = self.delivered(vector);
            let spoken_for = vector.info().urgency == Urgency::Critical && stats.lost > 0;
            if told < u64::from(stats.delivered) || told > u64::from(stats.delivered) && !spoken_for {
                return Err(format!("{told} deliveries of {vector:?} were told: {stats:?}"));
            }
        }
        Ok(())
    }

    /// Who has something to do does it.
    fn check_idle(&self) -> Done {
        let queued = |rcb: &&Rcb| matches!(rcb.state, State::Ready | State::Running);
        match self.kernel.agents().find(queued) {
            Some(rcb) => Err(format!("the kernel is idle while agent {} is {:?}", rcb.id, rcb.state)),
            None => Ok(()),
        }
    }

    /// While nothing is short, nobody who can go on is left out of a step that serves a less urgent one.
    fn check_order(&mut self) -> Done {
        let figures = self.kernel.figures();
        let spare = self.setup.config.l1_pages - self.setup.config.pinned_pages - 2 * SLICE_PAGES as u32;
        // Whoever waits for the store is passed over, rightly.
        let elsewhere = figures.usage.l2 + figures.usage.l3 > 0;
        let short = figures.promised > spare || elsewhere || !self.setup.ample;
        // One whose step failed goes alone.
        let suspects = self.kernel.agents().any(|rcb| rcb.strikes > 0);
        if short || suspects {
            return Ok(());
        }
        let running: Vec<&Rcb> = self.kernel.agents().filter(|rcb| rcb.state == State::Running).collect();
        for rcb in self.kernel.agents().filter(|rcb| rcb.state == State::Ready && rcb.has_work()) {
            let passed = running.iter().any(|other| rcb.effective.above(other.effective));
            // What it needs may be computed in this very step, for another that begins alike.
            if passed && !running.iter().any(|other| self.alike(rcb, other)) {
                return Err(format!("agent {} was passed over by the less urgent", rcb.id));
            }
        }
        self.tally.orders += u64::from(self.kernel.agents().any(|rcb| rcb.state == State::Ready));
        Ok(())
    }

    fn alike(&self, one: &Rcb, other: &Rcb) -> bool {
        let family = |rcb: &Rcb| self.lives.iter().find(|life| life.id == rcb.id).map(|life| life.family);
        family(one) == family(other)
    }
}

fn check_figures(rcb: &Rcb, said: usize, unseen: bool) -> Done {
    let generated = rcb.metrics.generated;
    if generated != said as u64 && !unseen {
        return Err(format!("agent {} counts {generated} tokens and said {said}", rcb.id));
    }
    let utilization = rcb.metrics.utilization();
    if !(0.0..=1.0).contains(&utilization) {
        return Err(format!("agent {} has a utilisation of {utilization}", rcb.id));
    }
    Ok(())
}
