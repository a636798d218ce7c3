//! The memory of a kernel, made once: nothing is allocated after.

use agentos_hal::{ModelShape, PageId, Row, Segment, Span};
use agentos_kernel::event::{Record, VACANT_RECORD};
use agentos_kernel::interrupt::Interrupts;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::memory::Mapping;
use agentos_kernel::memory::index::{IndexSlot, VACANT_SLOT};
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::memory::slices::{Slice, VACANT_SLICE};
use agentos_kernel::memory::table::VACANT_MAPPING;
use agentos_kernel::sample::Weighed;
use agentos_kernel::sched::ready::{Link, VACANT_LINK};
use agentos_kernel::system::storage::{Rider, Slot, VACANT_RIDER, VACANT_ROW};
use agentos_kernel::system::{Config, Kernel, Sizes, Storage, StorageError, Vocabulary};
use agentos_kernel::tool::OpenCall;

/// What a [`Kernel`] borrows.
pub struct Boot {
    config: Config,
    packing: Packing,
    delimiters: Vec<Delimiter>,
    ends: Vec<u32>,
    agents: Vec<Slot>,
    tokens: Vec<u32>,
    inbox: Vec<u32>,
    mappings: Vec<Mapping>,
    links: Vec<Link>,
    slices: Vec<Slice>,
    index: Vec<IndexSlot>,
    pages: Vec<PageId>,
    frames: Vec<u32>,
    arena: Vec<u8>,
    image: Vec<u8>,
    rows: Vec<Row>,
    spans: Vec<Span>,
    riders: Vec<Rider>,
    segments: Vec<Segment>,
    segment_pages: Vec<PageId>,
    weighed: Vec<Weighed>,
    events: Vec<Record>,
    calls: Vec<Option<OpenCall>>,
    masks: Vec<u32>,
    schemas: Vec<f32>,
    queries: Vec<f32>,
    scratch: Vec<f32>,
    interrupts: Interrupts,
}

/// What the kernel's memory takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KernelBytes {
    /// Its tables.
    pub tables: u64,
    /// The arena (L2).
    pub arena: u64,
}

impl KernelBytes {
    /// What the tables of a system take.
    pub fn of(config: &Config, packing: &Packing) -> KernelBytes {
        let tables = Sizes::of(config).bytes() + config.image_bytes(packing);
        KernelBytes { tables: tables as u64, arena: config.arena_bytes(packing) as u64 }
    }
}

impl Boot {
    /// The tables for a system. `delimiters` has an entry for every token of the vocabulary; `ends` are
    /// the tokens that end an answer. The arena's memory is taken page by page as it is used.
    pub fn new(config: Config, shape: &ModelShape, delimiters: Vec<Delimiter>, ends: Vec<u32>) -> Boot {
        let sizes = Sizes::of(&config);
        let packing = Packing::of(shape, config.kv);
        Boot {
            packing,
            delimiters,
            ends,
            agents: vec![Slot::default(); sizes.agents],
            tokens: vec![0; sizes.tokens],
            inbox: vec![0; sizes.inbox],
            mappings: vec![VACANT_MAPPING; sizes.mappings],
            links: vec![VACANT_LINK; sizes.agents],
            slices: vec![VACANT_SLICE; sizes.slices],
            index: vec![VACANT_SLOT; sizes.index],
            pages: vec![PageId(0); sizes.pages],
            frames: vec![0; sizes.frames],
            arena: vec![0; config.arena_bytes(&packing)],
            image: vec![0; config.image_bytes(&packing)],
            rows: vec![VACANT_ROW; sizes.rows],
            spans: vec![Span { rows: 0, segments: 0 }; sizes.spans],
            riders: vec![VACANT_RIDER; sizes.spans],
            segments: vec![Segment { base: 0, len: 0 }; sizes.segments],
            segment_pages: vec![PageId(0); sizes.segment_pages],
            weighed: vec![Weighed::default(); sizes.weighed],
            events: vec![VACANT_RECORD; sizes.events],
            calls: vec![None; sizes.calls],
            masks: vec![0; sizes.masks],
            schemas: vec![0.0; sizes.schemas],
            queries: vec![0.0; sizes.queries],
            scratch: vec![0.0; sizes.scratch],
            interrupts: Interrupts::new(),
            config,
        }
    }

    /// A kernel in these tables. `model` identifies the model and its tokenizer.
    ///
    /// # Errors
    /// [`StorageError`], which these tables do not cause.
    pub fn kernel(&mut self, model: &[u8; 32]) -> Result<Kernel<'_>, StorageError> {
        // What was raised for a kernel that is gone is for none of this one's agents.
        self.interrupts = Interrupts::new();
        let storage = Storage {
            agents: &mut self.agents,
            tokens: &mut self.tokens,
            inbox: &mut self.inbox,
            mappings: &mut self.mappings,
            links: &mut self.links,
            slices: &mut self.slices,
            index: &mut self.index,
            pages: &mut self.pages,
            frames: &mut self.frames,
            arena: &mut self.arena,
            image: &mut self.image,
            rows: &mut self.rows,
            spans: &mut self.spans,
            riders: &mut self.riders,
            segments: &mut self.segments,
            segment_pages: &mut self.segment_pages,
            weighed: &mut self.weighed,
            events: &mut self.events,
            calls: &mut self.calls,
            masks: &mut self.masks,
            schemas: &mut self.schemas,
            queries: &mut self.queries,
            scratch: &mut self.scratch,
            interrupts: &self.interrupts,
        };
        let vocabulary = Vocabulary { delimiters: &self.delimiters, ends: &self.ends };
        Kernel::new(self.config, storage, vocabulary, model, self.packing)
    }

    /// Pages of page memory: those of the device below this number are the kernel's.
    pub fn pages(&self) -> u32 {
        self.config.l1_pages
    }

    /// What the tables take.
    pub fn bytes(&self) -> KernelBytes {
        KernelBytes::of(&self.config, &self.packing)
    }
}
