//! What a team file says, once it is checked.

use std::path::PathBuf;
use std::sync::Arc;

use agentos_kernel::agent::{
    Admission, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::sample::Sampling;

use agentos_kernel::tool::{ToolId, ToolSet};
use agentos_store::Encoding;
use agentos_tools::mcp::Declaration;
use serde_json::Value;

use super::error::{Place, Problem, TeamError};
use super::knowledge::KnowledgeUse;
use super::tools::{SensorBus, ToolUse};

/// Most tokens of a bounded agent's context, which may be longer than its model was trained for.
pub const LONGEST_BOUNDED: u32 = 1 << 18;

/// A team: agents in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// The team file.
    pub path: PathBuf,
    /// The model's file, if the team names one.
    pub model: Option<PathBuf>,
    /// The text that all agents share.
    pub document: Option<String>,
    /// Sizes of memory.
    pub memory: Memory,
    /// The cold store (L3), if there is one.
    pub store: Option<StoreFile>,
    /// How turns are taken.
    pub schedule: Schedule,
    /// Servers of tools.
    pub servers: Vec<Declaration>,
    /// The sensor that the tool `sensor` reads; one in software where there is none.
    pub sensor: Option<SensorBus>,
    /// The agents; at least one.
    pub agents: Vec<Agent>,
}

/// Sizes of memory; the host chooses those that the file does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Page memory (L1) in tokens.
    pub l1_tokens: Option<u32>,
    /// The arena (L2) in MiB; 0 for none.
    pub l2_mb: Option<u32>,
}

/// A file in which slices outlive the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// The file; one that does not exist is made.
    pub path: PathBuf,
    /// MiB that slices may take up in it; the host chooses where the file does not say.
    pub size_mb: Option<u32>,
    /// How slices of agents are written that need not come back bit for bit.
    pub packing: Encoding,
}

impl StoreFile {
    /// How they are written where the file does not say.
    pub const USUAL_PACKING: Encoding = Encoding::Int8;
}

/// How turns are taken; the host chooses what the file does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// How long a step should take at most, in milliseconds.
    pub step_ms: Option<u32>,
    /// Tokens that an agent computes before its level's next one is preferred.
    pub quantum: Option<u32>,
}

/// An agent of a team.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its name; nobody else has it.
    pub name: String,
    /// What it is told to be.
    pub system: Option<Arc<str>>,
    /// What it is asked; empty only where it is on call.
    pub prompt: Arc<str>,
    /// It has no prompt of its own: others ask it, and it is spawned for each request.
    pub on_call: bool,
    /// How urgent it is.
    pub priority: Priority,
    /// The agents whose answers are put before its prompt, as indices of [`Team::agents`].
    pub after: Vec<usize>,
    /// What becomes of what does not fit page memory.
    pub memory: MemoryMode,
    /// Its slices are kept in the store, if there is one.
    pub persist: bool,
    /// Slices of it may be kept packed, and packed ones may stand for what it would compute.
    pub packed: bool,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// Most tokens that its context will ever have; its opening and an answer where this is `None`.
    pub context: Option<u32>,
    /// Most time from its spawn in microseconds.
    pub max_time_us: Option<u64>,
    /// What happens when it does not fit now.
    pub admission: Admission,
    /// How its tokens are chosen. Copies have seeds that follow each other.
    pub sampling: Sampling,
    /// What it may do with tools, if it may call any.
    pub tools: Option<ToolUse>,
    /// What it is given to read, if it is granted any collection.
    pub knowledge: Option<KnowledgeUse>,
    /// The JSON schema that its answer keeps to, if it is to keep to one.
    pub response_schema: Option<Arc<Value>>,
    /// Where it stands in the file.
    pub place: Place,
    /// Where its `context` stands, or else the agent.
    pub context_place: Place,
}

/// Tokens that results of an agent's calls may take of its context, with all that stands around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Those of its calls.
    pub sure: u32,
    /// What is said of one that was not of its form, and is asked for again.
    pub again: u32,
}

impl Agent {
    /// Whether slices that were packed may stand for what it would compute: as it says, or because it reads passages as
    /// they were computed elsewhere.
    pub fn accepts_packed(&self) -> bool {
        self.packed || self.knowledge.as_ref().is_some_and(|knowledge| knowledge.fidelity.accepts_packed())
    }
}

impl Team {
    /// Whether an agent is granted a collection.
    pub fn has_knowledge(&self) -> bool {
        self.agents.iter().any(|agent| agent.knowledge.is_some())
    }

    /// What the kernel is told of an agent whose opening has `prompt_tokens`, on a model whose contexts
    /// have at most `model_context` tokens. Its tag is its index. Results of its calls take `results.sure` tokens at
    /// most. As far as the model's context has room for them, one that it has to ask for again may take
    /// `results.again`, and a person may have `spoken` tokens with it.
    ///
    /// # Errors
    /// [`Problem::BeyondModel`], [`Problem::NoRoom`].
    ///
    /// # Panics
    /// Where no agent has the index.
    pub fn spec(
        &self,
        index: usize,
        prompt_tokens: u32,
        model_context: u32,
        (results, spoken): (Results, u32),
    ) -> Result<Spec, TeamError> {
        let agent = &self.agents[index];
        let refuse = |problem| Err(self.error(agent.context_place, problem));
        let name = || agent.name.clone();
        let tools = agent.tools.as_ref();
        let whole = u64::from(prompt_tokens) + u64::from(agent.max_tokens) + u64::from(results.sure);
        let limit = match agent.memory {
            MemoryMode::Exact => model_context,
            MemoryMode::Bounded { .. } => model_context.max(LONGEST_BOUNDED),
        };
        let with_spoken =
            (whole + u64::from(results.again) + u64::from(spoken)).min(u64::from(limit)).max(whole);
        let context = agent.context.map_or(with_spoken, u64::from);
        if context > u64::from(limit) {
            return refuse(Problem::BeyondModel { name: name(), context, limit });
        }
        let context = u32::try_from(context).expect("it is within the model's");
        if prompt_tokens >= context {
            return refuse(Problem::NoRoom { name: name(), prompt: prompt_tokens, context });
        }
        Ok(Spec {
            priority: agent.priority,
            context,
            memory: agent.memory,
            admission: agent.admission,
            sampling: agent.sampling,
            budget: Budget {
                turn_tokens: agent.max_tokens,
                time_us: agent.max_time_us.unwrap_or(u64::MAX),
                calls: tools.map_or(0, |tools| tools.calls),
                tool_tokens: tools.map_or(u32::MAX, |tools| tools.all_tokens),
                pinned_pages: tools.map_or(0, ToolUse::pinned_pages),
                ..Budget::UNBOUNDED
            },
            // What agents say to each other goes through the host.
            capabilities: Capabilities { tools: granted(tools), ..Capabilities::NONE },
            watchdog: Watchdog::OFF,
            on_end: if spoken > 0 { OnEnd::Drain } else { OnEnd::Stop },
            receive: Receive::Copied,
            guarded: tools.is_some() || agent.response_schema.is_some(),
            persist: match (agent.persist && self.store.is_some(), agent.packed) {
                (false, _) => Persist::Nothing,
                (true, false) => Persist::Exact,
                (true, true) => Persist::Packed,
            },
            packed: agent.accepts_packed(),
            tag: index as u64,
        })
    }

    /// A problem at a place of the team's file.
    pub fn error(&self, place: Place, problem: Problem) -> TeamError {
        TeamError { path: self.path.clone(), place: Some(place), problem: Box::new(problem) }
    }
}

/// The tools of an agent by their numbers, which are their places in its registry.
fn granted(tools: Option<&ToolUse>) -> ToolSet {
    let count = tools.map_or(0, |tools| tools.grant.tools.len() + tools.asks.len());
    (0..count.min(256)).fold(ToolSet::NONE, |set, number| set.with(ToolId(number as u8)))
}
