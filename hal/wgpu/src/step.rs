//! A step as one small buffer of words: a header, then tables as long as this step's. `shaders/step.wgsl`
//! reads it.

use agentos_hal::{LayerRange, Limits, ModelShape, PAGE_TOKENS, Segment, Step, Tap, Want};

use crate::report::Parts;

/// Stands for "none".
pub const NONE: u32 = u32::MAX;

/// Words of the header.
const HEADER: usize = 20;

/// Sizes of a step, for the dispatches and the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Rows.
    pub rows: u32,
    /// Rows that want an outcome.
    pub wants: u32,
    /// Pairs of places that are written.
    pub stores: u32,
    /// Rows that are exposed.
    pub exposed: u32,
    /// Elements of an exposed row.
    pub exposed_width: u32,
    /// Segments.
    pub segments: u32,
    /// Most pages that a row sees.
    pub pages: u32,
    /// Most splits of a row.
    pub splits: u32,
}

/// The words of a step, and what must be known of it while it is encoded. Made once; filling it again
/// allocates nothing.
pub struct Packed {
    /// The words.
    pub words: Vec<u32>,
    /// The sizes.
    pub counts: Counts,
    /// The step's taps.
    pub taps: Vec<Tap>,
    /// The step's counted layers.
    pub counters: LayerRange,
    /// Where the report keeps what.
    pub parts: Parts,
    /// Where the masks begin, in words, and the words of each.
    masks_at: u32,
    mask_words: u32,
    split_pages: u32,
    /// For each pair of places of page memory, its entry in the store table of some step.
    entries: Vec<u32>,
}

impl Packed {
    /// Words of the worst step.
    pub fn most_words(shape: &ModelShape, limits: &Limits) -> u64 {
        let l = |count: u32| u64::from(count);
        let masks = l(limits.masks) * l(shape.vocab.div_ceil(32));
        HEADER as u64
            + l(limits.rows) * (8 + 4 + 1)
            + l(limits.segments) * 4
            + l(limits.segment_pages) * 2
            + l(limits.outcomes) * 3
            + l(limits.taps) * 3
            + masks
    }

    /// Room for the worst step.
    pub fn new(shape: &ModelShape, limits: &Limits, split_pages: u32) -> Packed {
        Packed {
            words: Vec::with_capacity(Packed::most_words(shape, limits) as usize),
            counts: Counts::default(),
            taps: Vec::with_capacity(limits.taps as usize),
            counters: LayerRange::NONE,
            parts: Parts::default(),
            masks_at: 0,
            mask_words: shape.vocab.div_ceil(32),
            split_pages,
            entries: vec![0; limits.pages as usize * PAGE_TOKENS / 2],
        }
    }

    /// What a kernel needs to know that works row by row, for one row.
    pub fn of_one_row(shape: &ModelShape, limits: &Limits, split_pages: u32) -> Packed {
        let mut packed = Packed::new(shape, limits, split_pages);
        packed.words.resize(HEADER, 0);
        packed.words[0] = 1;
        packed.counts.rows = 1;
        packed
    }

    /// Takes a step that was checked.
    pub fn fill(&mut self, step: &Step<'_>, shape: &ModelShape, limits: &Limits) {
        self.taps.clear();
        self.taps.extend_from_slice(step.taps);
        self.counters = step.counters;
        self.words.clear();
        self.words.resize(HEADER, 0);
        self.counts = Counts {
            rows: step.rows.len() as u32,
            wants: step.rows.iter().filter(|row| row.want != Want::Nothing).count() as u32,
            exposed: step.rows.iter().filter(|row| row.expose).count() as u32,
            segments: step.segments.len() as u32,
            ..Counts::default()
        };
        let rows = self.rows(step);
        let segments = self.segments(step);
        let pages = self.pages(step);
        let masks = self.masks(step);
        let wants = self.wants(step, masks);
        let stores = self.stores(step);
        let exposed = self.exposed(step);
        let taps = self.tap_table(shape);
        let counts = self.counts;
        self.parts = Parts::of(&counts, limits);
        let parts = self.parts;
        self.words[..HEADER].copy_from_slice(&[
            counts.rows,
            counts.wants,
            rows,
            segments,
            pages,
            wants,
            masks,
            counts.stores,
            stores,
            counts.exposed,
            exposed,
            counts.exposed_width,
            self.taps.len() as u32,
            taps,
            counts.splits,
            parts.outcomes,
            parts.mass,
            parts.outcomes,
            parts.candidates,
            parts.exposed,
        ]);
    }

    fn here(&self) -> u32 {
        self.words.len() as u32
    }

    fn rows(&mut self, step: &Step<'_>) -> u32 {
        let at = self.here();
        let (mut row, mut segment, mut page) = (0, 0, 0);
        for span in step.spans {
            let segments = &step.segments[segment..segment + span.segments as usize];
            let of_span: u32 = segments.iter().map(Segment::pages).sum();
            let (mut nth, mut before) = (0, 0);
            for row in &step.rows[row..row + span.rows as usize] {
                while segments[nth].base + segments[nth].len <= row.address {
                    before += segments[nth].pages();
                    nth += 1;
                }
                let pages = before + row.offset / PAGE_TOKENS as u32 + 1;
                self.counts.pages = self.counts.pages.max(pages);
                let place = u32::from(row.place);
                self.words.extend([row.token, row.page.0, place, row.offset, row.address, page, pages, 0]);
            }
            row += span.rows as usize;
            segment += span.segments as usize;
            page += of_span;
        }
        self.counts.splits = self.counts.pages.div_ceil(self.split_pages);
        at
    }

    fn segments(&mut self, step: &Step<'_>) -> u32 {
        let at = self.here();
        let mut page = 0;
        for segment in step.segments {
            self.words.extend([segment.base, segment.len, page, 0]);
            page += segment.pages();
        }
        at
    }

    fn pages(&mut self, step: &Step<'_>) -> u32 {
        let at = self.here();
        let mut pages = step.pages.iter();
        for (number, segment) in step.segments.iter().enumerate() {
            for page in pages.by_ref().take(segment.pages() as usize) {
                self.words.extend([page.0, number as u32]);
            }
        }
        at
    }

    fn masks(&mut self, step: &Step<'_>) -> u32 {
        let at = self.here();
        for (mask, end) in step.masks.iter().zip(1..) {
            self.words.extend_from_slice(mask);
            // Nobody reads the room of one that comes later before it is there.
            self.words.resize((at + end * self.mask_words) as usize, 0);
        }
        self.masks_at = at;
        at
    }

    /// Where a mask lies in the buffer, in bytes.
    pub fn mask_at(&self, mask: u16) -> u64 {
        4 * u64::from(self.masks_at + u32::from(mask) * self.mask_words)
    }

    fn wants(&mut self, step: &Step<'_>, masks: u32) -> u32 {
        let at = self.here();
        for (number, row) in step.rows.iter().enumerate() {
            let score = match row.want {
                Want::Nothing => continue,
                Want::Candidates => NONE,
                Want::Score(token) => token,
            };
            let mask = row.mask.map_or(NONE, |mask| masks + u32::from(mask) * self.mask_words);
            self.words.extend([number as u32, mask, score]);
        }
        at
    }

    /// Pairs of places, each once, with the rows that fill them. Where two rows name the same place, the
    /// later one fills it.
    fn stores(&mut self, step: &Step<'_>) -> u32 {
        let at = self.here();
        for (number, row) in step.rows.iter().enumerate() {
            let (pair, second) = (u32::from(row.place) / 2, usize::from(row.place) % 2);
            let entry = &mut self.entries[row.page.0 as usize * PAGE_TOKENS / 2 + pair as usize];
            let known = at as usize + 4 * *entry as usize;
            let same = *entry < self.counts.stores && self.words[known..known + 2] == [row.page.0, pair];
            if !same {
                *entry = self.counts.stores;
                self.counts.stores += 1;
                self.words.extend([row.page.0, pair, NONE, NONE]);
            }
            let known = at as usize + 4 * *entry as usize;
            self.words[known + 2 + second] = number as u32;
        }
        at
    }

    fn exposed(&mut self, step: &Step<'_>) -> u32 {
        let at = self.here();
        let rows = step.rows.iter().zip(0..).filter(|(row, _)| row.expose);
        self.words.extend(rows.map(|(_, number): (_, u32)| number));
        at
    }

    fn tap_table(&mut self, shape: &ModelShape) -> u32 {
        let at = self.here();
        for tap in &self.taps {
            let (layer, reg) = match *tap {
                Tap::Layer(layer, reg) => (layer, reg),
                Tap::Final(reg) => (NONE, reg),
            };
            self.words.extend([layer, reg as u32, self.counts.exposed_width]);
            self.counts.exposed_width += reg.width(shape);
        }
        at
    }
}
