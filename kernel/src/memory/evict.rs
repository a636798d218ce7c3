//! Whose pages go first when page memory is short: pure functions of who the tenants are.

use crate::agent::StateKind;

/// An agent that is not queued and has pages in page memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its effective level.
    pub level: usize,
    /// What it is doing.
    pub state: StateKind,
    /// Microseconds since it came to rest.
    pub rested_us: u64,
    /// The last step that it took part in.
    pub last_step: u64,
}

/// How strongly a tenant holds its pages: its level, which decays by one every `lease_us` that it is
/// blocked. `None`, less than every level: it is suspended, or its lease has run out.
pub fn hold(tenant: &Tenant, lease_us: u64) -> Option<usize> {
    match tenant.state {
        StateKind::Ready | StateKind::Running => Some(tenant.level),
        StateKind::Blocked => {
            let decayed = tenant.rested_us.checked_div(lease_us)?;
            (tenant.level as u64).checked_sub(decayed).map(|level| level as usize)
        }
        StateKind::Suspended | StateKind::Stopped | StateKind::Faulted | StateKind::New => None,
    }
}

/// Whether a tenant's pages may go for the sake of a queued agent of `level`. An agent that works is
/// preferred to an equal that does not.
pub fn yields(tenant: &Tenant, level: usize, lease_us: u64) -> bool {
    hold(tenant, lease_us).is_none_or(|hold| hold <= level)
}

/// The order among those that yield: the weakest hold first, then who ran longest ago.
pub fn rank(tenant: &Tenant, lease_us: u64) -> (Option<usize>, u64) {
    (hold(tenant, lease_us), tenant.last_step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: u64 = 1_000;

    fn blocked(level: usize, rested_us: u64) -> Tenant {
        Tenant { level, state: StateKind::Blocked, rested_us, last_step: 5 }
    }

    #[test]
    fn a_blocked_agents_lease_decays() {
        assert!(!yields(&blocked(3, 0), 2, LEASE));
        assert!(yields(&blocked(3, 1_000), 2, LEASE));
        assert!(!yields(&blocked(3, 2_999), 0, LEASE));
        assert!(yields(&blocked(3, 3_000), 0, LEASE));
        assert_eq!(hold(&blocked(3, 4_000), LEASE), None);
        assert_eq!(hold(&blocked(3, 0), 0), None);
    }

    #[test]
    fn the_suspended_go_first_then_the_less_urgent_then_the_longest_idle() {
        let suspended = Tenant { state: StateKind::Suspended, ..blocked(31, 0) };
        let idle = Tenant { last_step: 4, ..blocked(3, 0) };
        let mut order = [blocked(3, 0), suspended, blocked(1, 0), idle];
        order.sort_by_key(|tenant| rank(tenant, LEASE));
        assert_eq!(order, [suspended, blocked(1, 0), idle, blocked(3, 0)]);
    }
}
