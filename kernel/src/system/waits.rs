//! Who waits for whom. Whoever waits lends its priority to the one that it waits for (priority
//! inheritance: Sha, Rajkumar, Lehoczky, "Priority inheritance protocols", IEEE ToC 39(9), 1990).

use super::Kernel;
use crate::agent::{AgentId, BlockedOn, State};

impl Kernel<'_> {
    /// Whether `agent` waits for `other`, through any number of agents between.
    pub(super) fn waits_through(&self, agent: AgentId, other: AgentId) -> bool {
        // Waits form no cycle, so a path has no more steps than there are agents.
        self.waits_within(agent, other, self.agents.len())
    }

    fn waits_within(&self, agent: AgentId, other: AgentId, steps: usize) -> bool {
        let Some(index) = self.find(agent).filter(|_| steps > 0) else { return false };
        let waits_for = &self.rcb(index).waits_for;
        waits_for.iter().any(|&next| next == other || self.waits_within(next, other, steps - 1))
    }

    /// An agent is over: whoever waited for it goes on.
    pub(super) fn wake_waiters(&mut self, gone: AgentId) {
        for index in 0..self.agents.len() {
            let Some(rcb) = self.agents[index].rcb.as_mut() else { continue };
            let Some(place) = rcb.waits_for.iter().position(|&agent| agent == gone) else { continue };
            rcb.waits_for.remove(place);
            if let Some(&other) = rcb.waits_for.first() {
                if let State::Blocked(BlockedOn::Agent(_)) = rcb.state {
                    rcb.state = State::Blocked(BlockedOn::Agent(other));
                }
                continue;
            }
            match rcb.state {
                State::Blocked(BlockedOn::Agent(_)) if rcb.has_work() => self.change(index, State::Ready),
                State::Blocked(BlockedOn::Agent(_)) => self.come_to_rest(index),
                _ => (),
            }
        }
        self.inherit();
    }

    /// Works out every agent's effective priority.
    pub(super) fn inherit(&mut self) {
        for slot in self.agents.iter_mut() {
            if let Some(rcb) = &mut slot.rcb {
                rcb.effective = rcb.priority;
            }
        }
        // A chain of waits is at most as long as there are agents.
        for _ in 0..self.agents.len() {
            if !self.lend_once() {
                break;
            }
        }
        for index in 0..self.agents.len() {
            let Some(rcb) = &self.agents[index].rcb else { continue };
            let effective = rcb.effective;
            if self.ready.contains(index as u16) && self.ready.priority(index as u16) != Some(effective) {
                self.ready.push(index as u16, effective);
            }
        }
    }

    /// Every waiting agent lends its priority to those that it waits for. Returns whether that changed
    /// one.
    fn lend_once(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.agents.len() {
            let Some(rcb) = &self.agents[index].rcb else { continue };
            let (lent, waits_for) = (rcb.effective, rcb.waits_for.clone());
            for other in waits_for {
                if let Some(other) = self.find(other) {
                    let rcb = self.rcb_mut(other);
                    changed |= lent.above(rcb.effective);
                    rcb.effective = rcb.effective.most_urgent(lent);
                }
            }
        }
        changed
    }
}
