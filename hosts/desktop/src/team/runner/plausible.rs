//! What a file says of a team, looked at before anything is made of it. That it is as it was written does not say that
//! this program wrote it.

use super::roster::Member;
use crate::team::checkpoint::State;
use crate::team::{Agent, MOST_DEPTH, Team};

/// Whether what a file says can be so of this team: times and counts are so far from the largest that nothing
/// overflows when they go on.
pub(super) fn is_plausible(state: &State, team: &Team) -> bool {
    let State { now_ns, roster, .. } = state;
    *now_ns < 1 << 62 && roster.members.iter().zip(&team.agents).all(|(member, agent)| can_be(member, agent))
}

/// Whether an agent can have come so far.
fn can_be(member: &Member, agent: &Agent) -> bool {
    let has_forms = agent.tools.is_some() || agent.response_schema.is_some();
    member.depth as usize <= MOST_DEPTH
        && member.caller.as_ref().is_none_or(|caller| {
            has_forms && caller.made < 1 << 31 && caller.step < 1 << 31 && caller.repairs < 1 << 7
        })
}
