//! An agent that reads a text once, and a fork of it for each question.

use std::time::Instant;

use agentos_hal::{Clock, TensorDevice};
use agentos_kernel::agent::{
    Admission, AgentId, Budget, Capabilities, MemoryMode, OnEnd, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::call::{Call, Reply, Tokens};
use agentos_kernel::memory::select::Policy;
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::{Devices, Kernel, Tick};

use super::probe::{Among, Answer, Probe};
use crate::bench::BenchError;
use crate::bench::kernel::host::{agent, bytes_of, named};
use crate::boot::Boot;
use crate::host::SystemClock;

/// Tokens by which times are told.
const STRETCH: u32 = 1000;

/// A kernel with an agent that has read a text.
pub struct Reader<'k, 'd> {
    kernel: Kernel<'k>,
    probe: Probe<'d>,
    clock: SystemClock,
    spec: Spec,
    text: Option<AgentId>,
    l1_pages: u32,
}

impl<'k, 'd> Reader<'k, 'd> {
    /// A kernel without agents.
    ///
    /// # Errors
    /// [`BenchError::Storage`].
    pub fn new(
        boot: &'k mut Boot,
        device: &'d mut dyn TensorDevice,
        memory: MemoryMode,
        policy: Policy,
        context: u32,
    ) -> Result<Reader<'k, 'd>, BenchError> {
        let mut kernel = boot.kernel(&[0; 32]).map_err(BenchError::Storage)?;
        kernel.set_policy(policy);
        let spec = Spec {
            priority: Priority::NORMAL,
            context,
            memory,
            admission: Admission::Refuse,
            sampling: Sampling::GREEDY,
            // It reads and says nothing.
            budget: Budget { turn_tokens: 0, ..Budget::UNBOUNDED },
            capabilities: Capabilities::NONE,
            watchdog: Watchdog::OFF,
            on_end: OnEnd::Listen,
            receive: Receive::Copied,
            guarded: true,
            persist: false,
            tag: 0,
        };
        let clock = SystemClock::since(Instant::now());
        let probe = Probe { device, found: Vec::new() };
        Ok(Reader { kernel, probe, clock, spec, text: None, l1_pages: 0 })
    }

    /// Reads a text; returns the microseconds per token of each thousand.
    ///
    /// # Errors
    /// Any [`BenchError`].
    pub fn read(&mut self, text: &[u32]) -> Result<Vec<f64>, BenchError> {
        let bytes = bytes_of(text);
        let id = named(self.call(&Call::Spawn(self.spec, Tokens(&bytes)))?);
        self.text = Some(id);
        let (mut times, mut since, mut from) = (Vec::new(), Instant::now(), 0);
        let computed = |reader: &Self| agent(&reader.kernel, id).committed.layout.tokens;
        while computed(self) < text.len() as u32 {
            let _ = self.tick(&[])?;
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
        let fork = named(self.call(&Call::Fork(text, self.spec))?);
        self.rest()?;
        let budget = Budget { turn_tokens: 1, ..Budget::UNBOUNDED };
        self.call(&Call::SetBudget(fork, budget))?;
        let bytes = bytes_of(question);
        self.call(&Call::Send(fork, Tokens(&bytes)))?;
        self.probe.found.clear();
        while agent(&self.kernel, fork).metrics.generated == 0 {
            if self.tick(candidates)? == Tick::Idle && agent(&self.kernel, fork).metrics.generated == 0 {
                return Err(BenchError::Stopped(Tick::Idle));
            }
        }
        let metrics = agent(&self.kernel, fork).metrics;
        self.call(&Call::Kill(fork))?;
        self.rest()?;
        Ok(Answer { candidates: std::mem::take(&mut self.probe.found), metrics })
    }

    /// Microseconds that the kernel itself took.
    pub fn kernel_us(&self) -> u64 {
        self.kernel.figures().kernel_us
    }

    /// Pages of page memory that were in use at most.
    pub fn l1_pages(&self) -> u32 {
        self.l1_pages
    }

    fn call(&mut self, call: &Call<'_>) -> Result<Reply, BenchError> {
        self.kernel.call(None, call, self.clock.now().micros).map_err(BenchError::Call)
    }

    /// Ticks until nobody has anything to do.
    fn rest(&mut self) -> Result<(), BenchError> {
        while self.tick(&[])? != Tick::Idle {}
        Ok(())
    }

    fn tick(&mut self, candidates: &[u32]) -> Result<Tick, BenchError> {
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut self.probe,
            clock: &self.clock,
            tools: &mut agentos_kernel::tool::NoTools,
            guard: &mut Among(candidates),
            store: &mut agentos_hal::NoStore,
        });
        while self.kernel.next_event().is_some() {}
        match tick {
            Tick::DeviceLost | Tick::Halted => return Err(BenchError::Stopped(tick)),
            Tick::Stepped { .. } => self.l1_pages = self.l1_pages.max(self.kernel.figures().usage.l1),
            _ => (),
        }
        Ok(tick)
    }
}
