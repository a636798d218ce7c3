//! A kernel's memory as one value with a size that is known when the program is built: what a host
//! without a heap makes a `static` of.

use agentos_hal::{PageId, Row, Segment, Span};

use super::storage::{Rider, Slot, Storage, VACANT_RIDER, VACANT_ROW};
use crate::event::{Record, VACANT_RECORD};
use crate::interrupt::Interrupts;
use crate::memory::index::{IndexSlot, VACANT_SLOT};
use crate::memory::slices::{Slice, VACANT_SLICE};
use crate::memory::table::{Mapping, VACANT_MAPPING};
use crate::sample::Weighed;
use crate::sched::ready::{Link, VACANT_LINK};
use crate::tool::OpenCall;

/// The tables that a kernel works in. The numbers are those of [`Sizes`](super::Sizes), of the arena and
/// of the images of pages on their way:
///
/// ```
/// # use agentos_hal::KvType;
/// # use agentos_kernel::interrupt::Interrupts;
/// # use agentos_kernel::memory::pack::Packing;
/// use agentos_kernel::system::{Config, Memory, Sizes};
///
/// const PACKING: Packing = Packing { heads: 2, head_dim: 16, kv: KvType::F16 };
/// const CONFIG: Config = Config::new(4, 256, 64, 32).checked();
/// const SIZES: Sizes = Sizes::of(&CONFIG);
///
/// type KernelMemory = Memory<
///     { SIZES.agents },
///     { SIZES.tokens },
///     { SIZES.inbox },
///     { SIZES.mappings },
///     { SIZES.slices },
///     { SIZES.index },
///     { SIZES.pages },
///     { SIZES.frames },
///     { CONFIG.arena_bytes(&PACKING) },
///     { CONFIG.image_bytes(&PACKING) },
///     { SIZES.rows },
///     { SIZES.spans },
///     { SIZES.segments },
///     { SIZES.segment_pages },
///     { SIZES.weighed },
///     { SIZES.events },
///     { SIZES.calls },
///     { SIZES.masks },
/// >;
///
/// static INTERRUPTS: Interrupts = Interrupts::new();
/// let mut memory = const { KernelMemory::new() };
/// let storage = memory.storage(&INTERRUPTS);
/// assert_eq!(storage.tokens.len(), 4 * 256);
/// ```
#[derive(Debug)]
pub struct Memory<
    const AGENTS: usize,
    const TOKENS: usize,
    const INBOX: usize,
    const MAPPINGS: usize,
    const SLICES: usize,
    const INDEX: usize,
    const PAGES: usize,
    const FRAMES: usize,
    const ARENA: usize,
    const IMAGE: usize,
    const ROWS: usize,
    const SPANS: usize,
    const SEGMENTS: usize,
    const SEGMENT_PAGES: usize,
    const WEIGHED: usize,
    const EVENTS: usize,
    const CALLS: usize,
    const MASKS: usize,
> {
    agents: [Slot; AGENTS],
    links: [Link; AGENTS],
    tokens: [u32; TOKENS],
    inbox: [u32; INBOX],
    mappings: [Mapping; MAPPINGS],
    slices: [Slice; SLICES],
    index: [IndexSlot; INDEX],
    pages: [PageId; PAGES],
    frames: [u32; FRAMES],
    arena: [u8; ARENA],
    image: [u8; IMAGE],
    rows: [Row; ROWS],
    spans: [Span; SPANS],
    riders: [Rider; SPANS],
    segments: [Segment; SEGMENTS],
    segment_pages: [PageId; SEGMENT_PAGES],
    weighed: [Weighed; WEIGHED],
    events: [Record; EVENTS],
    calls: [Option<OpenCall>; CALLS],
    masks: [u32; MASKS],
}

impl<
    const AGENTS: usize,
    const TOKENS: usize,
    const INBOX: usize,
    const MAPPINGS: usize,
    const SLICES: usize,
    const INDEX: usize,
    const PAGES: usize,
    const FRAMES: usize,
    const ARENA: usize,
    const IMAGE: usize,
    const ROWS: usize,
    const SPANS: usize,
    const SEGMENTS: usize,
    const SEGMENT_PAGES: usize,
    const WEIGHED: usize,
    const EVENTS: usize,
    const CALLS: usize,
    const MASKS: usize,
>
    Memory<
        AGENTS,
        TOKENS,
        INBOX,
        MAPPINGS,
        SLICES,
        INDEX,
        PAGES,
        FRAMES,
        ARENA,
        IMAGE,
        ROWS,
        SPANS,
        SEGMENTS,
        SEGMENT_PAGES,
        WEIGHED,
        EVENTS,
        CALLS,
        MASKS,
    >
{
    /// Empty tables.
    #[expect(clippy::new_without_default, reason = "a static is made by a `const fn`, and one way is enough")]
    pub const fn new() -> Self {
        Memory {
            agents: [const { Slot { generation: 0, rcb: None } }; AGENTS],
            links: [VACANT_LINK; AGENTS],
            tokens: [0; TOKENS],
            inbox: [0; INBOX],
            mappings: [VACANT_MAPPING; MAPPINGS],
            slices: [VACANT_SLICE; SLICES],
            index: [VACANT_SLOT; INDEX],
            pages: [PageId(0); PAGES],
            frames: [0; FRAMES],
            arena: [0; ARENA],
            image: [0; IMAGE],
            rows: [VACANT_ROW; ROWS],
            spans: [Span { rows: 0, segments: 0 }; SPANS],
            riders: [VACANT_RIDER; SPANS],
            segments: [Segment { base: 0, len: 0 }; SEGMENTS],
            segment_pages: [PageId(0); SEGMENT_PAGES],
            weighed: [Weighed::ZERO; WEIGHED],
            events: [VACANT_RECORD; EVENTS],
            calls: [None; CALLS],
            masks: [0; MASKS],
        }
    }

    /// The tables, for one kernel. A number that is not the configuration's is told by
    /// [`Kernel::new`](super::Kernel::new).
    pub fn storage<'m>(&'m mut self, interrupts: &'m Interrupts) -> Storage<'m> {
        Storage {
            agents: &mut self.agents,
            links: &mut self.links,
            tokens: &mut self.tokens,
            inbox: &mut self.inbox,
            mappings: &mut self.mappings,
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
            interrupts,
        }
    }
}
