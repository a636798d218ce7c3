//! Which pieces of a sequence stay: some from its beginning, some from its end, and the best between.

use std::ops::Range;

use crate::provenance::{GAP_OPEN, Grouped};

/// Parts of the room that the beginning and the end get, in hundredths.
const HEAD: usize = 30;
const TAIL: usize = 20;
/// Bytes of a mark that says what was left out.
pub const MARK: usize = 36;

/// Chooses pieces whose lengths fit `bytes` together with the marks between them. `scores` has a number for
/// each piece, and none counts as the least.
#[must_use]
pub fn choose(lengths: &[usize], scores: &[f32], bytes: usize) -> Vec<bool> {
    let mut kept = vec![false; lengths.len()];
    if lengths.iter().sum::<usize>() <= bytes {
        kept.fill(true);
        return kept;
    }
    let mut room = bytes.saturating_sub(MARK);
    let mut take = |order: &mut dyn Iterator<Item = usize>, share: usize, kept: &mut Vec<bool>| {
        let mut left = (bytes.saturating_mul(share) / 100).min(room);
        for (nth, at) in order.enumerate() {
            // One piece is better than none, even a large one.
            let room_for_one = if nth == 0 { room / 2 } else { 0 };
            if kept[at] || lengths[at] > left.max(room_for_one) {
                break;
            }
            kept[at] = true;
            left = left.saturating_sub(lengths[at]);
            room -= lengths[at];
        }
    };
    take(&mut (0..lengths.len()), HEAD, &mut kept);
    take(&mut (0..lengths.len()).rev(), TAIL, &mut kept);
    let score = |at: usize| scores.get(at).copied().filter(|score| !score.is_nan()).unwrap_or(f32::MIN);
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&at| !kept[at]).collect();
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    for at in order {
        let beside = (at > 0 && kept[at - 1]) || kept.get(at + 1) == Some(&true);
        let cost = lengths[at] + if beside { 0 } else { MARK };
        if cost <= room {
            kept[at] = true;
            room -= cost;
        }
        if room < MARK / 4 {
            break;
        }
    }
    kept
}

/// Runs of pieces that stay or go, in order.
pub fn runs(kept: &[bool]) -> impl Iterator<Item = (Range<usize>, bool)> {
    let mut at = 0;
    kept.chunk_by(|a, b| a == b).map(move |run| {
        let range = at..at + run.len();
        at = range.end;
        (range, run[0])
    })
}

/// A mark that says what was left out: `[… 132 of 140 rows left out …]`.
#[must_use]
pub fn gap(what: impl std::fmt::Display) -> String {
    format!("{GAP_OPEN} {what} left out …]")
}

/// A text that lost its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<'t> {
    /// Its beginning.
    pub head: &'t str,
    /// Characters between.
    pub missing: usize,
    /// Its end.
    pub tail: &'t str,
}

impl Ends<'_> {
    /// The mark between the ends.
    #[must_use]
    pub fn mark(&self) -> String {
        gap(format_args!("{} characters", Grouped(self.missing)))
    }
}

/// What is left of a text without its middle; none where it has no more than `bytes`.
#[must_use]
pub fn ends(text: &str, bytes: usize) -> Option<Ends<'_>> {
    if text.len() <= bytes {
        return None;
    }
    let room = bytes.saturating_sub(MARK);
    let head = text.floor_char_boundary(room - room / 3);
    let tail = text.ceil_char_boundary(text.len() - room / 3).max(head);
    Some(Ends { head: &text[..head], missing: text[head..tail].chars().count(), tail: &text[tail..] })
}
