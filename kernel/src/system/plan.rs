//! Who is in the next step, and with which rows.
//!
//! Agents are asked in the order of the queues: each gets the pages that it lacks and as many rows
//! as are left, but for one that every agent behind it in its level may need to go on. What a more
//! urgent agent could not get yet is held back from the less urgent.

use core::task::Poll;

use agentos_hal::{
    ColdStore, LateMasks, LayerRange, PAGE_TOKENS, PageError, Row, Segment, Span, TensorDevice, Want,
};

use super::Kernel;
use super::retrace::Retraced;
use super::room::Room;
use super::storage::Rider;
use crate::agent::{Cursor, MemoryMode, State};
use crate::event::Event;
use crate::guard::{Allowed, Guard};
use crate::layout::Placement;
use crate::memory::table::{Fidelity, Mapping, VACANT_MAPPING};
use crate::memory::{Identity, SLICE_PAGES, SliceId};

/// What came of planning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planned {
    /// A step is laid out.
    Step,
    /// Nobody has anything to compute.
    Nothing,
    /// Somebody has, and waits for pages or for a lease to run out.
    Paging,
    /// A page could not be moved.
    Failed(PageError),
}

/// What a whole round of planning shares.
pub(super) struct Round<'g> {
    /// Rows that the step may still have.
    pub rows: u32,
    /// Pages that are held for more urgent agents.
    pub held: u32,
    /// Slices that may still be moved in this tick.
    pub moves: u32,
    /// Agents behind the one that is asked, in its level.
    pub behind: u32,
    /// Says what guarded agents may say.
    pub guard: &'g mut dyn Guard,
    /// What the device does with masks that come after the step.
    pub late: LateMasks,
    /// Has what nobody here has computed.
    pub store: &'g mut dyn ColdStore,
}

/// What came of asking one agent.
enum Asked {
    /// It is in the step with so many rows.
    Rows(u32),
    /// It has to wait for so many pages.
    Short(u32),
    /// It could go on, but the step has no room for it.
    LeftOut,
    /// It has nothing to compute that is not being computed already.
    Nothing,
}

impl Kernel<'_> {
    /// Lays out the next step.
    pub(super) fn plan(
        &mut self,
        device: &mut dyn TensorDevice,
        guard: &mut dyn Guard,
        store: &mut dyn ColdStore,
    ) -> Planned {
        self.step.clear();
        self.pager.begin_round();
        let layer = self.config.relevance_layer;
        self.step.counters = LayerRange { start: layer, end: layer + 1 };
        let rows = self.cost.rows_within(self.config.step_target_us, self.config.rows);
        let (moves, late) = (self.config.moves_per_tick, device.caps().late_masks);
        let mut round = Round { rows, held: 0, moves, behind: 0, guard, late, store };
        let outcome = match self.suspect() {
            Some(index) => self.ask(index, &mut round, device).map(|_| ()),
            None => self.ask_all(&mut round, device),
        };
        match outcome {
            Err(error) => Planned::Failed(error),
            Ok(()) if self.step.row_count > 0 => Planned::Step,
            Ok(()) if self.ready.first().is_some() || self.pager.is_paging() => Planned::Paging,
            Ok(()) => Planned::Nothing,
        }
    }

    /// An agent whose last step failed: it goes alone, so that its fault, if it is one, hits nobody else.
    /// It has to be one of the most urgent, or it would hold those up.
    fn suspect(&self) -> Option<usize> {
        let level = self.rcb(usize::from(self.ready.first()?)).effective;
        let queue = core::iter::successors(self.ready.first(), |&agent| self.ready.after(agent));
        let mut level = queue.map(usize::from).take_while(|&index| self.rcb(index).effective == level);
        level.find(|&index| self.rcb(index).strikes > 0)
    }

    fn ask_all(&mut self, round: &mut Round<'_>, device: &mut dyn TensorDevice) -> Result<(), PageError> {
        let mut next = self.ready.first();
        let mut level = None;
        while let Some(agent) = next {
            next = self.ready.after(agent);
            let index = usize::from(agent);
            let own = self.rcb(index).effective;
            round.behind = match level {
                Some(level) if level == own => round.behind - 1,
                _ => self.ready.len(own) - 1,
            };
            level = Some(own);
            let suspect = self.rcb(index).strikes > 0;
            let full = round.rows == 0 || self.step.rider_count == self.step.riders.len();
            if full || suspect && self.step.rider_count > 0 {
                self.fetch_ahead(index, round, device)?;
                self.preempt(index);
                if self.pager.is_paging() {
                    break;
                }
                continue;
            }
            match self.ask(index, round, device)? {
                Asked::Rows(_) if suspect => break,
                Asked::Rows(rows) => round.rows -= rows,
                Asked::Short(pages) => {
                    round.held += pages;
                    self.preempt(index);
                }
                Asked::LeftOut => self.preempt(index),
                Asked::Nothing => (),
            }
            if self.pager.is_paging() {
                break;
            }
        }
        Ok(())
    }

    /// Counts an agent that was in the last step, could go on, and is left out of this one.
    fn preempt(&mut self, index: usize) {
        let steps = self.figures.steps;
        let rcb = self.rcb_mut(index);
        if rcb.last_step == steps && rcb.has_work() && steps > 0 {
            rcb.metrics.preemptions += 1;
            let agent = rcb.id;
            self.emit(Event::Preempted { agent });
        }
    }

    fn ask(
        &mut self,
        index: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Asked, PageError> {
        if let Retraced::Waits(pages) = self.retrace(index, round, device)? {
            return Ok(Asked::Short(pages));
        }
        self.map_computed(index, round.store);
        while self.take_offer(index) {
            self.map_computed(index, round.store);
        }
        if !self.rcb(index).has_work() {
            if !self.awaits_cold(index, round, device)? {
                self.come_to_rest(index);
            }
            return Ok(Asked::Nothing);
        }
        let due = self.is_choice_due(index);
        let ready = self.knows_its_slices(index);
        if due && ready {
            self.choose_slices(index, 1, usize::MAX);
        }
        // All but a row for each agent behind it in its level: a long prompt does not hold up its
        // equals' answers.
        let most = round.rows.saturating_sub(round.behind).max(1).min(self.step_room(index));
        if most == 0 {
            return Ok(Asked::LeftOut);
        }
        match self.make_resident(index, most, round, device)? {
            Room::Made => (),
            Room::Short(pages) => return Ok(Asked::Short(pages)),
        }
        if !ready {
            // Slices that were sent to it, or that it found: a choice may need them at the next row. Making room may
            // have left the device at work on a page.
            if self.pager.is_paging() {
                return Ok(Asked::Nothing);
            }
            match self.make_schemas(index, device) {
                Poll::Ready(Ok(())) if self.knows_its_slices(index) && !due => (),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) | Poll::Pending => return Ok(Asked::Nothing),
            }
        }
        let placed = self.place_rows(index, most, round, device);
        // It is not in the step yet, so nobody else would take its rows back.
        let rows = placed.inspect_err(|_| self.go_back(index))?;
        if rows == 0 {
            return Ok(Asked::Nothing);
        }
        self.enlist(index, rows);
        Ok(Asked::Rows(rows))
    }

    /// Rows of an agent for which the step's tables have room.
    fn step_room(&self, index: usize) -> u32 {
        let (mut pages, mut selected) = (0, 0);
        for entry in self.selected(index) {
            // A slice may have pages that only others have come to.
            pages += self.pages_of(index, entry);
            selected += 1;
        }
        // Slices behind its cursor, if it went back.
        let table = self.table(index);
        let behind = table.len() as u32 - self.rcb(index).cursor.layout.slices.min(table.len() as u32);
        let mapped = selected + behind;
        let pages_left = (self.step.pages.len() - self.step.page_count) as u32;
        let segments_left = (self.step.segments.len() - self.step.segment_count) as u32;
        let (Some(pages), Some(segments)) =
            (pages_left.checked_sub(pages), segments_left.checked_sub(mapped))
        else {
            return 0;
        };
        // A row begins at most a slice and a page; slices of less than the shortest length there are none.
        if segments == 0 && table.len() < self.config.slices_per_agent() as usize {
            return 0;
        }
        // A row on the page that is begun takes no other; the one behind it may.
        let at = self.rcb(index).cursor.layout;
        let begun = !at.open.is_multiple_of(PAGE_TOKENS as u32);
        let room =
            segments.max(1).saturating_mul(self.config.slice_limits.min()).min(pages.max(u32::from(begun)));
        // Addresses within the trained context are what they are, and those beyond are not: no step has both.
        match self.config.trained_context.checked_sub(at.tokens) {
            Some(rows) if rows > 0 => room.min(rows),
            _ => room,
        }
    }

    /// Maps slices that were computed already, as far as they follow each other.
    fn map_computed(&mut self, index: usize, store: &dyn ColdStore) {
        while self.placeable(index) > 0 && self.rcb(index).cursor.layout.open == 0 {
            let at = self.rcb(index).cursor.layout.slices as usize;
            let known = self.table(index).get(at).map(|mapping| mapping.slice);
            let Some(id) = known.or_else(|| self.map_equal(index, store)) else { return };
            let slice = self.pager.slice(id);
            if !slice.complete() {
                return;
            }
            let tokens = u32::from(slice.computed);
            if tokens > self.skippable(index) && !self.may_map(index, tokens) {
                return;
            }
            self.skip(index, tokens);
        }
    }

    /// Maps the slice that another context made of the same tokens behind the same prefix, if there is
    /// one.
    fn map_equal(&mut self, index: usize, store: &dyn ColdStore) -> Option<SliceId> {
        let identity = self.identity(index)?;
        let exact = self.rcb(index).memory == MemoryMode::Exact;
        if !exact {
            // It computes what others have not finished.
            let unfinished =
                self.find_equal(index, identity).is_some_and(|id| !self.pager.slice(id).complete());
            if unfinished || !self.may_map(index, u32::from(identity.tokens)) {
                return None;
            }
        }
        let id = self.take_equal(index, identity, store)?;
        self.map(index, id);
        Some(id)
    }

    /// A slice that an agent may map for one of an identity, with one mapping more: one of this system, or one that the
    /// store has.
    fn take_equal(&mut self, index: usize, exact: Identity, store: &dyn ColdStore) -> Option<SliceId> {
        if let Some(id) = self.find_equal(index, exact) {
            self.retain_found(id);
            return Some(id);
        }
        let packed = self.rcb(index).packed.then(|| exact.packed());
        let id = self.recall(exact, store).or_else(|| self.recall(packed?, store))?;
        self.keeper.hits.l3 += 1;
        Some(id)
    }

    /// The slice of this system that an agent may map for one of an identity: that one, or one that was packed where the
    /// agent accepts it.
    fn find_equal(&self, index: usize, exact: Identity) -> Option<SliceId> {
        let rcb = self.rcb(index);
        let found = self.pager.find(exact.hash).filter(|&id| !self.would_spoil(index, id));
        found.or_else(|| rcb.packed.then(|| self.pager.find(exact.packed().hash)).flatten())
    }

    /// Whether a slice would not be what its identity says if an agent computed any of it: it is to be exact, and a slice
    /// before the agent's cursor was packed.
    fn would_spoil(&self, index: usize, id: SliceId) -> bool {
        let slice = self.pager.slice(id);
        self.rcb(index).cursor.packed && slice.hash.is_some() && !slice.packed && !slice.complete()
    }

    /// One more mapping of a slice that was found by its identity.
    pub(super) fn retain_found(&mut self, id: SliceId) {
        self.pager.retain(id);
        let slice = self.pager.slice(id);
        let (resident, cold) = (slice.resident(), slice.is_cold());
        let hits = &mut self.keeper.hits;
        let tier = if resident {
            &mut hits.l1
        } else if cold {
            &mut hits.l3
        } else {
            &mut hits.l2
        };
        *tier += 1;
    }

    /// What the slice that begins at the cursor is found by, when all of its tokens are known and none of its rows is
    /// wanted for its outcome.
    fn identity(&self, index: usize) -> Option<Identity> {
        let Cursor { layout, chain, .. } = self.rcb(index).cursor;
        let (_, tokens) = self.slice_at(index, layout)?;
        let hash = chain?.chain(tokens);
        Some(Identity { hash, tokens: tokens.len() as u8, packed: false })
    }

    /// Appends an entry to an agent's page table.
    fn map(&mut self, index: usize, slice: SliceId) {
        let base = self.rcb(index).cursor.layout.tokens;
        let rcb = self.rcb_mut(index);
        let mass = core::mem::take(&mut rcb.counted.begun);
        rcb.mapped += 1;
        let last = rcb.mapped as usize - 1;
        self.table_mut(index)[last] = Mapping {
            slice,
            base,
            fidelity: Fidelity::Exact,
            relevant: base,
            mass,
            next: last as u32 + 1,
            ..VACANT_MAPPING
        };
    }

    /// Tokens that need not be computed if somebody else did: all but the last, whose outcome an agent
    /// that answers needs for itself; and none of a bounded agent, but for whole slices ([`Kernel::may_map`]).
    pub(super) fn skippable(&self, index: usize) -> u32 {
        let rcb = self.rcb(index);
        if rcb.memory != MemoryMode::Exact {
            return 0;
        }
        (rcb.tokens - rcb.cursor.layout.tokens).saturating_sub(u32::from(rcb.generates()))
    }

    /// Tokens of an agent that may be put into steps before a slice that was sent to it is to be mapped.
    pub(super) fn placeable(&self, index: usize) -> u32 {
        let rcb = self.rcb(index);
        self.next_offer(index).unwrap_or(rcb.tokens) - rcb.cursor.layout.tokens
    }

    /// Moves the cursor over tokens of one slice that are computed.
    fn skip(&mut self, index: usize, tokens: u32) {
        let base = self.rcb(index).cursor.layout.tokens;
        let (at, _) = self.next_place(index);
        let recalled = self.pager.take_recalled(self.table(index)[at].slice);
        for _ in 0..tokens {
            self.advance(index);
        }
        let rcb = self.rcb_mut(index);
        rcb.committed = rcb.cursor;
        let end = base + tokens;
        // What it had computed before it went back is no gain, and what comes from the store counts once it came.
        let shared = if recalled { 0 } else { end.saturating_sub(rcb.reached.max(base)) };
        rcb.reached = rcb.reached.max(end);
        rcb.metrics.shared += u64::from(shared);
        if shared > 0 {
            let agent = rcb.id;
            self.emit(Event::Shared { agent, base: end - shared, tokens: shared });
        }
        if self.rcb(index).cursor.layout.open == 0 {
            self.keep(index, self.table(index)[at]);
        }
    }

    /// Moves the cursor over the next token, and seals the slice that it ends.
    fn advance(&mut self, index: usize) -> Placement {
        let limits = self.config.slice_limits;
        let at = self.rcb(index).cursor.layout;
        let token = self.log(index)[at.tokens as usize];
        let (layout, placement) = at.append(self.vocabulary.delimiters[token as usize], limits);
        self.rcb_mut(index).cursor.layout = layout;
        if layout.open == 0 {
            self.seal(index, placement);
        }
        placement
    }

    fn seal(&mut self, index: usize, end: Placement) {
        let mapping = self.table(index)[end.slice as usize];
        let slice = self.pager.slice(mapping.slice);
        let Cursor { chain, trail, packed, .. } = self.rcb(index).cursor;
        let (known, sealed) = (slice.hash.filter(|_| !slice.packed), slice.sealed);
        let tokens = &self.log(index)[mapping.base as usize..=end.address as usize];
        let hash = match (known, chain, trail) {
            (Some(known), Some(_), _) => Some(known),
            (None, Some(chain), _) => Some(chain.chain(tokens)),
            (_, None, trail) => trail.map(|trail| trail.attended(tokens)),
        };
        if sealed.is_none() {
            let tokens = end.offset as u8 + 1;
            let own = hash.map(|hash| Identity { hash, tokens, packed: false }.behind(packed));
            self.pager.seal(mapping.slice, own, tokens);
        }
        let is_packed = self.pager.slice(mapping.slice).packed;
        if is_packed {
            self.table_mut(index)[end.slice as usize].fidelity = Fidelity::Packed;
        }
        let cursor = &mut self.rcb_mut(index).cursor;
        cursor.packed |= is_packed;
        if chain.is_some() { cursor.chain = hash } else { cursor.trail = hash }
    }

    /// Lays out up to `most` rows of an agent; fewer when pages run out.
    fn place_rows(
        &mut self,
        index: usize,
        mut most: u32,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<u32, PageError> {
        let mut rows = 0;
        let counts_from = self.counts_from(index);
        while rows < most && self.placeable(index) > 0 {
            if self.is_choice_due(index) {
                // What comes after may attend to other slices.
                break;
            }
            if rows > 0 && self.rcb(index).cursor.layout.open == 0 && self.stops_at_slice(index) {
                break;
            }
            if rows > 0 && counts_from == self.rcb(index).cursor.layout.tokens {
                // Attention is counted for all rows of a step, or for none.
                break;
            }
            if self.rcb(index).cursor.layout.open == 0 {
                self.begin_slice(index, round.store);
            }
            let (at, offset) = self.next_place(index);
            let id = self.table(index)[at].slice;
            let slice = *self.pager.slice(id);
            if !slice.resident() || !slice.complete() && self.pager.is_moving(id) {
                // An equal slice that was found in the arena or the store, or on its way there with what it has: the
                // next round brings it in.
                break;
            }
            let computed = usize::from(slice.computed).saturating_sub(offset) as u32;
            let skipped = computed.min(self.skippable(index));
            if skipped > 0 {
                if rows > 0 {
                    // What comes after is for the next step, so that what is committed stays in order.
                    break;
                }
                // Another agent's step computed it meanwhile, or this agent's before it went back.
                self.skip(index, skipped);
                // It attends to more pages than it did.
                most = most.min(self.step_room(index));
                continue;
            }
            if computed == 0 && usize::from(slice.planned) > offset {
                // Another agent's rows of this very step compute it.
                break;
            }
            let id = if computed > 0 || slice.refs > 1 && slice.sealed.is_none() {
                // What is pinned is whole; what is computed anew is not.
                self.unpin(index, at);
                let Some(copy) = self.pager.make_own(id, offset as u8, device)? else { break };
                self.table_mut(index)[at].slice = copy;
                copy
            } else {
                id
            };
            if usize::from(self.pager.slice(id).pages) <= offset / PAGE_TOKENS
                && (self.pager.free() <= round.held || self.pager.grow(id).is_none())
            {
                break;
            }
            let Some(mask) = self.allowed(index, round) else { break };
            self.pager.need(id);
            self.pager.plan_token(id);
            self.place_row(index, id, mask);
            rows += 1;
        }
        Ok(rows)
    }

    /// The mask of the next row to place, if it has one; `None` while the row cannot be in a step, because the
    /// guard does not know yet, or because there is no room for its mask.
    fn allowed(&mut self, index: usize, round: &mut Round<'_>) -> Option<Option<u16>> {
        let rcb = self.rcb(index);
        let last = rcb.cursor.layout.tokens + 1 == rcb.tokens;
        if !(rcb.guarded && last && rcb.generates()) {
            return Some(None);
        }
        let id = rcb.id;
        self.rcb_mut(index).ends = round.guard.ends(id);
        let (number, words) = (self.step.mask_count, self.step.mask_words);
        let mask = self.step.masks.get_mut(number * words..(number + 1) * words)?;
        match round.guard.next(id, mask, round.late) {
            Allowed::Anything => return Some(None),
            Allowed::Masked => (),
            Allowed::Later if round.late != LateMasks::Refused => self.step.late |= 1 << number,
            Allowed::Later | Allowed::NotYet => return None,
        }
        self.step.mask_count += 1;
        Some(Some(number as u16))
    }

    /// Where the next token goes: the entry of the page table and the offset in its slice.
    fn next_place(&self, index: usize) -> (usize, usize) {
        let layout = self.rcb(index).cursor.layout;
        let at = if layout.open == 0 { layout.slices } else { layout.slices - 1 };
        (at as usize, layout.open as usize)
    }

    fn place_row(&mut self, index: usize, id: SliceId, mask: Option<u16>) {
        let token = self.log(index)[self.rcb(index).cursor.layout.tokens as usize];
        let Placement { address, offset, place, .. } = self.advance(index);
        let rcb = self.rcb(index);
        let want = if rcb.cursor.layout.tokens == rcb.tokens && rcb.generates() {
            Want::Candidates
        } else {
            Want::Nothing
        };
        let page = self.pager.slice(id).device_pages()[offset as usize / PAGE_TOKENS];
        self.step.rows[self.step.row_count] =
            Row { token, address, page, place, offset, want, mask, expose: false };
        self.step.row_count += 1;
    }

    /// A slice begins at the cursor: one that is mapped already, an equal one, or a new one.
    fn begin_slice(&mut self, index: usize, store: &dyn ColdStore) {
        let at = self.rcb(index).cursor.layout.slices as usize;
        if let Some(known) = self.table(index).get(at).map(|mapping| mapping.slice) {
            if self.would_spoil(index, known) {
                // It was whole once, and was lost.
                let own = self.identity(index).map(Identity::packed);
                let own = self.pager.create(own);
                self.unpin(index, at);
                self.table_mut(index)[at].slice = own;
                self.pager.release(known);
                self.pager.need(own);
            }
            return;
        }
        // A slice amid which something may be left out is not found by what comes out where nothing is.
        let whole = !self.lacks_room(index, SLICE_PAGES as u32);
        let identity = if whole { self.identity(index) } else { None };
        // A bounded agent has looked before the step.
        let looked = identity.filter(|_| self.rcb(index).memory == MemoryMode::Exact);
        let is_packed = self.rcb(index).cursor.packed;
        let id = looked.and_then(|exact| self.take_equal(index, exact, store)).unwrap_or_else(|| {
            self.keeper.hits.none += u64::from(looked.is_some());
            // What is computed behind something packed is not what the tokens alone would give.
            self.pager.create(identity.map(|exact| exact.behind(is_packed)))
        });
        self.pager.need(id);
        self.map(index, id);
    }

    /// Puts an agent's rows into the step, with what they may attend to.
    fn enlist(&mut self, index: usize, rows: u32) {
        let (first_segment, first_page) = (self.step.segment_count, self.step.page_count);
        // Beyond the trained context what it attends to is mapped without gaps.
        let dense = self.rcb(index).cursor.layout.tokens > self.config.trained_context;
        let (mut next, slices) = (0, self.rcb(index).cursor.layout.slices as usize);
        let (mut row, mut end) = (self.step.row_count - rows as usize, 0);
        while next < slices {
            let mapping = self.table(index)[next];
            let len = self.tokens_of(index, next);
            let base = if dense { end } else { mapping.base };
            let segment = Segment { base, len };
            end = base + len;
            let pages = segment.pages() as usize;
            self.step.segments[self.step.segment_count] = segment;
            self.step.segment_count += 1;
            let at = self.step.page_count;
            self.step.pages[at..at + pages]
                .copy_from_slice(&self.pager.slice(mapping.slice).device_pages()[..pages]);
            self.step.page_count += pages;
            while row < self.step.row_count && self.step.rows[row].address < mapping.base + len {
                self.step.rows[row].address = base + self.step.rows[row].offset;
                row += 1;
            }
            next = mapping.next as usize;
        }
        let segments = (self.step.segment_count - first_segment) as u32;
        self.step.spans[self.step.rider_count] = Span { rows, segments };
        let last = self.step.rows[self.step.row_count - 1];
        let exposed = self.exposed_of(index, rows);
        let rider = Rider {
            agent: index as u16,
            first_row: self.step.row_count as u32 - rows,
            rows,
            first_segment: first_segment as u32,
            segments,
            first_page: first_page as u32,
            pages: (self.step.page_count - first_page) as u32,
            exposed,
            wants: last.want != Want::Nothing,
        };
        self.step.riders[self.step.rider_count] = rider;
        self.step.exposed += exposed;
        self.expose(&rider);
        self.step.rider_count += 1;
        self.change(index, State::Running);
        let quantum = self.config.quantum_rows;
        let rcb = self.rcb_mut(index);
        let turn = if rcb.turn_rows == 0 { quantum } else { rcb.turn_rows };
        rcb.turn_rows = turn.saturating_sub(rows);
    }

    /// The step is on its way.
    pub(super) fn begun(&mut self, begun_us: u64) {
        self.figures.steps += 1;
        let (step, now_us) = (self.figures.steps, self.now_us);
        for rider in 0..self.step.rider_count {
            let index = usize::from(self.step.riders[rider].agent);
            let rcb = self.rcb_mut(index);
            let waited = rcb.stirred_us.filter(|_| !rcb.dispatched);
            let lacked = rcb.lacks_since_us.take();
            rcb.dispatched = true;
            rcb.progress_us = now_us;
            rcb.last_step = step;
            if let Some(stirred_us) = waited {
                self.dispatch.note(now_us.saturating_sub(stirred_us));
            }
            if let Some(since_us) = lacked {
                self.paged_in.note(begun_us.saturating_sub(since_us));
            }
        }
        let (rows, agents) = (self.step.row_count as u32, self.step.rider_count as u32);
        self.emit(Event::StepBegun { step, rows, agents });
    }
}
