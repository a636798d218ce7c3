//! Heavy hitters: half of the quota has the latest tokens, half those that took most attention since they were read, in
//! each key/value head of each layer its own. What is dropped never comes back.
//!
//! Source: Zhang et al., "H2O: heavy-hitter oracle for efficient generative inference of large language models"
//! (NeurIPS 2023). There a token goes at every step; here eight leave the latest together, whenever a page is full, and
//! then compete with those kept. No row attends to more than the quota.

use agentos_hal::page::image_bytes;
use agentos_hal::{Limits, PAGE_TOKENS, PageId, Segment, TensorDevice};

use super::super::Subject;
use super::attention::{keep_greatest, shares};
use super::copy::Copy;
use super::machine::{self, Machine, Shown, Told, row};
use super::{Asked, Baseline};
use crate::bench::BenchError;

const PAGE: u32 = PAGE_TOKENS as u32;

/// How a quota is parted, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    heavy: u32,
    recent: u32,
}

impl Quota {
    fn of(l1: u32) -> Quota {
        let pages = (l1 / PAGE).max(2);
        Quota { heavy: (pages - pages / 2) * PAGE, recent: pages / 2 * PAGE }
    }

    fn all(self) -> u32 {
        self.heavy + self.recent
    }
}

/// What is kept.
#[derive(Clone, Default)]
struct Kept {
    /// Tokens read.
    tokens: u32,
    /// The first of the latest.
    recent: u32,
    /// Of each head, the heavy tokens in their order.
    heavy: Vec<Vec<u32>>,
    /// Of each head, what each token took.
    mass: Vec<Vec<f32>>,
}

/// H2O on one context.
pub struct H2o<'d> {
    machine: Machine<'d>,
    copy: Copy,
    quota: Quota,
    kept: Kept,
    mark: Kept,
    /// Query heads that share a key head.
    group: usize,
    image: Vec<u8>,
}

/// What a device is prepared with to read so many tokens within a quota.
pub fn limits(subject: &Subject<'_>, tokens: u32, l1: u32) -> Limits {
    // Pages of the context stay where they are, so that a place in it can be gone back to.
    let pages = tokens.div_ceil(PAGE) + Quota::of(l1).heavy / PAGE;
    machine::limits(subject, PAGE, tokens, (tokens.div_ceil(PAGE) + 1, pages))
}

impl<'d> H2o<'d> {
    /// An empty context on a device that was prepared with [`limits`].
    pub fn new(subject: &Subject<'_>, device: &'d mut dyn TensorDevice, l1: u32) -> H2o<'d> {
        let copy = Copy::new(subject);
        let heads = copy.heads();
        let kept = Kept { heavy: vec![Vec::new(); heads], mass: vec![Vec::new(); heads], ..Kept::default() };
        H2o {
            machine: Machine::new(subject, device),
            copy,
            quota: Quota::of(l1),
            mark: kept.clone(),
            kept,
            group: subject.shape.group() as usize,
            image: vec![0; image_bytes(subject.shape, subject.kv)],
        }
    }

    /// The page of the latest that a token stands in.
    fn page(&self, token: u32) -> PageId {
        PageId((self.quota.heavy + token) / PAGE)
    }

    /// Lets the oldest of the latest compete, if the next page would be too much.
    fn make_room(&mut self) -> Result<(), BenchError> {
        let end = self.kept.tokens + PAGE;
        if end <= self.quota.all() {
            return Ok(());
        }
        let recent = end - self.quota.recent;
        let leaving = self.kept.recent..recent;
        for (heavy, mass) in self.kept.heavy.iter_mut().zip(&self.kept.mass) {
            heavy.extend(leaving.clone());
            keep_greatest(heavy, mass, self.quota.heavy as usize);
        }
        self.kept.recent = recent;
        self.gather()
    }

    /// Puts the heavy tokens into their pages.
    fn gather(&mut self) -> Result<(), BenchError> {
        for page in 0..self.kept.heavy.first().map_or(0, |heavy| heavy.len().div_ceil(PAGE_TOKENS)) {
            self.copy.put(&mut self.image, page, &self.kept.heavy);
            self.machine.fill(PageId(page as u32), &self.image)?;
        }
        Ok(())
    }

    /// What the next rows, up to one before `end`, may attend to.
    fn table(&self, end: u32) -> (Vec<Segment>, Vec<PageId>) {
        let heavy = self.kept.heavy.first().map_or(0, Vec::len) as u32;
        let mut segments = Vec::new();
        let mut pages: Vec<PageId> = (0..heavy.div_ceil(PAGE)).map(PageId).collect();
        segments.extend((heavy > 0).then_some(Segment { base: 0, len: heavy }));
        for base in (self.kept.recent..end).step_by(PAGE_TOKENS) {
            segments.push(Segment { base, len: PAGE.min(end - base) });
            pages.push(self.page(base));
        }
        (segments, pages)
    }

    /// Notes what each token took of the attention of rows that begin at an address.
    fn note(&mut self, first: u32, shown: &Shown) {
        let recent = self.kept.recent;
        let width = self.copy.key(0, first).len();
        let (mut turned, mut query) = (vec![0.0f64; width], vec![0.0f32; width]);
        let mut found = Vec::new();
        self.kept.mass.iter_mut().for_each(|mass| mass.resize(self.kept.tokens as usize, 0.0));
        for (number, part) in shown.queries.chunks_exact(width).enumerate() {
            // Row after row, layer after layer, head after head; some heads share their keys.
            let address = first + (number / self.group / self.copy.heads()) as u32;
            let head = number / self.group % self.copy.heads();
            self.copy.rotated(part, address, &mut turned);
            query.iter_mut().zip(&turned).for_each(|(query, &x)| *query = x as f32);
            let tokens = || self.kept.heavy[head].iter().copied().chain(recent..=address);
            shares(&query, tokens().map(|token| self.copy.key(head, token)), &mut found);
            for (token, share) in tokens().zip(&found) {
                self.kept.mass[head][token as usize] += share;
            }
        }
    }
}

impl Baseline for H2o<'_> {
    fn read(&mut self, tokens: &[u32], asked: Asked<'_>) -> Result<Vec<Told>, BenchError> {
        let mut told = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let first = self.kept.tokens;
            let base = first / PAGE * PAGE;
            if first == base {
                self.make_room()?;
            }
            let count = ((base + PAGE - first) as usize).min(tokens.len() - at);
            let page = self.page(first);
            let rows: Vec<_> = (0..count)
                .map(|row_at| row(tokens, at + row_at, (first + row_at as u32, base), page, asked))
                .collect();
            let end = first + count as u32;
            let (segments, pages) = self.table(end);
            let step_asked = asked.of_step(at + count == tokens.len());
            let shown = self.machine.step(&rows, &segments, &pages, step_asked)?;
            let places = (first - base) as usize..(end - base) as usize;
            self.copy.take(self.machine.image(page)?, places, base);
            self.kept.tokens = end;
            self.note(first, &shown);
            told.extend(shown.told);
            at += count;
        }
        Ok(told)
    }

    fn mark(&mut self) {
        self.mark = self.kept.clone();
    }

    fn go_back(&mut self) -> Result<(), BenchError> {
        self.kept = self.mark.clone();
        self.copy.truncate(self.kept.tokens);
        self.gather()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_parted_in_halves_of_whole_pages() {
        assert_eq!(Quota::of(256), Quota { heavy: 128, recent: 128 });
        assert_eq!(Quota::of(200), Quota { heavy: 104, recent: 96 });
        assert_eq!(Quota::of(1), Quota { heavy: 8, recent: 8 });
    }
}
