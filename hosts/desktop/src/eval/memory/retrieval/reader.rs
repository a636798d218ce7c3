//! An agent that reads a text once, and a fork of it for each question.

use std::time::Instant;

use agentos_hal::TensorDevice;
use agentos_kernel::agent::{AgentId, Budget, Spec};
use agentos_kernel::call::{Call, Tokens};
use agentos_kernel::guard::{Guard, Unguarded};
use agentos_kernel::system::Tick;

use super::super::Setup;
use super::super::reading::{self, Watched, watched};
use super::answer::{Among, Answer};
use crate::bench::BenchError;
use crate::bench::kernel::host::{agent, bytes_of, named};
use crate::boot::Boot;

/// Tokens by which times are told.
const STRETCH: u32 = 1000;

/// A kernel with an agent that has read a text.
pub struct Reader<'k, 'd> {
    host: Watched<'k, 'd>,
    spec: Spec,
    text: Option<AgentId>,
    /// Pages of page memory that were in use at most.
    pub l1_pages: u32,
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
        let host = watched(boot, device, setup.policy())?;
        let spec = Spec { guarded: true, ..reading::reader(setup.mode(), setup.tokens) };
        Ok(Reader { host, spec, text: None, l1_pages: 0 })
    }

    /// Reads a text; returns the microseconds per token of each thousand.
    ///
    /// # Errors
    /// Any [`BenchError`].
    pub fn read(&mut self, text: &[u32]) -> Result<Vec<f64>, BenchError> {
        let id = self.host.spawn(self.spec, text)?;
        self.text = Some(id);
        let (mut times, mut since, mut from) = (Vec::new(), Instant::now(), 0);
        let computed = |reader: &Self| agent(&reader.host.kernel, id).committed.layout.tokens;
        while computed(self) < text.len() as u32 {
            let _ = self.tick(&mut Unguarded)?;
            let at = computed(self);
            if at >= from + STRETCH {
                times.push(since.elapsed().as_secs_f64() * 1e6 / f64::from(at - from));
                (since, from) = (Instant::now(), at);
            }
        }
        self.rest()?;
        Ok(times)
    }

    /// Asks a fork of the reader, which is forgotten behind its answer.
    ///
    /// # Errors
    /// Any [`BenchError`].
    pub fn ask(&mut self, question: &[u32], candidates: &[u32]) -> Result<Answer, BenchError> {
        let text = self.text.expect("it has read");
        let fork = named(self.host.call(&Call::Fork(text, self.spec))?);
        self.rest()?;
        let budget = Budget { turn_tokens: 1, ..Budget::UNBOUNDED };
        self.host.call(&Call::SetBudget(fork, budget))?;
        let bytes = bytes_of(question);
        self.host.call(&Call::Send(fork, Tokens(&bytes)))?;
        self.host.device.found.clear();
        while agent(&self.host.kernel, fork).metrics.generated == 0 {
            let tick = self.tick(&mut Among(candidates))?;
            if tick == Tick::Idle && agent(&self.host.kernel, fork).metrics.generated == 0 {
                return Err(BenchError::Stopped(Tick::Idle));
            }
        }
        let metrics = agent(&self.host.kernel, fork).metrics;
        self.host.call(&Call::Kill(fork))?;
        self.rest()?;
        Ok(Answer { candidates: std::mem::take(&mut self.host.device.found), metrics })
    }

    fn tick(&mut self, guard: &mut dyn Guard) -> Result<Tick, BenchError> {
        let tick = self.host.tick_guarded(guard)?;
        if let Tick::Stepped { .. } = tick {
            self.l1_pages = self.l1_pages.max(self.host.kernel.figures().usage.l1);
        }
        Ok(tick)
    }

    fn rest(&mut self) -> Result<(), BenchError> {
        while self.tick(&mut Unguarded)? != Tick::Idle {}
        Ok(())
    }

    /// Microseconds that the kernel itself took.
    pub fn kernel_us(&self) -> u64 {
        self.host.kernel.figures().kernel_us
    }
}
