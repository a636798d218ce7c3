//! Steps that own their parts, and the contexts that they are cut from.

use std::ops::Range;

use agentos_hal::{
    LayerRange, Limits, PAGE_TOKENS, PageId, Row, Segment, Span, Step, Tap, Want, page::pages_for,
};

use crate::rng::Rng;

/// A step that owns its parts.
#[derive(Clone)]
pub struct Batch {
    /// As in [`Step`].
    pub rows: Vec<Row>,
    /// As in [`Step`].
    pub spans: Vec<Span>,
    /// As in [`Step`].
    pub segments: Vec<Segment>,
    /// As in [`Step`].
    pub pages: Vec<PageId>,
    /// As in [`Step`].
    pub masks: Vec<Vec<u32>>,
    /// As in [`Step`].
    pub taps: Vec<Tap>,
    /// As in [`Step`].
    pub counters: LayerRange,
    /// As in [`Step`].
    pub depth: Option<u32>,
}

impl Batch {
    /// A step without rows.
    pub fn new(taps: &[Tap], counters: LayerRange) -> Batch {
        Batch {
            rows: Vec::new(),
            spans: Vec::new(),
            segments: Vec::new(),
            pages: Vec::new(),
            masks: Vec::new(),
            taps: taps.to_vec(),
            counters,
            depth: None,
        }
    }

    /// Lends the step.
    pub fn with<R>(&self, use_step: impl FnOnce(&Step<'_>) -> R) -> R {
        let masks: Vec<&[u32]> = self.masks.iter().map(Vec::as_slice).collect();
        use_step(&Step {
            rows: &self.rows,
            spans: &self.spans,
            segments: &self.segments,
            pages: &self.pages,
            masks: &masks,
            taps: &self.taps,
            counters: self.counters,
            depth: self.depth,
        })
    }

    /// Every row wants candidates and is exposed.
    pub fn ask_all(&mut self) {
        for row in &mut self.rows {
            row.want = Want::Candidates;
            row.expose = true;
        }
    }
}

/// A run of tokens and the pages that keep it.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Address of its first token.
    pub base: u32,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Its pages.
    pub pages: Vec<PageId>,
}

/// What one agent's rows attend to: slices in address order. Tokens are counted through them.
#[derive(Clone, Debug)]
pub struct Context {
    /// The slices.
    pub slices: Vec<Slice>,
}

/// Pages that nothing uses yet, in random order.
pub struct Pool(Vec<PageId>);

impl Pool {
    /// All pages of the limits.
    pub fn new(limits: &Limits, rng: &mut Rng) -> Pool {
        let mut pages: Vec<PageId> = (0..limits.pages).map(PageId).collect();
        rng.shuffle(&mut pages);
        Pool(pages)
    }

    /// Pages for this many tokens.
    pub fn take(&mut self, tokens: u32) -> Vec<PageId> {
        self.0.split_off(self.0.len() - pages_for(tokens) as usize)
    }
}

impl Context {
    /// Random tokens in slices of 1 to 20, with gaps between some of their addresses.
    pub fn random(tokens: u32, vocab: u32, pool: &mut Pool, rng: &mut Rng) -> Context {
        let mut slices = Vec::new();
        let (mut left, mut gaps) = (tokens, 300);
        let mut base = if rng.one_in(2) { 0 } else { rng.among(1..=300) };
        while left > 0 {
            let length = rng.pick(&[1, 7, 8, 9, 16, 3, 20]).min(left);
            slices.push(Slice::random(base, length, vocab, pool, rng));
            left -= length;
            let gap = if rng.one_in(3) { rng.among(0..=gaps.min(100)) } else { 0 };
            gaps -= gap;
            base += length + gap;
        }
        Context { slices }
    }

    /// The same tokens on the same pages, `distance` addresses further.
    pub fn moved(&self, distance: u32) -> Context {
        let mut other = self.clone();
        other.slices.iter_mut().for_each(|slice| slice.base += distance);
        other
    }

    /// The first address behind it.
    pub fn end(&self) -> u32 {
        self.slices.last().map_or(0, |slice| slice.base + slice.tokens.len() as u32)
    }

    /// The same tokens and addresses on other pages.
    pub fn on_other_pages(&self, pool: &mut Pool) -> Context {
        let mut other = self.clone();
        for slice in &mut other.slices {
            slice.pages = pool.take(slice.tokens.len() as u32);
        }
        other
    }

    /// Tokens of all slices.
    pub fn tokens(&self) -> usize {
        self.slices.iter().map(|slice| slice.tokens.len()).sum()
    }

    /// Appends a span that computes these tokens, after those before them, and asks nothing.
    pub fn push(&self, range: Range<usize>, batch: &mut Batch) {
        let (mut before, mut segments) = (0, 0);
        for slice in &self.slices {
            if before >= range.end {
                break;
            }
            let len = slice.tokens.len().min(range.end - before);
            batch.segments.push(Segment { base: slice.base, len: len as u32 });
            batch.pages.extend_from_slice(&slice.pages[..len.div_ceil(PAGE_TOKENS)]);
            segments += 1;
            for offset in 0..len {
                if range.contains(&(before + offset)) {
                    batch.rows.push(slice.row(offset));
                }
            }
            before += len;
        }
        batch.spans.push(Span { rows: range.len() as u32, segments });
    }
}

impl Slice {
    /// Random tokens.
    pub fn random(base: u32, tokens: u32, vocab: u32, pool: &mut Pool, rng: &mut Rng) -> Slice {
        let pages = pool.take(tokens);
        Slice { base, tokens: (0..tokens).map(|_| rng.among(0..=vocab - 1)).collect(), pages }
    }

    fn row(&self, offset: usize) -> Row {
        Row {
            token: self.tokens[offset],
            address: self.base + offset as u32,
            page: self.pages[offset / PAGE_TOKENS],
            place: (offset % PAGE_TOKENS) as u8,
            offset: offset as u32,
            want: Want::Nothing,
            mask: None,
            expose: false,
        }
    }
}
