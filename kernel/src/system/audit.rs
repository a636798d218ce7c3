//! Whether the kernel's books agree. It finds mistakes of the kernel itself, near where they happen and
//! long before a wrong token shows them.

use agentos_hal::PageId;

use super::{Kernel, Phase};
use crate::agent::{AfterStep, AgentId, BlockedOn, Priority, Rcb, State, StateKind};
use crate::memory::admit::SPARE_PAGES;
use crate::memory::{Mapping, SliceId};

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A slice is not mapped as often as it counts.
    Mappings {
        /// The slice.
        slice: SliceId,
        /// Mappings that there are.
        mapped: u32,
        /// Mappings that it counts.
        counted: u32,
    },
    /// A page of page memory is neither free once nor held by one slice.
    Page {
        /// The page.
        page: PageId,
        /// How often it is free or held.
        holders: usize,
    },
    /// A frame of the arena is neither free once nor held by one slice.
    Frame {
        /// The frame, counted from the first lossless one.
        frame: u32,
        /// How often it is free or held.
        holders: usize,
    },
    /// A slice has more tokens computed than planned, or more than it has room for.
    SliceTokens {
        /// The slice.
        slice: SliceId,
    },
    /// The index does not lead to a slice that counts as indexed.
    Index {
        /// The slice.
        slice: SliceId,
    },
    /// The index leads to slices that do not count as indexed.
    IndexCount {
        /// Slices that count as indexed.
        indexed: usize,
        /// Entries of the index.
        entries: usize,
    },
    /// A slice that nobody maps and nobody can find holds pages.
    Forgotten {
        /// The slice.
        slice: SliceId,
    },
    /// A slice that is in the cold store alone is not whole, has no identity, or nobody maps it.
    Cold {
        /// The slice.
        slice: SliceId,
    },
    /// More or fewer slices are cold, or on their way to the store, than count as such.
    Storing {
        /// Slices that are cold.
        cold: usize,
        /// Slices that wait to be handed over, or are being handed over.
        queued: usize,
        /// How many count as each.
        counted: (usize, usize),
    },
    /// More slices are cold than there may be, or an agent maps one that its tokens alone would not make again.
    ColdMapping {
        /// The agent.
        agent: Option<AgentId>,
        /// Slices that are cold.
        cold: u32,
        /// Slices that may be.
        most: u32,
    },
    /// Rows of a slice are under way though no step is.
    InFlight {
        /// The slice.
        slice: SliceId,
    },
    /// An agent is queued and should not be, or the other way round.
    Queue {
        /// The agent.
        agent: AgentId,
        /// What it is doing.
        state: StateKind,
    },
    /// An agent is queued at another level than its effective one.
    Level {
        /// The agent.
        agent: AgentId,
    },
    /// An agent runs that is in no step, is in a step and does not run, or waits for the end of none.
    Running {
        /// The agent.
        agent: AgentId,
    },
    /// An agent has open tool calls and does not wait for them, or waits and has none.
    Calls {
        /// The agent.
        agent: AgentId,
    },
    /// Not: committed ≤ put into a step ≤ tokens ≤ context.
    Cursor {
        /// The agent.
        agent: AgentId,
    },
    /// A page table has no entry where one should be, or its bases do not ascend.
    Table {
        /// The agent.
        agent: AgentId,
        /// The entry.
        entry: usize,
    },
    /// Tokens count as computed for an agent and are not.
    NotComputed {
        /// The agent.
        agent: AgentId,
        /// The entry of its page table.
        entry: usize,
    },
    /// An agent has more pages than were promised to it.
    Quota {
        /// The agent.
        agent: AgentId,
        /// Pages of its slices.
        pages: u32,
        /// Pages promised.
        reserved: u32,
    },
    /// More pages are promised than there are.
    Promised {
        /// Pages promised to all agents.
        promised: u32,
        /// Pages that may be.
        most: u32,
    },
    /// Pins are not counted as they are, or are more than may be.
    Pins {
        /// Pages that are pinned.
        pinned: u32,
        /// Pages that count as pinned.
        counted: u32,
        /// Pages that may be pinned.
        most: u32,
    },
    /// An agent waits for one that is over or gone, or is blocked on one that it does not wait for.
    Wait {
        /// The agent.
        agent: AgentId,
    },
    /// An agent's effective priority is not the most urgent of its own and of those that wait for it.
    Inherited {
        /// The agent.
        agent: AgentId,
    },
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "an invariant of the kernel is broken: {self:?}")
    }
}

impl core::error::Error for Broken {}

impl Kernel<'_> {
    /// Checks every invariant of the kernel's tables. Holds between any two calls; nothing is changed that
    /// has a meaning.
    /// The work grows with the square of what there is: for tests, simulations and debugging.
    ///
    /// # Errors
    /// The first [`Broken`] invariant found.
    pub fn audit(&mut self) -> Result<(), Broken> {
        self.audit_circles()?;
        self.pager.audit()?;
        self.audit_slices()?;
        let (mut promised, mut packed, mut pinned) = (0, 0, 0);
        for (index, slot) in self.agents.iter().enumerate() {
            let Some(rcb) = &slot.rcb else { continue };
            promised += rcb.promise.lossless(rcb.memory);
            packed += rcb.promise.packed();
            pinned += self.audit_pins(index, rcb)?;
            self.audit_schedule(index, rcb)?;
            self.audit_table(index, rcb)?;
            self.audit_waits(rcb)?;
        }
        let most = (self.config.l1_pages + self.config.l2_frames).saturating_sub(SPARE_PAGES);
        if promised > most {
            return Err(Broken::Promised { promised, most });
        }
        if packed > self.config.packed_frames {
            return Err(Broken::Promised { promised: packed, most: self.config.packed_frames });
        }
        let (cold, most) = (self.pager.cold(), self.config.cold_slices);
        if cold > most {
            return Err(Broken::ColdMapping { agent: None, cold, most });
        }
        let most = self.config.pinned_pages;
        if pinned != self.pinned || pinned > most {
            return Err(Broken::Pins { pinned, counted: self.pinned, most });
        }
        Ok(())
    }

    fn audit_circles(&mut self) -> Result<(), Broken> {
        for index in 0..self.agents.len() {
            let Some(agent) = self.agents[index].rcb.as_ref().map(|rcb| rcb.id) else { continue };
            if self.waits_through(agent, agent) {
                return Err(Broken::Wait { agent });
            }
        }
        Ok(())
    }

    fn audit_slices(&self) -> Result<(), Broken> {
        let under_way = self.step_is_laid_out();
        for (slice, found) in self.pager.slices() {
            let indices = (0..self.agents.len()).filter(|&index| self.agents[index].rcb.is_some());
            let mappings = indices.flat_map(|index| self.table(index).iter().chain(self.offers(index)));
            let mapped = mappings.filter(|mapping| mapping.slice == slice).count() as u32;
            if mapped != found.refs {
                return Err(Broken::Mappings { slice, mapped, counted: found.refs });
            }
            if found.in_flight() && !under_way {
                return Err(Broken::InFlight { slice });
            }
        }
        Ok(())
    }

    fn audit_pins(&self, index: usize, rcb: &Rcb) -> Result<u32, Broken> {
        let pages = |mapping: &Mapping| u32::from(self.pager.slice(mapping.slice).pages);
        let pinned = self.table(index).iter().filter(|mapping| mapping.pinned).map(pages).sum();
        let most = self.config.pinned_pages;
        if pinned == rcb.pinned {
            Ok(pinned)
        } else {
            Err(Broken::Pins { pinned, counted: rcb.pinned, most })
        }
    }

    fn audit_schedule(&self, index: usize, rcb: &Rcb) -> Result<(), Broken> {
        let agent = rcb.id;
        let queued = matches!(rcb.state, State::Ready | State::Running);
        if self.ready.contains(index as u16) != queued {
            return Err(Broken::Queue { agent, state: rcb.state.kind() });
        }
        if queued && self.ready.priority(index as u16) != Some(rcb.effective) {
            return Err(Broken::Level { agent });
        }
        let riders = &self.step.riders[..self.step.rider_count];
        let rides = self.step_is_laid_out() && riders.iter().any(|rider| usize::from(rider.agent) == index);
        let running = rcb.state == State::Running;
        if running && !rides || rcb.after_step != AfterStep::Nothing && !running {
            return Err(Broken::Running { agent });
        }
        if rcb.state.waits_for_tools() == rcb.calls.is_empty() {
            return Err(Broken::Calls { agent });
        }
        Ok(())
    }

    fn audit_table(&self, index: usize, rcb: &Rcb) -> Result<(), Broken> {
        let agent = rcb.id;
        let (committed, cursor) = (rcb.committed.layout, rcb.cursor.layout);
        if !(committed.tokens <= cursor.tokens && cursor.tokens <= rcb.tokens && rcb.tokens <= rcb.context) {
            return Err(Broken::Cursor { agent });
        }
        let table = self.table(index);
        let offers_cold = self.offers(index).iter().any(|offer| self.pager.slice(offer.slice).is_cold());
        let behind = &table[..table.len().min(cursor.slices as usize)];
        let gone_over_cold = behind.iter().any(|mapping| self.pager.slice(mapping.slice).is_cold());
        if offers_cold || rcb.committed.chain.is_none() && gone_over_cold {
            let (cold, most) = (self.pager.cold(), self.config.cold_slices);
            return Err(Broken::ColdMapping { agent: Some(agent), cold, most });
        }
        let pages = table
            .iter()
            .chain(self.offers(index))
            .map(|mapping| u32::from(self.pager.slice(mapping.slice).pages))
            .sum();
        if pages > rcb.promise.pages {
            return Err(Broken::Quota { agent, pages, reserved: rcb.promise.pages });
        }
        if rcb.promise.pages == 0 || rcb.restoring.is_some() {
            // Not admitted, over, or not whole yet.
            return Ok(());
        }
        if table.len() < cursor.slices as usize {
            return Err(Broken::Table { agent, entry: table.len() });
        }
        for (entry, mapping) in table.iter().enumerate() {
            let before = entry.checked_sub(1).map(|before| table[before].base);
            if before.map_or(mapping.base != 0, |before| before >= mapping.base) {
                return Err(Broken::Table { agent, entry });
            }
            let end = table.get(entry + 1).map_or(committed.tokens, |next| next.base.min(committed.tokens));
            if end.saturating_sub(mapping.base) > u32::from(self.pager.slice(mapping.slice).computed) {
                return Err(Broken::NotComputed { agent, entry });
            }
        }
        Ok(())
    }

    fn audit_waits(&self, rcb: &Rcb) -> Result<(), Broken> {
        let agent = rcb.id;
        let alive = |&other: &AgentId| self.find(other).is_some_and(|at| !self.rcb(at).state.is_over());
        let blocked_on = match rcb.state {
            State::Blocked(BlockedOn::Agent(other)) => rcb.waits_for.contains(&other),
            _ => true,
        };
        if !blocked_on || !rcb.waits_for.iter().all(alive) {
            return Err(Broken::Wait { agent });
        }
        let lenders = self.agents().filter(|other| other.waits_for.contains(&agent));
        let inherited = lenders.fold(rcb.priority, |most: Priority, other| most.most_urgent(other.effective));
        if inherited == rcb.effective { Ok(()) } else { Err(Broken::Inherited { agent }) }
    }

    fn step_is_laid_out(&self) -> bool {
        matches!(self.phase, Phase::Planned | Phase::Running { .. })
    }
}
