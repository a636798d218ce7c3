//! A sequence and its device, and what they show of a text of any length.

use std::ops::Range;

use agentos_hal::{LayerRange, Mass, ModelShape, Reg, Row, StepReport, Tap, TensorDevice};
use agentos_kernel::layout::{Delimiter, SliceLimits};
use agentos_kernel::pool::PagePool;
use agentos_kernel::sequence::{Ask, Sequence, SequenceError};
use agentos_kernel::slicing::density::density;
use agentos_kernel::slicing::ends::{End, Ends};

use super::topics::SliceError;
use crate::generate::compute_with;

/// What computes texts.
pub struct Runner<'r, 'm> {
    /// The sequence, for a device that was prepared with its limits.
    pub sequence: &'r mut Sequence<'m>,
    /// Its pages.
    pub pool: &'r mut PagePool<'m>,
    /// The device.
    pub device: &'r mut dyn TensorDevice,
    /// Numbers of a hidden row.
    pub width: usize,
    /// Numbers of the keys of a token in one layer.
    pub kv_width: usize,
    /// Tokens of a context.
    pub context: u32,
}

impl<'r, 'm> Runner<'r, 'm> {
    /// Computes texts with a model of this shape, in windows of `context` tokens.
    pub fn new(
        (sequence, pool): (&'r mut Sequence<'m>, &'r mut PagePool<'m>),
        device: &'r mut dyn TensorDevice,
        shape: &ModelShape,
        context: u32,
    ) -> Runner<'r, 'm> {
        let (width, kv_width) = (shape.width as usize, shape.kv_width() as usize);
        Runner { sequence, pool, device, width, kv_width, context }
    }
}

/// What is to be shown of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Layers whose hidden rows are shown.
    pub hidden: Vec<u32>,
    /// Layers in which attention is counted.
    pub counters: LayerRange,
    /// Whether the attention between slices is shown. Then a step has one slice, which takes longer.
    pub slices: bool,
}

/// Who is shown a text, in the order of its tokens.
pub trait Reader {
    /// A token was computed: its hidden rows, layer after layer as they were wanted, and the density of its attention
    /// (1 where nothing is counted).
    fn token(&mut self, hidden: &[f32], density: f32);

    /// The tokens of a slice were computed: the attention that they pay to each slice of the text so far, at last to
    /// itself. What was dropped before its window gets none, and what the first slice of a window gets counts for
    /// the text's first: a sink, both.
    fn slice(&mut self, masses: &[Mass]) {
        let _ = masses;
    }

    /// A window is computed, and its pages are there until the next one begins: `new` are the slices of the text that
    /// no window before had, and they follow `old` others.
    ///
    /// # Errors
    /// The device's, which end the reading.
    fn window(
        &mut self,
        runner: &mut Runner<'_, '_>,
        new: Range<usize>,
        old: usize,
    ) -> Result<(), SliceError> {
        let _ = (runner, new, old);
        Ok(())
    }
}

/// Tokens of a window that were computed before, for those that follow to look at, where a text is longer than one:
/// a fourth of it.
const OVERLAP: u32 = 4;

/// A part of a text that is computed at once, in slices of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// Slices that are computed.
    slices: Range<usize>,
    /// The first that no window before has shown.
    new: usize,
}

/// The windows of a text whose slices end at these tokens, each of `context` tokens at most.
fn windows(ends: &[u32], context: u32) -> Vec<Window> {
    let starts: Vec<u32> = std::iter::once(0).chain(ends.iter().copied()).collect();
    let mut windows = Vec::new();
    let (mut first, mut new) = (0, 0);
    while new < ends.len() {
        let fits = ends.partition_point(|&end| end <= starts[first].saturating_add(context));
        let end = fits.max(new + 1);
        windows.push(Window { slices: first..end, new });
        let kept = starts[end].saturating_sub(context / OVERLAP);
        first = starts[..end].partition_point(|&start| start < kept);
        new = end;
    }
    windows
}

impl Runner<'_, '_> {
    /// Computes a text and shows it. `ends` are where its slices end, that of the last and open one included.
    ///
    /// # Errors
    /// As [`Sequence::push`] and [`Sequence::tick_with`], and what the reader fails of.
    pub fn read(
        &mut self,
        tokens: &[u32],
        ends: &[u32],
        wanted: &Wanted,
        reader: &mut dyn Reader,
    ) -> Result<(), SliceError> {
        for window in windows(ends, self.context) {
            self.sequence.reset(self.pool);
            let slices = &ends[window.slices.clone()];
            let first = window.slices.start.checked_sub(1).map_or(0, |before| ends[before]);
            if wanted.slices {
                let mut from = first;
                for (slice, &end) in window.slices.clone().zip(slices) {
                    let mut masses = Masses::of(&window, slice);
                    let tokens = &tokens[from as usize..end as usize];
                    self.read_part(tokens, slice >= window.new, wanted, reader, &mut masses)?;
                    if slice >= window.new {
                        reader.slice(&masses.of_text);
                    }
                    from = end;
                }
            } else {
                let new = window.new.checked_sub(1).map_or(0, |before| ends[before]);
                let last = slices.last().map_or(first, |&end| end);
                for (part, is_new) in [(first..new, false), (new..last, true)] {
                    let tokens = &tokens[part.start as usize..part.end as usize];
                    self.read_part(tokens, is_new, wanted, reader, &mut Masses::default())?;
                }
            }
            let old = window.new - window.slices.start;
            reader.window(self, window.new..window.slices.end, old)?;
        }
        Ok(())
    }

    /// Computes what comes next in a window.
    fn read_part(
        &mut self,
        tokens: &[u32],
        is_new: bool,
        wanted: &Wanted,
        reader: &mut dyn Reader,
        masses: &mut Masses,
    ) -> Result<(), SequenceError> {
        if tokens.is_empty() {
            return Ok(());
        }
        let from = self.sequence.tokens().len() as u32;
        let to = from + tokens.len() as u32;
        let taps: Vec<Tap> = wanted.hidden.iter().map(|&layer| Tap::Layer(layer, Reg::Hidden)).collect();
        let exposed = if is_new { from..to } else { 0..0 };
        let ask = Ask { taps: &taps, exposed, counters: wanted.counters, ..Ask::default() };
        let row_len = self.width * taps.len();
        let mut observe = |rows: &[Row], report: &StepReport<'_>| {
            masses.add(report.mass);
            if !is_new {
                return;
            }
            for (index, row) in rows.iter().enumerate() {
                let hidden = &report.exposed[index * row_len..(index + 1) * row_len];
                let density = match report.entropy.get(index) {
                    Some(&entropy) if wanted.counters.count() > 0 => density(entropy, row.address),
                    _ => 1.0,
                };
                reader.token(hidden, density);
            }
        };
        self.sequence.push(tokens, self.pool)?;
        compute_with(self.sequence, self.device, &ask, &mut observe)
    }
}

/// What a slice of a window pays to the slices of the text.
#[derive(Debug, Default)]
struct Masses {
    /// The first slice of the window, in the text.
    first: usize,
    of_text: Vec<Mass>,
}

impl Masses {
    fn of(window: &Window, slice: usize) -> Masses {
        Masses { first: window.slices.start, of_text: vec![Mass(0); slice + 1] }
    }

    /// Adds what a step says of the window's slices.
    fn add(&mut self, of_window: &[Mass]) {
        for (index, &mass) in of_window.iter().enumerate() {
            let slice = if index == 0 { 0 } else { self.first + index };
            if let Some(sum) = self.of_text.get_mut(slice) {
                *sum += mass;
            }
        }
    }
}

/// Where the slices of a text end, that of the last and open one included; and the ends with what ends there.
pub fn slices_of(tokens: &[u32], delimiters: &[Delimiter]) -> (Vec<u32>, Vec<End>) {
    let mut ends = Ends::new(SliceLimits::DEFAULT);
    // An unknown token is refused where it is computed.
    let class = |&token: &u32| delimiters.get(token as usize).copied().unwrap_or_default();
    let mut sealed: Vec<End> = tokens.iter().filter_map(|token| ends.append(class(token))).collect();
    sealed.extend(ends.finish());
    let mut all: Vec<u32> = sealed.iter().map(|end| end.at).collect();
    let len = tokens.len() as u32;
    all.extend((all.last().copied().unwrap_or(0) < len).then_some(len));
    (all, sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_one_window() {
        assert_eq!(windows(&[10, 20, 25], 25), [Window { slices: 0..3, new: 0 }]);
        assert_eq!(windows(&[], 25), []);
    }

    #[test]
    fn windows_overlap_and_show_each_slice_once() {
        let ends: Vec<u32> = (1..=100).map(|n| n * 13 + n % 3).collect();
        for context in [64, 100, 333, 1000] {
            let windows = windows(&ends, context);
            let mut shown = 0;
            for window in &windows {
                let start = window.slices.start.checked_sub(1).map_or(0, |before| ends[before]);
                assert!(ends[window.slices.end - 1] - start <= context);
                assert_eq!(window.new, shown);
                shown = window.slices.end;
                if window.new > 0 {
                    let old = ends[window.new - 1] - start;
                    assert!(old <= context / OVERLAP && old + 15 > context / OVERLAP, "{old} of {context}");
                }
            }
            assert_eq!(shown, 100);
        }
        // A slice that no context has room for is tried all the same: the sequence says what would fit.
        assert_eq!(
            windows(&[40, 50], 30),
            [Window { slices: 0..1, new: 0 }, Window { slices: 1..2, new: 1 }]
        );
    }

    #[test]
    fn a_sink_takes_what_the_first_slice_of_a_window_gets() {
        let mut masses = Masses::of(&Window { slices: 5..9, new: 6 }, 7);
        masses.add(&[Mass(1), Mass(2), Mass(3)]);
        masses.add(&[Mass(1), Mass(0), Mass(1)]);
        let expected = [2, 0, 0, 0, 0, 0, 2, 4].map(Mass);
        assert_eq!(masses.of_text, expected);
    }

    #[test]
    fn the_open_slice_ends_with_the_text() {
        let delimiters = [Delimiter::None, Delimiter::Sentence];
        let text = |len: usize| (0..len).map(|n| u32::from(n % 10 == 9)).collect::<Vec<u32>>();
        let (all, sealed) = slices_of(&text(25), &delimiters);
        assert_eq!((all, sealed.len()), (vec![10, 20, 25], 2));
        let (all, sealed) = slices_of(&text(20), &delimiters);
        assert_eq!((all, sealed.len()), (vec![10, 20], 2));
        assert!(slices_of(&[], &delimiters).0.is_empty());
    }
}
