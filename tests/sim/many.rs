//! Runs many seeds on all cores: `cargo xtask sim --seeds N --from SEED`.
//!
//! The arguments are the first seed and how many. The first seed that breaks something ends the run, and is
//! said with the tick, with what broke, and with the command that repeats it.

mod act;
mod alone;
mod check;
mod clock;
mod draw;
mod ending;
mod life;
mod seed;
mod setup;
mod tally;
mod tiny;
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use seed::{Broken, keep_panics, simulate};
use tally::Tally;

/// How often the run says how far it is.
const TELL: Duration = Duration::from_secs(5);

/// What all threads share.
struct Run {
    first: u64,
    count: u64,
    /// Seeds that were taken, and those that are done.
    taken: AtomicU64,
    done: AtomicU64,
    found: Mutex<(Option<Broken>, Tally)>,
    start: Instant,
}

impl Run {
    /// Takes seeds until there are none, or until one broke something.
    fn work(&self) {
        while let Some(seed) = self.take() {
            let outcome = simulate(seed);
            let mut found = self.found.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match outcome {
                Ok(tally) => found.1.add(&tally),
                // Of several at once the lowest is told, whoever is faster.
                Err(broken) if found.0.as_ref().is_none_or(|other| broken.seed < other.seed) => {
                    found.0 = Some(broken);
                }
                Err(_) => (),
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Option<u64> {
        let broken = self.found.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).0.is_some();
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        (taken < self.count && !broken).then(|| self.first.wrapping_add(taken))
    }

    fn tell(&self) {
        let (done, seconds) = (self.done.load(Ordering::Relaxed), self.start.elapsed().as_secs_f64());
        println!("{done} of {} seeds, {:.1} a second", self.count, done as f64 / seconds);
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count))) = (arguments.next(), arguments.next()) else {
        eprintln!("the arguments are the first seed and the number of seeds");
        return ExitCode::FAILURE;
    };
    keep_panics();
    let run = Run {
        first,
        count,
        taken: AtomicU64::new(0),
        done: AtomicU64::new(0),
        found: Mutex::new((None, Tally::default())),
        start: Instant::now(),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| run.work())).collect();
        let mut told = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            if told.elapsed() >= TELL {
                run.tell();
                told = Instant::now();
            }
        }
    });
    run.tell();
    let (broken, tally) = run.found.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    match broken {
        Some(broken) => {
            println!("{broken}");
            ExitCode::FAILURE
        }
        None => {
            println!("{tally:?}");
            println!("no seed broke anything");
            ExitCode::SUCCESS
        }
    }
}
