//! A whole agent goes out of page memory and another comes in.

use std::cell::Cell;
use std::time::Duration;

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::{AgentId, Priority};
use agentos_kernel::call::{Call, Tokens};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::memory::pack::Packing;
use agentos_kernel::system::Config;

use super::super::BenchError;
use super::host::{Host, agent, boot, bytes_of, listens, prompt};
use super::meter::{Meter, Moved};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// Tokens of an agent that is swapped.
const TOKENS: u32 = 1500;
const CONTEXT: u32 = TOKENS + 64;
/// Tokens of a neighbour that keeps its pages, so that the two others never fit together.
const NEIGHBOUR: u32 = 950;
/// Exchanges in one run.
const EXCHANGES: usize = 8;

/// Two agents that take turns in page memory for one, beside a neighbour.
pub struct Swap {
    vocab: u32,
    page_bytes: usize,
    limits: Limits,
    boot: Boot,
}

impl Swap {
    pub fn new(shape: &ModelShape, kv: KvType) -> Swap {
        let worst = SliceLimits::DEFAULT.worst_pages(CONTEXT);
        let config = Config {
            kv,
            // The neighbour's lease does not run out.
            lease_us: u64::MAX,
            ..Config::new(3, CONTEXT, worst, 3 * worst)
        }
        .checked();
        let page_bytes = Packing::of(shape, kv).image_bytes();
        let limits = config.device_limits(shape);
        Swap { vocab: shape.vocab, page_bytes, limits, boot: boot(config, shape) }
    }
}

impl KernelWork for Swap {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let moved = Cell::new(Moved::default());
        let mut meter = Meter::new(device, &moved);
        let mut host = Host::new(&mut self.boot, &mut meter)?;
        host.listener(0, Priority::HIGHEST, CONTEXT, &prompt(0, NEIGHBOUR, self.vocab))?;
        let mut pair = [AgentId { index: 0, generation: 0 }; 2];
        let mut prefill_us = 0;
        for (at, agent) in (1..).zip(&mut pair) {
            let start_us = host.now_us();
            *agent = host.listener(at, Priority::NORMAL, CONTEXT, &prompt(at, TOKENS, self.vocab))?;
            prefill_us = host.now_us() - start_us;
        }
        figures.note("prefill", "ms", prefill_us as f64 / 1e3);
        // The first exchanges take the arena's memory from the system.
        for exchange in 0..EXCHANGES + 2 {
            let wakes = pair[exchange % 2];
            moved.set(Moved::default());
            let exchange_us = wake(&mut host, wakes)?;
            if exchange >= 2 {
                let tokens = agent(&host.kernel, wakes).tokens;
                let prefill_us = prefill_us as f64 * f64::from(tokens) / f64::from(TOKENS);
                note(figures, moved.get(), exchange_us, prefill_us, self.page_bytes);
            }
        }
        Ok(())
    }
}

/// Notes one exchange, beside the prefill of as many tokens as came in.
fn note(figures: &mut Figures, moved: Moved, exchange_us: u64, prefill_us: f64, page_bytes: usize) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (out, into, whole) = (ms(moved.out_time), ms(moved.in_time), exchange_us as f64 / 1e3);
    let prefill = prefill_us / 1e3;
    let megabytes = |pages: u32| f64::from(pages) * page_bytes as f64 / 1e6;
    figures.note("out", "ms", out);
    figures.note("in", "ms", into);
    figures.note("out and in, by the kernel", "ms", whole);
    figures.note("prefill, of out", "x", prefill / out);
    figures.note("prefill, of in", "x", prefill / into);
    figures.note("prefill, of out and in", "x", prefill / whole);
    figures.note("bytes out", "MB", megabytes(moved.out));
    figures.note("bytes in", "MB", megabytes(moved.into));
}

/// Sends an agent a token and lets it answer. Returns the microseconds until the device had its rows: the
/// time that its pages took to come in, and others' to go out.
fn wake(host: &mut Host<'_, '_, impl TensorDevice>, wakes: AgentId) -> Result<u64, BenchError> {
    let bytes = bytes_of(&[1]);
    let start_us = host.now_us();
    host.call(&Call::Send(wakes, Tokens(&bytes)))?;
    host.until_submitted()?;
    let exchange_us = host.now_us() - start_us;
    host.until(|kernel| listens(kernel, wakes))?;
    Ok(exchange_us)
}
