//! Who waits for whom. Whoever waits lends its priority to the one that it waits for (priority
//! inheritance: Sha, Rajkumar, Lehoczky, "Priority inheritance protocols", IEEE ToC 39(9), 1990).

use super::Kernel;
use crate::agent::{AgentId, BlockedOn, State};

impl Kernel<'_> {
    /// Whether `agent` waits for `other`, through any number of agents between. Each agent is looked at
    /// once, however many ways lead to it.
    pub(super) fn waits_through(&mut self, agent: AgentId, other: AgentId) -> bool {
        let Some(first) = self.find(agent) else { return false };
        self.rcb_mut(first).reached_through = true;
        let mut found = false;
        // Each round finds one more at least, or it is the last.
        while !found && let Some(next) = self.next_through() {
            found = next == other;
            let index = self.find(next).expect("it was found just now");
            self.rcb_mut(index).reached_through = true;
        }
        let everybody = self.agents.iter_mut().filter_map(|slot| slot.rcb.as_mut());
        everybody.for_each(|rcb| rcb.reached_through = false);
        found
    }

    /// Somebody that an agent waits for which is reached already, and that is not.
    fn next_through(&self) -> Option<AgentId> {
        let reached = self.agents().filter(|rcb| rcb.reached_through);
        let mut waits = reached.flat_map(|rcb| rcb.waits_for.iter().copied());
        waits.find(|&next| self.find(next).is_some_and(|index| !self.rcb(index).reached_through))
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
