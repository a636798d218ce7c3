//! Quest: all keys and values stay, and every step attends to the pages of 16 tokens that promise its queries most: the
//! sum over dimensions of the greater of query · least key and query · greatest key, which no key of the page exceeds.
//!
//! Source: Tang et al., "Quest: query-aware sparsity for efficient long-context LLM inference" (ICML 2024). There each
//! head chooses for itself; a page table has one choice for all layers, so that here the promises of all heads are made
//! shares by a softmax over the pages, and added up. A step's choice is by its own queries: it is computed with the
//! choice of the step before, and again with its own.

use agentos_hal::{Limits, PAGE_TOKENS, PageId, Segment, TensorDevice};

use super::super::Subject;
use super::attention::{keep_greatest, softmax};
use super::copy::Copy;
use super::machine::{self, Machine, Shown, Told, row};
use super::{Asked, Baseline};
use crate::bench::BenchError;

/// Tokens of a page of Quest's.
const PAGE: u32 = 16;

/// Pages of the device that have them.
const DEVICE_PAGES: u32 = PAGE / PAGE_TOKENS as u32;

/// The least and the greatest keys of a page, in every dimension of every head.
#[derive(Clone, Debug, PartialEq)]
struct Bounds {
    least: Vec<f32>,
    greatest: Vec<f32>,
}

impl Bounds {
    /// Those of the first tokens of a copy.
    fn of(copy: &Copy, tokens: u32) -> Bounds {
        let mut bounds = Bounds { least: Vec::new(), greatest: Vec::new() };
        for head in 0..copy.heads() {
            let first = copy.key(head, 0);
            let at = bounds.least.len();
            bounds.least.extend_from_slice(first);
            bounds.greatest.extend_from_slice(first);
            for token in 1..tokens {
                for (dim, &x) in copy.key(head, token).iter().enumerate() {
                    bounds.least[at + dim] = bounds.least[at + dim].min(x);
                    bounds.greatest[at + dim] = bounds.greatest[at + dim].max(x);
                }
            }
        }
        bounds
    }

    /// What no key of the page exceeds with a query of a head.
    fn promise(&self, head: usize, query: &[f32]) -> f32 {
        let from = head * query.len();
        let bounds = self.least[from..].iter().zip(&self.greatest[from..]);
        query.iter().zip(bounds).map(|(&q, (&least, &greatest))| (q * least).max(q * greatest)).sum()
    }
}

/// Where a context is.
#[derive(Clone, Default)]
struct Place {
    /// Tokens read.
    tokens: u32,
    /// The whole pages that the last step attended to, in order.
    chosen: Vec<u32>,
}

/// Quest on one context.
pub struct Quest<'d> {
    machine: Machine<'d>,
    copy: Copy,
    /// Of each whole page.
    bounds: Vec<Bounds>,
    place: Place,
    mark: Place,
    /// Whole pages that a step may attend to beside the one that is written.
    most: usize,
    group: usize,
    width: usize,
}

/// What a device is prepared with to read so many tokens.
pub fn limits(subject: &Subject<'_>, tokens: u32) -> Limits {
    let pages = tokens.div_ceil(PAGE) * DEVICE_PAGES;
    machine::limits(subject, PAGE, tokens, (tokens.div_ceil(PAGE), pages))
}

impl<'d> Quest<'d> {
    /// An empty context on a device that was prepared with [`limits`].
    pub fn new(subject: &Subject<'_>, device: &'d mut dyn TensorDevice, l1: u32) -> Quest<'d> {
        Quest {
            machine: Machine::new(subject, device),
            copy: Copy::new(subject),
            bounds: Vec::new(),
            place: Place::default(),
            mark: Place::default(),
            most: (l1 / PAGE).max(2) as usize - 1,
            group: subject.shape.group() as usize,
            width: subject.shape.head_dim as usize,
        }
    }

    /// The whole pages that promise a row's queries most, in order.
    fn choose(&self, queries: &[f32], address: u32) -> Vec<u32> {
        let (mut turned, mut query) = (vec![0.0f64; self.width], vec![0.0f32; self.width]);
        let mut shares = vec![0.0f32; self.bounds.len()];
        let mut promises = Vec::new();
        let scale = 1.0 / (self.width as f32).sqrt();
        for (number, part) in queries.chunks_exact(self.width).enumerate() {
            self.copy.rotated(part, address, &mut turned);
            query.iter_mut().zip(&turned).for_each(|(query, &x)| *query = x as f32 * scale);
            promises.clear();
            promises.extend(self.bounds.iter().map(|bounds| bounds.promise(number / self.group, &query)));
            softmax(&mut promises);
            shares.iter_mut().zip(&promises).for_each(|(share, promise)| *share += promise);
        }
        greatest(&shares, self.most)
    }

    /// Computes rows of the page that is written, beside these whole ones.
    fn step(
        &mut self,
        (tokens, at, count): (&[u32], usize, usize),
        chosen: &[u32],
        asked: Asked<'_>,
    ) -> Result<Shown, BenchError> {
        let first = self.place.tokens;
        let (base, end) = (first / PAGE * PAGE, first + count as u32);
        let mut segments: Vec<Segment> =
            chosen.iter().map(|&page| Segment { base: page * PAGE, len: PAGE }).collect();
        segments.push(Segment { base, len: end - base });
        let pages: Vec<PageId> = segments
            .iter()
            .flat_map(|segment| {
                let page = segment.base / PAGE * DEVICE_PAGES;
                (page..page + segment.pages()).map(PageId)
            })
            .collect();
        let rows: Vec<_> = (0..count)
            .map(|row_at| {
                let address = first + row_at as u32;
                let page = PageId(address / PAGE_TOKENS as u32);
                row(tokens, at + row_at, (address, base), page, asked)
            })
            .collect();
        self.machine.step(&rows, &segments, &pages, asked)
    }

    /// A page is whole: what its keys are between is noted.
    fn close(&mut self) -> Result<(), BenchError> {
        let page = self.bounds.len() as u32;
        self.copy.truncate(0);
        for half in 0..DEVICE_PAGES {
            let image = self.machine.image(PageId(page * DEVICE_PAGES + half))?;
            self.copy.take(image, 0..PAGE_TOKENS, page * PAGE);
        }
        self.bounds.push(Bounds::of(&self.copy, PAGE));
        Ok(())
    }
}

impl Baseline for Quest<'_> {
    fn read(&mut self, tokens: &[u32], asked: Asked<'_>) -> Result<Vec<Told>, BenchError> {
        let mut told = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let first = self.place.tokens;
            let fits = self.bounds.len() <= self.most;
            // Where all pages fit there is no choice, and rows go together.
            let count = if fits { (PAGE - first % PAGE) as usize } else { 1 }.min(tokens.len() - at);
            let step_asked = asked.of_step(at + count == tokens.len());
            let part = (tokens, at, count);
            let mut chosen: Vec<u32> =
                if fits { (0..self.bounds.len() as u32).collect() } else { self.place.chosen.clone() };
            let mut shown = self.step(part, &chosen, step_asked)?;
            if !fits {
                let own = self.choose(&shown.queries, first);
                if own != chosen {
                    shown = self.step(part, &own, step_asked)?;
                    chosen = own;
                }
            }
            self.place = Place { tokens: first + count as u32, chosen };
            if self.place.tokens.is_multiple_of(PAGE) {
                self.close()?;
            }
            told.extend(shown.told);
            at += count;
        }
        Ok(told)
    }

    fn mark(&mut self) {
        self.mark = self.place.clone();
    }

    fn go_back(&mut self) -> Result<(), BenchError> {
        self.place = self.mark.clone();
        self.bounds.truncate((self.place.tokens / PAGE) as usize);
        Ok(())
    }
}

/// The places of the greatest numbers, in order; of equals the later one.
fn greatest(numbers: &[f32], most: usize) -> Vec<u32> {
    let mut places: Vec<u32> = (0..numbers.len() as u32).collect();
    keep_greatest(&mut places, numbers, most);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_exceeds_its_page_s_promise() {
        let keys = [[1.0f32, -2.0], [0.5, 3.0], [-1.0, 0.0]];
        let bounds = Bounds {
            least: keys.iter().copied().reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1])]).unwrap().to_vec(),
            greatest: keys.iter().copied().reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]).unwrap().to_vec(),
        };
        for query in [[1.0f32, 1.0], [-2.0, 0.5], [0.0, -1.0]] {
            let most = keys.iter().map(|key| key[0] * query[0] + key[1] * query[1]).fold(f32::MIN, f32::max);
            assert!(bounds.promise(0, &query) >= most);
        }
        assert_eq!(bounds.promise(0, &[1.0, -1.0]), 1.0 + 2.0);
    }

    #[test]
    fn the_most_promising_pages_are_chosen_in_order() {
        assert_eq!(greatest(&[0.1, 0.5, 0.2, 0.5, 0.0], 3), [1, 2, 3]);
        assert_eq!(greatest(&[0.1, 0.1], 1), [1]);
        assert_eq!(greatest(&[0.1], 4), [0]);
    }
}
