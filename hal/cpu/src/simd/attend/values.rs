//! Third pass: sums of values by their weights.

use agentos_hal::PAGE_TOKENS;

use super::{AHEAD, Attend, Kv, page_of, prefetch_pages, query_at, slots, visible};
use crate::simd::lanes::{LANES, Lanes};

/// Weighted sums of values for all queries.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
pub unsafe fn gather<S: Lanes, K: Kv>(task: &Attend<'_>) {
    let queries = task.addresses.len() * task.group;
    let mut query = 0;
    while query < queries {
        // SAFETY: the caller's contract.
        unsafe {
            query += match queries - query {
                12.. if 12 <= S::SUMS => gather_queries::<S, K, 12>(task, query),
                6.. => gather_queries::<S, K, 6>(task, query),
                4 | 5 => gather_queries::<S, K, 4>(task, query),
                3 => gather_queries::<S, K, 3>(task, query),
                2 => gather_queries::<S, K, 2>(task, query),
                _ => gather_queries::<S, K, 1>(task, query),
            };
        }
    }
}

/// All dimensions of `Q` queries; returns `Q`.
///
/// # Safety
/// As [`gather`]; `query + Q` is at most the number of queries.
#[inline(always)]
unsafe fn gather_queries<S: Lanes, K: Kv, const Q: usize>(task: &Attend<'_>, query: usize) -> usize {
    let mut at = 0;
    while at < task.head_dim {
        // SAFETY: the caller's contract.
        unsafe {
            at += LANES
                * match (task.head_dim - at) / LANES {
                    4.. if Q * 4 <= S::SUMS => gather_lanes::<S, K, Q, 4>(task, at, query),
                    2.. if Q * 2 <= S::SUMS => gather_lanes::<S, K, Q, 2>(task, at, query),
                    _ => gather_lanes::<S, K, Q, 1>(task, at, query),
                };
        }
    }
    Q
}

/// `V` lane groups of the head, from dimension `at`, of `Q` queries; returns `V`.
///
/// # Safety
/// As [`gather_queries`]; `at` + 16 · `V` is at most `head_dim`.
#[inline(always)]
unsafe fn gather_lanes<S: Lanes, K: Kv, const Q: usize, const V: usize>(
    task: &Attend<'_>,
    at: usize,
    query: usize,
) -> usize {
    // Values are read only as far as one of these queries sees: beyond, page memory may hold anything.
    // A value that some of them do not see is kept from those: its weight of zero would not do if it
    // is no finite number.
    let (first_row, last_row) = (query / task.group, (query + Q - 1) / task.group);
    let last = task.addresses[last_row];
    let farthest = task.addresses[task.addresses.len() - 1];
    let mut slot = 0;
    // SAFETY: the caller's contract; the walk over segments is that of `score_segments`.
    unsafe {
        let weights = task.scratch.scores.add(query * task.scratch.slots);
        let mut sums = [[S::splat(0.0); V]; Q];
        for segment in task.segments {
            let seen = visible(segment, last);
            if seen == 0 {
                break;
            }
            let seen_by_all = visible(segment, task.addresses[first_row]);
            for first in (0..seen).step_by(PAGE_TOKENS) {
                let page: *const K = page_of(task, task.values, segment, first / PAGE_TOKENS);
                if query == 0 && at == 0 {
                    let next = segment.first_page as usize + first / PAGE_TOKENS + AHEAD;
                    prefetch_pages::<S, K>(task, task.values, next, 1);
                }
                let (values, weights) = (page.add(at), weights.add(slot + first));
                let tokens = (seen - first).min(PAGE_TOKENS);
                let by_all = seen_by_all.saturating_sub(first).min(tokens);
                for token in 0..by_all {
                    add_value::<S, K, Q, V>(task, &mut sums, values, weights, token, 0);
                }
                for token in by_all..tokens {
                    let sees = |q: &usize| {
                        visible(segment, task.addresses[(query + q) / task.group]) > first + token
                    };
                    let from = (0..Q).find(sees).unwrap_or(Q);
                    add_value::<S, K, Q, V>(task, &mut sums, values, weights, token, from);
                }
            }
            slot += slots(visible(segment, farthest));
        }
        for q in 0..Q {
            let out = query_at(task, task.out, query + q).cast_mut().add(at);
            for v in 0..V {
                S::store(out.add(v * LANES), sums[q][v]);
            }
        }
        V
    }
}

/// Adds one token's values, weighted, to the sums of queries `from` and after.
///
/// # Safety
/// As [`gather`]; `values` are those of the token's page, `weights` the first query's for that page.
#[inline(always)]
unsafe fn add_value<S: Lanes, K: Kv, const Q: usize, const V: usize>(
    task: &Attend<'_>,
    sums: &mut [[S::F; V]; Q],
    values: *const K,
    weights: *const f32,
    token: usize,
    from: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut value = [S::splat(0.0); V];
        for v in 0..V {
            value[v] = K::load::<S>(values.add(token * task.head_dim + v * LANES));
        }
        for q in 0..Q {
            if q >= from {
                let weight = S::splat(*weights.add(q * task.scratch.slots + token));
                for v in 0..V {
                    sums[q][v] = S::fma(value[v], weight, sums[q][v]);
                }
            }
        }
    }
}
