//! An agent that reads a text once, and a fork of it for each question.

use std::time::Instant;

use agentos_hal::TensorDevice;
use agentos_kernel::agent::{AgentId, Budget, Spec};
use agentos_kernel::call::{Call, Tokens};
use agentos_kernel::guard::Unguarded;
use agentos_kernel::system::Tick;

use super::super::Setup;
use super::super::stage::{self, Stage};
use super::super::witness::Witness;
use super::answer::{Among, Answer};
use crate::bench::BenchError;
use crate::bench::kernel::host::{agent, bytes_of, named};
use crate::boot::Boot;

/// Tokens by which times are told.
const STRETCH: u32 = 1000;

/// A kernel with an agent that has read a text.
pub struct Reader<'k, 'd> {
    stage: Stage<'k, Witness<'d>>,
    spec: Spec,
    text: Option<AgentId>,
}

impl<'k, 'd> Reader<'k, 'd> {
    /// A kernel without agents.
    ///
    /// # Errors
    /// [`BenchError::Storage`].
    pub fn new(
        boot: &'k mut Boot,
        device: &'d mut dyn TensorDevice,
        setup: &Setup,
    ) -> Result<Reader<'k, 'd>, BenchError> {
        let stage = Stage::new(boot, Witness::new(device), setup.policy())?;
        let spec = Spec { guarded: true, ..stage::reader(setup.mode(), setup.tokens) };
        Ok(Reader { stage, spec, text: None })
    }

    /// Reads a text; returns the microseconds per token of each thousand.
    ///
    /// # Errors
    /// Any [`BenchError`].
    pub fn read(&mut self, text: &[u32]) -> Result<Vec<f64>, BenchError> {
        let id = self.stage.spawn(self.spec, text)?;
        self.text = Some(id);
        let (mut times, mut since, mut from) = (Vec::new(), Instant::now(), 0);
        let computed = |reader: &Self| agent(&reader.stage.kernel, id).committed.layout.tokens;
        while computed(self) < text.len() as u32 {
            let _ = self.stage.tick(&mut Unguarded)?;
            let at = computed(self);
            if at >= from + STRETCH {
                times.push(since.elapsed().as_secs_f64() * 1e6 / f64::from(at - from));
                (since, from) = (Instant::now(), at);
            }
        }
        self.stage.rest(&mut Unguarded)?;
        Ok(times)
    }

    /// Asks a fork of the reader, which is forgotten behind its answer.
    ///
    /// # Errors
    /// Any [`BenchError`].
    pub fn ask(&mut self, question: &[u32], candidates: &[u32]) -> Result<Answer, BenchError> {
        let stage = &mut self.stage;
        let text = self.text.expect("it has read");
        let fork = named(stage.call(&Call::Fork(text, self.spec))?);
        stage.rest(&mut Unguarded)?;
        let budget = Budget { turn_tokens: 1, ..Budget::UNBOUNDED };
        stage.call(&Call::SetBudget(fork, budget))?;
        let bytes = bytes_of(question);
        stage.call(&Call::Send(fork, Tokens(&bytes)))?;
        stage.device.found.clear();
        while agent(&stage.kernel, fork).metrics.generated == 0 {
            let tick = stage.tick(&mut Among(candidates))?;
            if tick == Tick::Idle && agent(&stage.kernel, fork).metrics.generated == 0 {
                return Err(BenchError::Stopped(Tick::Idle));
            }
        }
        let metrics = agent(&stage.kernel, fork).metrics;
        stage.call(&Call::Kill(fork))?;
        stage.rest(&mut Unguarded)?;
        Ok(Answer { candidates: std::mem::take(&mut stage.device.found), metrics })
    }

    /// Microseconds that the kernel itself took.
    pub fn kernel_us(&self) -> u64 {
        self.stage.kernel.figures().kernel_us
    }

    /// Pages of page memory that were in use at most.
    pub fn l1_pages(&self) -> u32 {
        self.stage.l1_pages
    }
}
