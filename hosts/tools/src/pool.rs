//! Threads on which functions that block run, and a queue before them. Both are bounded.
//!
//! A function may hang for good, and no thread can be killed. So a job that is cancelled while it runs is
//! left to itself: another thread takes its place, up to as many as the pool has. Beyond that the pool is
//! full until one of them comes back.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How much a pool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Jobs that run at once.
    pub threads: NonZeroUsize,
    /// Jobs that wait for a thread.
    pub queue: usize,
}

/// Threads that run jobs. They are started when they are first needed, and end with the last copy of this
/// and the last job. Copies are the same pool.
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

/// A job of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobNumber(u64);

/// As many jobs wait as there can be, or no thread can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

type Job = Box<dyn FnOnce() + Send>;
type Bell = Box<dyn Fn() + Send + Sync>;

/// Ends the threads when nobody can give them jobs any more.
struct Owner(Arc<Shared>);

struct Shared {
    limits: PoolLimits,
    state: Mutex<State>,
    work: Condvar,
    bell: Bell,
}

#[derive(Default)]
struct State {
    next: u64,
    queue: VecDeque<(JobNumber, Job)>,
    busy: BTreeSet<JobNumber>,
    /// Cancelled while they ran, and not back. Their threads take no more jobs.
    left: BTreeSet<JobNumber>,
    /// Of the busy ones, those that were cancelled when as many were left as can be.
    unwanted: BTreeSet<JobNumber>,
    /// Threads that take jobs.
    threads: usize,
    /// Of these, those that wait for one.
    idle: usize,
    closed: bool,
}

impl Pool {
    /// A pool that calls `bell` on one of its threads whenever a job is over, so that a host that sleeps
    /// looks again.
    pub fn new(limits: PoolLimits, bell: impl Fn() + Send + Sync + 'static) -> Pool {
        let bell = Box::new(bell);
        let shared = Shared { limits, state: Mutex::default(), work: Condvar::new(), bell };
        Pool(Arc::new(Owner(Arc::new(shared))))
    }

    /// Has a job run as soon as a thread is free.
    pub(crate) fn submit(&self, job: Job) -> Result<JobNumber, Full> {
        let shared = &self.0.0;
        let mut state = shared.lock();
        let waiting = state.queue.len().saturating_sub(state.idle);
        let free = shared.limits.threads.get().saturating_sub(state.threads);
        if waiting >= shared.limits.queue + free {
            return Err(Full);
        }
        let number = JobNumber(state.next);
        state.next += 1;
        state.queue.push_back((number, job));
        shared.staff(&mut state);
        if state.threads == 0 {
            state.queue.pop_back();
            return Err(Full);
        }
        shared.work.notify_one();
        Ok(number)
    }

    /// Gives up a job: it does not begin, or is left to itself.
    pub(crate) fn cancel(&self, number: JobNumber) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        state.queue.retain(|(queued, _)| *queued != number);
        if state.busy.contains(&number) {
            state.unwanted.insert(number);
            shared.leave(&mut state);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.queue.clear();
        self.0.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts threads for the jobs that none waits for.
    fn staff(self: &Arc<Shared>, state: &mut State) {
        while state.queue.len() > state.idle && state.threads < self.limits.threads.get() {
            let shared = Arc::clone(self);
            let thread = std::thread::Builder::new().name("tool".to_owned());
            if thread.spawn(move || shared.serve()).is_err() {
                // Those that there are serve all.
                return;
            }
            state.threads += 1;
            // It takes the first job before it ever waits.
            state.idle += 1;
        }
    }

    /// Has other threads take the place of those that do what nobody wants.
    fn leave(self: &Arc<Shared>, state: &mut State) {
        while state.left.len() < self.limits.threads.get() {
            let Some(number) = state.unwanted.pop_first() else { break };
            state.busy.remove(&number);
            state.left.insert(number);
            state.threads -= 1;
        }
        self.staff(state);
    }

    fn serve(self: &Arc<Shared>) {
        let mut state = self.lock();
        // Counted as idle since it was started.
        loop {
            while state.queue.is_empty() && !state.closed {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle -= 1;
            let Some((number, job)) = state.queue.pop_front() else {
                state.threads -= 1;
                return;
            };
            state.busy.insert(number);
            drop(state);
            // What a job is worth, its owner finds where the job would have put it.
            let _panic = catch_unwind(AssertUnwindSafe(job));
            state = self.lock();
            if state.left.remove(&number) {
                // Another thread took this one's place.
                self.leave(&mut state);
                return;
            }
            state.busy.remove(&number);
            state.unwanted.remove(&number);
            state.idle += 1;
            drop(state);
            (self.bell)();
            state = self.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn pool(threads: usize, queue: usize) -> Pool {
        Pool::new(PoolLimits { threads: NonZeroUsize::new(threads).unwrap(), queue }, || ())
    }

    /// A job that says when it begins, and ends when it is let.
    fn held() -> (Job, Receiver<()>, Sender<()>) {
        let (begun, begins) = channel();
        let (end, ends) = channel::<()>();
        let job = move || {
            begun.send(()).unwrap();
            let _ = ends.recv();
        };
        (Box::new(job), begins, end)
    }

    #[test]
    fn what_is_beyond_threads_and_queue_is_turned_away() {
        let pool = pool(1, 1);
        let (job, begins, end) = held();
        pool.submit(job).unwrap();
        begins.recv_timeout(LONG).unwrap();
        let (ran, runs) = channel();
        pool.submit(Box::new(move || ran.send(()).unwrap())).unwrap();
        assert_eq!(pool.submit(Box::new(|| ())), Err(Full));
        end.send(()).unwrap();
        runs.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn a_job_that_was_cancelled_before_it_began_never_begins() {
        let pool = pool(1, 4);
        let (job, begins, end) = held();
        pool.submit(job).unwrap();
        begins.recv_timeout(LONG).unwrap();
        let (ran, runs) = channel();
        let number = pool.submit(Box::new(move || ran.send(()).unwrap())).unwrap();
        pool.cancel(number);
        end.send(()).unwrap();
        assert!(runs.recv_timeout(LONG).is_err(), "its sender was dropped with it");
    }

    #[test]
    fn a_job_that_hangs_is_replaced_when_it_is_cancelled_and_no_more_than_that() {
        let pool = pool(1, 0);
        let mut ends = Vec::new();
        // The first is replaced; the second is one too many to be.
        for _ in 0..2 {
            let (job, begins, end) = held();
            let number = pool.submit(job).unwrap();
            begins.recv_timeout(LONG).unwrap();
            pool.cancel(number);
            ends.push(end);
        }
        assert_eq!(pool.submit(Box::new(|| ())), Err(Full));
        // When the first is back, the second is replaced in turn.
        ends.remove(0).send(()).unwrap();
        let (ran, runs) = channel();
        while pool
            .submit(Box::new({
                let ran = ran.clone();
                move || ran.send(()).unwrap()
            }))
            .is_err()
        {
            std::thread::yield_now();
        }
        runs.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn a_panic_costs_no_thread() {
        let pool = pool(1, 2);
        pool.submit(Box::new(|| panic!("on purpose"))).unwrap();
        let (ran, runs) = channel();
        pool.submit(Box::new(move || ran.send(()).unwrap())).unwrap();
        runs.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn threads_end_with_the_pool() {
        let pool = pool(2, 2);
        let (ran, runs) = channel();
        pool.submit(Box::new({
            let ran = ran.clone();
            move || ran.send(()).unwrap()
        }))
        .unwrap();
        runs.recv_timeout(LONG).unwrap();
        let shared = Arc::downgrade(&pool.0.0);
        drop(pool);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_bell_rings_after_a_job() {
        let (rung, rings) = channel();
        let limits = PoolLimits { threads: NonZeroUsize::MIN, queue: 0 };
        let pool = Pool::new(limits, move || rung.send(()).unwrap());
        pool.submit(Box::new(|| ())).unwrap();
        rings.recv_timeout(LONG).unwrap();
    }
}
