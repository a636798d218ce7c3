//! A text in topics, and in slices with what finds them again.

use std::ops::Range;
use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{Mass, PAGE_TOKENS, PageError};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sequence::SequenceError;
use agentos_kernel::slicing::Scored;
use agentos_kernel::slicing::ends::End;
use agentos_kernel::slicing::schema::{Mean, heavy_tokens};
use agentos_kernel::slicing::simhash::SimHash;
use agentos_kernel::slicing::topics::Boundary;

use super::policy::{Finder, Rule};
use super::runner::{Reader, Runner, Wanted, slices_of};
use crate::calibration::Calibration;

/// Why a text cannot be sliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceError {
    /// The text cannot be computed.
    Sequence(SequenceError),
    /// A page cannot be looked at.
    Page(PageError),
}

impl std::fmt::Display for SliceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SliceError::Sequence(error) => error.fmt(f),
            SliceError::Page(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SliceError {}

impl From<SequenceError> for SliceError {
    fn from(error: SequenceError) -> SliceError {
        SliceError::Sequence(error)
    }
}

/// What finds a slice by what it says, when its pages are gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// Mean of its keys, rotated by their offsets, at the relevance layer: of each key/value head in turn.
    pub mean_key: Vec<f32>,
    /// Its heaviest tokens by attention, the heaviest first; empty where attention was not counted.
    pub heavy: Vec<u32>,
    /// Mean of its hidden rows at the slicing layer.
    pub pooled: Vec<f32>,
    /// 64 bits of that, of which near-duplicates have most in common.
    pub hash: SimHash,
}

/// A text, sliced.
#[derive(Clone, Debug, Default)]
pub struct Sliced {
    /// Where its slices end, that of the last and open one included.
    pub ends: Vec<u32>,
    /// Of each slice what finds it.
    pub schemas: Vec<Schema>,
    /// What each end scored, as far as the policy scores ends.
    pub scored: Vec<Scored>,
    /// Where topics end.
    pub boundaries: Vec<Boundary>,
    /// The density of each token's attention; all 1 where it was not counted.
    pub density: Vec<f32>,
    /// What each slice pays to each slice so far, at last to itself; empty where it was not asked for.
    pub attention: Vec<Vec<Mass>>,
}

impl Sliced {
    /// The tokens of each topic.
    pub fn topics(&self) -> Vec<Range<u32>> {
        let last = self.ends.last().copied().unwrap_or(0);
        let mut ends: Vec<u32> = self.boundaries.iter().map(|boundary| boundary.end.at).collect();
        ends.extend((last > 0).then_some(last));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts
            .zip(ends.iter().copied())
            .map(|(from, to)| from..to)
            .filter(|topic| !topic.is_empty())
            .collect()
    }

    /// Slices that are nearly what an earlier one is, with that and the bits in which they differ, at most `bits`.
    pub fn near_duplicates(&self, bits: u32) -> Vec<(usize, usize, u32)> {
        let find = |slice: usize| {
            let distance = |earlier: usize| self.schemas[slice].hash.distance(self.schemas[earlier].hash);
            let nearest = (0..slice).map(|earlier| (distance(earlier), earlier)).min()?;
            (nearest.0 <= bits).then_some((slice, nearest.1, nearest.0))
        };
        (0..self.schemas.len()).filter_map(find).collect()
    }
}

/// Slices a text. `picture` asks for the density of each token and the attention between slices, whatever the rule
/// goes by.
///
/// # Errors
/// As [`Runner::read`].
pub fn slice(
    runner: &mut Runner<'_, '_>,
    (tokens, delimiters): (&[u32], &[Delimiter]),
    rule: impl Into<Rule>,
    (calibration, layers): (&Calibration, u32),
    picture: bool,
) -> Result<Sliced, SliceError> {
    let (ends, sealed) = slices_of(tokens, delimiters);
    let rule = rule.into();
    let mut wanted = rule.wanted(calibration, layers);
    if picture {
        wanted.slices = true;
        let attention = Wanted { counters: calibration.attention_layers(), ..Wanted::default() };
        wanted.counters = if wanted.counters.count() > 0 { wanted.counters } else { attention.counters };
    }
    let mut ring = Vec::new();
    let width = runner.width;
    let threshold = rule.threshold(calibration);
    let finder =
        Finder::new(rule.policy, threshold, calibration.sink_tokens, sealed.clone(), &mut ring, width);
    // What rows have in common is known of the calibrated layer alone.
    let is_calibrated = rule.hidden_layer(calibration) == calibration.slicing_layer;
    let centre = if is_calibrated { &calibration.centre[..] } else { &[] };
    let mut collector = Collector {
        finder,
        sealed,
        text: tokens,
        relevance_layer: calibration.relevance_layer,
        centre,
        picture,
        pooling: Pooling { sum: vec![0.0; width], count: 0 },
        sliced: Sliced { ends, ..Sliced::default() },
    };
    let ends = collector.sliced.ends.clone();
    runner.read(tokens, &ends, &wanted, &mut collector)?;
    collector.finder.finish();
    let Collector { finder, mut sliced, .. } = collector;
    (sliced.scored, sliced.boundaries) = (finder.scored, finder.boundaries);
    Ok(sliced)
}

/// The mean hidden row of the slice under way.
struct Pooling {
    sum: Vec<f32>,
    count: u32,
}

/// Gathers what is shown of a text.
struct Collector<'a> {
    finder: Finder<'a>,
    sealed: Vec<End>,
    text: &'a [u32],
    relevance_layer: u32,
    centre: &'a [f32],
    picture: bool,
    pooling: Pooling,
    sliced: Sliced,
}

impl Reader for Collector<'_> {
    fn token(&mut self, hidden: &[f32], density: f32) {
        self.finder.token(hidden, density);
        self.sliced.density.push(density);
        self.pooling.sum.iter_mut().zip(hidden).for_each(|(sum, &x)| *sum += x);
        self.pooling.count += 1;
        let slice = self.sliced.schemas.len();
        if self.sliced.ends.get(slice).is_some_and(|&end| self.sliced.density.len() == end as usize) {
            let scale = 1.0 / self.pooling.count as f32;
            let pooled: Vec<f32> = self.pooling.sum.iter().map(|sum| sum * scale).collect();
            self.pooling.sum.fill(0.0);
            self.pooling.count = 0;
            let hash = SimHash::of(&pooled, self.centre);
            self.sliced.schemas.push(Schema { pooled, hash, ..Schema::default() });
        }
    }

    fn slice(&mut self, masses: &[Mass]) {
        let before = masses.len().checked_sub(2).map(|before| self.sealed[before]);
        self.finder.slice(masses, before);
        if self.picture {
            self.sliced.attention.push(masses.to_vec());
        }
    }

    fn window(
        &mut self,
        runner: &mut Runner<'_, '_>,
        new: Range<usize>,
        old: usize,
    ) -> Result<(), SliceError> {
        let slices = runner.sequence.slices().to_vec();
        let pages = runner.sequence.page_ids().to_vec();
        let mut first_page = 0;
        for (index, segment) in slices.iter().enumerate() {
            let own = first_page..first_page + segment.pages() as usize;
            first_page = own.end;
            let Some(slice) = index.checked_sub(old).map(|index| new.start + index) else { continue };
            let from = slice.checked_sub(1).map_or(0, |before| self.sliced.ends[before]) as usize;
            let tokens = &self.text[from..from + segment.len as usize];
            let (mean_key, mass) = summarise(runner, &pages[own], tokens.len(), self.relevance_layer)?;
            let schema = &mut self.sliced.schemas[slice];
            schema.heavy = heavy_tokens(tokens, &mass).to_vec();
            schema.mean_key = mean_key;
        }
        Ok(())
    }
}

/// The mean key of a slice on these pages at a layer, and the attention mass of each of its tokens.
///
/// # Errors
/// [`SliceError::Page`].
pub fn summarise(
    runner: &mut Runner<'_, '_>,
    pages: &[agentos_hal::PageId],
    tokens: usize,
    layer: u32,
) -> Result<(Vec<f32>, Vec<Mass>), SliceError> {
    let mut key = vec![0.0; runner.kv_width];
    let mut of_page = vec![0.0; runner.kv_width];
    let mut mean = Mean::new(&mut key);
    let mut masses = Vec::with_capacity(tokens);
    for (index, &page) in pages.iter().enumerate() {
        let held = (tokens - index * PAGE_TOKENS).min(PAGE_TOKENS);
        let mut mass = [Mass(0); PAGE_TOKENS];
        loop {
            let summary = PageSummary { mean_key: &mut of_page, mass: &mut mass };
            match runner.device.summarise(page, layer, held, summary) {
                Poll::Ready(result) => break result.map_err(SliceError::Page)?,
                Poll::Pending => std::thread::yield_now(),
            }
        }
        mean.add(&of_page, held as u32);
        masses.extend_from_slice(&mass[..held]);
    }
    mean.finish();
    Ok((key, masses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentos_kernel::slicing::ends::Structure;
    use agentos_kernel::slicing::topics::Cause;

    #[test]
    fn topics_tile_the_text() {
        let boundary = |at| Boundary {
            end: End { at, structure: Structure::Sentence },
            score: 1.0,
            cause: Cause::Change,
        };
        let sliced = |ends: &[u32], boundaries: &[u32]| Sliced {
            ends: ends.to_vec(),
            boundaries: boundaries.iter().map(|&at| boundary(at)).collect(),
            ..Sliced::default()
        };
        assert_eq!(sliced(&[10, 20, 25], &[10]).topics(), [0..10, 10..25]);
        assert_eq!(sliced(&[10, 20], &[20]).topics(), std::slice::from_ref(&(0..20)));
        assert_eq!(sliced(&[], &[]).topics(), []);
    }

    #[test]
    fn the_nearest_earlier_slice_is_named() {
        let schema = |hash| Schema { hash: SimHash(hash), ..Schema::default() };
        let sliced = Sliced { schemas: [0xff, 0, 0xfe, 0x3].map(schema).to_vec(), ..Sliced::default() };
        assert_eq!(sliced.near_duplicates(1), [(2, 0, 1)]);
        assert_eq!(sliced.near_duplicates(2), [(2, 0, 1), (3, 1, 2)]);
    }
}
