//! A pool of threads that spins for a bounded time and then parks, so that it keeps its speed when
//! other processes share the cores.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::vec::Vec;

use crate::team::Team;

/// Rounds of spinning before a thread parks: some tens of microseconds.
const SPINS: u32 = 4_000;

/// A team of threads. Threads are not pinned: a worker whose core is taken moves to a free one.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Counts tasks; a worker starts when it changes.
    generation: AtomicU64,
    /// The task under way, as its address and table of methods.
    task: Mutex<Option<Task>>,
    /// Workers that have not returned from the task.
    running: AtomicU32,
    stop: AtomicBool,
    sleepers: AtomicU32,
    lock: Mutex<()>,
    bell: Condvar,
}

/// A borrowed task whose lifetime `run` guards.
#[derive(Clone, Copy, Debug)]
struct Task(*const (dyn Fn(usize) + Sync + 'static));

// SAFETY: the task is `Sync`, and `Pool::run` does not return before all workers are done with it.
unsafe impl Send for Task {}

impl Pool {
    /// Starts `threads` − 1 threads; the caller of `run` is the first worker.
    ///
    /// # Errors
    /// When the operating system starts no thread; none is left behind then.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            task: Mutex::new(None),
            running: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            lock: Mutex::new(()),
            bell: Condvar::new(),
        });
        let mut pool = Pool { shared, threads: Vec::with_capacity(threads.saturating_sub(1)) };
        for worker in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let name = std::format!("agentos-cpu-{worker}");
            let thread = std::thread::Builder::new().name(name).spawn(move || shared.work(worker))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Release);
        self.shared.generation.fetch_add(1, Release);
        self.shared.notify();
        for thread in self.threads.drain(..) {
            // A worker that panicked has already reported itself.
            let _ = thread.join();
        }
    }
}

impl Team for Pool {
    fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        if self.threads.is_empty() {
            return task(0);
        }
        // SAFETY: only the lifetime is changed. Every worker returns from the task before this function
        // does, also when the task panics here (`Joined` waits).
        let task_for_workers = unsafe {
            core::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync + 'static)>(
                task,
            )
        };
        *self.shared.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(Task(task_for_workers));
        self.shared.running.store(self.threads.len() as u32, Relaxed);
        self.shared.generation.fetch_add(1, Release);
        self.shared.notify();
        let joined = Joined(&self.shared);
        task(0);
        drop(joined);
    }

    fn wait_until(&self, done: &dyn Fn() -> bool) {
        self.shared.wait_until(done);
    }

    fn notify(&self) {
        self.shared.notify();
    }
}

/// Waits for the workers when dropped.
struct Joined<'a>(&'a Shared);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        shared.wait_until(&|| shared.running.load(Acquire) == 0);
    }
}

impl Shared {
    fn work(&self, worker: usize) {
        let mut seen = 0;
        loop {
            self.wait_until(&|| self.generation.load(Acquire) != seen);
            seen = self.generation.load(Acquire);
            if self.stop.load(Acquire) {
                return;
            }
            let task = *self.task.lock().unwrap_or_else(PoisonError::into_inner);
            let finished = Finished(self);
            if let Some(Task(task)) = task {
                // SAFETY: `run` keeps the task alive until `running` is zero.
                unsafe { (*task)(worker) };
            }
            drop(finished);
        }
    }

    fn wait_until(&self, done: &dyn Fn() -> bool) {
        for _ in 0..SPINS {
            if done() {
                return;
            }
            core::hint::spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Sequentially consistent with `notify`: either it sees this sleeper, or this sees its change.
        self.sleepers.fetch_add(1, SeqCst);
        std::sync::atomic::fence(SeqCst);
        while !done() {
            guard = self.bell.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }

    fn notify(&self) {
        std::sync::atomic::fence(SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.bell.notify_all();
        }
    }
}

/// Marks a worker as done when dropped, also when its task panicked.
struct Finished<'a>(&'a Shared);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Release);
        self.0.notify();
    }
}
