//! Threads that work beside a run.
//!
//! What they do depends on what they are given and on nothing else, and whoever wants it waits for it or does
//! it itself: that there are such threads, and how fast they are, shows in no answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that work beside a run. They end when the last copy of this is dropped. Copies are the same crew.
#[derive(Clone, Default)]
pub struct Crew {
    jobs: Option<Sender<Job>>,
    /// There are processors for it beside those of the run and of the tools.
    has_processors: bool,
}

/// Threads at most: jobs are short and come a few at a time.
const MOST_THREADS: usize = 4;

/// Processors that the run and tools have use for by themselves.
const FEW_PROCESSORS: usize = 2;

impl Crew {
    /// A thread for each processor of the machine but the one that the run itself has; one at least, a few at most.
    pub fn new() -> Crew {
        Crew::of(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// The crew of a machine of so many processors.
    pub fn of(processors: usize) -> Crew {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let begun = (0..threads(processors)).filter(|_| {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name("crew".to_owned()).spawn(move || serve(&queue)).is_ok()
        });
        let jobs = (begun.count() > 0).then_some(jobs);
        Crew { has_processors: jobs.is_some() && processors > FEW_PROCESSORS, jobs }
    }

    /// Has a job done: by a thread of the crew, or where it has none, here and now.
    pub fn give(&self, job: impl FnOnce() + Send + 'static) {
        let job: Job = Box::new(job);
        let refused = match &self.jobs {
            Some(jobs) => jobs.send(job).err().map(|refused| refused.0),
            None => Some(job),
        };
        refused.into_iter().for_each(run);
    }

    /// Whether there are processors for it: what is offered to it, it does.
    pub fn has_processors(&self) -> bool {
        self.has_processors
    }

    /// Has a job done that the run would otherwise do itself when it comes to it: by a thread of the crew, where there
    /// are processors for that. Where there are not, the thread would take the run's, or be waited for while it
    /// waits for one, and it is left to the run.
    pub fn offer(&self, job: impl FnOnce() + Send + 'static) {
        if self.has_processors {
            self.give(job);
        }
    }
}

/// Threads beside the run's own: one more than there is a processor for would take the run's from it.
fn threads(processors: usize) -> usize {
    processors.saturating_sub(1).clamp(1, MOST_THREADS)
}

fn serve(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        run(job);
    }
}

/// What a job is worth, its owner finds where the job would have put it.
fn run(job: Job) {
    let _panic = catch_unwind(AssertUnwindSafe(job));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_keeps_a_processor() {
        assert_eq!([1, 2, 3, 64].map(threads), [1, 1, 2, MOST_THREADS]);
    }

    #[test]
    fn what_the_run_can_do_itself_is_left_to_it_where_processors_are_few() {
        for (crew, takes) in
            [(Crew::of(1), false), (Crew::of(2), false), (Crew::of(3), true), (Crew::default(), false)]
        {
            let (done, all) = channel();
            crew.offer(move || done.send(()).unwrap());
            assert_eq!(all.recv().is_ok(), takes);
        }
    }

    #[test]
    fn jobs_are_done_with_threads_and_without_and_a_panic_costs_none() {
        for crew in [Crew::new(), Crew::default()] {
            let (done, all) = channel();
            for number in 0..100 {
                let done = done.clone();
                crew.give(move || {
                    assert!(number % 10 > 0, "on purpose");
                    done.send(number).unwrap();
                });
            }
            drop(done);
            let expected: i32 = (0..100).filter(|number| number % 10 > 0).sum();
            assert_eq!(all.iter().sum::<i32>(), expected);
        }
    }
}
