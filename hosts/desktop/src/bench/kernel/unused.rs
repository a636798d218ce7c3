//! What paging costs while everything fits: agents of bounded memory whose contexts are within their quotas, beside
//! exact ones.

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::{MemoryMode, Priority, Spec};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::system::{Config, Kernel};

use super::super::BenchError;
use super::host::{Host, all_over, boot, prompt, spec};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// Agents at once.
const AGENTS: u16 = 8;
/// Tokens of a prompt.
const PROMPT: u32 = 512;
/// Tokens of an answer.
const ANSWER: u32 = 64;
const CONTEXT: u32 = PROMPT + ANSWER;
/// No step is kept short: all agents are in each.
const STEP_TARGET_US: u64 = 10_000_000;

/// The same agents twice, and the kernel pages none of them.
pub struct Unused {
    vocab: u32,
    quota: u32,
    limits: Limits,
    boot: Boot,
}

/// Tokens a second.
struct Speed {
    prompts: f64,
    answers: f64,
}

impl Unused {
    pub fn new(shape: &ModelShape, kv: KvType) -> Unused {
        let quota = 2 * SliceLimits::DEFAULT.worst_pages(CONTEXT);
        let pages = u32::from(AGENTS) * quota;
        let config = Config {
            kv,
            step_target_us: STEP_TARGET_US,
            ..Config::new(AGENTS, CONTEXT, pages, 0).with_relevance(shape, shape.layers / 2)
        }
        .checked();
        Unused { vocab: shape.vocab, quota, limits: config.device_limits(shape), boot: boot(config, shape) }
    }

    fn speed(&mut self, memory: MemoryMode, device: &mut dyn TensorDevice) -> Result<Speed, BenchError> {
        let mut host = Host::new(&mut self.boot, device)?;
        let start_us = host.now_us();
        for at in 0..u64::from(AGENTS) {
            let spec = Spec { memory, ..spec(at, Priority::NORMAL, CONTEXT, ANSWER) };
            host.spawn(spec, &prompt(at, PROMPT, self.vocab))?;
        }
        let generated = |kernel: &Kernel<'_>| kernel.agents().map(|rcb| rcb.metrics.generated).sum::<u64>();
        host.until(|kernel| kernel.agents().all(|rcb| rcb.metrics.generated > 0))?;
        let (answering_us, before) = (host.now_us(), generated(&host.kernel));
        host.until(all_over)?;
        let (done_us, after) = (host.now_us(), generated(&host.kernel));
        let per_second = |tokens: u64, micros: u64| tokens as f64 * 1e6 / micros.max(1) as f64;
        Ok(Speed {
            prompts: per_second(u64::from(AGENTS) * u64::from(PROMPT), answering_us - start_us),
            answers: per_second(after - before, done_us - answering_us),
        })
    }
}

impl KernelWork for Unused {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let exact = self.speed(MemoryMode::Exact, device)?;
        let bounded = self.speed(MemoryMode::Bounded { pages: self.quota, packed: false }, device)?;
        figures.note("prompts, exact", "tok/s", exact.prompts);
        figures.note("prompts, of exact", "%", 100.0 * bounded.prompts / exact.prompts);
        figures.note("answers, exact", "tok/s", exact.answers);
        figures.note("answers, of exact", "%", 100.0 * bounded.answers / exact.answers);
        Ok(())
    }
}
