//! The pool of threads: every worker runs every task, waits end, and panics get through.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use agentos_cpu::{Pool, Solo, Team};

#[test]
fn every_worker_runs_every_task_once() {
    for threads in 1..=5 {
        let pool = Pool::new(threads).expect("threads start");
        assert_eq!(pool.workers(), threads);
        for _ in 0..200 {
            let runs: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            pool.run(&|worker| {
                runs[worker].fetch_add(1, SeqCst);
            });
            assert!(runs.iter().all(|runs| runs.load(SeqCst) == 1));
        }
    }
}

#[test]
fn a_worker_that_parks_is_woken() {
    let pool = Pool::new(3).expect("threads start");
    for round in 1..=20 {
        let arrived = AtomicUsize::new(0);
        pool.run(&|worker| {
            // Late enough for the others to have parked.
            if worker == round % 3 {
                std::thread::sleep(Duration::from_millis(3));
            }
            arrived.fetch_add(1, SeqCst);
            pool.notify();
            pool.wait_until(&|| arrived.load(SeqCst) == 3);
        });
        assert_eq!(arrived.load(SeqCst), 3);
    }
}

#[test]
fn the_callers_panic_gets_through_after_the_others_are_done() {
    let pool = Pool::new(2).expect("threads start");
    let done = AtomicUsize::new(0);
    let task = |worker| {
        if worker == 0 {
            panic!("as planned");
        }
        std::thread::sleep(Duration::from_millis(5));
        done.fetch_add(1, SeqCst);
    };
    assert!(catch_unwind(AssertUnwindSafe(|| pool.run(&task))).is_err());
    assert_eq!(done.load(SeqCst), 1);
    pool.run(&|_| {
        done.fetch_add(1, SeqCst);
    });
    assert_eq!(done.load(SeqCst), 3);
}

#[test]
fn one_worker_alone_needs_no_pool() {
    let runs = AtomicUsize::new(0);
    Solo.run(&|worker| {
        assert_eq!(worker, 0);
        runs.fetch_add(1, SeqCst);
    });
    assert_eq!((Solo.workers(), runs.load(SeqCst)), (1, 1));
}
