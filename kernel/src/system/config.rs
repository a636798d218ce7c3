//! The sizes that a host fixes at boot: one typed value, checked when it is made. All memory of the
//! kernel follows from it.

use agentos_hal::{KvType, Limits, ModelShape};
use serde::{Deserialize, Serialize};

use crate::agent::MemoryMode;
use crate::layout::SliceLimits;
use crate::memory::SLICE_PAGES;
use crate::memory::cold::snapshot::SNAPSHOT_PAGES;
use crate::memory::pack::Packing;
use crate::memory::relevance::{Attention, KEPT};
use crate::system::retrace::{SNAPSHOT_SLICE_WORDS, SNAPSHOT_WORDS};

/// Masks that a step may have.
pub const MOST_MASKS: usize = 64;

/// How bounded agents page. What they say depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// The share of a quota that the latest slices have, in percent: what comes next in a text is told by what came
    /// just before it.
    pub window_percent: u32,
    /// The same when a question is computed again, in percent: what it asks for may be anywhere.
    pub replay_window_percent: u32,
    /// The share of a quota that is left free when slices are chosen, in percent: a new choice is made when
    /// it is used up.
    pub headroom_percent: u32,
    /// What a slice's share of attention is multiplied by when it is selected already, in percent.
    pub hysteresis_percent: u32,
    /// The share of a quota for slices that held most attention lately, whatever the last queries look for, in percent:
    /// a text is told on by what it has been told by. A question that is computed again has none.
    pub held_percent: u32,
    /// Tokens beyond which slices count as equally far.
    pub far: u32,
    /// How often a question is computed again when a slice that it looks for was left out, at most.
    pub replays: u32,
    /// Tokens before an answer that are computed again at most; never more than a quarter of the quota.
    pub replay_tokens: u32,
}

impl Paging {
    /// What suits the models that were tried.
    pub const DEFAULT: Paging = Paging {
        window_percent: 50,
        replay_window_percent: 10,
        headroom_percent: 6,
        hysteresis_percent: 125,
        held_percent: 10,
        far: 128,
        replays: 2,
        replay_tokens: 64,
    };
}

/// The sizes of a system.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Agents at once.
    pub agents: u16,
    /// Most tokens that the context of one agent may have.
    pub context: u32,
    /// Tokens of context that the model was trained for: an exact agent has no more. A bounded one may, and
    /// from there on what it attends to is mapped without gaps.
    pub trained_context: u32,
    /// Tokens that may wait for one agent.
    pub inbox: u32,
    /// Pages of page memory (L1).
    pub l1_pages: u32,
    /// Lossless frames of the arena (L2), each of the size of a page.
    pub l2_frames: u32,
    /// Packed frames of the arena.
    pub packed_frames: u32,
    /// Slices that agents may map while they are in the cold store alone; 0 where there is no store.
    pub cold_slices: u32,
    /// Pages that agents may pin in all; no agent's working set can count on them.
    pub pinned_pages: u32,
    /// Rows of a step.
    pub rows: u32,
    /// Segments of a step, over all agents in it.
    pub segments: u32,
    /// Page references of a step, over all agents in it.
    pub segment_pages: u32,
    /// Candidates per row.
    pub candidates: u32,
    /// Events that wait to be drained.
    pub events: u32,
    /// Rows that an agent computes before its level's next one is preferred.
    pub quantum_rows: u32,
    /// How long a step should take at most, in microseconds; [`crate::sched::cost::NO_TARGET`] where that is no matter.
    pub step_target_us: u64,
    /// How long a step may take before the device counts as hung, in microseconds.
    pub hang_us: u64,
    /// Slices moved between the tiers in one tick.
    pub moves_per_tick: u32,
    /// How long a blocked agent holds its pages against the next lower level, in microseconds.
    pub lease_us: u64,
    /// Tool calls that may be open at once, over all agents.
    pub calls: u32,
    /// Masks of guarded agents in a step.
    pub masks: u32,
    /// Words of a mask: a bit for each token of the vocabulary. 0 where no agent is guarded.
    pub mask_words: u32,
    /// The layer whose attention tells a bounded agent's relevant slices.
    pub relevance_layer: u32,
    /// What relevance is computed with; `None` where no agent is bounded, or where slices are chosen without
    /// it.
    pub attention: Option<Attention>,
    /// How bounded agents page.
    pub paging: Paging,
    /// How short and how long a slice may be.
    pub slice_limits: SliceLimits,
    /// Element type of page memory.
    pub kv: KvType,
}

impl Config {
    /// Checks the sizes. As a `const`, a wrong one is an error of the build.
    ///
    /// # Panics
    /// When a size is 0, a slice would not fit its pages, or one agent would not fit a step.
    pub const fn checked(self) -> Config {
        assert!(self.agents > 0 && self.agents < u16::MAX, "1 to 65534 agents");
        assert!(self.context > 0 && self.rows > 0 && self.candidates > 0 && self.events > 0, "no size is 0");
        assert!(self.quantum_rows > 0 && self.moves_per_tick > 0, "no size is 0");
        assert!(
            self.slice_limits.max() as usize <= SLICE_PAGES * agentos_hal::PAGE_TOKENS,
            "a slice has at most eight pages"
        );
        assert!(
            self.l1_pages >= self.pinned_pages + 3 * SLICE_PAGES as u32,
            "page memory holds at least three slices besides what is pinned"
        );
        assert!(
            self.segments >= self.slices_per_agent(),
            "a step holds at least the slices of one agent's context"
        );
        assert!(self.masks as usize <= MOST_MASKS, "a step has at most 64 masks");
        assert!((self.masks == 0) == (self.mask_words == 0), "a mask has words");
        let pages = self.slice_limits.worst_pages(self.context);
        let resident = if pages < self.l1_pages { pages } else { self.l1_pages };
        assert!(self.segment_pages >= resident, "a step holds at least the resident pages of one agent");
        assert!(self.trained_context > 0, "no size is 0");
        assert!(
            self.paging.window_percent + self.paging.held_percent + self.paging.headroom_percent <= 100
                && self.paging.replay_window_percent + self.paging.headroom_percent <= 100,
            "the latest slices, those that held attention and what is left free are parts of one quota"
        );
        self
    }

    /// The same with bounded agents that page by relevance, as a model's attention at a layer tells it, and
    /// whose contexts may be longer than it was trained for.
    #[must_use]
    pub const fn with_relevance(self, shape: &ModelShape, layer: u32) -> Config {
        Config {
            attention: Some(Attention::of(shape)),
            relevance_layer: layer,
            trained_context: shape.context,
            ..self
        }
    }

    /// The sizes for `agents` contexts of `context` tokens with page memory for `l1_tokens`, and an arena
    /// of `l2_frames`; the rest is what suits most hosts. A step can map all of page memory.
    pub const fn new(agents: u16, context: u32, l1_pages: u32, l2_frames: u32) -> Config {
        let slice_limits = SliceLimits::DEFAULT;
        let worst = slice_limits.worst_slices(context);
        let all = agents as u32 * worst;
        // Slices of page memory: each has at least one page, but agents that share one map it each.
        let segments = if all < 4 * l1_pages { all } else { 4 * l1_pages };
        let segments = if segments < worst { worst } else { segments };
        Config {
            agents,
            context,
            trained_context: context,
            inbox: context,
            l1_pages,
            l2_frames,
            packed_frames: 0,
            cold_slices: 0,
            pinned_pages: 0,
            rows: 128,
            segments,
            segment_pages: 4 * l1_pages,
            candidates: 40,
            events: 4096,
            quantum_rows: 64,
            step_target_us: 50_000,
            hang_us: 30_000_000,
            moves_per_tick: 256,
            lease_us: 100_000,
            calls: 0,
            masks: 0,
            mask_words: 0,
            relevance_layer: 0,
            attention: None,
            paging: Paging::DEFAULT,
            slice_limits,
            kv: KvType::F16,
        }
    }

    /// What the device is to be prepared for.
    pub fn device_limits(&self, shape: &ModelShape) -> Limits {
        let spans = u32::from(self.agents).min(self.rows);
        Limits {
            rows: self.rows,
            spans,
            segments: self.segments,
            segment_pages: self.segment_pages,
            outcomes: spans,
            candidates: self.candidates.min(shape.vocab),
            masks: self.masks,
            taps: u32::from(self.attention.is_some()),
            exposed: if self.attention.is_some() { self.rows.min(spans * KEPT as u32) } else { 0 },
            context: self.context.min(self.trained_context),
            pages: self.l1_pages,
            kv: self.kv,
        }
    }

    /// Most tokens of the context of an agent with this memory. Who attends to all of it needs addresses that the model
    /// was trained for.
    pub const fn most_context(&self, memory: MemoryMode) -> u32 {
        match memory {
            MemoryMode::Exact if self.trained_context < self.context => self.trained_context,
            MemoryMode::Exact | MemoryMode::Bounded { .. } => self.context,
        }
    }

    /// Most slices of one agent's context. A message that ends a slice early begins another.
    pub const fn slices_per_agent(&self) -> u32 {
        self.slice_limits.worst_slices(self.context)
    }

    /// Slices that there can be: each has at least a page or a frame, but for the cold ones and the one that each
    /// agent may just have begun.
    pub const fn slices(&self) -> u32 {
        self.l1_pages + self.l2_frames + self.packed_frames + self.cold_slices + self.agents as u32
    }

    /// Bytes of the images that pages are in on their way: one, and where there is a store one for each way, and the
    /// state of a bounded agent.
    pub const fn image_bytes(&self, packing: &Packing) -> usize {
        let images = if self.cold_slices == 0 { 1 } else { 3 + self.snapshot_pages(packing) };
        images * packing.image_bytes()
    }

    /// Page images that the state of a bounded agent takes at most where it is stored.
    const fn snapshot_pages(&self, packing: &Packing) -> usize {
        let Some(attention) = &self.attention else { return 0 };
        let slices = self.slices_per_agent() as usize * (SNAPSHOT_SLICE_WORDS + attention.key_width());
        let words = SNAPSHOT_WORDS + KEPT * attention.query_width() + slices;
        let pages = (4 * words).div_ceil(packing.image_bytes());
        if pages < SNAPSHOT_PAGES { pages } else { SNAPSHOT_PAGES }
    }

    /// Bytes of the arena for pages of a layout.
    pub const fn arena_bytes(&self, packing: &Packing) -> usize {
        self.l2_frames as usize * packing.image_bytes() + self.packed_frames as usize * packing.packed_bytes()
    }
}
