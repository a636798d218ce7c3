//! What makes no sense in a checkpoint, or does not fit this system: each record against the sizes, the
//! tokens and the records before it. Nothing of the kernel is changed here.

use agentos_hal::PAGE_TOKENS;

use super::super::save::saved_pages;
use super::{Kernel, Reading, Stop};
use crate::agent::{Cursor, MemoryMode, Metrics, Received, State};
use crate::checkpoint::{AgentRecord, CheckpointError, Header, MappingRecord, Pages};
use crate::layout::Layout;
use crate::memory::{SliceHash, admit};

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
            ("tokens of context", record.spec.context, config.most_context(record.spec.memory)),
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
            && received.tokens.div_ceil(config.slice_limits.max()) <= received.slices
            && received.pages <= received.slices * crate::memory::SLICE_PAGES as u32
            && *state != State::Running
            && state.waits_for_tools() != record.calls.is_empty()
            && (record.calls.is_empty() || record.admitted)
            && (nothing_mapped || record.admitted && !state.is_over())
            && [record.turn_tokens, record.choices, record.queries].iter().all(|&count| count < 1 << 31)
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
        // Behind the cursor nothing grows any more: a slice is whole there, or was ended early and stays as it is.
        let passed = reading.entry + 1 < reading.record.mapped || reading.record.committed.layout.open == 0;
        let grows = passed && sealed.is_some_and(|tokens| computed < tokens);
        let chosen = record.chosen <= reading.record.choices;
        if !whole || !fits || !selected && !bounded || lost || given_up || record.schema > computed {
            return Err(Stop::Nonsense);
        }
        if grows || !chosen {
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
        reading.layout = self.slice_end(reading.layout, &log[record.base as usize..]);
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

    /// Whether an agent's mappings are what its cursor says, and leave room for what comes behind them.
    pub(super) fn check_whole(&self, reading: &Reading) -> Result<(), Stop> {
        let sound = self.ends_at_cursor(reading) && self.rest_fits(reading);
        if sound { Ok(()) } else { Err(Stop::Nonsense) }
    }

    fn ends_at_cursor(&self, reading: &Reading) -> bool {
        let Cursor { layout, chain, .. } = reading.record.committed;
        let Some((base, computed)) = reading.last else { return true };
        let last = layout.tokens - base;
        let open_fits = || {
            let selected = self.table(reading.slot).last().is_some_and(|mapping| mapping.selected);
            layout.open == last
                && last < self.config.slice_limits.max()
                && selected
                && self.open_slice_follows(reading)
        };
        last <= u32::from(computed)
            && self.lengths_fit(reading)
            && (layout.open == 0 || open_fits())
            && reading.chain.is_none_or(|found| layout == reading.layout && chain == Some(found))
    }

    /// Whether an agent's slices take the pages that its cursor counts, and are no shorter than slices are, but for those
    /// that ended early where one began that was sent.
    fn lengths_fit(&self, reading: &Reading) -> bool {
        let AgentRecord { mapped, received, committed: Cursor { layout, .. }, .. } = reading.record;
        let table = self.table(reading.slot);
        let ends = || table.iter().skip(1).map(|next| next.base).chain([layout.tokens]);
        let lengths = || table.iter().zip(ends()).map(|(mapping, end)| end - mapping.base);
        let pages: u32 = lengths().map(|len| len.div_ceil(PAGE_TOKENS as u32)).sum();
        let ended = (mapped - u32::from(layout.open > 0)) as usize;
        let short = lengths().take(ended).filter(|&len| len < self.config.slice_limits.min()).count();
        // One that was sent may have brought pages that it had no more tokens for.
        (pages..=self.rcb(reading.slot).promise.pages).contains(&layout.pages)
            && short <= received.runs as usize
    }

    /// Whether an agent's open slice is one that its tokens make. Others with the same tokens may have computed more of
    /// it, but not beyond where it ends.
    fn open_slice_follows(&self, reading: &Reading) -> bool {
        let (slot, layout) = (reading.slot, reading.record.committed.layout);
        let Some(last) = self.table(slot).last() else { return false };
        let slice = self.pager.slice(last.slice);
        let known = self.next_offer(slot).unwrap_or(reading.record.tokens);
        let end = self.slice_end(layout, &self.log(slot)[layout.tokens as usize..known as usize]);
        let most = end.tokens - last.base;
        let sealed_there = |tokens: u8| end.open == 0 && u32::from(tokens) == most;
        u32::from(slice.computed) <= most && slice.sealed.is_none_or(sealed_there)
    }

    /// Whether an agent's page table and the pages that were promised to it hold what its context can still need behind
    /// what it maps and beside what was sent to it: as its tokens fall, and however those fall that are to come.
    fn rest_fits(&self, reading: &Reading) -> bool {
        let AgentRecord { mapped, offers, offers_taken, committed, .. } = reading.record;
        let (rcb, log) = (self.rcb(reading.slot), self.log(reading.slot));
        if rcb.promise.pages == 0 {
            return true;
        }
        let Layout { tokens, open, .. } = committed.layout;
        let begun = u32::from(open > 0);
        let begun_pages = reading.last.map_or(0, |(_, computed)| begun * saved_pages(computed) as u32);
        let own_pages = |open: u32| open.div_ceil(PAGE_TOKENS as u32);
        let mut at = Layout { tokens, slices: begun, pages: own_pages(open), open };
        // The addresses of what is in the inbox depend on the answer that is under way.
        let (mut waiting, mut runs, mut last_end) = (0, 0, None);
        for number in 0..offers {
            let offer = self.mappings[self.offer_place(reading.slot, number)];
            let sent = u32::from(self.pager.slice(offer.slice).computed);
            if number < offers_taken {
                at = self.behind(at, &log[at.tokens as usize..offer.base as usize]);
                at = Layout { tokens: at.tokens + sent, open: 0, ..at };
            } else {
                waiting += sent;
                runs += u32::from(last_end != Some(offer.base));
                last_end = Some(offer.base + sent);
            }
        }
        at = self.behind(at, &log[at.tokens as usize..]);
        let own = rcb.context.saturating_sub(at.tokens - at.open + waiting);
        let there = Received {
            runs,
            slices: mapped - begun + offers + at.slices - u32::from(at.open > 0),
            tokens: rcb.context - own,
            pages: reading.pages - begun_pages + at.pages - own_pages(at.open),
        };
        let (limits, slices) = (self.config.slice_limits, self.config.slices_per_agent());
        if runs > 0 {
            return admit::maps(&there, rcb.context, limits, slices, rcb.promise.pages);
        }
        there.slices + limits.worst_slices(own) <= slices
            && there.pages + limits.worst_pages(own) <= rcb.promise.pages
    }

    /// Where a context ends that goes on from a place with these tokens.
    fn behind(&self, from: Layout, tokens: &[u32]) -> Layout {
        tokens.iter().fold(from, |layout, &token| {
            layout.append(self.vocabulary.delimiters[token as usize], self.config.slice_limits).0
        })
    }
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
