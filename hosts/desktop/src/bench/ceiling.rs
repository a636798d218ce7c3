//! The machine's limits: arithmetic in registers and reading from memory, on several threads at once.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use agentos_cpu::{Isa, ceiling};

/// What the machine can do at best.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Ceiling {
    /// Single-precision multiplications and additions per second.
    pub operations_per_s: f64,
    /// Multiplications and additions of 16-bit integers per second; `None` where no kernel has any.
    pub integer_operations_per_s: Option<f64>,
    /// Bytes read from memory per second.
    pub bytes_per_s: f64,
}

/// More than the caches of one machine.
const BYTES: usize = 256 << 20;

/// Measures all on `threads` threads at once: the best of a few rounds, since a ceiling is what
/// nothing disturbed.
pub fn measure(isa: Isa, threads: usize) -> Ceiling {
    const OPERATIONS: u64 = 4_000_000_000;
    let share = BYTES / threads;
    let memory = vec![1u8; BYTES];
    let arithmetic = best(threads, |_| {
        black_box(ceiling::multiply_adds(isa, OPERATIONS));
    });
    let integers = best(threads, |_| {
        black_box(ceiling::dots(isa, OPERATIONS));
    });
    let reading = best(threads, |thread| {
        black_box(ceiling::read(isa, &memory[thread * share..(thread + 1) * share]));
    });
    Ceiling {
        operations_per_s: OPERATIONS as f64 * threads as f64 / arithmetic.as_secs_f64(),
        integer_operations_per_s: Some(OPERATIONS as f64 * threads as f64 / integers.as_secs_f64()),
        bytes_per_s: (share * threads) as f64 / reading.as_secs_f64(),
    }
}

/// The least time in which all threads did the work together.
fn best(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    const ROUNDS: usize = 7;
    let barrier = Barrier::new(threads);
    let mut rounds = [Duration::MAX; ROUNDS];
    std::thread::scope(|scope| {
        for thread in 1..threads {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    barrier.wait();
                    work(thread);
                    barrier.wait();
                }
            });
        }
        for round in &mut rounds {
            barrier.wait();
            let start = Instant::now();
            work(0);
            barrier.wait();
            *round = start.elapsed();
        }
    });
    rounds.into_iter().min().unwrap_or(Duration::MAX)
}
