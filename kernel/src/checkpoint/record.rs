//! The records of a checkpoint.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::agent::{Counted, Cursor, MOST_CALLS, MOST_WAITS, Metrics, Received, Spec, State};
use crate::memory::Fidelity;
use crate::memory::pack::Packing;
use crate::system::Config;
use crate::system::config::Paging;
use crate::tool::{CallOutcome, Request};

/// Bytes of the longest record.
pub const RECORD_BYTES: usize = 768;

/// What results depend on, and how pages are laid out. A checkpoint is read only where all of it is the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The model and its tokenizer.
    pub model: [u8; 32],
    /// Tokens of the vocabulary.
    pub vocab: u32,
    /// Bytes of an element of page memory.
    pub kv_bytes: u8,
    /// Fewest tokens of a slice that a delimiter seals.
    pub slice_min: u32,
    /// Most tokens of a slice.
    pub slice_max: u32,
    /// Bytes of a page's image.
    pub image_bytes: u32,
    /// Bytes of a packed image.
    pub packed_bytes: u32,
    /// Candidates that are sampled from.
    pub candidates: u32,
    /// The layer by which slices are relevant.
    pub relevance_layer: u32,
    /// How bounded agents page; `None` without mean keys.
    pub paging: Option<Paging>,
    /// Numbers of a slice's mean key and of a row's query.
    pub widths: (u32, u32),
    /// Tokens beyond which addresses are compacted.
    pub trained_context: u32,
    /// Agents that follow.
    pub agents: u16,
}

impl Header {
    /// That of a system.
    pub fn of(model: [u8; 32], vocab: usize, config: &Config, packing: &Packing) -> Header {
        Header {
            model,
            vocab: vocab as u32,
            kv_bytes: config.kv.bytes() as u8,
            slice_min: config.slice_limits.min(),
            slice_max: config.slice_limits.max(),
            image_bytes: packing.image_bytes() as u32,
            packed_bytes: packing.packed_bytes() as u32,
            candidates: config.candidates,
            relevance_layer: config.relevance_layer,
            paging: config.attention.map(|_| config.paging),
            widths: config
                .attention
                .map_or((0, 0), |attention| (attention.key_width() as u32, attention.query_width() as u32)),
            trained_context: config.trained_context,
            agents: 0,
        }
    }

    /// What of a system is not as it was where the checkpoint was made.
    pub fn difference(&self, system: &Header) -> Option<&'static str> {
        if (self.model, self.vocab) != (system.model, system.vocab) {
            Some("model or tokenizer")
        } else if self.kv_bytes != system.kv_bytes {
            Some("type of keys and values (--kv)")
        } else if (self.slice_min, self.slice_max) != (system.slice_min, system.slice_max) {
            Some("length of slices")
        } else if (self.image_bytes, self.packed_bytes) != (system.image_bytes, system.packed_bytes) {
            Some("layout of pages")
        } else if self.candidates != system.candidates {
            Some("number of candidates")
        } else if self.relevance_layer != system.relevance_layer {
            Some("layer by which slices are relevant")
        } else if (self.paging, self.widths) != (system.paging, system.widths) {
            Some("paging of bounded agents")
        } else if self.trained_context != system.trained_context {
            Some("trained context")
        } else {
            None
        }
    }
}

/// An agent. Others are named by their number in the checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// What it was doing. Names of agents in it are those that they had.
    pub state: State,
    /// Whom it was forked from, if that is in the checkpoint.
    pub parent: Option<u16>,
    /// What it declared, and what was changed of it since.
    pub spec: Spec,
    /// It was admitted.
    pub admitted: bool,
    /// Tokens of its context, which follow.
    pub tokens: u32,
    /// Tokens of its inbox, which follow those.
    pub inbox: u32,
    /// Mappings of its page table, which follow those.
    pub mapped: u32,
    /// Slices that were sent to it, which follow those.
    pub offers: u32,
    /// Those of them whose bases are addresses.
    pub offers_taken: u32,
    /// What was sent to it as slices so far.
    pub received: Received,
    /// How far it has come.
    pub committed: Cursor,
    /// Most tokens that were ever computed of it.
    pub reached: u32,
    /// How far its rows' attention is counted.
    pub counted: Counted,
    /// It was asked something, and has not said the first token of its answer.
    pub asked: bool,
    /// How often the question was computed again.
    pub replays: u32,
    /// Choices of what it attends to.
    pub choices: u32,
    /// Queries of its rows that were noted. The last of them follow its inbox, if it has mappings.
    pub queries: u32,
    /// Tokens generated since the last message.
    pub turn_tokens: u32,
    /// Its answer is over.
    pub turn_over: bool,
    /// Agents whose end it waits for.
    pub waits_for: Vec<u16, MOST_WAITS>,
    /// Tool calls that are open, in the order in which they were made.
    pub calls: Vec<CallRecord, MOST_CALLS>,
    /// How long it has lived, in microseconds.
    pub lived_us: u64,
    /// What it used and saw.
    pub metrics: Metrics,
}

/// A tool call that is open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Its number.
    pub number: u64,
    /// What was asked for.
    pub request: Request,
    /// What it has come to, where it must not be made again: it was not to be made, or the tool may have done something
    /// that cannot be undone.
    pub over: Option<CallOutcome>,
}

/// One mapping, and the slice that it maps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MappingRecord {
    /// The address of its first token (or its place in the inbox).
    pub base: u32,
    /// How near it is to an own computation.
    pub fidelity: Fidelity,
    /// It is among those that the next rows attend to.
    pub selected: bool,
    /// It stays in page memory.
    pub pinned: bool,
    /// Its agent has given it up.
    pub forgotten: bool,
    /// Attention mass that it holds.
    pub mass: u64,
    /// The address at which it last was relevant.
    pub relevant: u32,
    /// The number of the last choice that selected it.
    pub chosen: u32,
    /// Tokens whose keys its schema is the sum of. If there are any, it follows, before its pages.
    pub schema: u8,
    /// Tokens that the slice has when it is sealed.
    pub sealed: Option<u8>,
    /// Tokens of it that are computed.
    pub computed: u8,
    /// Where its pages are.
    pub pages: Pages,
}

/// Where the pages of a slice are in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pages {
    /// They follow, as they are.
    Here,
    /// They follow, packed.
    Packed,
    /// It is a slice that was there before: that of a mapping of an agent.
    Met {
        /// The agent's number.
        agent: u16,
        /// The entry of its page table, and behind those its offers.
        entry: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Admission, Budget, Capabilities};
    use crate::agent::{AgentId, BlockedOn, MemoryMode, OnEnd, Persist, Priority, Receive, Resume, Watchdog};
    use crate::interrupt::Urgency;
    use crate::layout::Layout;
    use crate::memory::SliceHash;
    use crate::sample::Sampling;
    use crate::tool::{CallOutcome, Effect, ToolId};

    #[test]
    fn the_longest_record_fits() {
        let agent = AgentId { index: u16::MAX, generation: u32::MAX };
        let sampling =
            Sampling { top_k: u32::MAX, repeat_window: u32::MAX, seed: u64::MAX, ..Sampling::GREEDY };
        let request = Request {
            tool: ToolId(u8::MAX),
            effect: Effect::Irreversible,
            timeout_us: u64::MAX,
            attempts: u8::MAX,
            urgency: Urgency::Low,
        };
        let call = CallRecord { number: u64::MAX, request, over: Some(CallOutcome::Unknown) };
        let layout = Layout { tokens: u32::MAX, slices: u32::MAX, pages: u32::MAX, open: u32::MAX };
        let record = AgentRecord {
            state: State::Suspended(Resume::Blocked(BlockedOn::Agent(agent))),
            parent: Some(u16::MAX),
            spec: Spec {
                priority: Priority::HIGHEST,
                context: u32::MAX,
                memory: MemoryMode::Bounded { pages: u32::MAX, packed: true },
                admission: Admission::Wait,
                sampling,
                budget: Budget { pinned_pages: u32::MAX, ..Budget::UNBOUNDED },
                capabilities: Capabilities::ALL,
                watchdog: Watchdog { period: u16::MAX, repeats: u16::MAX, stall_us: u64::MAX },
                on_end: OnEnd::Listen,
                receive: Receive::Mapped,
                guarded: true,
                persist: Persist::Packed,
                packed: true,
                tag: u64::MAX,
            },
            admitted: true,
            tokens: u32::MAX,
            inbox: u32::MAX,
            mapped: u32::MAX,
            offers: u32::MAX,
            offers_taken: u32::MAX,
            received: Received { runs: u32::MAX, slices: u32::MAX, tokens: u32::MAX, pages: u32::MAX },
            committed: Cursor {
                layout,
                chain: Some(SliceHash([255; 32])),
                packed: false,
                trail: None,
                floor: u32::MAX,
            },
            reached: u32::MAX,
            counted: Counted { tokens: u32::MAX, begun: u64::MAX },
            asked: true,
            replays: u32::MAX,
            choices: u32::MAX,
            queries: u32::MAX,
            turn_tokens: u32::MAX,
            turn_over: true,
            waits_for: Vec::from_array([u16::MAX; MOST_WAITS]),
            calls: Vec::from_array([call; MOST_CALLS]),
            lived_us: u64::MAX,
            metrics: Metrics::default(),
        };
        // Eighteen counters of ten bytes each at most stand for one byte each here.
        let bytes = postcard::to_slice(&record, &mut [0; 2 * RECORD_BYTES]).unwrap().len() + 18 * 9;
        assert!(bytes <= RECORD_BYTES, "{bytes}");
    }
}
