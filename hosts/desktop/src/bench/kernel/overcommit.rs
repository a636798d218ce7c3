//! More agents than page memory has room for: all finish, nothing is computed twice.

use agentos_hal::{KvType, Limits, ModelShape, PAGE_TOKENS, TensorDevice};
use agentos_kernel::agent::Priority;
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::system::Config;

use super::super::BenchError;
use super::host::{Host, all_over, boot, prompt, spec};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// Tokens of each agent's prompt, and of its answer.
const PROMPT: u32 = 100;
const ANSWER: u32 = 200;
const CONTEXT: u32 = PROMPT + ANSWER;

/// Page memory of the works with a number in their name, in tokens.
pub const L1_TOKENS: u32 = 1024;

/// A number of agents in two systems: one whose page memory is short, and one that has room for all.
pub struct Overcommit {
    agents: u16,
    vocab: u32,
    limits: Limits,
    short: Boot,
    ample: Boot,
}

/// What a system did.
struct Done {
    tokens_per_s: f64,
    finished: u64,
    paged_out: u64,
    paged_in: u64,
    recomputed: u64,
}

impl Overcommit {
    /// `agents` in page memory for `tokens`.
    pub fn new(shape: &ModelShape, kv: KvType, agents: u16, tokens: u32) -> Overcommit {
        let all = u32::from(agents) * SliceLimits::DEFAULT.worst_pages(CONTEXT);
        let config = |l1_pages| Config { kv, ..Config::new(agents, CONTEXT, l1_pages, all + 16) }.checked();
        let (short, ample) = (config(tokens / PAGE_TOKENS as u32), config(all));
        Overcommit {
            agents,
            vocab: shape.vocab,
            limits: super::both(short.device_limits(shape), ample.device_limits(shape)),
            short: boot(short, shape),
            ample: boot(ample, shape),
        }
    }

    /// Five agents in page memory for the tokens of four.
    pub fn one_too_many(shape: &ModelShape, kv: KvType) -> Overcommit {
        Overcommit::new(shape, kv, 5, 4 * CONTEXT)
    }
}

impl KernelWork for Overcommit {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let short = finish(&mut self.short, device, self.agents, self.vocab)?;
        let ample = finish(&mut self.ample, device, self.agents, self.vocab)?;
        figures.note("generated", "tok/s", short.tokens_per_s);
        figures.note("generated, with room for all", "tok/s", ample.tokens_per_s);
        figures.note("of that with room for all", "%", 100.0 * short.tokens_per_s / ample.tokens_per_s);
        figures.note("finished", "agents", short.finished as f64);
        figures.note("paged out", "pages", short.paged_out as f64);
        figures.note("paged in", "pages", short.paged_in as f64);
        figures.note("recomputed", "rows", short.recomputed as f64);
        Ok(())
    }
}

fn finish(
    boot: &mut Boot,
    device: &mut dyn TensorDevice,
    agents: u16,
    vocab: u32,
) -> Result<Done, BenchError> {
    let mut host = Host::new(boot, device)?;
    let start_us = host.now_us();
    for at in 0..u64::from(agents) {
        host.spawn(spec(at, Priority::NORMAL, CONTEXT, ANSWER), &prompt(at, PROMPT, vocab))?;
    }
    host.until(all_over)?;
    let seconds = (host.now_us() - start_us) as f64 / 1e6;
    let sum = |of: fn(&agentos_kernel::agent::Metrics) -> u64| {
        host.kernel.agents().map(|rcb| of(&rcb.metrics)).sum::<u64>()
    };
    Ok(Done {
        tokens_per_s: sum(|metrics| metrics.generated) as f64 / seconds,
        finished: sum(|metrics| u64::from(metrics.generated == u64::from(ANSWER))),
        paged_out: sum(|metrics| metrics.paged_out),
        paged_in: sum(|metrics| metrics.paged_in),
        recomputed: sum(|metrics| metrics.recomputed),
    })
}
