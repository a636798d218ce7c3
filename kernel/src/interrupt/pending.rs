//! Interrupts that were posted and not yet delivered.

use core::sync::atomic::{AtomicU32, Ordering};

use super::counts::{Counts, VectorStats};
use super::queue::{QUEUE_DEPTH, Queue};
use super::vector::{BY_RANK, Urgency, VectorId, rank};
use crate::agent::AgentId;

/// An interrupt as its source posts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Posted {
    /// What has happened.
    pub vector: VectorId,
    /// The agent concerned; `None`: no one agent.
    pub agent: Option<AgentId>,
    /// What the vector says that it is.
    pub payload: u64,
    /// When it was posted, in microseconds on the kernel's clock.
    pub at_us: u64,
}

/// An interrupt that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Delivered {
    /// What was posted.
    pub posted: Posted,
    /// Microseconds from posting to delivery.
    pub latency_us: u64,
    /// Interrupts of this critical vector were refused since the last such delivery. `posted` stands
    /// for all of them: it names no agent, its payload is 0 and its time is that of the delivery.
    pub overflowed: bool,
}

/// As many interrupts of the vector wait as can. This one was counted as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QueueFull {
    /// The vector.
    pub vector: VectorId,
}

impl core::fmt::Display for QueueFull {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{QUEUE_DEPTH} interrupts {} wait already; no more fit", self.vector.info().name)
    }
}

impl core::error::Error for QueueFull {}

/// The interrupt controller: a bounded queue per vector and a bitmap of those that may hold something.
///
/// Any thread and any interrupt handler may post through a shared reference; nobody waits for anybody.
/// It needs 32-bit atomics and no more.
pub struct Interrupts {
    lines: [Line; VectorId::COUNT],
    /// Bit `rank`: the line may hold something. Set after an interrupt is in its queue and cleared
    /// before the queue is looked at for the last time, so that none stays behind unseen.
    pending: AtomicU32,
    /// Bit `rank`: the line is masked.
    masked: AtomicU32,
    /// Bit `rank`: interrupts of a critical vector were refused, and that was not delivered yet.
    overflowed: AtomicU32,
}

/// One vector.
struct Line {
    queue: Queue,
    counts: Counts,
}

impl Line {
    const fn new() -> Line {
        Line { queue: Queue::new(), counts: Counts::new() }
    }
}

impl Interrupts {
    /// Nothing is pending and nothing masked.
    pub const fn new() -> Interrupts {
        Interrupts {
            lines: [const { Line::new() }; VectorId::COUNT],
            pending: AtomicU32::new(0),
            masked: AtomicU32::new(0),
            overflowed: AtomicU32::new(0),
        }
    }

    /// Posts an interrupt, from any thread or interrupt handler.
    ///
    /// # Errors
    /// [`QueueFull`]: the interrupt was refused and counted. When its vector is critical, a delivery
    /// that says so follows whatever the source does now.
    pub fn post(&self, posted: Posted) -> Result<(), QueueFull> {
        let vector = posted.vector;
        let rank = rank(vector);
        let line = &self.lines[rank];
        if line.queue.put(&posted) {
            line.counts.note_posted();
            self.pending.fetch_or(1 << rank, Ordering::AcqRel);
            return Ok(());
        }
        line.counts.note_lost();
        if vector.info().urgency == Urgency::Critical {
            self.overflowed.fetch_or(1 << rank, Ordering::AcqRel);
            self.pending.fetch_or(1 << rank, Ordering::AcqRel);
        }
        Err(QueueFull { vector })
    }

    /// Takes the most urgent pending interrupt that is not masked; the oldest of its vector. Looks at
    /// each vector once at most.
    pub fn next(&self, now_us: u64) -> Option<Delivered> {
        let mut candidates = self.pending.load(Ordering::Acquire) & !self.masked.load(Ordering::Acquire);
        while candidates != 0 {
            let rank = candidates.trailing_zeros() as usize;
            if let Some(delivered) = self.take(rank, now_us) {
                return Some(delivered);
            }
            // A source may post between the look and the clearing, so it takes a second look.
            self.pending.fetch_and(!(1 << rank), Ordering::AcqRel);
            if let Some(delivered) = self.take(rank, now_us) {
                self.pending.fetch_or(1 << rank, Ordering::AcqRel);
                return Some(delivered);
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// Whether something may be due that is not masked.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire) & !self.masked.load(Ordering::Acquire) != 0
    }

    /// Holds back a vector's interrupts. They can be posted all the same.
    pub fn mask(&self, vector: VectorId) {
        self.masked.fetch_or(1 << rank(vector), Ordering::AcqRel);
    }

    /// Lets a vector's interrupts through again.
    pub fn unmask(&self, vector: VectorId) {
        self.masked.fetch_and(!(1 << rank(vector)), Ordering::AcqRel);
    }

    /// Whether a vector's interrupts are held back.
    pub fn is_masked(&self, vector: VectorId) -> bool {
        self.masked.load(Ordering::Acquire) & (1 << rank(vector)) != 0
    }

    /// What was counted of a vector.
    pub fn stats(&self, vector: VectorId) -> VectorStats {
        self.lines[rank(vector)].counts.stats()
    }

    /// What is due on one line. That some were lost is said before what was not.
    fn take(&self, rank: usize, now_us: u64) -> Option<Delivered> {
        let bit = 1 << rank;
        if self.overflowed.load(Ordering::Acquire) & bit != 0 {
            self.overflowed.fetch_and(!bit, Ordering::AcqRel);
            let posted = Posted { vector: BY_RANK[rank], agent: None, payload: 0, at_us: now_us };
            return Some(Delivered { posted, latency_us: 0, overflowed: true });
        }
        let line = &self.lines[rank];
        let posted = line.queue.take(BY_RANK[rank])?;
        let latency_us = now_us.saturating_sub(posted.at_us);
        line.counts.note_delivered(latency_us);
        Some(Delivered { posted, latency_us, overflowed: false })
    }
}

impl Default for Interrupts {
    fn default() -> Interrupts {
        Interrupts::new()
    }
}

impl core::fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut map = f.debug_map();
        for vector in VectorId::ALL {
            map.entry(&vector.info().name, &(self.is_masked(vector), self.stats(vector)));
        }
        map.finish()
    }
}
