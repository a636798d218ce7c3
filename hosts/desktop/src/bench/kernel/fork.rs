//! Forks of an agent with a long context.

use std::cell::Cell;
use std::time::Instant;

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::Priority;
use agentos_kernel::call::Call;
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::Config;

use super::super::BenchError;
use super::host::{Host, agent, boot, named, prompt, spec};
use super::meter::{Meter, Moved};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// Tokens of the parent.
const TOKENS: u32 = 2000;
const CONTEXT: u32 = TOKENS + 100;
/// Forks in one run.
const FORKS: u64 = 32;

/// A parent, and one child at a time.
pub struct Fork {
    vocab: u32,
    page_bytes: usize,
    limits: Limits,
    boot: Boot,
}

impl Fork {
    pub fn new(shape: &ModelShape, kv: KvType) -> Fork {
        let context = CONTEXT.min(shape.context);
        let pages = 2 * SliceLimits::DEFAULT.worst_pages(context);
        let config = Config { kv, ..Config::new(2, context, pages, 16) }.checked();
        let page_bytes = Packing::of(shape, kv).image_bytes();
        let limits = config.device_limits(shape);
        Fork { vocab: shape.vocab, page_bytes, limits, boot: boot(config, shape) }
    }
}

impl KernelWork for Fork {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let moved = Cell::new(Moved::default());
        let mut meter = Meter::new(device, &moved);
        let mut host = Host::new(&mut self.boot, &mut meter)?;
        let prompt = prompt(0, TOKENS, self.vocab);
        let parent = host.listener(0, Priority::NORMAL, CONTEXT, &prompt)?;
        let bytes = |moved: Moved| f64::from(moved.within + moved.out + moved.into) * self.page_bytes as f64;
        for at in 1..=FORKS {
            let child = spec(at, Priority::NORMAL, CONTEXT, 1);
            moved.set(Moved::default());
            let start = Instant::now();
            let reply = host.call(&Call::Fork(parent, child))?;
            let time = start.elapsed();
            let child = named(reply);
            figures.note("fork", "us", time.as_nanos() as f64 / 1e3);
            figures.note("copied by the fork", "bytes", bytes(moved.get()));
            host.until(|kernel| agent(kernel, child).state.is_over())?;
            figures.note("copied by its next token", "bytes", bytes(moved.get()));
            host.call(&Call::Kill(child))?;
        }
        Ok(())
    }
}
