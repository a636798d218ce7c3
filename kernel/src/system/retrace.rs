//! Bounded agents and the cold store: what one has computed is found again by a later run, and never a bit else.
//!
//! What a bounded agent's rows attend to follows from its own tokens, its quota, and where it was asked. So a trail runs
//! through its context, a hash of just that, and a slice on it has an identity as an exact agent's has. To go on behind
//! such slices takes more than their pages: what is selected, what each slice has held of the attention, the mean keys
//! and the latest queries. This state, a snapshot, is stored now and then where a slice ends. An agent that has come to
//! a point of its trail from where all slices up to a snapshot can be had brings them in, while it waits, and only then
//! takes the state over. If any of it does not come, nothing has happened, and it computes.
//!
//! Before its first choice a bounded agent attends to everything, and maps the slices that an exact one would.

use agentos_hal::{ColdStore, PAGE_TOKENS, PageError, StoreKey, TensorDevice};

use super::Kernel;
use super::plan::Round;
use super::room::Move;
use crate::agent::{Counted, Cursor, MemoryMode, Persist, Receive, Retrace, State};
use crate::event::Event;
use crate::layout::Layout;
use crate::memory::cold::snapshot::SNAPSHOT_PAGES;
use crate::memory::cold::{Fetched, StoreFault};
use crate::memory::relevance::{KEPT, QUERIES};
use crate::memory::table::{Mapping, VACANT_MAPPING};
use crate::memory::{Identity, SliceHash, SliceId, select};

/// Words of a snapshot before the queries: what it is, tokens, slices, choices, queries.
pub(super) const SNAPSHOT_WORDS: usize = 5;

/// Words of a slice in a snapshot before its schema: whether it is selected, and its mass.
pub(super) const SNAPSHOT_SLICE_WORDS: usize = 3;

/// What a snapshot begins with: how it is written, counted.
const MAGIC: u32 = u32::from_le_bytes(*b"agS1");

/// Tokens from one stored state to the next.
const SNAPSHOT_TOKENS: u32 = 256;

/// Slices that the store is told of ahead.
const AHEAD: usize = 2;

const _: () = assert!(SNAPSHOT_PAGES > 0);

/// What came of an agent's way over what the store has.
pub(super) enum Retraced {
    /// It goes on computing, behind what it found if it found something.
    GoesOn,
    /// It waits, for so many pages or for the store.
    Waits(u32),
}

impl Kernel<'_> {
    /// Whether what a bounded agent computes may be found again: there is a store, and nothing but its tokens has a say
    /// in what it attends to.
    fn leaves_trail(&self, index: usize) -> bool {
        let rcb = self.rcb(index);
        let lossless = matches!(rcb.memory, MemoryMode::Bounded { packed: false, .. });
        let exact = lossless && !rcb.packed && rcb.receive == Receive::Copied;
        self.config.cold_slices > 0 && exact && self.is_choosy(index)
    }

    /// The trail of an agent that makes its first choice behind slices of this identity.
    fn begin_trail(&self, index: usize, chain: SliceHash) -> Option<SliceHash> {
        if !self.leaves_trail(index) || self.rcb(index).pinned > 0 {
            return None;
        }
        let paging = self.config.paging;
        Some(chain.bounded(&[
            self.quota(index)?,
            self.config.relevance_layer,
            self.config.trained_context,
            paging.window_percent,
            paging.replay_window_percent,
            paging.headroom_percent,
            paging.hysteresis_percent,
            paging.held_percent,
            paging.far,
            paging.replays,
            paging.replay_tokens,
        ]))
    }

    /// The trail behind a choice.
    pub(super) fn trail_of_choice(&self, index: usize) -> Option<SliceHash> {
        let Cursor { chain, trail, .. } = self.rcb(index).cursor;
        match chain {
            Some(chain) => self.begin_trail(index, chain),
            None => trail,
        }
    }

    /// A question has made an agent choose anew: what it was and where, is a part of its trail.
    pub(super) fn trail_of_question(&self, index: usize) -> Option<SliceHash> {
        let Cursor { layout, trail, .. } = self.rcb(index).cursor;
        let open = &self.log(index)[(layout.tokens - layout.open) as usize..layout.tokens as usize];
        Some(trail?.asked(open))
    }

    /// Something has a say in what an agent attends to that cannot be found again.
    pub(super) fn leave_trail(&mut self, index: usize) {
        let rcb = self.rcb_mut(index);
        (rcb.cursor.trail, rcb.committed.trail) = (None, None);
    }

    /// Whether a bounded agent may map, instead of computing it, the slice at its cursor: it attends to everything, and
    /// before it chooses for the first time it computes the rows whose queries it chooses by.
    pub(super) fn may_map(&self, index: usize, tokens: u32) -> bool {
        let rcb = self.rcb(index);
        let left = (rcb.tokens - rcb.cursor.layout.tokens).saturating_sub(u32::from(rcb.generates()));
        let pages = tokens.div_ceil(PAGE_TOKENS as u32) + QUERIES as u32;
        let before_choices = rcb.cursor.chain.is_some() && self.is_choosy(index);
        let own = rcb.receive == Receive::Copied && !rcb.forsaken;
        before_choices && own && tokens <= left && !self.lacks_room(index, pages)
    }

    /// Whether a step of an agent is to end where a slice does: there it may store its state, or look for one.
    pub(super) fn stops_at_slice(&self, index: usize) -> bool {
        let rcb = self.rcb(index);
        let left = rcb.tokens - rcb.cursor.layout.tokens;
        let seeks = rcb.sought != rcb.tokens && left > self.config.slice_limits.max();
        seeks && self.may_retrace(index) || self.is_snapshot_due(index, rcb.cursor)
    }

    fn may_retrace(&self, index: usize) -> bool {
        let rcb = self.rcb(index);
        let has_come = rcb.cursor.chain.is_some() || rcb.cursor.trail.is_some();
        has_come && !rcb.forsaken && rcb.pinned == 0 && !self.store_is_gone() && self.leaves_trail(index)
    }

    /// Whether an agent's state is worth storing at a place where a slice ends.
    fn is_snapshot_due(&self, index: usize, at: Cursor) -> bool {
        let rcb = self.rcb(index);
        let Some(since) = at.layout.tokens.checked_sub(rcb.stored_at) else { return false };
        // The last place before an answer is where the next run will stand.
        let left = rcb.tokens - at.layout.tokens;
        let is_near = rcb.asked && left > 0 && left <= self.config.slice_limits.max();
        let is_last = is_near && since > 0 && self.slice_at(index, at.layout).is_none();
        let replays = rcb.asked && rcb.replays > 0;
        let whole = at.layout.open == 0 && at.trail.is_some() && at.chain.is_none() && !replays;
        let wanted = rcb.persist == Persist::Exact && (since >= SNAPSHOT_TOKENS && !is_near || is_last);
        whole && wanted && self.keeps() && self.pager.can_snapshot()
    }

    /// Has an agent's state stored, if that is due and all of it is known.
    pub(super) fn store_state(&mut self, index: usize) {
        let rcb = self.agents[index].rcb.as_ref().expect("the slot is taken");
        let at = rcb.committed;
        let known = rcb.cursor == at && rcb.known == at.layout.slices && rcb.mapped == at.layout.slices;
        let (Some(trail), Some(attention)) = (at.trail, self.config.attention) else { return };
        if !known || !self.is_snapshot_due(index, at) {
            return;
        }
        let (noted, choices, width) = (rcb.queries as usize, rcb.choices, attention.query_width());
        let rows = noted.min(KEPT);
        let ring = &self.queries[index * KEPT * width..][..KEPT * width];
        let queries = (noted - rows..noted).flat_map(|row| &ring[row % KEPT * width..][..width]);
        let head = [MAGIC, at.layout.tokens, at.layout.slices, choices, rows as u32];
        let words = head.into_iter().chain(queries.map(|number| number.to_bits()));
        let first = index * self.config.slices_per_agent() as usize;
        let table = &self.mappings[first..first + at.layout.slices as usize];
        let slices = table.iter().map(|mapping| {
            let Mapping { selected, mass, .. } = *mapping;
            (mapping.slice, [u32::from(selected), mass as u32, (mass >> 32) as u32])
        });
        if self.pager.take_snapshot(trail.snapshot(), words, slices) {
            self.rcb_mut(index).stored_at = at.layout.tokens;
        }
    }

    /// Brings an agent as far over its context as the store can, before it computes. What is behind its cursor counts
    /// only once all of it is there.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_in`] and [`TensorDevice::copy_out`].
    pub(super) fn retrace(
        &mut self,
        index: usize,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Retraced, PageError> {
        if self.rcb(index).retrace.is_none()
            && let Some(waits) = self.begin_retrace(index, round.store)
        {
            return Ok(waits);
        }
        match self.pager.fetch_snapshot(round.store, self.patience()) {
            Fetched::Whole => (),
            Fetched::Waiting => return Ok(Retraced::Waits(0)),
            Fetched::Failed(fault) => {
                self.state_not_loaded(index, fault, round.store);
                return Ok(Retraced::GoesOn);
            }
        }
        while let Some(retrace) = self.rcb(index).retrace {
            if retrace.at.layout.slices == retrace.to.layout.slices {
                self.take_state_over(index);
                break;
            }
            if let Some(waits) = self.bring_slice(index, retrace, round, device)? {
                return Ok(waits);
            }
        }
        Ok(Retraced::GoesOn)
    }

    /// Looks for a stored state of an agent, once for all tokens that it has now. `None`: it is on its way there.
    fn begin_retrace(&mut self, index: usize, store: &mut dyn ColdStore) -> Option<Retraced> {
        let rcb = self.rcb(index);
        let at_rest = rcb.cursor == rcb.committed && rcb.mapped == rcb.cursor.layout.slices;
        let looks = rcb.cursor.layout.open == 0 && rcb.sought != rcb.tokens && at_rest;
        if !looks || rcb.held.is_some() || !self.may_retrace(index) {
            return Some(Retraced::GoesOn);
        }
        let Some((to, pages)) = self.find_state(index, store) else {
            let rcb = self.rcb_mut(index);
            rcb.sought = rcb.tokens;
            return Some(Retraced::GoesOn);
        };
        if let Some(other) = self.who_retraces() {
            // Its turn comes, or it waits for something else, or for somebody less urgent than this agent.
            let (own, others) = (self.rcb(index).effective.level(), self.rcb(other));
            let goes_on = matches!(others.state, State::Ready | State::Running);
            if goes_on && others.effective.level() >= own {
                return Some(Retraced::Waits(0));
            }
            self.give_retrace_up(other);
            self.rcb_mut(other).sought = 0;
        }
        let rcb = self.rcb_mut(index);
        rcb.sought = rcb.tokens;
        rcb.retrace = Some(Retrace { to, at: rcb.cursor, shared: 0 });
        let trail = to.trail.expect("a state is stored on a trail");
        self.pager.begin_fetch(StoreKey(trail.snapshot().0), pages);
        None
    }

    fn who_retraces(&self) -> Option<usize> {
        (0..self.agents.len())
            .find(|&at| self.agents[at].rcb.as_ref().is_some_and(|rcb| rcb.retrace.is_some()))
    }

    /// The farthest place behind an agent's cursor with a stored state, up to which all slices can be had, and the pages
    /// of the state.
    fn find_state(&self, index: usize, store: &dyn ColdStore) -> Option<(Cursor, u8)> {
        let (start, mut found, mut at) = (self.rcb(index).cursor, None, self.rcb(index).cursor);
        let mut loads = 0;
        while let Some((hash, tokens, behind)) = self.walk(index, at) {
            let here = self.pager.find(hash).is_some_and(|id| self.pager.slice(id).complete());
            if !here && !is_stored(store, hash, tokens) {
                break;
            }
            loads += if here { 0 } else { u32::from(tokens).div_ceil(PAGE_TOKENS as u32) };
            at = behind;
            let state = at.trail.filter(|_| at.chain.is_none()).and_then(|trail| {
                let entry = store.find(&StoreKey(trail.snapshot().0))?;
                self.pager.snapshot_pages(entry)
            });
            if let Some(pages) = state {
                found = Some((at, pages, loads));
            }
        }
        let (to, pages, loads) = found?;
        let tokens = to.layout.tokens - start.layout.tokens;
        self.loading_pays(tokens, loads + u32::from(pages)).then_some((to, pages))
    }

    /// The slice that begins at a place of an agent's context: its identity, its tokens, and what comes behind it.
    /// `None` where its tokens are not all known, or its last row is wanted for its outcome.
    fn walk(&self, index: usize, from: Cursor) -> Option<(SliceHash, u8, Cursor)> {
        let (layout, tokens) = self.slice_at(index, from.layout)?;
        let pages = tokens.len().div_ceil(PAGE_TOKENS) as u32;
        // Where all of it fits the quota, nothing was chosen.
        let exact = from.chain.filter(|_| from.layout.pages + pages <= self.quota(index).unwrap_or(0));
        let (hash, chain, trail) = match (exact, from.chain) {
            (Some(chain), _) => {
                let hash = chain.chain(tokens);
                (hash, Some(hash), None)
            }
            (None, chain) => {
                let trail = chain.map_or(from.trail, |chain| self.begin_trail(index, chain))?;
                let hash = trail.attended(tokens);
                (hash, None, Some(hash))
            }
        };
        Some((hash, tokens.len() as u8, Cursor { layout, chain, trail, ..from }))
    }

    /// Where the slice ends that begins at a place of an agent's context, and its tokens, when all are known and none of
    /// its rows is wanted for its outcome.
    pub(super) fn slice_at(&self, index: usize, from: Layout) -> Option<(Layout, &[u32])> {
        let log = self.log(index);
        let begin = from.tokens as usize;
        let end = self.next_offer(index).map_or(log.len(), |offer| offer as usize);
        let layout = self.slice_end(from, &log[begin..end]);
        let wanted = layout.tokens as usize == log.len() && self.rcb(index).generates();
        let whole = layout.open == 0 && layout.tokens > from.tokens && !wanted;
        whole.then(|| (layout, &log[begin..layout.tokens as usize]))
    }

    /// Where the slice ends that is open at a place or begins there, as far as tokens are known.
    pub(super) fn slice_end(&self, mut layout: Layout, tokens: &[u32]) -> Layout {
        for &token in tokens {
            (layout, _) = layout.append(self.vocabulary.delimiters[token as usize], self.config.slice_limits);
            if layout.open == 0 {
                break;
            }
        }
        layout
    }

    /// Brings in the next slice of a way. `None`: it is there, or the way was given up.
    fn bring_slice(
        &mut self,
        index: usize,
        retrace: Retrace,
        round: &mut Round<'_>,
        device: &mut dyn TensorDevice,
    ) -> Result<Option<Retraced>, PageError> {
        let entry = retrace.at.layout.slices as usize;
        let Some((hash, tokens, behind)) = self.walk(index, retrace.at) else {
            self.give_retrace_up(index);
            return Ok(None);
        };
        let mut shared = retrace.shared;
        if self.table(index).len() == entry {
            let Some((id, here)) = self.take_stored(hash, tokens, round.store) else {
                // It was there a moment ago: the store has let it go.
                self.give_retrace_up(index);
                return Ok(None);
            };
            shared += if here { u32::from(tokens) } else { 0 };
            self.map_ahead(index, id, retrace.at.layout.tokens);
            self.tell_behind(index, behind, round.store);
        }
        let mapping = self.table(index)[entry];
        let slice = self.pager.slice(mapping.slice);
        if slice.is_cold() {
            let pages = u32::from(slice.pages);
            self.pager.need(mapping.slice);
            let others = self.pager.loading().is_some_and(|loading| loading != mapping.slice);
            if others || round.moves == 0 || self.pager.is_paging() {
                return Ok(Some(Retraced::Waits(0)));
            }
            match self.recall_page_in(index, mapping, round, device)? {
                Move::Done(_) => (),
                Move::NoRoom => return Ok(Some(Retraced::Waits(pages))),
                Move::Later => return Ok(Some(Retraced::Waits(0))),
            }
        } else if !slice.complete() {
            self.give_retrace_up(index);
            return Ok(None);
        }
        self.rcb_mut(index).retrace = Some(Retrace { at: behind, shared, ..retrace });
        Ok(None)
    }

    /// A slice of an identity, with one mapping more, and whether it is here rather than in the store.
    fn take_stored(&mut self, hash: SliceHash, tokens: u8, store: &dyn ColdStore) -> Option<(SliceId, bool)> {
        if let Some(id) = self.pager.find(hash) {
            if !self.pager.slice(id).complete() {
                return None;
            }
            let here = !self.pager.slice(id).is_cold();
            self.retain_found(id);
            return Some((id, here));
        }
        if !is_stored(store, hash, tokens) || self.pager.cold() >= self.config.cold_slices {
            return None;
        }
        self.keeper.hits.l3 += 1;
        Some((self.pager.create_cold(Identity { hash, tokens, packed: false }), false))
    }

    /// Maps a slice that an agent's context has not come to. It is left out until the agent's state says otherwise.
    fn map_ahead(&mut self, index: usize, slice: SliceId, base: u32) {
        self.rcb_mut(index).mapped += 1;
        let table = self.table_mut(index);
        let last = table.len() - 1;
        table[last] = Mapping { slice, base, relevant: base, selected: false, ..VACANT_MAPPING };
        select::link(table);
    }

    /// Tells the store which slices come behind a place.
    fn tell_behind(&self, index: usize, behind: Cursor, store: &mut dyn ColdStore) {
        let mut at = behind;
        for _ in 0..AHEAD {
            let Some((hash, tokens, next)) = self.walk(index, at) else { return };
            if self.pager.find(hash).is_none() && is_stored(store, hash, tokens) {
                store.prefetch(&StoreKey(hash.0));
            }
            at = next;
        }
    }

    /// All slices are there: an agent takes over the state that it would have behind them.
    fn take_state_over(&mut self, index: usize) {
        let Some(Retrace { to, shared, .. }) = self.rcb(index).retrace else { return };
        let Some((choices, rows)) = self.checked_state(index, to) else {
            // The store's bytes are as they were written: by another program, or for something else.
            self.give_retrace_up(index);
            self.rcb_mut(index).forsaken = true;
            return;
        };
        let Some(attention) = self.config.attention else { return };
        let (width, key) = (attention.query_width(), attention.key_width());
        let ring = &mut self.queries[index * KEPT * width..][..rows as usize * width];
        let words = self.pager.snapshot_words();
        for (number, word) in ring.iter_mut().zip(words.skip(SNAPSHOT_WORDS)) {
            *number = f32::from_bits(word);
        }
        for entry in 0..to.layout.slices as usize {
            let first = state_of(entry, rows, width, key);
            let mut words = self.pager.snapshot_words().skip(first);
            let [selected, low, high] = core::array::from_fn(|_| words.next().unwrap_or(0));
            drop(words);
            let tokens = self.tokens_between(index, entry, to) as u8;
            let mapping = &mut self.table_mut(index)[entry];
            mapping.selected = selected == 1;
            mapping.mass = u64::from(low) | u64::from(high) << 32;
            let slice = mapping.slice;
            if self.pager.slice(slice).schema < tokens {
                self.pager.adopt_schema(slice, tokens, first + SNAPSHOT_SLICE_WORDS);
            }
        }
        select::link(self.table_mut(index));
        self.pager.end_snapshot();
        let rcb = self.rcb_mut(index);
        let base = rcb.cursor.layout.tokens;
        (rcb.cursor, rcb.committed, rcb.retrace) = (to, to, None);
        (rcb.queries, rcb.choices, rcb.known) = (rows, choices, to.layout.slices);
        rcb.counted = Counted { tokens: to.layout.tokens, begun: 0 };
        rcb.reached = rcb.reached.max(to.layout.tokens);
        rcb.stored_at = to.layout.tokens;
        rcb.metrics.shared += u64::from(shared);
        let agent = rcb.id;
        if shared > 0 {
            self.emit(Event::Shared { agent, base, tokens: shared });
        }
    }

    /// Tokens of an entry of an agent's page table that goes to a place.
    fn tokens_between(&self, index: usize, entry: usize, to: Cursor) -> u32 {
        let table = self.table(index);
        table.get(entry + 1).map_or(to.layout.tokens, |next| next.base) - table[entry].base
    }

    /// The choices and the queries of a state that is here, if it is one for this place of an agent's context.
    fn checked_state(&self, index: usize, to: Cursor) -> Option<(u32, u32)> {
        let attention = self.config.attention?;
        let (width, key, slices) =
            (attention.query_width(), attention.key_width(), to.layout.slices as usize);
        let mut words = self.pager.snapshot_words();
        let [magic, tokens, found, choices, rows] = core::array::from_fn(|_| words.next().unwrap_or(0));
        if (magic, tokens, found) != (MAGIC, to.layout.tokens, to.layout.slices) || rows > KEPT as u32 {
            return None;
        }
        // The agent's own choices are the first of them, and more are to be counted.
        if !(self.rcb(index).choices.max(1)..1 << 31).contains(&choices) {
            return None;
        }
        let mut sound =
            words.by_ref().take(rows as usize * width).all(|word| f32::from_bits(word).is_finite());
        let (mut pages, mut sink) = (0, false);
        for entry in 0..slices {
            let selected = words.next().filter(|&selected| selected <= 1)?;
            let _mass = (words.next()?, words.next()?);
            sound &= words.by_ref().take(key).all(|word| f32::from_bits(word).is_finite());
            sink |= entry == 0 && selected == 1;
            pages += selected * self.tokens_between(index, entry, to).div_ceil(PAGE_TOKENS as u32);
        }
        let whole = self.pager.snapshot_words().count() >= state_of(slices, rows, width, key);
        (sound && sink && whole && pages <= self.quota(index)?).then_some((choices, rows))
    }

    /// An agent's state does not come: it computes.
    fn state_not_loaded(&mut self, index: usize, fault: StoreFault, store: &mut dyn ColdStore) {
        let Some(Retrace { to, .. }) = self.rcb(index).retrace else { return };
        let (agent, from) = (self.rcb(index).id, self.rcb(index).cursor.layout.tokens);
        self.give_retrace_up(index);
        self.rcb_mut(index).forsaken = true;
        if let (StoreFault::Corrupt, Some(trail)) = (fault, to.trail) {
            // If it cannot be deleted, it is found and fails again.
            let _deleted = store.delete(&StoreKey(trail.snapshot().0));
        }
        self.count_not_loaded(agent, to.layout.tokens - from, fault);
    }

    /// A slice on an agent's way did not come.
    pub(super) fn lost_on_the_way(&mut self, index: usize, slice: SliceId) {
        let ahead = self.rcb(index).cursor.layout.slices as usize;
        let is_ahead = self.table(index).iter().skip(ahead).any(|mapping| mapping.slice == slice);
        if self.rcb(index).retrace.is_some() && is_ahead {
            self.give_retrace_up(index);
            self.rcb_mut(index).forsaken = true;
        }
    }

    /// An agent does not go where the store would have brought it: nothing has happened.
    pub(super) fn give_retrace_up(&mut self, index: usize) {
        if self.rcb(index).retrace.is_none() {
            return;
        }
        self.pager.end_snapshot();
        let keep = self.rcb(index).cursor.layout.slices;
        for entry in keep as usize..self.table(index).len() {
            let slice = self.table(index)[entry].slice;
            self.pager.release(slice);
        }
        let rcb = self.rcb_mut(index);
        (rcb.retrace, rcb.mapped) = (None, keep);
        select::link(self.table_mut(index));
    }
}

/// The word of a snapshot at which it says what it does of an entry.
const fn state_of(entry: usize, rows: u32, query_width: usize, key_width: usize) -> usize {
    SNAPSHOT_WORDS + rows as usize * query_width + entry * (SNAPSHOT_SLICE_WORDS + key_width)
}

/// Whether a store has a slice, as its tokens say that it is.
fn is_stored(store: &dyn ColdStore, hash: SliceHash, tokens: u8) -> bool {
    let pages = usize::from(tokens).div_ceil(PAGE_TOKENS) as u8;
    store
        .find(&StoreKey(hash.0))
        .is_some_and(|entry| entry.exact && (entry.pages, entry.tokens) == (pages, tokens))
}
