//! The workers that share a step.

/// Workers that run the same task together. The caller of [`Team::run`] is worker 0.
pub trait Team: Sync {
    /// How many there are, the caller included; at least 1.
    fn workers(&self) -> usize;

    /// Runs `task` once on every worker, with the worker's number; returns when all have returned.
    fn run(&self, task: &(dyn Fn(usize) + Sync));

    /// Called by a worker inside a task: returns when `done` holds. Must not use a core for long
    /// while it does not.
    fn wait_until(&self, done: &dyn Fn() -> bool);

    /// Called by a worker inside a task after it made some other worker's `done` true.
    fn notify(&self);
}

/// The caller alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Team for Solo {
    fn workers(&self) -> usize {
        1
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) {
        task(0);
    }

    fn wait_until(&self, done: &dyn Fn() -> bool) {
        assert!(done(), "a worker without company waits for nobody");
    }

    fn notify(&self) {}
}
