//! The tables that a kernel works in, lent by the host.

use agentos_hal::{PageId, Row, Segment, Span, Want};

use super::Config;
use crate::agent::Rcb;
use crate::event::Record;
use crate::interrupt::Interrupts;
use crate::layout::Delimiter;
use crate::memory::index::IndexSlot;
use crate::memory::slices::Slice;
use crate::memory::table::Mapping;
use crate::sample::Weighed;
use crate::sched::ready::Link;
use crate::tool::OpenCall;

/// A place for an agent.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// How many agents lived here before.
    pub generation: u32,
    /// Who lives here.
    pub rcb: Option<Rcb>,
}

/// An agent's part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rider {
    /// Its slot.
    pub agent: u16,
    /// Its first row.
    pub first_row: u32,
    /// Its rows.
    pub rows: u32,
    /// Its first segment.
    pub first_segment: u32,
    /// Its segments.
    pub segments: u32,
    /// Its first page reference.
    pub first_page: u32,
    /// Its page references.
    pub pages: u32,
    /// Its last row wants candidates.
    pub wants: bool,
}

/// What a table of riders starts with.
pub const VACANT_RIDER: Rider = Rider {
    agent: 0,
    first_row: 0,
    rows: 0,
    first_segment: 0,
    segments: 0,
    first_page: 0,
    pages: 0,
    wants: false,
};

/// What a table of rows starts with.
pub const VACANT_ROW: Row = Row {
    token: 0,
    address: 0,
    page: PageId(0),
    place: 0,
    offset: 0,
    want: Want::Nothing,
    mask: None,
    expose: false,
};

/// What the kernel must know of a vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'m> {
    /// What each token ends.
    pub delimiters: &'m [Delimiter],
    /// Tokens that end an answer.
    pub ends: &'m [u32],
}

/// The memory of a kernel. [`Sizes`] says how long each table is to be; what is in them does not matter.
#[derive(Debug)]
pub struct Storage<'m> {
    /// Per agent.
    pub agents: &'m mut [Slot],
    /// Per agent and token of its context.
    pub tokens: &'m mut [u32],
    /// Per agent and token of its inbox.
    pub inbox: &'m mut [u32],
    /// Per agent and slice of its context.
    pub mappings: &'m mut [Mapping],
    /// Per agent.
    pub links: &'m mut [Link],
    /// Per slice.
    pub slices: &'m mut [Slice],
    /// The index of slices.
    pub index: &'m mut [IndexSlot],
    /// Per page of page memory.
    pub pages: &'m mut [PageId],
    /// Frames of the arena, lossless and packed.
    pub frames: &'m mut [u32],
    /// The arena: [`Config::arena_bytes`].
    pub arena: &'m mut [u8],
    /// Images of pages on their way: [`Config::image_bytes`].
    pub image: &'m mut [u8],
    /// Per row of a step.
    pub rows: &'m mut [Row],
    /// Per agent in a step.
    pub spans: &'m mut [Span],
    /// Per agent in a step.
    pub riders: &'m mut [Rider],
    /// Per segment of a step.
    pub segments: &'m mut [Segment],
    /// Per page reference of a step.
    pub segment_pages: &'m mut [PageId],
    /// Per candidate.
    pub weighed: &'m mut [Weighed],
    /// Per event that waits to be drained.
    pub events: &'m mut [Record],
    /// Per tool call that may be open.
    pub calls: &'m mut [Option<OpenCall>],
    /// Per mask of a step and word of a mask.
    pub masks: &'m mut [u32],
    /// Where hosts post interrupts.
    pub interrupts: &'m Interrupts,
}

/// How long each table of [`Storage`] is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Length of `agents` and `links`.
    pub agents: usize,
    /// Length of `tokens`.
    pub tokens: usize,
    /// Length of `inbox`.
    pub inbox: usize,
    /// Length of `mappings`.
    pub mappings: usize,
    /// Length of `slices`.
    pub slices: usize,
    /// Length of `index`.
    pub index: usize,
    /// Length of `pages`.
    pub pages: usize,
    /// Length of `frames`.
    pub frames: usize,
    /// Length of `rows`.
    pub rows: usize,
    /// Length of `spans` and `riders`.
    pub spans: usize,
    /// Length of `segments`.
    pub segments: usize,
    /// Length of `segment_pages`.
    pub segment_pages: usize,
    /// Length of `weighed`.
    pub weighed: usize,
    /// Length of `events`.
    pub events: usize,
    /// Length of `calls`.
    pub calls: usize,
    /// Length of `masks`.
    pub masks: usize,
}

impl Sizes {
    /// The lengths for a system.
    pub const fn of(config: &Config) -> Sizes {
        let agents = config.agents as usize;
        let spans = if agents < config.rows as usize { agents } else { config.rows as usize };
        Sizes {
            agents,
            tokens: agents * config.context as usize,
            inbox: agents * config.inbox as usize,
            mappings: agents * config.slices_per_agent() as usize,
            slices: config.slices() as usize,
            index: (2 * config.slices() as usize).next_power_of_two(),
            pages: config.l1_pages as usize,
            frames: (config.l2_frames + config.packed_frames) as usize,
            rows: config.rows as usize,
            spans,
            segments: config.segments as usize,
            segment_pages: config.segment_pages as usize,
            weighed: config.candidates as usize,
            events: config.events as usize,
            calls: config.calls as usize,
            masks: config.masks as usize * config.mask_words as usize,
        }
    }

    /// Bytes of all tables, the arena and the device's memory not counted.
    pub const fn bytes(&self) -> usize {
        self.agents * (size_of::<Slot>() + size_of::<Link>())
            + (self.tokens + self.inbox) * size_of::<u32>()
            + self.mappings * size_of::<Mapping>()
            + self.slices * size_of::<Slice>()
            + self.index * size_of::<IndexSlot>()
            + self.pages * size_of::<PageId>()
            + self.frames * size_of::<u32>()
            + self.rows * size_of::<Row>()
            + self.spans * (size_of::<Span>() + size_of::<Rider>())
            + self.segments * size_of::<Segment>()
            + self.segment_pages * size_of::<PageId>()
            + self.weighed * size_of::<Weighed>()
            + self.events * size_of::<Record>()
            + self.calls * size_of::<Option<OpenCall>>()
            + self.masks * size_of::<u32>()
    }
}
