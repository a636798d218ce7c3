//! Attention over paged segments.
//!
//! A task is a few rows of one span and one key/value head. It works in three passes over scores
//! that stay in its worker's scratch: scores of all visible keys, softmax, weighted sum of values.
//!
//! What makes the result independent of everything but the layout: a score is one chain of fused
//! multiply-adds over the head's dimensions; the softmax sum is sixteen chains, one per place in a
//! pair of pages, counted from the segment's first page; an output is one chain over the keys in
//! address order. A key that is not visible has weight zero, which changes no sum.

use agentos_hal::{Mass, PAGE_TOKENS};
use bytemuck::{Pod, Zeroable};

use super::lanes::{LANES, Lanes};
use super::{math, rows};

/// Rows times heads of one group that a task takes at most, but at least one row.
pub const TASK_QUERIES: usize = 24;

/// Pages that a task asks for before it begins.
const FIRST_PAGES: usize = 4;

/// Places of the score buffer that a segment of `len` tokens takes: whole pairs of pages.
pub const fn slots(len: usize) -> usize {
    len.div_ceil(LANES) * LANES
}

/// An element type of page memory.
///
/// # Safety
/// The contract of [`Lanes`].
pub trait Kv: Copy + 'static {
    /// Sixteen consecutive elements.
    unsafe fn load<S: Lanes>(from: *const Self) -> S::F;
    /// Eight elements from each pointer.
    unsafe fn load_pair<S: Lanes>(low: *const Self, high: *const Self) -> S::F;
    /// Writes sixteen consecutive elements.
    unsafe fn store<S: Lanes>(to: *mut Self, x: S::F);
}

// SAFETY (all blocks): the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Kv for u16 {
    #[inline(always)]
    unsafe fn load<S: Lanes>(from: *const u16) -> S::F {
        unsafe { S::load_f16(from) }
    }
    #[inline(always)]
    unsafe fn load_pair<S: Lanes>(low: *const u16, high: *const u16) -> S::F {
        unsafe { S::load_f16_pair(low, high) }
    }
    #[inline(always)]
    unsafe fn store<S: Lanes>(to: *mut u16, x: S::F) {
        unsafe { S::store_f16(to, x) }
    }
}

// SAFETY (all blocks): the trait's contract.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Kv for f32 {
    #[inline(always)]
    unsafe fn load<S: Lanes>(from: *const f32) -> S::F {
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn load_pair<S: Lanes>(low: *const f32, high: *const f32) -> S::F {
        unsafe { S::load_pair(low, high) }
    }
    #[inline(always)]
    unsafe fn store<S: Lanes>(to: *mut f32, x: S::F) {
        unsafe { S::store(to, x) }
    }
}

/// A mapped run of tokens, as the device keeps it.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct MappedSegment {
    /// Address of its first token.
    pub base: u32,
    /// Tokens.
    pub len: u32,
    /// Its first page in the step's list.
    pub first_page: u32,
}

/// Attention of one span at one layer.
#[derive(Clone, Copy)]
pub struct Attend<'a> {
    /// Address of each row of the task, ascending.
    pub addresses: &'a [u32],
    /// The span's segments.
    pub segments: &'a [MappedSegment],
    /// The step's pages.
    pub pages: &'a [u32],
    /// The task's first row of the query register, at its first head of the group.
    pub query: *const f32,
    /// The same place of the output register.
    pub out: *mut f32,
    /// From one row of either register to the next, in elements.
    pub stride: usize,
    /// Query heads of the group.
    pub group: usize,
    /// Width of a head; a multiple of 16.
    pub head_dim: usize,
    /// Keys of page 0 at this layer and key/value head, and of the pages after it.
    pub keys: *const u8,
    /// Values, in the same order.
    pub values: *const u8,
    /// Rotation tables.
    pub angles: Angles<'a>,
    /// Where the worker works.
    pub scratch: AttendScratch,
    /// Counters; `None` in layers that are not counted.
    pub counters: Option<Counters>,
}

/// Cosines and signed sines of whole multiples of the frequencies: a position is 64 · coarse + fine.
#[derive(Clone, Copy)]
pub struct Angles<'a> {
    /// Of 0 … 63 positions, `head_dim` each.
    pub fine: (&'a [f32], &'a [f32]),
    /// Of 0, 64, 128, … positions, `head_dim` each.
    pub coarse: (&'a [f32], &'a [f32]),
    /// The dimension that turns with each dimension.
    pub partner: &'a [u32],
}

/// A worker's scratch for attention.
#[derive(Clone, Copy)]
pub struct AttendScratch {
    /// Queries, their partners, and rotated queries: three times queries · head_dim, then twice
    /// head_dim for an angle's cosines and sines.
    pub heads: *mut f32,
    /// Scores: queries · `slots`.
    pub scores: *mut f32,
    /// Places of one query's scores.
    pub slots: usize,
}

/// Where counters are added up.
#[derive(Clone, Copy)]
pub struct Counters {
    /// Entropy of the task's first row at its first head: one number per head of the model.
    pub entropy: *mut f32,
    /// From one row of `entropy` to the next.
    pub entropy_stride: usize,
    /// This worker's mass of the span's first segment.
    pub segment_mass: *mut Mass,
    /// This worker's mass of each token of page memory.
    pub token_mass: *mut Mass,
}

/// The cosines and sines for a distance.
///
/// # Safety
/// The contract of [`Lanes`]; `out` has room for twice `head_dim`.
#[inline(always)]
pub unsafe fn angle<S: Lanes>(angles: &Angles<'_>, distance: u32, head_dim: usize, out: *mut f32) {
    let (coarse, fine) = (distance as usize / 64 * head_dim, distance as usize % 64 * head_dim);
    let at = |table: (&[f32], &[f32]), from: usize| {
        (table.0[from..from + head_dim].as_ptr(), table.1[from..from + head_dim].as_ptr())
    };
    // SAFETY: the caller's contract; the tables' slices are `head_dim` long.
    unsafe {
        let out = (out, out.add(head_dim));
        rows::add_angles::<S>(at(angles.coarse, coarse), at(angles.fine, fine), out, head_dim);
    }
}

/// Computes the task.
///
/// # Safety
/// The contract of [`Lanes`]; pointers are valid for the sizes documented, and nobody else touches
/// the task's part of `out`, its counters or its scratch meanwhile.
#[inline(always)]
pub unsafe fn attend<S: Lanes, K: Kv>(task: &Attend<'_>) {
    // SAFETY: the caller's contract.
    unsafe {
        let first = task.segments.first().map_or(0, |segment| segment.first_page as usize);
        prefetch_pages::<S, K>(task, task.keys, first, FIRST_PAGES);
        load_queries::<S>(task);
        prefetch_pages::<S, K>(task, task.values, first, FIRST_PAGES);
        let used = score_segments::<S, K>(task);
        let queries = task.addresses.len() * task.group;
        for query in 0..queries {
            softmax::<S>(task, query, used);
        }
        for at in (0..task.head_dim).step_by(4 * LANES) {
            match (task.head_dim - at) / LANES {
                1 => gather::<S, K, 1>(task, at),
                2 | 3 => {
                    gather::<S, K, 2>(task, at);
                    if task.head_dim - at == 3 * LANES {
                        gather::<S, K, 1>(task, at + 2 * LANES);
                    }
                }
                _ => gather::<S, K, 4>(task, at),
            }
        }
    }
}

/// Copies the task's queries, scaled, and their partners.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
unsafe fn load_queries<S: Lanes>(task: &Attend<'_>) {
    let queries = task.addresses.len() * task.group;
    let scale = 1.0 / libm::sqrtf(task.head_dim as f32);
    for query in 0..queries {
        // SAFETY: the caller's contract.
        unsafe {
            let from = query_at(task, task.query, query);
            let to = task.scratch.heads.add(query * task.head_dim);
            let partners = to.add(queries * task.head_dim);
            for at in (0..task.head_dim).step_by(LANES) {
                S::store(to.add(at), S::mul(S::load(from.add(at)), S::splat(scale)));
            }
            for (i, &partner) in task.angles.partner.iter().enumerate() {
                *partners.add(i) = *to.add(partner as usize);
            }
        }
    }
}

/// Query number `query` of the task in a register.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
unsafe fn query_at(task: &Attend<'_>, register: *const f32, query: usize) -> *const f32 {
    // SAFETY: the caller's contract.
    unsafe { register.add(query / task.group * task.stride + query % task.group * task.head_dim) }
}

/// Tokens of a segment that a row may see.
#[inline(always)]
fn visible(segment: &MappedSegment, address: u32) -> usize {
    (address + 1).saturating_sub(segment.base).min(segment.len) as usize
}

/// Fills the scores of all queries; returns the places used.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
unsafe fn score_segments<S: Lanes, K: Kv>(task: &Attend<'_>) -> usize {
    let queries = task.addresses.len() * task.group;
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
            let mut query = 0;
            while query < queries {
                query += match queries - query {
                    6.. => score::<S, K, 6>(task, segment, seen, query, slot),
                    4 | 5 => score::<S, K, 4>(task, segment, seen, query, slot),
                    3 => score::<S, K, 3>(task, segment, seen, query, slot),
                    2 => score::<S, K, 2>(task, segment, seen, query, slot),
                    _ => score::<S, K, 1>(task, segment, seen, query, slot),
                };
            }
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

/// Scores of `Q` queries with all keys of a segment that any row sees; returns `Q`.
///
/// # Safety
/// As [`attend`]; `query + Q` is at most the number of queries.
#[inline(always)]
unsafe fn score<S: Lanes, K: Kv, const Q: usize>(
    task: &Attend<'_>,
    segment: &MappedSegment,
    seen: usize,
    query: usize,
    slot: usize,
) -> usize {
    let pairs = slots(seen) / LANES;
    let mut pair = 0;
    while pair < pairs {
        // SAFETY: the caller's contract.
        unsafe {
            pair += match pairs - pair {
                4.. => score_pairs::<S, K, Q, 4>(task, segment, pair, query, slot),
                2 | 3 => score_pairs::<S, K, Q, 2>(task, segment, pair, query, slot),
                _ => score_pairs::<S, K, Q, 1>(task, segment, pair, query, slot),
            };
        }
    }
    Q
}

/// Scores of `Q` queries with the keys of `P` pairs of pages; returns `P`.
///
/// # Safety
/// As [`score`].
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
            let next = segment.first_page as usize + 2 * (pair + P);
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
        P
    }
}

/// # Safety
/// As [`attend`]; the segment has the page.
#[inline(always)]
unsafe fn page_of<K>(task: &Attend<'_>, pages: *const u8, segment: &MappedSegment, page: usize) -> *const K {
    let page = task.pages[segment.first_page as usize + page] as usize;
    // SAFETY: the caller's contract: page ids were checked against page memory.
    unsafe { pages.cast::<K>().add(page * PAGE_TOKENS * task.head_dim) }
}

/// Asks for the pages that come next in the step's list: one head's keys or values of a page are a
/// kilobyte or two, too short a run for the hardware's own prefetching.
///
/// # Safety
/// As [`attend`].
#[inline(always)]
unsafe fn prefetch_pages<S: Lanes, K>(task: &Attend<'_>, pages: *const u8, first: usize, count: usize) {
    let bytes = PAGE_TOKENS * task.head_dim * size_of::<K>();
    for &page in task.pages.iter().skip(first).take(count) {
        for line in (0..bytes).step_by(64) {
            // SAFETY: a prefetch may name any address.
            unsafe { S::prefetch(pages.wrapping_add(page as usize * bytes + line)) };
        }
    }
}

/// Turns a query's scores into weights that sum to 1, and counts.
///
/// # Safety
/// As [`attend`]; `used` places of the query's scores are filled.
#[inline(always)]
unsafe fn softmax<S: Lanes>(task: &Attend<'_>, query: usize, used: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        let scores = task.scratch.scores.add(query * task.scratch.slots);
        let mut greatest = S::splat(f32::NEG_INFINITY);
        for at in (0..used).step_by(LANES) {
            greatest = S::max(S::load(scores.add(at)), greatest);
        }
        let greatest = S::splat(S::greatest(greatest));
        let (mut sum, mut weighted) = (S::splat(0.0), S::splat(0.0));
        for at in (0..used).step_by(LANES) {
            let below = S::sub(S::load(scores.add(at)), greatest);
            let power = math::exp::<S>(below);
            sum = S::add(sum, power);
            weighted = S::fma(power, S::max(below, S::splat(-1e30)), weighted);
            S::store(scores.add(at), power);
        }
        let sum = S::sum(sum);
        let share = S::splat(1.0 / sum);
        for at in (0..used).step_by(LANES) {
            S::store(scores.add(at), S::mul(S::load(scores.add(at)), share));
        }
        if let Some(counters) = &task.counters {
            let entropy = libm::logf(sum) - S::sum(weighted) / sum;
            count::<S>(task, counters, query, entropy);
        }
    }
}

/// Adds a query's entropy and masses to the counters.
///
/// # Safety
/// As [`attend`]; the query's scores are weights.
#[inline(always)]
unsafe fn count<S: Lanes>(task: &Attend<'_>, counters: &Counters, query: usize, entropy: f32) {
    let (row, head) = (query / task.group, query % task.group);
    let address = task.addresses[row];
    let mut slot = 0;
    // SAFETY: the caller's contract; the walk over segments is that of `score_segments`.
    unsafe {
        *counters.entropy.add(row * counters.entropy_stride + head) += entropy;
        let weights = task.scratch.scores.add(query * task.scratch.slots);
        let last = task.addresses[task.addresses.len() - 1];
        for (index, segment) in task.segments.iter().enumerate() {
            let seen = visible(segment, last);
            if seen == 0 {
                break;
            }
            let mut total = S::splat(0.0);
            for at in (0..slots(seen)).step_by(LANES) {
                total = S::add(total, S::load(weights.add(slot + at)));
            }
            (*counters.segment_mass.add(index)).0 += Mass::from_share(S::sum(total)).0;
            for token in 0..visible(segment, address) {
                let page = task.pages[segment.first_page as usize + token / PAGE_TOKENS] as usize;
                let mass = counters.token_mass.add(page * PAGE_TOKENS + token % PAGE_TOKENS);
                (*mass).0 += Mass::from_share(*weights.add(slot + token)).0;
            }
            slot += slots(seen);
        }
    }
}

/// Weighted sums of values for `V` lane groups of the head, from dimension `at`.
///
/// # Safety
/// As [`attend`]; `at` + 16 · `V` is at most `head_dim`.
#[inline(always)]
unsafe fn gather<S: Lanes, K: Kv, const V: usize>(task: &Attend<'_>, at: usize) {
    let queries = task.addresses.len() * task.group;
    let mut query = 0;
    while query < queries {
        // SAFETY: the caller's contract.
        unsafe {
            query += match queries - query {
                6.. => gather_queries::<S, K, 6, V>(task, at, query),
                4 | 5 => gather_queries::<S, K, 4, V>(task, at, query),
                3 => gather_queries::<S, K, 3, V>(task, at, query),
                2 => gather_queries::<S, K, 2, V>(task, at, query),
                _ => gather_queries::<S, K, 1, V>(task, at, query),
            };
        }
    }
}

/// # Safety
/// As [`gather`]; `query + Q` is at most the number of queries.
#[inline(always)]
unsafe fn gather_queries<S: Lanes, K: Kv, const Q: usize, const V: usize>(
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
                if query == 0 {
                    let next = segment.first_page as usize + first / PAGE_TOKENS + 2;
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
        Q
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
