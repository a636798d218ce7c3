//! First pass: scores of a task's queries with all keys that they may see.

use agentos_hal::PAGE_TOKENS;

use super::{AHEAD, Attend, Kv, MappedSegment, angle, page_of, prefetch_pages, slots, visible};
use crate::simd::lanes::{LANES, Lanes};
use crate::simd::rows;

/// Fills the scores of all queries; returns the places used.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
pub unsafe fn score_segments<S: Lanes, K: Kv>(task: &Attend<'_>) -> usize {
    let last = task.addresses[task.addresses.len() - 1];
    let mut slot = 0;
    for segment in task.segments {
        let seen = visible(segment, last);
        if seen == 0 {
            break;
        }
        // SAFETY: the caller's contract.
        unsafe {
            rotate_queries::<S>(task, segment);
            score::<S, K>(task, segment, seen, slot);
        }
        slot += slots(seen);
    }
    slot
}

/// # Safety
/// As [`attend`].
#[inline(always)]
unsafe fn rotate_queries<S: Lanes>(task: &Attend<'_>, segment: &MappedSegment) {
    let queries = task.addresses.len() * task.group;
    let size = queries * task.head_dim;
    for (row, &address) in task.addresses.iter().enumerate() {
        // A row before the segment sees none of it: any rotation will do.
        let distance = address.saturating_sub(segment.base);
        // SAFETY: the caller's contract.
        unsafe {
            let cos = task.scratch.heads.add(3 * size);
            angle::<S>(&task.angles, distance, task.head_dim, cos);
            for head in 0..task.group {
                let at = (row * task.group + head) * task.head_dim;
                let x = task.scratch.heads.add(at);
                let sin = cos.add(task.head_dim);
                rows::rotate::<S>(x, x.add(size), cos, sin, x.add(2 * size), task.head_dim);
            }
        }
    }
}

/// Scores of all queries with all keys of a segment that any row sees. Most segments are one pair of pages or two: the
/// fewer sums a query needs, the more queries share what is made of a key.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
unsafe fn score<S: Lanes, K: Kv>(task: &Attend<'_>, segment: &MappedSegment, seen: usize, slot: usize) {
    let pairs = slots(seen) / LANES;
    let together = (task.addresses.len() * task.group).min(6);
    let mut pair = 0;
    while pair < pairs {
        // SAFETY: the caller's contract.
        unsafe {
            pair += match pairs - pair {
                4.. if together * 4 <= S::SUMS => score_queries::<S, K, 4>(task, segment, pair, slot),
                2.. if together * 2 <= S::SUMS => score_queries::<S, K, 2>(task, segment, pair, slot),
                _ => score_queries::<S, K, 1>(task, segment, pair, slot),
            };
        }
    }
}

/// Scores of all queries with the keys of `P` pairs of pages; returns `P`.
///
/// # Safety
/// As [`score`].
#[inline(always)]
unsafe fn score_queries<S: Lanes, K: Kv, const P: usize>(
    task: &Attend<'_>,
    segment: &MappedSegment,
    pair: usize,
    slot: usize,
) -> usize {
    let queries = task.addresses.len() * task.group;
    let mut query = 0;
    while query < queries {
        // SAFETY: the caller's contract.
        unsafe {
            query += match queries - query {
                24.. if 24 * P <= S::SUMS => score_pairs::<S, K, 24, P>(task, segment, pair, query, slot),
                12.. if 12 * P <= S::SUMS => score_pairs::<S, K, 12, P>(task, segment, pair, query, slot),
                6.. if 6 * P <= S::SUMS => score_pairs::<S, K, 6, P>(task, segment, pair, query, slot),
                4.. if 4 * P <= S::SUMS => score_pairs::<S, K, 4, P>(task, segment, pair, query, slot),
                3.. if 3 * P <= S::SUMS => score_pairs::<S, K, 3, P>(task, segment, pair, query, slot),
                2.. if 2 * P <= S::SUMS => score_pairs::<S, K, 2, P>(task, segment, pair, query, slot),
                _ => score_pairs::<S, K, 1, P>(task, segment, pair, query, slot),
            };
        }
    }
    P
}

/// Scores of `Q` queries with the keys of `P` pairs of pages; returns `Q`.
///
/// # Safety
/// As [`score`]; `query + Q` is at most the number of queries.
#[inline(always)]
unsafe fn score_pairs<S: Lanes, K: Kv, const Q: usize, const P: usize>(
    task: &Attend<'_>,
    segment: &MappedSegment,
    pair: usize,
    query: usize,
    slot: usize,
) -> usize {
    let queries = task.addresses.len() * task.group;
    // SAFETY: the caller's contract. A pair's second page may be beyond the segment: then the first
    // is read twice, and the places are masked.
    unsafe {
        let last_page = segment.len.div_ceil(PAGE_TOKENS as u32) as usize - 1;
        let mut low = [core::ptr::null::<K>(); P];
        let mut high = [core::ptr::null::<K>(); P];
        for p in 0..P {
            let page = 2 * (pair + p);
            low[p] = page_of(task, task.keys, segment, page);
            high[p] = page_of(task, task.keys, segment, (page + 1).min(last_page));
        }
        if query == 0 {
            let next = segment.first_page as usize + 2 * pair + AHEAD;
            prefetch_pages::<S, K>(task, task.keys, next, 2 * P);
        }
        let rotated = task.scratch.heads.add((2 * queries + query) * task.head_dim);
        let mut sums = [[S::splat(0.0); P]; Q];
        for d in 0..task.head_dim {
            let mut keys = [S::splat(0.0); P];
            for p in 0..P {
                keys[p] = K::load_pair::<S>(low[p].add(d * PAGE_TOKENS), high[p].add(d * PAGE_TOKENS));
            }
            for q in 0..Q {
                let x = S::splat(*rotated.add(q * task.head_dim + d));
                for p in 0..P {
                    sums[q][p] = S::fma(keys[p], x, sums[q][p]);
                }
            }
        }
        for q in 0..Q {
            let address = task.addresses[(query + q) / task.group];
            let visible = visible(segment, address);
            let to = task.scratch.scores.add((query + q) * task.scratch.slots + slot);
            for p in 0..P {
                let first = (pair + p) * LANES;
                let kept = visible.saturating_sub(first);
                let scores = S::keep_first(kept, sums[q][p], S::splat(f32::NEG_INFINITY));
                S::store(to.add(first), scores);
            }
        }
        Q
    }
}
