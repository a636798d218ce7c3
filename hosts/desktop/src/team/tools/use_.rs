//! What an agent's section of the team file says about tools.

use agentos_tools::Grant;

use super::align::Reduce;

/// Who decides that a tool is called, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choose {
    /// The host: the one whose example requests are most like the agent's prompt.
    Likeness,
    /// The model: it writes a call where it wants one.
    Model,
}

/// How a model that calls tools itself is told of them, and writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As its own chat template has it, where that takes tools.
    Own,
    /// In words.
    Plain,
}

/// Who decides that a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// What is granted is done.
    Granted,
    /// A person is shown each call with its arguments, and says.
    Ask,
}

/// Pages that an agent may pin: as many as two of the longest slices have.
const PINNED_PAGES: u32 = 16;

/// What an agent may do with tools, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolUse {
    /// What it is granted.
    pub grant: Grant,
    /// Who decides that a tool is called, and which.
    pub choose: Choose,
    /// The tools that are called one after the other, if that is said; then nobody chooses.
    pub chain: Vec<String>,
    /// How the model is told of them and writes calls, where it decides.
    pub template: Manner,
    /// The agents that it may ask, by their indices in the team: each is a tool, behind those of its grant.
    pub asks: Vec<usize>,
    /// Who decides that a call is made.
    pub policy: Policy,
    /// What decides what of a long text stays.
    pub reduce: Reduce,
    /// Calls in all.
    pub calls: u32,
    /// Tokens that one result may take.
    pub tokens: u32,
    /// Tokens that all results together may take, with what stands around each.
    pub all_tokens: u32,
}

impl ToolUse {
    /// Calls where the file does not say.
    pub const CALLS: u32 = 2;
    /// Tokens of a result where the file does not say.
    pub const TOKENS: u32 = 192;

    /// Pages that it may keep in page memory by its tool `memory`, where it has that.
    pub fn pinned_pages(&self) -> u32 {
        if self.grant.tools.iter().any(|tool| tool == "memory") { PINNED_PAGES } else { 0 }
    }

    /// Tokens of a context that calls may take beyond what the agent says itself: results, and what stands
    /// around each.
    pub fn context_tokens(&self, around: u32) -> u32 {
        self.calls.saturating_mul(self.tokens.saturating_add(around)).min(self.all_tokens)
    }
}
