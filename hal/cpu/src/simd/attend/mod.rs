//! Attention over paged segments.
//!
//! A task is a few rows of one span and one key/value head. It works in three passes over scores
//! that stay in its worker's scratch: scores of all visible keys, softmax, weighted sum of values.
//!
//! What makes the result independent of everything but the layout: a score is one chain of fused
//! multiply-adds over the head's dimensions; the softmax sum is sixteen chains, one per place in a
//! pair of pages, counted from the segment's first page; an output is one chain over the keys in
//! address order. A key that is not visible has weight zero, which changes no sum.

mod kv;
mod scores;
mod softmax;
mod values;

use agentos_hal::{Mass, PAGE_TOKENS};
use bytemuck::{Pod, Zeroable};

use super::lanes::{LANES, Lanes};
use super::rows;
pub use kv::Kv;
use scores::score_segments;
use softmax::softmax;
use values::gather;

/// Rows times heads of one group that a task takes at most, but at least one row.
pub const TASK_QUERIES: usize = 24;

/// Pages that are asked for ahead of the one that is read: a memory's answer takes as long as a few of them.
const AHEAD: usize = 8;

/// Places of the score buffer that a segment of `len` tokens takes: whole pairs of pages.
pub const fn slots(len: usize) -> usize {
    len.div_ceil(LANES) * LANES
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
        prefetch_pages::<S, K>(task, task.keys, first, AHEAD);
        load_queries::<S>(task);
        prefetch_pages::<S, K>(task, task.values, first, AHEAD);
        let used = score_segments::<S, K>(task);
        let queries = task.addresses.len() * task.group;
        for query in 0..queries {
            softmax::<S>(task, query, used);
        }
        gather::<S, K>(task);
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
