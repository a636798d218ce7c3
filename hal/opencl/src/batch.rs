//! The tables of a step in device memory, as `kernels/weights.cl` declares them.

use agentos_hal::page::PAGE_TOKENS;
use agentos_hal::{LayerRange, PrepareError, Prepared, Resource, Step, Tap, Want, walk};
use bytemuck::{Pod, Zeroable};
use opencl3::error_codes::ClError;

use crate::driver::{Memory, Queue};
use crate::machine::Maker;

const NONE: u32 = u32::MAX;

/// A row; it may look at `pages` page references from `first` on.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    token: u32,
    address: u32,
    page: u32,
    place: u32,
    offset: u32,
    first: u32,
    pages: u32,
}

/// A page reference: tokens at addresses from `start` on.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Mapped {
    page: u32,
    base: u32,
    start: u32,
    tokens: u32,
    segment: u32,
}

/// A row that wants an outcome.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Wanted {
    row: u32,
    mask: u32,
    scored: u32,
}

/// A table, on the host and on the device.
pub struct Table<T> {
    host: Vec<T>,
    pub device: Memory<T>,
}

/// A step.
pub struct Batch {
    pub rows: Table<Row>,
    pub maps: Table<Mapped>,
    pub wanted: Table<Wanted>,
    pub exposed: Table<u32>,
    pub masks: Table<u32>,
    pub segments: usize,
    /// Page references of the span that has the most.
    pub span_pages: usize,
    pub taps: Vec<Tap>,
    pub counters: LayerRange,
    pub depth: Option<u32>,
}

impl<T: Pod> Table<T> {
    fn new(maker: &mut Maker<'_>, sizes: [usize; 2]) -> Result<Table<T>, PrepareError> {
        let device = maker.memory(Resource::ScratchBytes, sizes)?;
        Ok(Table { host: maker.vector(sizes)?, device })
    }

    fn fill(&mut self, queue: &Queue, from: impl Iterator<Item = T>) -> Result<(), ClError> {
        self.host.clear();
        self.host.extend(from);
        queue.write(&mut self.device, 0, &self.host)
    }

    pub fn len(&self) -> usize {
        self.host.len()
    }
}

impl Batch {
    pub fn new(
        Prepared { shape, limits, .. }: &Prepared,
        maker: &mut Maker<'_>,
    ) -> Result<Batch, PrepareError> {
        Ok(Batch {
            rows: Table::new(maker, [limits.rows as usize, 1])?,
            maps: Table::new(maker, [limits.segment_pages as usize, 1])?,
            wanted: Table::new(maker, [limits.outcomes as usize, 1])?,
            exposed: Table::new(maker, [limits.exposed as usize, 1])?,
            masks: Table::new(maker, [limits.masks as usize, shape.mask_words()])?,
            segments: 0,
            span_pages: 0,
            taps: maker.vector([limits.taps as usize, 1])?,
            counters: LayerRange::NONE,
            depth: None,
        })
    }

    /// Copies a step that was checked.
    pub fn copy(&mut self, step: &Step<'_>, queue: &Queue) -> Result<(), ClError> {
        let spans = || walk::spans(step.spans, step.segments);
        let rows = spans().flat_map(|span| {
            let (first, pages) = (span.pages.start as u32, span.pages.len() as u32);
            step.rows[span.rows].iter().map(move |row| {
                let (page, place) = (row.page.0, row.place.into());
                Row { token: row.token, address: row.address, page, place, offset: row.offset, first, pages }
            })
        });
        self.rows.fill(queue, rows)?;
        let offsets = (0..).zip(step.segments).flat_map(|(index, segment)| {
            (0..segment.len).step_by(PAGE_TOKENS).map(move |offset| (index, segment, offset))
        });
        let maps = offsets.zip(step.pages).map(|((segment, of, offset), page)| Mapped {
            page: page.0,
            base: of.base,
            start: of.base + offset,
            tokens: (of.len - offset).min(PAGE_TOKENS as u32),
            segment,
        });
        self.maps.fill(queue, maps)?;
        let wanted = walk::wanted(step.rows).map(|(number, row)| {
            let scored = if let Want::Score(token) = row.want { token } else { NONE };
            Wanted { row: number as u32, mask: row.mask.map_or(NONE, u32::from), scored }
        });
        self.wanted.fill(queue, wanted)?;
        self.exposed.fill(queue, walk::exposed(step.rows).map(|number| number as u32))?;
        self.masks.fill(queue, step.masks.iter().flat_map(|mask| mask.iter().copied()))?;
        self.segments = step.segments.len();
        self.span_pages = spans().map(|span| span.pages.len()).max().unwrap_or(0);
        self.taps.clear();
        self.taps.extend_from_slice(step.taps);
        self.counters = step.counters;
        self.depth = step.depth;
        Ok(())
    }
}
