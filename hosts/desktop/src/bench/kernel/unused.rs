//! What paging costs while everything fits: agents of bounded memory whose contexts are within their quotas, beside
//! exact ones.

use agentos_hal::{KvType, Limits, ModelShape, TensorDevice};
use agentos_kernel::agent::MemoryMode;
use agentos_kernel::layout::SliceLimits;
use agentos_kernel::system::Config;

use super::super::BenchError;
use super::crowd::{Crowd, Stretch};
use super::{Figures, KernelWork};

/// Agents at once.
const AGENTS: u16 = 8;
/// Tokens of a prompt.
const PROMPT: u32 = 512;
/// Tokens of an answer.
const ANSWER: u32 = 64;
const CONTEXT: u32 = PROMPT + ANSWER;

/// The same agents twice, and the kernel pages none of them.
pub struct Unused {
    crowd: Crowd,
    quota: u32,
}

impl Unused {
    pub fn new(shape: &ModelShape, kv: KvType) -> Unused {
        let quota = 2 * SliceLimits::DEFAULT.worst_pages(CONTEXT);
        let config = Config::new(AGENTS, CONTEXT, u32::from(AGENTS) * quota, 0);
        let config = Config { kv, ..config.with_relevance(shape, shape.layers / 2) };
        Unused { crowd: Crowd::of(shape, config, PROMPT), quota }
    }
}

impl KernelWork for Unused {
    fn limits(&self) -> Limits {
        self.crowd.limits
    }

    fn run(&mut self, device: &mut dyn TensorDevice, figures: &mut Figures) -> Result<(), BenchError> {
        let exact = self.crowd.decode(MemoryMode::Exact, device)?;
        let bounded = MemoryMode::Bounded { pages: self.quota, packed: false };
        let bounded = self.crowd.decode(bounded, device)?;
        let tokens = u64::from(AGENTS) * u64::from(PROMPT);
        let prompts = |stretch: &Stretch| per_second(tokens, stretch.prompts_us);
        let answers = |stretch: &Stretch| per_second(stretch.tokens, stretch.wall_us);
        figures.note("prompts, exact", "tok/s", prompts(&exact));
        figures.note("prompts, of exact", "%", 100.0 * prompts(&bounded) / prompts(&exact));
        figures.note("answers, exact", "tok/s", answers(&exact));
        figures.note("answers, of exact", "%", 100.0 * answers(&bounded) / answers(&exact));
        Ok(())
    }
}

fn per_second(tokens: u64, micros: u64) -> f64 {
    tokens as f64 * 1e6 / micros.max(1) as f64
}
