//! A kernel at work on a device, and the agents that a benchmark puts into it.

use std::time::Instant;

use agentos_hal::{Clock, ColdStore, ModelShape, NoStore, TensorDevice};
use agentos_kernel::agent::{
    Admission, AgentId, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Rcb, Receive, Spec,
    State, Watchdog,
};
use agentos_kernel::call::{Call, Reply, Tokens};
use agentos_kernel::guard::{Guard, Unguarded};
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::{Config, Devices, Kernel, Tick};

use super::super::BenchError;
use crate::boot::Boot;
use crate::host::SystemClock;

/// One token in so many ends a sentence: slices are as long as those of prose.
const SENTENCE: usize = 20;

/// The tables of a kernel whose vocabulary has sentence ends and no token that ends an answer.
pub fn boot(config: Config, shape: &ModelShape) -> Boot {
    let ends =
        |token: usize| if token.is_multiple_of(SENTENCE) { Delimiter::Sentence } else { Delimiter::None };
    let delimiters = (0..shape.vocab as usize).map(ends).collect();
    Boot::new(config, shape, delimiters, Vec::new())
}

/// `count` tokens that only this seed gives.
pub fn prompt(seed: u64, count: u32, vocab: u32) -> Vec<u32> {
    (0..u64::from(count)).map(|at| (mix(seed << 32 | at) % u64::from(vocab)) as u32).collect()
}

/// The finaliser of SplitMix64: as good as random, and the same at every run.
pub fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// An agent that says `answer` tokens and stops.
pub fn spec(tag: u64, priority: Priority, context: u32, answer: u32) -> Spec {
    Spec {
        priority,
        context,
        memory: MemoryMode::Exact,
        admission: Admission::Refuse,
        sampling: Sampling { temperature: 0.8, seed: tag, ..Sampling::GREEDY },
        budget: Budget { turn_tokens: answer, ..Budget::UNBOUNDED },
        capabilities: Capabilities::ALL,
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Stop,
        receive: Receive::Copied,
        guarded: false,
        persist: Persist::Nothing,
        packed: false,
        tag,
    }
}

/// A kernel and what it drives.
pub struct Host<'h, 'm, D> {
    /// The kernel.
    pub kernel: Kernel<'m>,
    /// What it computes on.
    pub device: D,
    store: Box<dyn ColdStore + 'h>,
    clock: SystemClock,
    /// Steps that the device has taken.
    pub steps: u64,
    /// Rows of those.
    pub rows: u64,
}

impl<'h, 'm, D: TensorDevice> Host<'h, 'm, D> {
    /// A kernel without agents on a device that was prepared for it.
    ///
    /// # Errors
    /// [`BenchError::Storage`], which [`boot`] does not cause.
    pub fn new(boot: &'m mut Boot, device: D) -> Result<Host<'h, 'm, D>, BenchError> {
        Host::with_store(boot, device, NoStore)
    }

    /// The same with a cold store.
    ///
    /// # Errors
    /// [`BenchError::Storage`], which [`boot`] does not cause.
    pub fn with_store(
        boot: &'m mut Boot,
        device: D,
        store: impl ColdStore + 'h,
    ) -> Result<Host<'h, 'm, D>, BenchError> {
        let kernel = boot.kernel(&[0; 32]).map_err(BenchError::Storage)?;
        let store = Box::new(store);
        Ok(Host { kernel, device, store, clock: SystemClock::since(Instant::now()), steps: 0, rows: 0 })
    }

    /// Microseconds on the kernel's clock.
    pub fn now_us(&self) -> u64 {
        self.clock.now().micros
    }

    /// Starts an agent.
    ///
    /// # Errors
    /// [`BenchError::Call`].
    pub fn spawn(&mut self, spec: Spec, prompt: &[u32]) -> Result<AgentId, BenchError> {
        let bytes = bytes_of(prompt);
        self.call(&Call::Spawn(spec, Tokens(&bytes))).map(named)
    }

    /// Starts an agent that says a token and listens; returns once it does.
    ///
    /// # Errors
    /// As [`Host::call`] and [`Host::until`].
    pub fn listener(
        &mut self,
        tag: u64,
        priority: Priority,
        context: u32,
        prompt: &[u32],
    ) -> Result<AgentId, BenchError> {
        let spec = Spec { on_end: OnEnd::Listen, ..spec(tag, priority, context, 1) };
        let agent = self.spawn(spec, prompt)?;
        self.until(|kernel| listens(kernel, agent))?;
        Ok(agent)
    }

    /// Makes a system call.
    ///
    /// # Errors
    /// [`BenchError::Call`].
    pub fn call(&mut self, call: &Call<'_>) -> Result<Reply, BenchError> {
        self.kernel.call(None, call, self.clock.now().micros).map_err(BenchError::Call)
    }

    /// Lets the kernel do its next piece of work.
    ///
    /// # Errors
    /// [`BenchError::Stopped`] when it can do no more.
    pub fn tick(&mut self) -> Result<Tick, BenchError> {
        self.tick_guarded(&mut Unguarded)
    }

    /// The same with a guard.
    ///
    /// # Errors
    /// As [`Host::tick`].
    pub fn tick_guarded(&mut self, guard: &mut dyn Guard) -> Result<Tick, BenchError> {
        let tick = self.kernel.tick(&mut Devices {
            tensor: &mut self.device,
            clock: &self.clock,
            tools: &mut agentos_kernel::tool::NoTools,
            guard,
            store: &mut *self.store,
        });
        while self.kernel.next_event().is_some() {}
        match tick {
            Tick::DeviceLost | Tick::Halted => return Err(BenchError::Stopped(tick)),
            Tick::Submitted { rows, .. } => {
                self.steps += 1;
                self.rows += u64::from(rows);
            }
            Tick::Pending => std::thread::yield_now(),
            Tick::Idle | Tick::Stepped { .. } => (),
        }
        Ok(tick)
    }

    /// Ticks until nobody has anything to do.
    ///
    /// # Errors
    /// As [`Host::tick`].
    pub fn rest(&mut self) -> Result<(), BenchError> {
        while self.tick()? != Tick::Idle {}
        Ok(())
    }

    /// Ticks until the device has the next step.
    ///
    /// # Errors
    /// [`BenchError::Stopped`] when the kernel has nothing to do.
    pub fn until_submitted(&mut self) -> Result<(), BenchError> {
        loop {
            match self.tick()? {
                Tick::Submitted { .. } => return Ok(()),
                Tick::Idle => return Err(BenchError::Stopped(Tick::Idle)),
                _ => (),
            }
        }
    }

    /// Ticks until something is so.
    ///
    /// # Errors
    /// [`BenchError::Stopped`] when the kernel has nothing to do and it is not so.
    pub fn until(&mut self, so: impl Fn(&Kernel<'m>) -> bool) -> Result<(), BenchError> {
        while !so(&self.kernel) {
            if self.tick()? == Tick::Idle && !so(&self.kernel) {
                return Err(BenchError::Stopped(Tick::Idle));
            }
        }
        Ok(())
    }
}

/// Whether every agent is done.
pub fn all_over(kernel: &Kernel<'_>) -> bool {
    kernel.agents().all(|rcb| rcb.state.is_over())
}

/// An agent by its name.
///
/// # Panics
/// When it was killed.
pub fn agent<'k>(kernel: &'k Kernel<'_>, id: AgentId) -> &'k Rcb {
    kernel.agents().find(|rcb| rcb.id == id).expect("nobody killed it")
}

/// Whether an agent waits for a message.
pub fn listens(kernel: &Kernel<'_>, id: AgentId) -> bool {
    matches!(agent(kernel, id).state, State::Blocked(_))
}

/// Tokens as a system call takes them.
pub fn bytes_of(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

/// The agent that a call answered with.
///
/// # Panics
/// When it answered with something else.
pub fn named(reply: Reply) -> AgentId {
    match reply {
        Reply::Agent(id) => id,
        other => panic!("a new agent was answered with {other:?}"),
    }
}
