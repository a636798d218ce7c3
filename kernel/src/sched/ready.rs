//! Who can go on: one queue per level, and a bitmap of the levels that are not empty.

use crate::agent::Priority;

const NOBODY: u16 = u16::MAX;
/// The level of an agent that is in no queue.
const ABSENT: u8 = u8::MAX;

/// An agent's place in the queues.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    before: u16,
    after: u16,
    level: u8,
}

/// A link that is in no queue: what a table of links starts with.
pub const VACANT_LINK: Link = Link { before: NOBODY, after: NOBODY, level: ABSENT };

/// The queues.
#[derive(Debug)]
pub struct Ready<'m> {
    links: &'m mut [Link],
    heads: [u16; Priority::LEVELS],
    tails: [u16; Priority::LEVELS],
    lens: [u16; Priority::LEVELS],
    /// Bit n: level n is not empty.
    levels: u32,
}

impl<'m> Ready<'m> {
    /// Empty queues for as many agents as there are links.
    pub fn new(links: &'m mut [Link]) -> Ready<'m> {
        links.fill(VACANT_LINK);
        Ready {
            links,
            heads: [NOBODY; Priority::LEVELS],
            tails: [NOBODY; Priority::LEVELS],
            lens: [0; Priority::LEVELS],
            levels: 0,
        }
    }

    /// The agent to be served first.
    #[must_use]
    pub fn first(&self) -> Option<u16> {
        let level = self.levels.checked_ilog2()?;
        Some(self.heads[level as usize])
    }

    /// The agent to be served after one that is queued.
    #[must_use]
    pub fn after(&self, agent: u16) -> Option<u16> {
        let link = self.links[usize::from(agent)];
        if link.after != NOBODY {
            return Some(link.after);
        }
        let less_urgent = self.levels & ((1u32 << link.level) - 1);
        let level = less_urgent.checked_ilog2()?;
        Some(self.heads[level as usize])
    }

    /// The agent to be served last.
    #[must_use]
    pub fn last(&self) -> Option<u16> {
        (self.levels != 0).then(|| self.tails[self.levels.trailing_zeros() as usize])
    }

    /// The agent to be served before one that is queued.
    #[must_use]
    pub fn before(&self, agent: u16) -> Option<u16> {
        let link = self.links[usize::from(agent)];
        if link.before != NOBODY {
            return Some(link.before);
        }
        let more_urgent = self.levels & (u32::MAX << link.level) & !(1u32 << link.level);
        (more_urgent != 0).then(|| self.tails[more_urgent.trailing_zeros() as usize])
    }

    /// Agents of a level.
    pub fn len(&self, priority: Priority) -> u32 {
        u32::from(self.lens[priority.level()])
    }

    /// The level that an agent is queued at.
    pub fn priority(&self, agent: u16) -> Option<Priority> {
        Priority::new(self.links[usize::from(agent)].level)
    }

    /// Whether an agent is queued.
    pub fn contains(&self, agent: u16) -> bool {
        self.links[usize::from(agent)].level != ABSENT
    }

    /// Puts an agent last in its level. If it was queued, it changes its place.
    pub fn push(&mut self, agent: u16, priority: Priority) {
        self.remove(agent);
        let level = priority.level();
        let before = self.tails[level];
        self.links[usize::from(agent)] = Link { before, after: NOBODY, level: level as u8 };
        match before {
            NOBODY => self.heads[level] = agent,
            before => self.links[usize::from(before)].after = agent,
        }
        self.tails[level] = agent;
        self.levels |= 1 << level;
        self.lens[level] += 1;
    }

    /// Takes an agent out, if it is queued.
    pub fn remove(&mut self, agent: u16) {
        let Link { before, after, level } = self.links[usize::from(agent)];
        if level == ABSENT {
            return;
        }
        let level = usize::from(level);
        match before {
            NOBODY => self.heads[level] = after,
            before => self.links[usize::from(before)].after = after,
        }
        match after {
            NOBODY => self.tails[level] = before,
            after => self.links[usize::from(after)].before = before,
        }
        self.lens[level] -= 1;
        if self.heads[level] == NOBODY {
            self.levels &= !(1 << level);
        }
        self.links[usize::from(agent)] = VACANT_LINK;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    fn order(ready: &Ready<'_>) -> Vec<u16> {
        core::iter::successors(ready.first(), |&agent| ready.after(agent)).collect()
    }

    proptest! {
        #[test]
        fn the_most_urgent_come_first_and_equals_in_order(
            changes in proptest::collection::vec((0u16..12, 0u8..32, any::<bool>()), 0..80)
        ) {
            let mut links = [VACANT_LINK; 12];
            let mut ready = Ready::new(&mut links);
            let mut model: Vec<(u8, u16)> = Vec::new();
            for (agent, level, remove) in changes {
                model.retain(|&(_, other)| other != agent);
                if remove {
                    ready.remove(agent);
                } else {
                    ready.push(agent, Priority::new(level).unwrap());
                    model.push((level, agent));
                }
                let mut expected = model.clone();
                expected.sort_by_key(|&(level, _)| core::cmp::Reverse(level));
                prop_assert_eq!(order(&ready), expected.iter().map(|&(_, a)| a).collect::<Vec<_>>());
                let mut backwards: Vec<u16> =
                    core::iter::successors(ready.last(), |&agent| ready.before(agent)).collect();
                backwards.reverse();
                prop_assert_eq!(backwards, order(&ready));
                prop_assert_eq!(ready.contains(agent), !remove);
            }
        }
    }
}
