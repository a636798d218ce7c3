//! Whose priority an agent runs at.
//!
//! An agent that waits for others lends them its priority, as in the kernel's own waits (priority
//! inheritance). Here the one that waits is not spawned yet: it takes part in nothing and holds no
//! memory until it knows what it is to answer, so that agents which wait can never keep the memory
//! that those they wait for need. What it lends is then a function of the team's file alone, because
//! it waits for as long as the others run.

use agentos_kernel::agent::Priority;

use crate::team::Team;

/// The priority of each agent: the most urgent of its own and of those that wait for it, through any
/// number of agents between. Those that `waits` says no to wait for nobody any more.
pub fn priorities(team: &Team, waits: impl Fn(usize) -> bool) -> Vec<Priority> {
    let mut priorities: Vec<Priority> = team.agents.iter().map(|agent| agent.priority).collect();
    // Waits form no cycle, so a chain of them is at most as long as there are agents.
    for _ in 0..team.agents.len() {
        let mut changed = false;
        for (index, agent) in team.agents.iter().enumerate().filter(|&(index, _)| waits(index)) {
            let lent = priorities[index];
            for &other in &agent.after {
                changed |= lent.above(priorities[other]);
                priorities[other] = priorities[other].most_urgent(lent);
            }
        }
        if !changed {
            break;
        }
    }
    priorities
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn who_waits_lends_through_others_until_it_gives_up() {
        let text = "[[agent]]\nname = \"a\"\nprompt = \"x\"\npriority = 1\n\
                    [[agent]]\nname = \"b\"\nprompt = \"x\"\npriority = 2\nafter = [\"a\"]\n\
                    [[agent]]\nname = \"c\"\nprompt = \"x\"\npriority = 9\nafter = [\"b\"]\n\
                    [[agent]]\nname = \"d\"\nprompt = \"x\"\npriority = 3\n";
        let team = crate::team::parse(Path::new("t"), text).unwrap();
        let levels = |waits: fn(usize) -> bool| {
            priorities(&team, waits).iter().map(|priority| priority.level()).collect::<Vec<_>>()
        };
        assert_eq!(levels(|_| true), [9, 9, 9, 3]);
        assert_eq!(levels(|index| index != 2), [2, 2, 9, 3]);
        assert_eq!(levels(|_| false), [1, 2, 9, 3]);
    }
}
