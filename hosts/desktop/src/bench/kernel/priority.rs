//! Somebody urgent arrives while seven agents have long prompts computed: how soon it is served, and what
//! that costs the others.

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::system::Config;

use super::super::BenchError;
use super::arrivals::{ANSWER, Arrival, BACKGROUND, LONG, Newcomer, Order, Outcome, SHORT, run};
use super::host::{boot, mix};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// Newcomers of the work that counts many: with the background one per level.
const NEWCOMERS: u16 = 24;
/// Rows of the background.
const ROWS: u64 = BACKGROUND as u64 * LONG as u64;

/// A kernel in which all prompts fit page memory, and its device's sizes.
struct System {
    boot: Boot,
    shape: ModelShape,
    limits: Limits,
}

impl System {
    fn new(shape: &ModelShape, kv: KvType) -> System {
        let agents = BACKGROUND + NEWCOMERS;
        // Slices end before their last page is full: a sixth more than the tokens is enough.
        let l1_pages = ROWS as u32 / 8 * 7 / 6 + 512;
        let worst = |tokens| SliceLimits::DEFAULT.worst_pages(tokens);
        // Promised, and never used.
        let l2_frames =
            u32::from(BACKGROUND) * worst(LONG + 1) + u32::from(NEWCOMERS) * worst(SHORT + ANSWER);
        let context = (LONG + 1).min(shape.context);
        let config = Config { kv, ..Config::new(agents, context, l1_pages, l2_frames) }.checked();
        System { boot: boot(config, shape), shape: *shape, limits: config.device_limits(shape) }
    }

    fn run(
        &mut self,
        device: &mut dyn TensorDevice,
        order: Order,
        arrivals: &[Arrival],
    ) -> Result<Outcome, BenchError> {
        run(&mut self.boot, device, self.shape.vocab, order, arrivals)
    }
}

/// One newcomer in the middle, and the same work without it.
pub struct Interrupted(System);

impl Interrupted {
    pub fn new(shape: &ModelShape, kv: KvType) -> Interrupted {
        Interrupted(System::new(shape, kv))
    }
}

impl KernelWork for Interrupted {
    fn limits(&self) -> Limits {
        self.0.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let middle = Arrival { after_rows: ROWS / 2, part: 0.5 };
        let interrupted = self.0.run(device, Order::Urgency, &[middle])?;
        let quiet = self.0.run(device, Order::Urgency, &[])?;
        note(&interrupted.newcomers, ["first token", "dispatch", "steps to dispatch"], figures);
        let [with, without] = [&interrupted, &quiet].map(|outcome| outcome.background_us as f64 / 1e6);
        figures.note("background", "s", with);
        figures.note("background alone", "s", without);
        figures.note("background, of alone", "%", 100.0 * with / without);
        Ok(())
    }
}

/// Many newcomers, by urgency and by arrival.
pub struct Arrivals(System);

impl Arrivals {
    pub fn new(shape: &ModelShape, kv: KvType) -> Arrivals {
        Arrivals(System::new(shape, kv))
    }
}

impl KernelWork for Arrivals {
    fn limits(&self) -> Limits {
        self.0.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let arrivals: Vec<Arrival> = (0..u64::from(NEWCOMERS)).map(scattered).collect();
        let urgent = self.0.run(device, Order::Urgency, &arrivals)?;
        note(&urgent.newcomers, ["first token", "dispatch", "steps to dispatch"], figures);
        let queued = self.0.run(device, Order::Arrival, &arrivals)?;
        note(&queued.newcomers, ["first token, fcfs", "dispatch, fcfs", "steps to dispatch, fcfs"], figures);
        Ok(())
    }
}

/// The newcomers arrive all over the work, each anywhere in a step.
fn scattered(at: u64) -> Arrival {
    let share = |seed: u64| (mix(seed) >> 11) as f64 / (1u64 << 53) as f64;
    let after_rows = ((at as f64 + share(2 * at)) / f64::from(NEWCOMERS) * 0.9 * ROWS as f64) as u64;
    Arrival { after_rows, part: share(2 * at + 1) }
}

fn note(newcomers: &[Newcomer], names: [&'static str; 3], figures: &mut Figures) {
    for newcomer in newcomers {
        if let (Some((dispatch_us, steps)), Some(first_token_us)) =
            (newcomer.dispatch, newcomer.first_token_us)
        {
            figures.note(names[0], "ms", first_token_us as f64 / 1e3);
            figures.note(names[1], "ms", dispatch_us as f64 / 1e3);
            figures.note(names[2], "", steps as f64);
        }
    }
}
