//! Second pass: from scores to weights, and the counters.

use agentos_hal::{Mass, PAGE_TOKENS};

use super::{Attend, Counters, slots, visible};
use crate::simd::lanes::{LANES, Lanes};
use crate::simd::math;

/// Turns a query's scores into weights that sum to 1, and counts.
///
/// # Safety
/// As [`attend`]; `used` places of the query's scores are filled.
#[inline(always)]
pub unsafe fn softmax<S: Lanes>(task: &Attend<'_>, query: usize, used: usize) {
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
