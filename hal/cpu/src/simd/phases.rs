//! Dividing the work of a step among workers.
//!
//! A step is a sequence of **phases**, the same for every worker; a phase is a number of **chunks**,
//! each claimed by one worker. A worker begins with its own share, consecutive chunks that lie
//! together in memory, and then helps the others with theirs. A worker that comes late finds the chunks
//! gone and moves on: it holds nobody up unless it is in the middle of a chunk.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};

use crate::team::Team;

/// The progress of a step's phases.
pub struct Phases<'a> {
    /// Per phase, for each worker's share, the chunks of it that were claimed.
    claims: &'a [AtomicU32],
    /// Per phase, chunks that are done.
    done: &'a [AtomicU32],
    /// A worker panicked: nothing that it claimed will be done.
    failed: &'a AtomicBool,
    team: &'a dyn Team,
}

impl<'a> Phases<'a> {
    /// Phases whose counters are all zero.
    pub fn new(
        claims: &'a [AtomicU32],
        done: &'a [AtomicU32],
        failed: &'a AtomicBool,
        team: &'a dyn Team,
    ) -> Self {
        Phases { claims, done, failed, team }
    }

    /// A worker's place at the start of the step.
    pub fn cursor(&'a self, worker: usize) -> Cursor<'a> {
        Cursor { phases: self, worker, next: 0, unfinished: 0, totals: [0; PENDING] }
    }
}

/// Phases that may be under way at once.
const PENDING: usize = 8;

/// A worker's place in the sequence of phases.
pub struct Cursor<'a> {
    phases: &'a Phases<'a>,
    worker: usize,
    next: usize,
    unfinished: usize,
    totals: [u32; PENDING],
}

impl Cursor<'_> {
    /// Runs a phase of `chunks` chunks: `work` is called with those that this worker claims. Does not
    /// wait for the others.
    pub fn phase(&mut self, chunks: usize, mut work: impl FnMut(usize)) {
        if self.next - self.unfinished == PENDING {
            self.wait();
        }
        self.totals[self.next - self.unfinished] = chunks as u32;
        let workers = self.phases.team.workers();
        let claims = &self.phases.claims[self.next * workers..(self.next + 1) * workers];
        let done = &self.phases.done[self.next];
        self.next += 1;
        for helped in 0..workers {
            let owner = (self.worker + helped) % workers;
            let share = share(chunks, owner, workers);
            loop {
                let chunk = share.start + claims[owner].fetch_add(1, Relaxed) as usize;
                if chunk >= share.end {
                    break;
                }
                let guard = FailOnPanic(self.phases);
                work(chunk);
                core::mem::forget(guard);
                if done.fetch_add(1, AcqRel) + 1 == chunks as u32 {
                    self.phases.team.notify();
                }
            }
        }
    }

    /// Waits until every chunk of every phase so far is done.
    ///
    /// # Panics
    /// When another worker panicked.
    pub fn wait(&mut self) {
        for (index, &total) in (self.unfinished..self.next).zip(&self.totals) {
            let done = &self.phases.done[index];
            let failed = self.phases.failed;
            if done.load(Acquire) != total {
                self.phases.team.wait_until(&|| done.load(Acquire) == total || failed.load(Acquire));
            }
            assert!(!failed.load(Acquire), "another worker panicked");
        }
        self.unfinished = self.next;
    }
}

/// The chunks that a worker begins with.
pub fn share(chunks: usize, worker: usize, workers: usize) -> Range<usize> {
    worker * chunks / workers..(worker + 1) * chunks / workers
}

/// Tells the others when a chunk panics.
struct FailOnPanic<'a>(&'a Phases<'a>);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        self.0.failed.store(true, Release);
        self.0.team.notify();
    }
}
