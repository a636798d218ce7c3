//! How far a team has come: plain data, apart from the kernel, that a run can be stopped and gone on
//! with.

use agentos_kernel::agent::AgentId;
use serde::{Deserialize, Serialize};

use crate::team::Team;
use crate::team::tools::{Caller, Form};
use crate::text::Partial;

/// A team under way: its agents in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roster {
    /// The agents.
    pub members: Vec<Member>,
}

/// How far an agent has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// What is becoming of it.
    pub phase: Phase,
    /// What it has said since its last call, if somebody waits for it.
    pub answer: Option<String>,
    /// Whom it answers, and what, if it is on call and was asked.
    pub asked: Option<AskedBy>,
    /// Agents that waited for an answer of it, one for the next, at most.
    pub depth: u32,
    /// How far it is with its tool calls, if it may make any, or answers in a form.
    pub caller: Option<Caller>,
    /// What became of its answer, if that was to keep to a form, or of a call that it was writing when it ended.
    pub form: Option<Form>,
    /// How far the text of its tokens has come.
    pub partial: Partial,
    /// Pages of it in each tier at most.
    pub peak: Tiers,
    /// When it was spawned, in microseconds on the kernel's clock.
    pub spawned_us: u64,
    /// When it was done.
    pub ended_us: u64,
}

/// Who has asked an agent, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedBy {
    /// Who it is, by its index in the team.
    pub caller: usize,
    /// The call by which it asks.
    pub call: u64,
    /// What is asked.
    pub request: String,
    /// Its answer is still wanted.
    pub open: bool,
}

/// Pages in the two tiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    /// In page memory.
    pub l1: u32,
    /// In the arena.
    pub l2: u32,
}

/// What is becoming of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It waits for the answers of others, or for its turn to be spawned.
    Held,
    /// The kernel has it.
    Alive(AgentId),
    /// It is done.
    Done(AgentId),
    /// It was taken out of service.
    Faulted(AgentId),
    /// It was not let in, for this reason.
    Refused(String),
}

impl Tiers {
    /// The larger of the two, tier by tier.
    #[must_use]
    pub fn most(self, other: Tiers) -> Tiers {
        Tiers { l1: self.l1.max(other.l1), l2: self.l2.max(other.l2) }
    }
}

impl Member {
    /// Has as much room as one that was never kept in a file: what comes allocates nothing.
    pub(super) fn reserve(&mut self, fresh: &Member, longest: usize) {
        if let (Some(answer), Some(fresh)) = (&mut self.answer, &fresh.answer) {
            answer.reserve_exact(fresh.capacity().saturating_sub(answer.len()));
        }
        self.partial.reserve(longest);
    }

    /// The kernel's name of it, once it was spawned.
    pub fn id(&self) -> Option<AgentId> {
        match self.phase {
            Phase::Alive(id) | Phase::Done(id) | Phase::Faulted(id) => Some(id),
            Phase::Held | Phase::Refused(_) => None,
        }
    }
}

/// What can be done about an agent that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It can be spawned.
    Spawn(usize),
    /// It will never have the answer of this other one.
    Refuse(usize, usize),
}

impl Roster {
    /// A team of which nobody was spawned. `answer_bytes` says how long an agent's answer may be, and
    /// `longest` how long a token may be.
    pub fn new(team: &Team, answer_bytes: impl Fn(usize) -> usize, longest: usize) -> Roster {
        let waited_for = |index| team.agents.iter().any(|agent| agent.after.contains(&index));
        let member = |index| Member {
            phase: Phase::Held,
            answer: (waited_for(index) || team.agents[index].on_call)
                .then(|| String::with_capacity(answer_bytes(index))),
            asked: None,
            depth: 0,
            caller: None,
            form: None,
            partial: Partial::continuing(longest),
            peak: Tiers::default(),
            spawned_us: 0,
            ended_us: 0,
        };
        Roster { members: (0..team.agents.len()).map(member).collect() }
    }

    /// The first agent of the file about which something can be done; `None` if all that are held wait
    /// for agents that are still at work, or are those that `later` names.
    pub fn due(&self, team: &Team, later: impl Fn(usize) -> bool) -> Option<Due> {
        let failed = |other: &&usize| {
            let Member { phase, form, .. } = &self.members[**other];
            let unfinished = *form == Some(Form::Unfinished);
            matches!(phase, Phase::Refused(_) | Phase::Faulted(_))
                || matches!(phase, Phase::Done(_)) && unfinished
        };
        let done = |other: &usize| matches!(self.members[*other].phase, Phase::Done(_));
        let mut held =
            team.agents.iter().enumerate().filter(|&(index, agent)| !agent.on_call && self.is_held(index));
        held.find_map(|(index, agent)| match agent.after.iter().find(failed) {
            Some(&other) => Some(Due::Refuse(index, other)),
            None => (agent.after.iter().all(done) && !later(index)).then_some(Due::Spawn(index)),
        })
    }

    /// Whether an agent waits to be spawned.
    pub fn is_held(&self, index: usize) -> bool {
        self.members[index].phase == Phase::Held
    }

    /// Whether the kernel is to do something for somebody.
    pub fn any_alive(&self) -> bool {
        self.members.iter().any(|member| matches!(member.phase, Phase::Alive(_)))
    }

    /// Agents that were refused or taken out of service.
    pub fn failed(&self) -> impl Iterator<Item = usize> {
        let failed = |member: &Member| matches!(member.phase, Phase::Refused(_) | Phase::Faulted(_));
        self.members.iter().enumerate().filter(move |(_, member)| failed(member)).map(|(index, _)| index)
    }
}
