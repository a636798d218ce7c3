//! Page memory for the agents of a step: what they lack is brought in, and others' pages go for it.

use core::task::Poll;

use agentos_hal::{PAGE_TOKENS, PageError, StoreKey, TensorDevice};

use super::Kernel;
use super::plan::Round;
use crate::agent::{MemoryMode, OnEnd, State};
use crate::event::Event;
use crate::interrupt::VectorId;
use crate::layout::Placement;
use crate::memory::evict::{self, Tenant};
use crate::memory::pager::Moved;
use crate::memory::{Fidelity, Mapping, SliceId};

/// Slices that are brought in ahead of an agent's turn in one tick, so that nobody's step waits for them for long.
const AHEAD_SLICES: u32 = 2;

/// Whether an agent has its pages.
pub(super) enum Room {
    /// All that it attends to is resident, and its next row has a place.
    Made,
    /// It lacks so many pages.
    Short(u32),
}

/// What came of moving one slice.
pub(super) enum Move {
    Done(u32),
    /// There is no room on the other side, or nobody whose pages may go.
    NoRoom,
    /// Not in this tick.
    Later,
}

impl Kernel<'_> {
    /// Brings in what an agent attends to, and finds pages for up to `most` rows.
    pub(super) fn make_resident(
        &mut self,
        index: usize,
        most: u32,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Room, PageError> {
        let original = self.original(index);
        let mut next = 0;
        while let Some(mapping) = self.table(index).get(next).copied() {
            self.pager.need(mapping.slice);
            next = mapping.next as usize;
        }
        if let Some(pages) = self.page_in_absent(index, round, device)? {
            return Ok(Room::Short(pages));
        }
        let (wanted, least) = self.pages_wanted(index, most);
        let made = self.make_room(index, wanted, round, device)?;
        if made || self.pager.free() >= round.held + least {
            return Ok(Room::Made);
        }
        if let Some(original) = original {
            // It may attend to all of page memory, so that nothing else can go for the copy.
            let _moved = self.send_out(index, original, round, device)?;
        }
        Ok(Room::Short(least))
    }

    /// Returns the pages that are missing for the first slice that could not be brought in.
    fn page_in_absent(
        &mut self,
        index: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Option<u32>, PageError> {
        let mut brought = 0;
        let mut short = None;
        let mut next = 0;
        while let Some(mapping) = self.table(index).get(next).copied() {
            let entry = core::mem::replace(&mut next, mapping.next as usize);
            let slice = self.pager.slice(mapping.slice);
            if slice.resident() {
                continue;
            }
            let (is_cold, pages) = (slice.is_cold(), u32::from(slice.pages));
            let now_us = self.now_us;
            self.rcb_mut(index).lacks_since_us.get_or_insert(now_us);
            let own = self.copy_due(index).filter(|&(due, _)| due == entry && !is_cold);
            let pages = own.map_or(pages, |(_, tokens)| tokens.div_ceil(PAGE_TOKENS as u32));
            if is_cold {
                match self.recall_page_in(index, mapping, round, device)? {
                    Move::Done(pages) => brought += pages,
                    Move::NoRoom => short = Some(pages),
                    // Its pages are taken already.
                    Move::Later => short = Some(0),
                }
                if short.is_some() {
                    break;
                }
                continue;
            }
            if brought == 0 {
                let id = self.rcb(index).id;
                self.raise(VectorId::PageFault, Some(id), u64::from(mapping.base));
            }
            let moved = match own {
                _ if !self.make_room(index, pages, round, device)? => Move::NoRoom,
                Some(own) => self.bring_in_own(index, own, round, device)?,
                None => self.bring_in(mapping.slice, round, device)?,
            };
            match moved {
                Move::Done(pages) => brought += pages,
                Move::NoRoom | Move::Later => {
                    short = Some(pages);
                    break;
                }
            }
        }
        if brought > 0 {
            let rcb = self.rcb_mut(index);
            rcb.metrics.paged_in += u64::from(brought);
            let agent = rcb.id;
            self.emit(Event::PagedIn { agent, pages: brought });
            self.note_thrashing();
        }
        Ok(short)
    }

    /// Brings in what an agent that was stirred and has no part in this step attends to, so that it is there when its
    /// turn comes: a few slices, into pages that nobody uses, each looked at once. What is in the cold store alone, the
    /// store is told of.
    pub(super) fn fetch_ahead(
        &mut self,
        index: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<(), PageError> {
        let rcb = self.rcb(index);
        let mut next = match rcb.ahead {
            Some(next) if rcb.stirred_us.is_some() && !rcb.dispatched => next as usize,
            _ => return Ok(()),
        };
        let mut looked = 0;
        while let Some(mapping) = self.table(index).get(next).copied() {
            let slice = self.pager.slice(mapping.slice);
            let (pages, hash) = (u32::from(slice.pages), slice.hash.filter(|_| slice.is_cold()));
            if slice.resident() {
                next = mapping.next as usize;
                continue;
            }
            if looked == AHEAD_SLICES {
                break;
            }
            looked += 1;
            match hash {
                Some(hash) => round.store.prefetch(&StoreKey(hash.0)),
                None if self.pager.free() < round.held + pages => break,
                None => match self.bring_in(mapping.slice, round, device)? {
                    Move::Done(pages) => self.count_ahead(index, pages),
                    // It goes on by itself.
                    Move::Later if self.pager.is_moving(mapping.slice) => self.count_ahead(index, pages),
                    Move::Later | Move::NoRoom => break,
                },
            }
            next = mapping.next as usize;
            if self.pager.is_paging() {
                break;
            }
        }
        self.rcb_mut(index).ahead = Some(next as u32);
        Ok(())
    }

    fn count_ahead(&mut self, index: usize, pages: u32) {
        self.figures.ahead_pages += u64::from(pages);
        let rcb = self.rcb_mut(index);
        rcb.metrics.paged_in += u64::from(pages);
        let agent = rcb.id;
        self.emit(Event::PagedIn { agent, pages });
    }

    /// Brings in what a listener's context has in the cold store alone: the message for which it rests finds it
    /// there, and can send it on. Returns whether more is to come. What page memory has no room for is no reason to
    /// wait.
    pub(super) fn awaits_cold(
        &mut self,
        index: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<bool, PageError> {
        let rcb = self.rcb(index);
        let listens = rcb.on_end == OnEnd::Listen && rcb.inbox == 0 && rcb.waits_for.is_empty();
        if !listens || !self.has_cold(index) {
            return Ok(false);
        }
        for at in 0..self.table(index).len() {
            let mapping = self.table(index)[at];
            if !self.pager.slice(mapping.slice).is_cold() {
                continue;
            }
            self.pager.need(mapping.slice);
            let others = self.pager.loading().is_some_and(|loading| loading != mapping.slice);
            if others || round.moves == 0 || self.pager.is_paging() {
                return Ok(true);
            }
            match self.recall_page_in(index, mapping, round, device)? {
                Move::Done(_) => (),
                Move::NoRoom => return Ok(false),
                Move::Later => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Brings a slice in from the cold store, as far as that can be done now.
    pub(super) fn recall_page_in(
        &mut self,
        index: usize,
        mapping: Mapping,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Move, PageError> {
        let begins = self.pager.loading() != Some(mapping.slice);
        if begins {
            let pages = u32::from(self.pager.slice(mapping.slice).pages);
            if self.pager.loading().is_some() || !self.make_room(index, pages, round, device)? {
                return Ok(Move::NoRoom);
            }
            // Making room may have taken the last move.
            if round.moves == 0 || self.pager.is_paging() {
                return Ok(Move::NoRoom);
            }
            round.moves -= 1;
            let id = self.rcb(index).id;
            self.raise(VectorId::PageFault, Some(id), u64::from(mapping.base));
            self.pager.begin_load(mapping.slice, id, self.now_us, self.figures.device_us);
        }
        let received = self.receive(device, round.store);
        if begins {
            self.tell_ahead(index, &mapping, round.store);
        }
        match received {
            Poll::Ready(Ok(true)) => Ok(Move::Done(0)),
            Poll::Ready(Ok(false)) | Poll::Pending => Ok(Move::Later),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    /// Brings an agent's own copy of a slice in that is in the arena, where the slice stays for others.
    fn bring_in_own(
        &mut self,
        index: usize,
        (entry, tokens): (usize, u32),
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Move, PageError> {
        if round.moves == 0 || self.pager.is_paging() {
            return Ok(Move::Later);
        }
        // What is pinned is whole; what is computed anew is not.
        self.unpin(index, entry);
        let slice = self.table(index)[entry].slice;
        let Some((copy, outcome)) = self.pager.page_in_own(slice, tokens as u8, device) else {
            return Ok(Move::NoRoom);
        };
        round.moves -= 1;
        self.table_mut(index)[entry].slice = copy;
        moved(outcome)
    }

    fn bring_in(
        &mut self,
        slice: SliceId,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Move, PageError> {
        if round.moves == 0 || self.pager.is_paging() {
            return Ok(Move::Later);
        }
        round.moves -= 1;
        moved(self.pager.page_in(slice, device))
    }

    /// A slice in page memory that no agent attends to, the least relevant of the first agent that has one:
    /// an agent and an entry of its page table.
    fn idle_slice(&mut self, index: usize) -> Option<(usize, usize)> {
        // Its own first, or one that pages for its own sake would take others' places.
        for at in core::iter::once(index).chain((0..self.agents.len()).filter(|&at| at != index)) {
            let round = self.pager.round();
            let Some(rcb) = &self.agents[at].rcb else { continue };
            if rcb.memory == MemoryMode::Exact || rcb.searched == round {
                continue;
            }
            let is_idle = |&entry: &usize| {
                let mapping = self.table(at)[entry];
                let slice = self.pager.slice(mapping.slice);
                let shared = slice.refs > 1 && !(rcb.promise.packs && self.all_may_pack(mapping.slice));
                let held = mapping.selected || mapping.pinned || shared;
                !held && slice.resident() && !self.pager.is_moving(mapping.slice)
            };
            let rank = |&entry: &usize| {
                let mapping = self.table(at)[entry];
                (mapping.score.max(0.0).to_bits(), mapping.base)
            };
            let found = (0..self.table(at).len()).filter(is_idle).min_by_key(rank);
            match found {
                Some(entry) => return Some((at, entry)),
                None => self.rcb_mut(at).searched = round,
            }
        }
        None
    }

    /// Whether everybody who maps a slice leaves it out and packs what they leave out.
    fn all_may_pack(&self, slice: SliceId) -> bool {
        let mut agents = (0..self.agents.len()).filter(|&at| self.agents[at].rcb.is_some());
        agents.all(|at| {
            let packs = self.rcb(at).promise.packs;
            let leaves_out = |mapping: &Mapping| packs && !mapping.selected && !mapping.pinned;
            let is_it = |mapping: &&Mapping| mapping.slice == slice;
            self.table(at).iter().filter(is_it).all(leaves_out)
                && !self.offers(at).iter().any(|offer| is_it(&offer))
        })
    }

    /// Sends what a bounded agent does not attend to to the arena, packed if it may be.
    fn send_out_idle(
        &mut self,
        index: usize,
        entry: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Move, PageError> {
        let slice = self.table(index)[entry].slice;
        if self.rcb(index).promise.packs && self.pager.slice(slice).complete() {
            match self.pack_away(index, entry, round, device)? {
                Move::NoRoom => (),
                other => return Ok(other),
            }
        }
        self.send_out(index, slice, round, device)
    }

    fn pack_away(
        &mut self,
        index: usize,
        entry: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Move, PageError> {
        if round.moves == 0 || self.pager.is_paging() {
            return Ok(Move::Later);
        }
        let slice = self.table(index)[entry].slice;
        let outcome = moved(self.pager.page_out_packed(slice, device))?;
        if !matches!(outcome, Move::NoRoom) {
            round.moves -= 1;
            self.note_packed(slice);
        }
        self.count_paged_out(index, &outcome);
        Ok(outcome)
    }

    /// A slice is packed: all that map it see that.
    fn note_packed(&mut self, slice: SliceId) {
        for index in 0..self.agents.len() {
            if self.agents[index].rcb.is_none() {
                continue;
            }
            for mapping in self.table_mut(index).iter_mut().filter(|mapping| mapping.slice == slice) {
                mapping.fidelity = Fidelity::Packed;
            }
        }
    }

    /// The slice in page memory of which an agent's next row needs a copy, unless others need it in this step.
    fn original(&self, index: usize) -> Option<SliceId> {
        let (entry, _) = self.copy_due(index)?;
        let id = self.table(index)[entry].slice;
        (self.pager.slice(id).resident() && !self.pager.is_needed(id)).then_some(id)
    }

    /// Whether an agent's next row cannot be written into the slice that it belongs to, because others map that
    /// too, or may find what is computed of it: the entry, and the tokens that the agent's own slice begins with.
    fn copy_due(&self, index: usize) -> Option<(usize, u32)> {
        let at = self.rcb(index).cursor.layout;
        let entry = (at.slices as usize).checked_sub(1).filter(|_| at.open > 0)?;
        let slice = self.pager.slice(self.table(index)[entry].slice);
        let computed = u32::from(slice.computed).saturating_sub(at.open);
        let skipped = computed.min(self.skippable(index));
        let shared = slice.refs > 1;
        let written = computed > skipped && (shared || slice.indexed);
        (written || shared && slice.sealed.is_none()).then_some((entry, at.open + skipped))
    }

    /// The pages that up to `most` rows of an agent begin, and those without which it has no row.
    fn pages_wanted(&self, index: usize, most: u32) -> (u32, u32) {
        let rcb = self.rcb(index);
        let mut layout = rcb.cursor.layout;
        let log = self.log(index);
        let (mut pages, mut least) = (0, 0);
        if let Some((_, tokens)) = self.copy_due(index) {
            least = tokens.div_ceil(PAGE_TOKENS as u32);
        }
        let rows = most.min(self.placeable(index)) as usize;
        for (row, &token) in log[layout.tokens as usize..].iter().take(rows).enumerate() {
            let delimiter = self.vocabulary.delimiters[token as usize];
            let (next, placement) = layout.append(delimiter, self.config.slice_limits);
            layout = next;
            let begins = placement.place == 0 && !self.has_page(index, &placement);
            pages += u32::from(begins);
            least += u32::from(row == 0 && begins);
        }
        (pages.max(least), least)
    }

    /// Whether the page of a row is there already, from a step that failed: its slice need not grow for it.
    fn has_page(&self, index: usize, at: &Placement) -> bool {
        let Some(mapping) = self.table(index).get(at.slice as usize) else { return false };
        let slice = self.pager.slice(mapping.slice);
        let shared = slice.refs > 1;
        let computed = u32::from(slice.computed) > at.offset;
        let copied = computed && (shared || slice.indexed) || shared && slice.sealed.is_none();
        !copied && usize::from(slice.pages) > at.offset as usize / PAGE_TOKENS
    }

    /// Frees pages until an agent can have so many besides those that are held for the more urgent.
    /// Returns whether it can.
    fn make_room(
        &mut self,
        index: usize,
        pages: u32,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<bool, PageError> {
        while self.pager.free() < pages + round.held {
            if self.pager.reclaim(true) || self.pager.cancel_load() {
                continue;
            }
            let moved = if let Some((owner, entry)) = self.idle_slice(index) {
                self.send_out_idle(owner, entry, round, device)?
            } else if let Some((victim, slice)) = self.victim(index) {
                self.send_out(victim, slice, round, device)?
            } else {
                Move::NoRoom
            };
            if let Move::NoRoom | Move::Later = moved {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn send_out(
        &mut self,
        owner: usize,
        slice: SliceId,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Move, PageError> {
        if round.moves == 0 || self.pager.is_paging() {
            return Ok(Move::Later);
        }
        round.moves -= 1;
        let outcome = moved(self.pager.page_out(slice, device))?;
        self.count_paged_out(owner, &outcome);
        Ok(outcome)
    }

    fn count_paged_out(&mut self, owner: usize, outcome: &Move) {
        if let Move::Done(pages) = *outcome {
            let rcb = self.rcb_mut(owner);
            rcb.metrics.paged_out += u64::from(pages);
            let agent = rcb.id;
            self.emit(Event::PagedOut { agent, pages });
        }
    }

    /// Whose slice goes for the sake of an agent: of those at rest the one with the weakest hold, or the
    /// one that is served last of those behind it, whoever is less urgent.
    fn victim(&self, index: usize) -> Option<(usize, SliceId)> {
        let level = self.rcb(index).effective.level();
        let lease_us = self.config.lease_us;
        let resting = (0..self.agents.len())
            .filter_map(|at| Some((at, self.tenant(at)?, self.evictable(at)?)))
            .filter(|(_, tenant, _)| evict::yields(tenant, level, lease_us))
            .min_by_key(|(_, tenant, _)| evict::rank(tenant, lease_us));
        // Who goes alone is before all its equals, wherever it is queued.
        let alone = self.rcb(index).strikes > 0;
        let is_behind = |&at: &usize| match alone {
            true => self.rcb(at).effective.level() <= level,
            false => at != index,
        };
        let behind = core::iter::successors(self.ready.last(), |&agent| self.ready.before(agent))
            .map(usize::from)
            .take_while(is_behind)
            .filter(|&at| at != index)
            .find_map(|at| Some((at, self.evictable(at)?)));
        match (resting, behind) {
            (Some((at, tenant, slice)), Some(queued)) => {
                let queued_level = self.rcb(queued.0).effective.level();
                let weaker = evict::hold(&tenant, lease_us).is_none_or(|hold| hold <= queued_level);
                Some(if weaker { (at, slice) } else { queued })
            }
            (Some((at, _, slice)), None) => Some((at, slice)),
            (None, queued) => queued,
        }
    }

    /// An agent that is not queued.
    fn tenant(&self, index: usize) -> Option<Tenant> {
        let rcb = self.agents[index].rcb.as_ref()?;
        let queued = matches!(rcb.state, State::Ready | State::Running);
        (!queued).then(|| Tenant {
            level: rcb.effective.level(),
            state: rcb.state.kind(),
            rested_us: self.now_us.saturating_sub(rcb.rested_us),
            last_step: rcb.last_step,
        })
    }

    /// The slice of an agent that may go first: from the end of its context, so that the beginning, which
    /// others may share, stays longest; what only it maps before what others map.
    fn evictable(&self, index: usize) -> Option<SliceId> {
        let may_go = |id: SliceId, shared: bool| {
            let slice = self.pager.slice(id);
            slice.resident() && slice.pages > 0 && (slice.refs > 1) == shared && !self.pager.is_needed(id)
        };
        let find = |shared: bool| {
            let table = self.offers(index).iter().chain(self.table(index).iter().rev());
            let mut table = table.filter(|mapping| !mapping.pinned);
            table.find(|mapping| may_go(mapping.slice, shared)).map(|mapping| mapping.slice)
        };
        find(false).or_else(|| find(true))
    }
}

fn moved(poll: Poll<Result<Moved, PageError>>) -> Result<Move, PageError> {
    match poll {
        Poll::Pending => Ok(Move::Later),
        Poll::Ready(Ok(Moved::Pages(pages))) => Ok(Move::Done(pages)),
        Poll::Ready(Ok(Moved::NoRoom)) => Ok(Move::NoRoom),
        Poll::Ready(Err(error)) => Err(error),
    }
}
