//! A system under simulation: the kernel, its device, its clock, and what is known of its agents.

use std::cell::Cell;

use agentos_fault::{FaultDevice, FaultPlan};
use agentos_hal::ColdStore;
use agentos_kernel::agent::AgentId;
use agentos_kernel::call::{Call, CallError, Reply};
use agentos_kernel::event::Event;
use agentos_kernel::interrupt::{Posted, VectorId};
use agentos_kernel::system::{Devices, Kernel, Tick};
use agentos_reference::Reference;

use crate::clock::SimClock;
use crate::draw::Draw;
use crate::life::Life;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::tiny::{SHAPE, Tiny};

/// The system.
pub struct World<'w> {
    pub setup: &'w Setup,
    pub draw: Draw,
    pub kernel: Kernel<'w>,
    pub device: FaultDevice<'w, Reference>,
    /// What outlives the kernel.
    pub store: &'w mut (dyn ColdStore + 'w),
    pub clock: SimClock,
    pub model: &'w Tiny,
    pub lives: Vec<Life>,
    pub tally: Tally,
    /// Ticks so far, for whoever has to say where it broke.
    pub ticks: &'w Cell<u64>,
    /// What the last tick came to.
    pub last: Tick,
    /// The number that the next event has.
    next_event: u64,
    /// Deliveries of each vector, as the events tell.
    delivered: [u64; VectorId::COUNT],
}

type Done = Result<(), String>;

impl<'w> World<'w> {
    pub fn new(
        setup: &'w Setup,
        draw: Draw,
        model: &'w Tiny,
        kernel: Kernel<'w>,
        device: FaultDevice<'w, Reference>,
        store: &'w mut (dyn ColdStore + 'w),
        ticks: &'w Cell<u64>,
    ) -> World<'w> {
        World {
            setup,
            draw,
            kernel,
            device,
            store,
            clock: SimClock::default(),
            model,
            lives: Vec::new(),
            tally: Tally::default(),
            ticks,
            last: Tick::Idle,
            next_event: 0,
            delivered: [0; VectorId::COUNT],
        }
    }

    /// Lives through the chaos that the seed makes.
    pub fn live(&mut self) -> Done {
        for _ in 0..self.setup.config.agents {
            self.spawn()?;
        }
        for _ in 0..self.setup.turns {
            if self.draw.per_mille(self.setup.busy) {
                self.act()?;
            }
            let passes = match self.draw.per_mille(self.setup.jumps) {
                true => self.draw.between(1_000, 20_000),
                false => self.draw.between(0, 100),
            };
            self.clock.pass(u64::from(passes));
            self.tick()?;
            if self.last == Tick::DeviceLost && self.draw.per_mille(500) {
                self.restore();
            }
        }
        Ok(())
    }

    /// From now on the device does what it should.
    pub fn calm(&mut self) {
        self.device.set_plan(FaultPlan::NONE);
        for vector in VectorId::ALL {
            self.kernel.interrupts().unmask(vector);
        }
    }

    pub fn tick(&mut self) -> Done {
        self.ticks.set(self.ticks.get() + 1);
        let before = self.last;
        self.last = self.kernel.tick(&mut Devices {
            tensor: &mut self.device,
            clock: &self.clock,
            tools: &mut agentos_kernel::tool::NoTools,
            guard: &mut agentos_kernel::guard::Unguarded,
            store: &mut *self.store,
        });
        if !self.setup.deaf || self.draw.per_mille(250) {
            self.drain()?;
        }
        self.check(before)
    }

    /// Prepares a device that was lost.
    pub fn restore(&mut self) {
        self.tally.losses += 1;
        self.model.prepare(&mut self.device, &self.setup.config.device_limits(&SHAPE));
        self.kernel.device_restored();
    }

    pub fn shut_down(&mut self) -> Done {
        let posted =
            Posted { vector: VectorId::Shutdown, agent: None, payload: 0, at_us: self.clock.micros() };
        self.kernel.interrupts().post(posted).map_err(|error| error.to_string())
    }

    /// A call of the host's.
    pub fn ask(&mut self, call: &Call<'_>) -> Result<Result<Reply, CallError>, String> {
        self.ask_as(None, call)
    }

    /// A call. One that is refused changes nothing that anybody can see.
    pub fn ask_as(
        &mut self,
        caller: Option<AgentId>,
        call: &Call<'_>,
    ) -> Result<Result<Reply, CallError>, String> {
        self.drain()?;
        let before = self.portrait();
        let reply = self.kernel.call(caller, call, self.clock.micros());
        if let Err(error) = &reply {
            self.tally.refused_calls += 1;
            if self.portrait() != before || self.kernel.next_event().is_some() {
                return Err(format!("{call:?} was refused ({error}) and changed something"));
            }
        }
        self.kernel.audit().map_err(|broken| format!("{call:?}: {broken}"))?;
        if let (Call::Kill(agent), Ok(_)) = (call, &reply) {
            self.life(*agent)?.condemned = true;
        }
        Ok(reply)
    }

    /// All that can be seen of the kernel without changing it.
    fn portrait(&self) -> String {
        let (kernel, interrupts) = (&self.kernel, self.kernel.interrupts());
        let agents: Vec<_> = kernel.agents().collect();
        let texts: Vec<_> = agents.iter().map(|rcb| kernel.tokens(rcb.id)).collect();
        format!("{agents:?} {texts:?} {:?} {interrupts:?}", kernel.figures())
    }

    /// What is known of an agent that the kernel took a call for.
    pub fn life(&mut self, id: AgentId) -> Result<&mut Life, String> {
        let mut lives = self.lives.iter_mut();
        lives
            .find(|life| life.id == id)
            .ok_or_else(|| format!("a call for {id}, which never lived, was taken"))
    }

    /// Takes all events. None may be missing that the ring does not own up to.
    pub fn drain(&mut self) -> Done {
        while let Some(record) = self.kernel.next_event() {
            let lost = match record.event {
                Event::Lost { count } => count,
                _ => 0,
            };
            self.next_event += lost;
            if record.number + u64::from(lost > 0) != self.next_event {
                return Err(format!("event {} came where {} was due", record.number, self.next_event));
            }
            if lost > 0 {
                self.tally.lost_events += lost;
                self.lives.iter_mut().for_each(|life| life.unseen = true);
                continue;
            }
            self.next_event += 1;
            self.note(&record.event)?;
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) -> Done {
        match *event {
            Event::Shared { tokens, .. } => self.tally.shared += u64::from(tokens),
            Event::Preempted { .. } => self.tally.preemptions += 1,
            Event::PagedIn { pages, .. } => self.tally.paged_in += u64::from(pages),
            Event::Replayed { .. } => self.tally.replays += 1,
            Event::Faulted { .. } => self.tally.faulted += 1,
            Event::Recalled { tokens, .. } => self.tally.recalled += u64::from(tokens),
            Event::RecallFailed { .. } => self.tally.recall_failures += 1,
            Event::Stored { .. } => self.tally.stored += 1,
            Event::StoreFailed { .. } => self.tally.store_failures += 1,
            _ => (),
        }
        let agent = match *event {
            Event::State { agent, .. }
            | Event::Token { agent, .. }
            | Event::Finished { agent, .. }
            | Event::Killed { agent } => agent,
            Event::Interrupt { vector, .. } => {
                self.delivered[vector as usize - 1] += 1;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let ends = &self.setup.ends;
        let Some(life) = self.lives.iter_mut().find(|life| life.id == agent) else {
            // Its birth is still to be written down.
            return Ok(());
        };
        match life.note(event, ends) {
            // Who did not see everything cannot judge.
            Err(_) if life.unseen => Ok(()),
            done => done,
        }
    }

    /// Deliveries of a vector that the events told of.
    pub fn delivered(&self, vector: VectorId) -> u64 {
        self.delivered[vector as usize - 1]
    }
}
