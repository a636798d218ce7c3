//! How a simulation ends: what stops is counted, what goes on comes to an end, what was said is compared
//! with what is said alone, and all memory comes back.

use agentos_kernel::agent::{
    Admission, AgentId, BlockedOn, Budget, Capabilities, MemoryMode, OnEnd, Persist, Priority, Receive, Spec,
    State, StateKind, Watchdog,
};
use agentos_kernel::call::{Call, CallError, Reply, Tokens};
use agentos_kernel::interrupt::VectorId;
use agentos_kernel::memory::admit::{SPARE_PAGES, tokens_within};
use agentos_kernel::sample::Sampling;
use agentos_kernel::system::Tick;

use crate::alone::{self, bytes};
use crate::life::Life;
use crate::setup::tokens;
use crate::world::World;

/// Ticks without a row computed, after which an agent that has work counts as forgotten. Moves of pages
/// take some, and leases have to run out.
const PATIENCE: u32 = 3_000;

type Done = Result<(), String>;

impl World<'_> {
    /// The system is shut down amid its work: no step begins any more.
    pub fn halt(&mut self) -> Done {
        self.shut_down()?;
        for _ in 0..PATIENCE {
            self.clock.pass(50);
            self.tick()?;
            match self.last {
                Tick::Halted => return self.stays_halted(),
                Tick::DeviceLost => self.restore(),
                _ => (),
            }
        }
        Err("the system was shut down and does not halt".into())
    }

    fn stays_halted(&mut self) -> Done {
        let steps = self.kernel.figures().steps;
        self.act()?;
        self.tick()?;
        let spawn = Call::Spawn(modest(1), Tokens(&bytes(&[1])));
        let refused = matches!(self.ask(&spawn)?, Err(CallError::Shutdown));
        if refused && self.last == Tick::Halted && self.kernel.figures().steps == steps {
            Ok(())
        } else {
            Err("the system goes on after its shutdown".into())
        }
    }

    /// Nothing goes wrong any more: everybody gets to an end.
    pub fn wind_up(&mut self) -> Done {
        self.calm();
        let ids: Vec<AgentId> = self.lives.iter().map(|life| life.id).collect();
        loop {
            for &id in &ids {
                // Whoever is not suspended refuses.
                let _ = self.ask(&Call::Resume(id))?;
            }
            self.run()?;
            let agents: Vec<(AgentId, State)> = self.kernel.agents().map(|rcb| (rcb.id, rcb.state)).collect();
            if agents.iter().all(|(_, state)| state.is_over()) {
                break;
            }
            if agents.iter().any(|(_, state)| matches!(state, State::Suspended(_))) {
                // Somebody's wish that was masked was delivered only now.
                continue;
            }
            // Listeners listen for ever, so the next one goes; whoever waits for them goes on. So does one
            // that waits for somebody who is not admitted for its sake.
            let state_of = |id| agents.iter().find(|(other, _)| *other == id).map(|(_, state)| *state);
            let stuck = |state| match state {
                State::Blocked(BlockedOn::Message) => true,
                State::Blocked(BlockedOn::Agent(other)) => state_of(other) == Some(State::New),
                _ => false,
            };
            let Some(&(id, _)) = agents.iter().find(|(_, state)| stuck(*state)) else {
                return Err(format!("nobody can go on: {agents:?}"));
            };
            let _ = self.ask(&Call::Kill(id))?;
        }
        let remains = |life: &&Life| life.condemned && self.kernel.agents().any(|rcb| rcb.id == life.id);
        if let Some(life) = self.lives.iter().find(remains) {
            return Err(format!("agent {} was killed and is still there", life.id));
        }
        let waiting = |vector: &VectorId| {
            let stats = self.kernel.interrupts().stats(*vector);
            stats.posted != stats.delivered
        };
        match VectorId::ALL.iter().find(|vector| waiting(vector)) {
            Some(vector) => Err(format!("an interrupt {vector:?} was never delivered")),
            None => Ok(()),
        }
    }

    /// Ticks until nobody has anything to do.
    fn run(&mut self) -> Done {
        let (mut idle, mut rows) = (0, self.kernel.figures().rows);
        for _ in 0..1_000_000 {
            self.clock.pass(50);
            self.tick()?;
            match self.last {
                Tick::Idle => return Ok(()),
                Tick::DeviceLost => self.restore(),
                Tick::Halted => return Err("nobody shut the system down, and it halted".into()),
                _ => (),
            }
            let computed = self.kernel.figures().rows;
            idle = if computed > rows { 0 } else { idle + 1 };
            rows = computed;
            if idle > PATIENCE {
                let states: Vec<_> = self.kernel.agents().map(|rcb| (rcb.id, rcb.state)).collect();
                return Err(format!("no progress in {PATIENCE} ticks: {states:?}"));
            }
        }
        Err("the work has no end".into())
    }

    /// Compares all that was said with what is said alone.
    pub fn compare(&mut self) -> Done {
        self.drain()?;
        for life in &self.lives {
            let compared = alone::check(self.setup, self.model, life)? as u64;
            self.tally.compared += compared;
            self.tally.bounded += if life.bounded() { compared } else { 0 };
        }
        let figures = self.kernel.figures();
        (self.tally.rows, self.tally.failed_steps) = (figures.rows, figures.failed_steps);
        self.tally.ticks = self.ticks.get();
        Ok(())
    }

    /// Kills everybody. Then an agent that takes all there is for one has to fit, and to do its work.
    pub fn clear(&mut self) -> Done {
        let ids: Vec<AgentId> = self.kernel.agents().map(|rcb| rcb.id).collect();
        for id in ids {
            let reply = self.ask(&Call::Kill(id))?;
            reply.map_err(|error| format!("agent {id} cannot be killed: {error}"))?;
        }
        self.tick()?;
        let promised = self.kernel.figures().promised;
        if promised != 0 || self.kernel.agents().next().is_some() {
            return Err(format!("everybody was killed, and {promised} pages are promised"));
        }
        let config = self.setup.config;
        let l1 = config.l1_pages - config.pinned_pages;
        let total = (config.l1_pages + config.l2_frames).saturating_sub(SPARE_PAGES);
        let context =
            tokens_within(l1.min(total), config.slice_limits).min(config.context.min(config.trained_context));
        let prompt = tokens(&mut self.draw, context - 1);
        let call = Call::Spawn(modest(context), Tokens(&bytes(&prompt)));
        match self.ask(&call)? {
            Ok(Reply::Agent(id)) => self.lives.push(crate::life::Life::new(id, modest(context), prompt, 0)),
            other => return Err(format!("all is free, and {context} tokens do not fit: {other:?}")),
        }
        self.run()?;
        let life = self.lives.last().expect("it was just born");
        if life.kind != StateKind::Stopped || life.given.is_empty() && !life.unseen {
            return Err(format!("the last agent is {:?} and said nothing", life.kind));
        }
        alone::check(self.setup, self.model, life).map(drop)
    }
}

/// An agent that asks for nothing but its context, and says a token.
fn modest(context: u32) -> Spec {
    Spec {
        priority: Priority::LOWEST,
        context,
        memory: MemoryMode::Exact,
        admission: Admission::Refuse,
        sampling: Sampling::GREEDY,
        budget: Budget { turn_tokens: 1, ..Budget::UNBOUNDED },
        capabilities: Capabilities::ALL,
        watchdog: Watchdog::OFF,
        on_end: OnEnd::Stop,
        receive: Receive::Copied,
        guarded: false,
        persist: Persist::Nothing,
        packed: false,
        tag: 0,
    }
}
