//! What is counted of a vector.

use core::sync::atomic::{AtomicU32, Ordering};

/// What was counted of a vector since the start, modulo 2³². Exact while no post is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VectorStats {
    /// Interrupts that were accepted.
    pub posted: u32,
    /// Interrupts of those that were delivered.
    pub delivered: u32,
    /// Interrupts that were refused because the queue was full.
    pub lost: u32,
    /// The longest time from posting to delivery in microseconds; `u32::MAX` stands for that and more.
    pub worst_latency_us: u32,
}

/// The counters behind [`VectorStats`]. Their values order nothing, so they are relaxed.
#[derive(Debug)]
pub(super) struct Counts {
    posted: AtomicU32,
    delivered: AtomicU32,
    lost: AtomicU32,
    worst_latency_us: AtomicU32,
}

impl Counts {
    pub(super) const fn new() -> Counts {
        Counts {
            posted: AtomicU32::new(0),
            delivered: AtomicU32::new(0),
            lost: AtomicU32::new(0),
            worst_latency_us: AtomicU32::new(0),
        }
    }

    pub(super) fn note_posted(&self) {
        self.posted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_delivered(&self, latency_us: u64) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        let latency_us = u32::try_from(latency_us).unwrap_or(u32::MAX);
        self.worst_latency_us.fetch_max(latency_us, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> VectorStats {
        VectorStats {
            posted: self.posted.load(Ordering::Relaxed),
            delivered: self.delivered.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            worst_latency_us: self.worst_latency_us.load(Ordering::Relaxed),
        }
    }
}
