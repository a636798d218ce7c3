//! The names of agents and of their urgency.

use serde::{Deserialize, Serialize};

/// An agent: a slot of the agent table, and which of the agents that lived there it is. An id is
/// never used twice, so one that outlived its agent is refused and never names another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct AgentId {
    /// The slot.
    pub index: u16,
    /// How many agents lived in the slot before.
    pub generation: u32,
}

impl core::fmt::Display for AgentId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// How urgent an agent is: a level from 0 to [`Priority::HIGHEST`], more is more urgent. It has no
/// `Ord`: levels are compared by name, so that no caller confuses urgency with a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Priority(u8);

/// There is no such level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchLevel(pub u8);

impl core::fmt::Display for NoSuchLevel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "there is no priority {}; 0 to {} would fit", self.0, Priority::HIGHEST.0)
    }
}

impl core::error::Error for NoSuchLevel {}

impl TryFrom<u8> for Priority {
    type Error = NoSuchLevel;

    fn try_from(level: u8) -> Result<Priority, NoSuchLevel> {
        Priority::new(level).ok_or(NoSuchLevel(level))
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> u8 {
        priority.0
    }
}

impl Priority {
    /// Number of levels.
    pub const LEVELS: usize = 32;
    /// Work that nobody waits for.
    pub const LOWEST: Priority = Priority(0);
    /// What an agent has that does not say.
    pub const NORMAL: Priority = Priority(8);
    /// Served before everything else.
    pub const HIGHEST: Priority = Priority(31);

    /// A level; `None` above [`Priority::HIGHEST`].
    pub const fn new(level: u8) -> Option<Priority> {
        if level < Self::LEVELS as u8 { Some(Priority(level)) } else { None }
    }

    /// The level.
    pub const fn level(self) -> usize {
        self.0 as usize
    }

    /// Whether this is more urgent than `other`.
    pub const fn above(self, other: Priority) -> bool {
        self.0 > other.0
    }

    /// The more urgent of two.
    pub const fn most_urgent(self, other: Priority) -> Priority {
        if other.above(self) { other } else { self }
    }
}
