//! What makes no sense in a checkpoint, or does not fit this system: each record against the sizes, the
//! tokens and the records before it. Nothing of the kernel is changed here.

use super::{Kernel, Reading, Stop};
use crate::agent::{BlockedOn, Cursor, MemoryMode, Metrics, Resume, State};
use crate::checkpoint::{AgentRecord, CheckpointError, Header, MappingRecord, Pages};
use crate::memory::SliceHash;

impl Kernel<'_> {
    pub(super) fn check_header(&self, header: &Header) -> Result<(), CheckpointError> {
        if let Some(what) = header.difference(&self.checkpoint_header()) {
            return Err(CheckpointError::Foreign { what });
        }
        let free = self.agents.iter().filter(|slot| slot.rcb.is_none()).count() as u16;
        if header.agents > free {
            return Err(CheckpointError::AgentsFull { agents: header.agents, free });
        }
        Ok(())
    }

    /// Whether an agent's record makes sense on its own, and fits this system's sizes.
    pub(super) fn check_record(&self, record: &AgentRecord, agent: u16) -> Result<(), Stop> {
        let config = &self.config;
        for (what, found, fits) in [
            ("tokens of context", record.spec.context, config.context),
            ("tokens in its inbox", record.inbox, config.inbox),
        ] {
            if found > fits {
                return Err(CheckpointError::TooLarge { agent, what, found, fits }.into());
            }
        }
        let AgentRecord { mapped, offers, offers_taken, received, committed, state, .. } = record;
        let slices = config.slices_per_agent();
        let at_start = *committed == Cursor::start(self.root);
        let nothing_mapped = *mapped == 0 && *offers == 0;
        let sound = record.tokens >= 1
            && record.tokens <= record.spec.context
            && *mapped <= slices
            && *offers <= slices - mapped
            && offers_taken <= offers
            && committed.layout.tokens <= record.tokens
            && committed.layout.slices == *mapped
            && (*mapped > 0 || at_start && record.queries == 0)
            && committed.floor <= committed.layout.tokens
            && record.counted.tokens <= record.tokens
            && (config.attention.is_some() || record.queries == 0)
            && received.slices <= slices
            && received.runs <= received.slices
            && received.tokens <= record.spec.context
            && received.pages <= received.slices * crate::memory::SLICE_PAGES as u32
            && *state != State::Running
            && waits_for_tools(*state) != record.calls.is_empty()
            && (nothing_mapped || record.admitted && !state.is_over())
            && plausible(&record.metrics);
        if sound { Ok(()) } else { Err(Stop::Nonsense) }
    }

    /// Whether there is room for an agent's open calls, beside those of the agents that were read before it.
    pub(super) fn check_calls(&self, agent: u16, calls: usize) -> Result<(), CheckpointError> {
        let restoring = self.agents().filter_map(|rcb| rcb.restoring.as_ref());
        let taken: usize = restoring.map(|restoring| restoring.calls.len()).sum();
        let fits = self.vacant_calls().saturating_sub(taken) as u32;
        let found = calls as u32;
        let what = "open tool calls";
        if found > fits { Err(CheckpointError::TooLarge { agent, what, found, fits }) } else { Ok(()) }
    }

    /// Whether a mapping follows from the one before it and from the tokens. Returns the identity of its
    /// slice, where it has one.
    pub(super) fn check_mapping(
        &self,
        reading: &mut Reading,
        record: &MappingRecord,
        pages: u32,
    ) -> Result<Option<SliceHash>, Stop> {
        let limits = self.config.slice_limits;
        let MappingRecord { base, sealed, computed, selected, forgotten, .. } = *record;
        let config_needs_schema =
            self.config.attention.is_some() && !matches!(record.pages, Pages::Met { .. });
        let rcb = self.rcb(reading.slot);
        let bounded = matches!(rcb.memory, MemoryMode::Bounded { .. });
        let whole = sealed.is_none_or(|tokens| computed <= tokens && u32::from(tokens) <= limits.max());
        let fits = u32::from(computed) <= limits.max() && computed > 0;
        // What is neither selected nor has a schema would never be found again.
        let lost = !selected && !forgotten && config_needs_schema && record.schema == 0;
        let given_up = forgotten && (selected || !bounded);
        if !whole || !fits || !selected && !bounded || lost || given_up || record.schema > computed {
            return Err(Stop::Nonsense);
        }
        reading.pages += pages;
        reading.selected_pages += if selected { pages } else { 0 };
        let quota = match rcb.memory {
            MemoryMode::Bounded { pages, .. } => pages,
            MemoryMode::Exact => rcb.promise.pages,
        };
        if reading.pages > rcb.promise.pages {
            return Err(Stop::Nonsense);
        }
        if reading.entry >= reading.record.mapped {
            return self.check_offer(reading, record).map(|()| None);
        }
        if reading.selected_pages > quota {
            return Err(Stop::Nonsense);
        }
        // The one before ends where this one begins.
        let begins = match reading.last {
            Some((last, computed)) => {
                base.checked_sub(last).is_some_and(|len| len >= 1 && len <= u32::from(computed))
            }
            None => base == 0,
        };
        if !begins || base >= reading.record.committed.layout.tokens {
            return Err(Stop::Nonsense);
        }
        reading.last = Some((base, computed));
        match reading.chain {
            Some(chain) => self.check_exact(reading, record, chain),
            None => Ok(None),
        }
    }

    /// A mapping whose place and identity follow from the tokens.
    pub(super) fn check_exact(
        &self,
        reading: &mut Reading,
        record: &MappingRecord,
        chain: SliceHash,
    ) -> Result<Option<SliceHash>, Stop> {
        if reading.layout.tokens != record.base || reading.layout.open != 0 {
            return Err(Stop::Nonsense);
        }
        let log = &self.log(reading.slot)[..reading.record.committed.layout.tokens as usize];
        for &token in &log[record.base as usize..] {
            let delimiter = self.vocabulary.delimiters[token as usize];
            (reading.layout, _) = reading.layout.append(delimiter, self.config.slice_limits);
            if reading.layout.open == 0 {
                break;
            }
        }
        if reading.layout.open != 0 {
            return Ok(None);
        }
        let tokens = &log[record.base as usize..reading.layout.tokens as usize];
        if record.sealed.map(usize::from) != Some(tokens.len()) || record.sealed != Some(record.computed) {
            return Err(Stop::Nonsense);
        }
        let hash = chain.chain(tokens);
        reading.chain = Some(hash);
        Ok(Some(hash))
    }

    /// A slice that was sent: whole, and within the message that it came with.
    pub(super) fn check_offer(&self, reading: &Reading, record: &MappingRecord) -> Result<(), Stop> {
        let AgentRecord { mapped, offers_taken, tokens, inbox, ref committed, .. } = reading.record;
        let number = reading.entry - mapped;
        let taken = number < offers_taken;
        let before = match number {
            0 => None,
            // Bases begin anew where addresses end.
            number if number == offers_taken => None,
            number => {
                let last = self.mappings[self.offer_place(reading.slot, number - 1)];
                Some(last.base + u32::from(self.pager.slice(last.slice).computed))
            }
        };
        let from = before.unwrap_or(if taken { committed.layout.tokens } else { 0 });
        let end = record.base.checked_add(u32::from(record.computed));
        let within = end.is_some_and(|end| end <= if taken { tokens } else { inbox });
        let whole = record.sealed == Some(record.computed) && record.selected && !record.pinned;
        if whole && record.base >= from && within { Ok(()) } else { Err(Stop::Nonsense) }
    }

    /// Whether an agent's mappings are what its cursor says.
    pub(super) fn check_whole(&self, reading: &Reading) -> Result<(), Stop> {
        let committed = reading.record.committed;
        let end = committed.layout.tokens;
        let Some((base, computed)) = reading.last else { return Ok(()) };
        let last = end - base;
        let open_fits = committed.layout.open == last && last < self.config.slice_limits.max();
        let selected = self.table(reading.slot).last().is_some_and(|mapping| mapping.selected);
        let sound = last <= u32::from(computed)
            && (committed.layout.open == 0 || open_fits && selected)
            && match reading.chain {
                Some(chain) => committed.layout == reading.layout && committed.chain == Some(chain),
                None => true,
            };
        if sound { Ok(()) } else { Err(Stop::Nonsense) }
    }
}

/// Whether somebody in this state has calls that are open.
fn waits_for_tools(state: State) -> bool {
    matches!(state, State::Blocked(BlockedOn::Tool) | State::Suspended(Resume::Blocked(BlockedOn::Tool)))
}

/// Whether counts are so far from the largest that nothing overflows when they go on.
fn plausible(metrics: &Metrics) -> bool {
    let Metrics {
        generated,
        rows,
        recomputed,
        shared,
        recalled,
        relocated,
        steps,
        preemptions,
        paged_out,
        paged_in,
        faults,
        replays,
        replayed,
        choices,
        returned,
        covered_ppm,
        ..
    } = *metrics;
    let paging = [paged_out, paged_in, faults, replays, replayed, returned];
    [generated, rows, recomputed, shared, recalled, relocated, steps, preemptions]
        .iter()
        .chain(&paging)
        .all(|&count| count < 1 << 62)
        && recomputed <= rows
        && choices < 1 << 40
        && covered_ppm <= choices * 1_000_000
}
