//! Many agents that decode together, with room for all: what the kernel itself costs, and how much of the
//! device's speed is left.

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::{MemoryMode, Priority, Spec};
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::system::{Config, Kernel};

use super::super::{BenchError, Work};
use super::host::{Host, boot, prompt, spec};
use super::{Figures, KernelWork};
use crate::boot::Boot;

/// No step is kept short: all agents are in each, as in the bare steps beside them.
const STEP_TARGET_US: u64 = 10_000_000;

/// Agents of one size in a system that has room for all of them.
pub(super) struct Crowd {
    agents: u16,
    prompt: u32,
    answer: u32,
    vocab: u32,
    pub(super) limits: Limits,
    boot: Boot,
}

/// What the agents did from when all of them answered until the first was done.
pub(super) struct Stretch {
    /// From the first spawn until then.
    pub(super) prompts_us: u64,
    pub(super) tokens: u64,
    pub(super) wall_us: u64,
    steps: u64,
    kernel_us: u64,
    device_us: u64,
}

impl Crowd {
    fn new(shape: &ModelShape, kv: KvType, agents: u16, prompt: u32, answer: u32, candidates: u32) -> Crowd {
        let context = prompt + answer;
        let pages = u32::from(agents) * SliceLimits::DEFAULT.worst_pages(context);
        Crowd::of(shape, Config { kv, candidates, ..Config::new(agents, context, pages, 16) }, prompt)
    }

    /// As many agents as a system has room for, with contexts as long as it takes, so much of each a prompt.
    pub(super) fn of(shape: &ModelShape, config: Config, prompt: u32) -> Crowd {
        let config = Config { step_target_us: STEP_TARGET_US, ..config }.checked();
        let (vocab, limits) = (shape.vocab, config.device_limits(shape));
        let (agents, answer) = (config.agents, config.context - prompt);
        Crowd { agents, prompt, answer, vocab, limits, boot: boot(config, shape) }
    }

    pub(super) fn decode(
        &mut self,
        memory: MemoryMode,
        device: &mut dyn TensorDevice,
    ) -> Result<Stretch, BenchError> {
        let mut host = Host::new(&mut self.boot, device)?;
        let spawned_us = host.now_us();
        for at in 0..u64::from(self.agents) {
            let spec = spec(at, Priority::NORMAL, self.prompt + self.answer, self.answer);
            let spec = Spec { memory, ..spec };
            host.spawn(spec, &prompt(at, self.prompt, self.vocab))?;
        }
        let generated = |kernel: &Kernel<'_>| kernel.agents().map(|rcb| rcb.metrics.generated).sum::<u64>();
        host.until(|kernel| kernel.agents().all(|rcb| rcb.metrics.generated > 0))?;
        let (start_us, before, tokens) = (host.now_us(), host.kernel.figures(), generated(&host.kernel));
        host.until(|kernel| kernel.agents().any(|rcb| rcb.state.is_over()))?;
        let after = host.kernel.figures();
        Ok(Stretch {
            prompts_us: start_us - spawned_us,
            tokens: generated(&host.kernel) - tokens,
            wall_us: host.now_us() - start_us,
            steps: after.steps - before.steps,
            kernel_us: after.kernel_us - before.kernel_us,
            device_us: after.device_us - before.device_us,
        })
    }
}

/// The kernel's time as a share of the steps'.
pub struct Share(Crowd);

impl Share {
    pub fn new(shape: &ModelShape, kv: KvType, agents: u16) -> Share {
        Share(Crowd::new(shape, kv, agents, 64, 128, 40))
    }
}

impl KernelWork for Share {
    fn limits(&self) -> Limits {
        self.0.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let stretch = self.0.decode(MemoryMode::Exact, device)?;
        let per_step = |us: u64| us as f64 / stretch.steps as f64;
        figures.note("kernel, of step", "%", 100.0 * stretch.kernel_us as f64 / stretch.device_us as f64);
        figures.note("kernel, per step", "us", per_step(stretch.kernel_us));
        figures.note("device, per step", "us", per_step(stretch.device_us));
        let outside = stretch.wall_us.saturating_sub(stretch.device_us);
        figures.note("all but the device, of step", "%", 100.0 * outside as f64 / stretch.device_us as f64);
        figures.note("agents in a step", "", stretch.tokens as f64 / stretch.steps as f64);
        Ok(())
    }
}

/// Tokens per second under the kernel beside those of bare steps of the same contexts.
pub struct Aggregate {
    crowd: Crowd,
    bare: Work,
    shape: ModelShape,
    limits: Limits,
}

impl Aggregate {
    pub fn new(shape: &ModelShape, kv: KvType, agents: u16) -> Aggregate {
        let bare = super::super::batch(u32::from(agents));
        let limits = bare.limits(kv);
        // The first token comes with the last of the prompt.
        let crowd = Crowd::new(shape, kv, agents, bare.depth, bare.tokens + 1, limits.candidates);
        let limits = super::both(limits, crowd.limits);
        Aggregate { crowd, bare, shape: *shape, limits }
    }
}

impl KernelWork for Aggregate {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let stretch = self.crowd.decode(MemoryMode::Exact, device)?;
        let agents = stretch.tokens as f64 / (stretch.wall_us as f64 / 1e6);
        let bare = self.bare.sample(device, &self.shape)?;
        figures.note("agents", "tok/s", agents);
        figures.note("bare steps", "tok/s", bare);
        figures.note("agents, of bare steps", "%", 100.0 * agents / bare);
        Ok(())
    }
}
