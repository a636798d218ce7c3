//! From a row of logits to candidates, log-sum-exp and entropy, so that logits stay in the device.

use agentos_hal::Candidate;

use super::lanes::{LANES, Lanes};
use super::math;

/// What a row of logits says.
#[derive(Clone, Copy, Debug)]
pub struct Reduced {
    /// Candidates found.
    pub candidates: usize,
    /// ln Σ e^logit.
    pub log_sum_exp: f32,
    /// Entropy in nats.
    pub entropy: f32,
}

/// Forbids the tokens whose bit is not set.
pub fn mask(logits: &mut [f32], allowed: &[u32]) {
    for (word, logits) in allowed.iter().zip(logits.chunks_mut(32)) {
        for (bit, logit) in logits.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Reduces a row of `vocab` logits, padded with −∞ to whole lane groups.
///
/// # Safety
/// The contract of [`Lanes`]; `logits.len()` is a multiple of 16.
#[inline(always)]
pub unsafe fn reduce<S: Lanes>(logits: &[f32], best: &mut [Candidate]) -> Reduced {
    let (at, len) = (logits.as_ptr(), logits.len());
    // SAFETY: the caller's contract; every load is inside `logits`.
    unsafe {
        let mut greatest = S::splat(f32::NEG_INFINITY);
        for i in (0..len).step_by(LANES) {
            greatest = S::max(S::load(at.add(i)), greatest);
        }
        let greatest = S::greatest(greatest);
        let (mut sum, mut weighted) = (S::splat(0.0), S::splat(0.0));
        for i in (0..len).step_by(LANES) {
            let below = S::sub(S::load(at.add(i)), S::splat(greatest));
            let power = math::exp::<S>(below);
            sum = S::add(sum, power);
            // A forbidden token is −∞ below; its power is zero, and so must its product be.
            weighted = S::fma(power, S::max(below, S::splat(-1e30)), weighted);
        }
        let (sum, weighted) = (S::sum(sum), S::sum(weighted));
        let log_sum = libm::logf(sum);
        Reduced {
            candidates: select::<S>(logits, best),
            log_sum_exp: greatest + log_sum,
            entropy: log_sum - weighted / sum,
        }
    }
}

/// The best candidates, best first, equal logits by lower token. A heap whose root is the worst of
/// those kept bounds what can still come in.
///
/// # Safety
/// As [`reduce`].
#[inline(always)]
unsafe fn select<S: Lanes>(logits: &[f32], best: &mut [Candidate]) -> usize {
    let mut kept = 0;
    let mut bound = f32::NEG_INFINITY;
    for first in (0..logits.len()).step_by(LANES) {
        // SAFETY: the caller's contract.
        let mut better = unsafe { S::greater(S::load(logits.as_ptr().add(first)), S::splat(bound)) };
        while better != 0 {
            let token = first + better.trailing_zeros() as usize;
            better &= better - 1;
            let candidate = Candidate { token: token as u32, logit: logits[token] };
            // Tokens come in ascending order: an equal logit never displaces one that is kept.
            if kept < best.len() {
                best[kept] = candidate;
                sift_up(&mut best[..=kept]);
                kept += 1;
            } else if best.first().is_some_and(|worst| candidate.logit > worst.logit) {
                best[0] = candidate;
                sift_down(best);
            }
            if kept == best.len() {
                bound = best.first().map_or(f32::INFINITY, |worst| worst.logit);
            }
        }
    }
    let best = &mut best[..kept];
    best.sort_unstable_by(|a, b| {
        if precedes(a, b) { core::cmp::Ordering::Less } else { core::cmp::Ordering::Greater }
    });
    kept
}

/// A is better than b.
fn precedes(a: &Candidate, b: &Candidate) -> bool {
    a.logit > b.logit || (a.logit == b.logit && a.token < b.token)
}

fn sift_up(heap: &mut [Candidate]) {
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !precedes(&heap[parent], &heap[at]) {
            return;
        }
        heap.swap(parent, at);
        at = parent;
    }
}

fn sift_down(heap: &mut [Candidate]) {
    let mut at = 0;
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        let mut worst = at;
        for child in [left, right] {
            if child < heap.len() && precedes(&heap[worst], &heap[child]) {
                worst = child;
            }
        }
        if worst == at {
            return;
        }
        heap.swap(at, worst);
        at = worst;
    }
}

/// Whether every number is finite.
///
/// # Safety
/// As [`reduce`].
#[inline(always)]
pub unsafe fn all_finite<S: Lanes>(x: &[f32]) -> bool {
    // SAFETY: the caller's contract; every load is inside `x`. A number times zero is zero, or not a
    // number where it was infinite or none itself.
    unsafe {
        let mut zeros = S::splat(0.0);
        for at in (0..x.len()).step_by(LANES) {
            zeros = S::fma(S::load(x.as_ptr().add(at)), S::splat(0.0), zeros);
        }
        S::sum(zeros) == 0.0
    }
}
