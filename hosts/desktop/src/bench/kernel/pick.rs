//! The scheduler's choice of who runs next.

use std::hint::black_box;
use std::time::Instant;

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::Priority;
use agentos_kernel::sched::ready::{Ready, VACANT_LINK};
use agentos_kernel::system::Config;

use super::super::BenchError;
use super::host::mix;
use super::{Figures, KernelWork};

/// Picks that are timed together.
const PICKS: u32 = 1_000_000;

/// Queues of agents on all levels. The device has nothing to do.
pub struct Pick {
    limits: Limits,
}

impl Pick {
    pub fn new(shape: &ModelShape, kv: KvType) -> Pick {
        Pick { limits: Config { kv, ..Config::new(1, 64, 32, 16) }.checked().device_limits(shape) }
    }
}

impl KernelWork for Pick {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, _: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        figures.note("pick and requeue of 64", "ns", pick(64));
        figures.note("pick and requeue of 4096", "ns", pick(4096));
        Ok(())
    }
}

/// Nanoseconds in which the most urgent of `agents` is found and goes to the end of a level of its own.
fn pick(agents: u16) -> f64 {
    let mut links = vec![VACANT_LINK; agents.into()];
    let mut ready = Ready::new(&mut links);
    let level = |word: u64| Priority::new((mix(word) % Priority::LEVELS as u64) as u8);
    // Drawn before the clock starts.
    let levels: Vec<Priority> = (0..4096).filter_map(level).collect();
    for agent in 0..agents {
        ready.push(agent, levels[usize::from(agent)]);
    }
    let start = Instant::now();
    for turn in 0..PICKS {
        let agent = black_box(&ready).first().expect("nobody left");
        black_box(&mut ready).push(agent, levels[turn as usize % levels.len()]);
    }
    start.elapsed().as_nanos() as f64 / f64::from(PICKS)
}
