//! A kernel that runs a few agents to their end.

use std::collections::BTreeMap;
use std::time::Instant;

use agentos_desktop::boot::Boot;
use agentos_desktop::host::SystemClock;
use agentos_hal::{Clock, ModelShape, TensorDevice};
use agentos_kernel::agent::{
    Admission, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec, Watchdog,
};
use agentos_kernel::call::{Call, Tokens};
use agentos_kernel::event::Event;
use agentos_kernel::layout::Delimiter;
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::{Config, Devices, Kernel, Tick};

/// What came of a team.
#[derive(Default)]
pub struct Team {
    /// By the agents' tags: tokens, and their logits as bits.
    pub given: BTreeMap<u64, Vec<(u32, u32)>>,
    /// Pages that came back into page memory.
    pub paged_in: u64,
    /// Tokens that were mapped instead of computed.
    pub shared: u64,
    /// Rows that were computed again.
    pub recomputed: u64,
}

/// An agent that says `tokens` tokens.
pub fn spec(tag: u64, context: u32, tokens: u32) -> Spec {
    Spec {
        priority: Priority::NORMAL,
        context,
        memory: MemoryMode::Exact,
        admission: Admission::Wait,
        sampling: Sampling { temperature: 0.8, seed: tag, ..Sampling::GREEDY },
        budget: Budget { turn_tokens: tokens, ..Budget::UNBOUNDED },
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

impl Team {
    /// Runs agents on a device that was prepared for `config`, until all are done.
    pub fn run(
        config: Config,
        shape: &ModelShape,
        delimiters: Vec<Delimiter>,
        ends: Vec<u32>,
        device: &mut dyn TensorDevice,
        agents: &[(Spec, Vec<u32>)],
    ) -> Team {
        let clock = SystemClock::since(Instant::now());
        let mut boot = Boot::new(config, shape, delimiters, ends);
        let mut kernel = boot.kernel(&[0; 32]).unwrap();
        for (spec, prompt) in agents {
            let bytes: Vec<u8> = prompt.iter().flat_map(|token| token.to_le_bytes()).collect();
            kernel.call(None, &Call::Spawn(*spec, Tokens(&bytes)), clock.now().micros).unwrap();
        }
        let mut team = Team::default();
        loop {
            let tick = kernel.tick(&mut Devices {
                tensor: device,
                clock: &clock,
                tools: &mut agentos_kernel::tool::NoTools,
                guard: &mut agentos_kernel::guard::Unguarded,
                store: &mut agentos_hal::NoStore,
            });
            team.drain(&mut kernel);
            match tick {
                Tick::Idle => break,
                Tick::DeviceLost | Tick::Halted => panic!("{tick:?}"),
                Tick::Submitted { .. } | Tick::Pending | Tick::Stepped { .. } => (),
            }
        }
        for rcb in kernel.agents() {
            assert!(rcb.state.is_over(), "agent {} is {:?}", rcb.tag, rcb.state);
            team.paged_in += rcb.metrics.paged_in;
            team.shared += rcb.metrics.shared;
            team.recomputed += rcb.metrics.recomputed;
        }
        team
    }

    fn drain(&mut self, kernel: &mut Kernel<'_>) {
        while let Some(record) = kernel.next_event() {
            if let Event::Token { agent, token, logit, .. } = record.event {
                let tag = kernel.agents().find(|rcb| rcb.id == agent).expect("nobody was killed").tag;
                self.given.entry(tag).or_default().push((token, logit.to_bits()));
            }
        }
    }
}
