//! A kernel at work, with agents that read and answer nothing by themselves.

use std::time::Instant;

use agentos_hal::{Clock, NoStore, TensorDevice};
use agentos_kernel::agent::{
    Admission, AgentId, Budget, Capabilities, MemoryMode, OnEnd, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::call::{Call, Reply, Tokens};
use agentos_kernel::guard::Guard;
use agentos_kernel::memory::select::Policy;
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::{Devices, Kernel, Tick};
use agentos_kernel::tool::NoTools;

use crate::bench::BenchError;
use crate::bench::kernel::host::{bytes_of, named};
use crate::boot::Boot;
use crate::host::SystemClock;

/// A kernel on a device.
pub struct Stage<'k, D> {
    /// The kernel.
    pub kernel: Kernel<'k>,
    /// What it computes on.
    pub device: D,
    clock: SystemClock,
    /// Pages of page memory that were in use at most.
    pub l1_pages: u32,
}

/// An agent that reads what it is sent and says nothing.
pub fn reader(memory: MemoryMode, context: u32) -> Spec {
    Spec {
        priority: Priority::NORMAL,
        context,
        memory,
        admission: Admission::Refuse,
        sampling: Sampling::GREEDY,
        budget: Budget { turn_tokens: 0, ..Budget::UNBOUNDED },
        capabilities: Capabilities::NONE,
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Listen,
        receive: Receive::Copied,
        guarded: false,
        persist: false,
        tag: 0,
    }
}

impl<'k, D: TensorDevice> Stage<'k, D> {
    /// A kernel without agents.
    ///
    /// # Errors
    /// [`BenchError::Storage`].
    pub fn new(boot: &'k mut Boot, device: D, policy: Policy) -> Result<Stage<'k, D>, BenchError> {
        let mut kernel = boot.kernel(&[0; 32]).map_err(BenchError::Storage)?;
        kernel.set_policy(policy);
        Ok(Stage { kernel, device, clock: SystemClock::since(Instant::now()), l1_pages: 0 })
    }

    /// A new agent with a context of these tokens.
    ///
    /// # Errors
    /// [`BenchError::Call`].
    pub fn spawn(&mut self, spec: Spec, tokens: &[u32]) -> Result<AgentId, BenchError> {
        Ok(named(self.call(&Call::Spawn(spec, Tokens(&bytes_of(tokens))))?))
    }

    /// A system call of the host.
    ///
    /// # Errors
    /// [`BenchError::Call`].
    pub fn call(&mut self, call: &Call<'_>) -> Result<Reply, BenchError> {
        self.kernel.call(None, call, self.clock.now().micros).map_err(BenchError::Call)
    }

    /// Ticks until nobody has anything to do.
    ///
    /// # Errors
    /// As [`Stage::tick`].
    pub fn rest(&mut self, guard: &mut dyn Guard) -> Result<(), BenchError> {
        while self.tick(guard)? != Tick::Idle {}
        Ok(())
    }

    /// One tick. Events are dropped.
    ///
    /// # Errors
    /// [`BenchError::Stopped`].
    pub fn tick(&mut self, guard: &mut dyn Guard) -> Result<Tick, BenchError> {
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut self.device,
            clock: &self.clock,
            tools: &mut NoTools,
            guard,
            store: &mut NoStore,
        });
        while self.kernel.next_event().is_some() {}
        match tick {
            Tick::DeviceLost | Tick::Halted => return Err(BenchError::Stopped(tick)),
            Tick::Stepped { .. } => self.l1_pages = self.l1_pages.max(self.kernel.figures().usage.l1),
            Tick::Pending => std::thread::yield_now(),
            _ => (),
        }
        Ok(tick)
    }
}
