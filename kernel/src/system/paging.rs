//! Relevance paging (paper §2.2 and algorithm 2): what bounded agents attend to, and what happens when a
//! question looks for something that was left out.
//!
//! A choice is made when an agent's quota is used up, between two rows that no step computes together, and
//! when an answer is about to begin. It depends on the queries and keys of the agent's own rows, and on what they
//! attended to, so neither chunking nor neighbours nor time has a say in it. When a question's rows turn out to look for slices
//! that they could not attend to, that is a page fault: the slices are brought in, and the rows are
//! computed again from the question's beginning, as a processor restarts the faulting instruction. Where
//! pages are is another matter: what nobody attends to stays in page memory until its pages are needed.

use core::ops::Range;
use core::task::Poll;

use agentos_hal::{PAGE_TOKENS, PageError, TensorDevice};

use super::Kernel;
use super::storage::Rider;
use crate::agent::{Counted, MemoryMode, Priority, Rcb, State};
use crate::event::Event;
use crate::interrupt::VectorId;
use crate::layout::Layout;
use crate::memory::Mapping;
use crate::memory::relevance::{KEPT, Key, Look, QUERIES};
use crate::memory::select::{self, Policy, Room};
use crate::sample::Choice;

/// A slice that one of so many last choices selected belongs to its agent's working set.
const WORKING_CHOICES: u32 = 4;

impl Kernel<'_> {
    /// The pages that a bounded agent may attend to.
    pub(super) fn quota(&self, index: usize) -> Option<u32> {
        match self.rcb(index).memory {
            MemoryMode::Bounded { pages, .. } => Some(pages),
            MemoryMode::Exact => None,
        }
    }

    /// Whether what an agent attends to is chosen by relevance.
    pub(super) fn is_choosy(&self, index: usize) -> bool {
        self.quota(index).is_some() && self.pager.has_schemas() && self.policy == Policy::Relevance
    }

    /// The selected entries of an agent's page table that its context has come to.
    pub(super) fn selected(&self, index: usize) -> impl Iterator<Item = usize> {
        let slices = self.rcb(index).cursor.layout.slices as usize;
        let table = self.table(index);
        core::iter::successors(Some(0), |&entry| Some(table.get(entry)?.next as usize))
            .take_while(move |&entry| entry < slices)
    }

    /// Tokens of an entry that the agent's context has come to.
    pub(super) fn tokens_of(&self, index: usize, entry: usize) -> u32 {
        let (table, end) = (self.table(index), self.rcb(index).cursor.layout.tokens);
        table.get(entry + 1).map_or(end, |next| next.base.min(end)) - table[entry].base
    }

    /// Pages of an entry that the agent's context has come to.
    pub(super) fn pages_of(&self, index: usize, entry: usize) -> u32 {
        self.tokens_of(index, entry).div_ceil(PAGE_TOKENS as u32)
    }

    /// Whether a bounded agent has no room for so many pages more.
    pub(super) fn lacks_room(&self, index: usize, pages: u32) -> bool {
        let Some(quota) = self.quota(index) else { return false };
        let selected: u32 = self.selected(index).map(|entry| self.pages_of(index, entry)).sum();
        selected + pages > quota
    }

    /// Whether an agent's next row needs a choice before it.
    pub(super) fn is_choice_due(&self, index: usize) -> bool {
        let begins = self.rcb(index).cursor.layout.open.is_multiple_of(PAGE_TOKENS as u32);
        begins && self.lacks_room(index, 1)
    }

    /// Entries of an agent's page table whose slices are written to their ends.
    fn closed(&self, index: usize) -> u32 {
        let rcb = self.rcb(index);
        (rcb.cursor.layout.slices - u32::from(rcb.cursor.layout.open > 0)).min(rcb.mapped)
    }

    /// Whether a choice can be made: all that it depends on is known.
    pub(super) fn knows_its_slices(&self, index: usize) -> bool {
        !self.is_choosy(index) || self.rcb(index).known >= self.closed(index)
    }

    /// Makes the schemas of an agent's slices that have none yet, in order, as far as they are resident.
    ///
    /// # Errors
    /// As [`TensorDevice::summarise`].
    pub(super) fn make_schemas(
        &mut self,
        index: usize,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<(), PageError>> {
        if !self.is_choosy(index) {
            return Poll::Ready(Ok(()));
        }
        while self.rcb(index).known < self.closed(index) {
            let entry = self.rcb(index).known as usize;
            let tokens = self.tokens_of(index, entry) as u8;
            let Mapping { slice: id, forgotten, .. } = self.table(index)[entry];
            let slice = self.pager.slice(id);
            // What is forgotten does not come in any more, and is looked for no more.
            let resident = slice.resident() && !forgotten;
            if slice.schema == 0 && !resident && !forgotten {
                break;
            }
            if resident {
                match self.pager.make_schema(id, tokens, device) {
                    Poll::Ready(Ok(())) => (),
                    other => return other,
                }
            }
            self.rcb_mut(index).known += 1;
        }
        Poll::Ready(Ok(()))
    }

    /// What the last step means for the bounded agents in it: schemas are made while their slices are
    /// resident, and answers that were held are said, or their questions computed again.
    ///
    /// # Errors
    /// As [`TensorDevice::summarise`].
    pub(super) fn settle(&mut self, device: &mut dyn TensorDevice) -> Poll<Result<(), PageError>> {
        for number in 0..self.step.rider_count {
            let index = usize::from(self.step.riders[number].agent);
            if self.agents[index].rcb.is_none() {
                continue;
            }
            match self.make_schemas(index, device) {
                Poll::Ready(Ok(())) => (),
                other => return other,
            }
            self.store_state(index);
            if let Some(choice) = self.rcb_mut(index).held.take()
                && !self.restart(index)
            {
                self.say(index, choice);
            }
        }
        self.unsettled = false;
        Poll::Ready(Ok(()))
    }

    /// Notes the queries of an agent's latest rows; `shown` are those of its rows that were exposed.
    pub(super) fn note_queries(&mut self, index: usize, shown: &[f32]) {
        let Some(attention) = self.config.attention else { return };
        let width = attention.query_width();
        let first = index * KEPT * width;
        for query in shown.chunks_exact(width) {
            let rcb = self.agents[index].rcb.as_mut().expect("the slot is taken");
            let place = first + rcb.queries as usize % KEPT * width;
            self.queries[place..place + width].copy_from_slice(query);
            rcb.queries += 1;
        }
    }

    /// Where the latest of so many noted queries of an agent lie.
    pub(super) fn query_ring(&self, index: usize, queries: u32) -> Range<usize> {
        let width = self.config.attention.map_or(0, |attention| attention.query_width());
        let first = index * KEPT * width;
        first..first + (queries as usize).min(KEPT) * width
    }

    /// Rows of an agent's part of a step whose queries are asked for: the last ones.
    pub(super) fn exposed_of(&self, index: usize, rows: u32) -> u32 {
        if self.is_choosy(index) { rows.min(KEPT as u32) } else { 0 }
    }

    /// Whether an answer's first token is to wait until it is decided whether its question found all that it
    /// looked for.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.is_choosy(index) && self.rcb(index).asked && self.restart_point(index).is_some()
    }

    /// Tokens before an answer that may be computed again.
    fn replay_tokens(&self, index: usize) -> u32 {
        // A quarter of the quota, so that what they look for fits beside them.
        let quarter = self.quota(index).unwrap_or(0) * (PAGE_TOKENS as u32 / 4);
        self.config.paging.replay_tokens.min(quarter)
    }

    /// Where an agent's question would be computed again from, if it may be and something was left out of
    /// what it could attend to: the first beginning of a slice that is near enough to its end. Which one that is
    /// depends on the tokens alone, and not on the messages in which they came.
    fn restart_point(&self, index: usize) -> Option<Layout> {
        let rcb = self.rcb(index);
        let Layout { tokens, slices, pages, .. } = rcb.cursor.layout;
        let begun = &self.table(index)[..slices as usize];
        let nearest = tokens.saturating_sub(self.replay_tokens(index)).max(rcb.cursor.floor);
        // The sink stays.
        let entry = begun.partition_point(|mapping| mapping.base < nearest.max(1));
        let own: u32 = (entry..begun.len()).map(|entry| self.pages_of(index, entry)).sum();
        let may = rcb.replays < self.config.paging.replays && entry < begun.len();
        let left_out = || begun.iter().any(|mapping| !mapping.selected);
        // What is computed again has to fit beside the sink.
        let fits = || own + self.pages_of(index, 0) <= self.room(index, 0, entry).pages;
        (may && left_out() && fits()).then(|| Layout {
            tokens: begun[entry].base,
            slices: entry as u32,
            pages: pages - own,
            open: 0,
        })
    }

    /// Chooses by what an agent's question looks for. If that was left out, the question is computed again:
    /// returns whether it is.
    fn restart(&mut self, index: usize) -> bool {
        let Some(start) = self.restart_point(index) else { return false };
        let found = self.choose_slices(index, 0, start.slices as usize);
        let trail = self.trail_of_question(index);
        let rcb = self.rcb_mut(index);
        (rcb.cursor.trail, rcb.committed.trail) = (trail, trail);
        if found == 0 {
            return false;
        }
        let rcb = self.rcb(index);
        let (agent, tokens) = (rcb.id, rcb.cursor.layout.tokens - start.tokens);
        for entry in 0..start.slices as usize {
            let mapping = self.table(index)[entry];
            if mapping.came {
                let tokens = self.tokens_of(index, entry);
                self.raise(VectorId::PageFault, Some(agent), u64::from(mapping.base));
                self.emit(Event::PageFault { agent, base: mapping.base, tokens, question: true });
            }
        }
        self.emit(Event::Replayed { agent, base: start.tokens, tokens });
        self.cut(index, start);
        let rcb = self.rcb_mut(index);
        rcb.replays += 1;
        rcb.metrics.faults += u64::from(found);
        rcb.metrics.replays += 1;
        rcb.metrics.replayed += u64::from(tokens);
        true
    }

    /// Takes an agent back to a beginning of a slice: what comes behind is computed anew.
    pub(super) fn cut(&mut self, index: usize, to: Layout) {
        self.give_retrace_up(index);
        for entry in to.slices as usize..self.table(index).len() {
            let slice = self.table(index)[entry].slice;
            self.unpin(index, entry);
            self.pager.release(slice);
        }
        let rcb = self.rcb_mut(index);
        rcb.mapped = to.slices;
        (rcb.cursor.layout, rcb.cursor.chain) = (to, None);
        rcb.committed = rcb.cursor;
        // What is computed again here attends to other slices than before, and counts.
        rcb.counted = Counted { tokens: to.tokens, begun: 0 };
        rcb.known = rcb.known.min(to.slices);
        rcb.queries = 0;
        select::link(self.table_mut(index));
    }

    /// What a choice of an agent has to keep to, with so many pages left free for what comes.
    fn room(&self, index: usize, pages: u32, kept: usize) -> Room {
        let quota = self.quota(index).unwrap_or(0);
        let paging = self.config.paging;
        let percent = |percent: u32| (u64::from(quota) * u64::from(percent) / 100) as u32;
        let slices = self.rcb(index).cursor.layout.slices as usize;
        let is_replay = kept < slices;
        Room {
            pages: quota - percent(paging.headroom_percent).max(pages).max(1),
            window: percent(if is_replay { paging.replay_window_percent } else { paging.window_percent }),
            // A question is answered by what it looks for, and not by what it was told behind.
            held: percent(if is_replay { 0 } else { paging.held_percent }),
            kept: kept.min(slices - 1),
            hysteresis: paging.hysteresis_percent as f32 / 100.0,
        }
    }

    /// Chooses what a bounded agent's next rows attend to, among all that its context has come to, with room
    /// for so many pages behind it. Entries from `kept` on stay. Returns how many slices came back.
    pub(super) fn choose_slices(&mut self, index: usize, pages: u32, kept: usize) -> u32 {
        let slices = self.rcb(index).cursor.layout.slices as usize;
        for entry in 0..slices {
            self.table_mut(index)[entry].pages = self.pages_of(index, entry) as u8;
        }
        let policy = match self.policy {
            Policy::Relevance if self.is_choosy(index) => Policy::Relevance,
            Policy::Relevance => Policy::Recency,
            other => other,
        };
        let at = self.rcb(index).cursor.layout.tokens;
        if policy == Policy::Relevance {
            self.score(index);
        } else {
            select::note_relevance(&mut self.table_mut(index)[..slices], at);
        }
        let room = self.room(index, pages, kept);
        let table = self.table_mut(index);
        let came = select::select(&mut table[..slices], policy, room);
        let covered = select::coverage(&table[..slices]).filter(|_| policy == Policy::Relevance);
        if policy == Policy::Relevance {
            select::fade(&mut table[..slices]);
        }
        select::link(table);
        // What comes after is not what the whole context would have given; nor is it when the step fails
        // and is tried again, or in a fork.
        let trail = self.trail_of_choice(index).filter(|_| policy == Policy::Relevance);
        let rcb = self.rcb_mut(index);
        (rcb.cursor.chain, rcb.committed.chain) = (None, None);
        (rcb.cursor.trail, rcb.committed.trail) = (trail, trail);
        rcb.choices += 1;
        rcb.metrics.returned += u64::from(came);
        if let Some(covered) = covered {
            rcb.metrics.choices += 1;
            rcb.metrics.covered_ppm += u64::from(covered);
        }
        self.note_working_set(index);
        if kept >= slices {
            self.tell_returned(index, slices);
        }
        came
    }

    /// Tells which slices a choice in the middle of a text has brought back.
    fn tell_returned(&mut self, index: usize, slices: usize) {
        let agent = self.rcb(index).id;
        for entry in 0..slices {
            let mapping = self.table(index)[entry];
            if mapping.came {
                let (base, tokens) = (mapping.base, self.tokens_of(index, entry));
                self.emit(Event::PageFault { agent, base, tokens, question: false });
            }
        }
    }

    /// The address from which rows' attention counts for what slices hold. What a bounded agent attends to follows from
    /// it, so that it must not matter whether rows were computed once: until the first choice they may be computed
    /// again, after a loss of the device; from then on they are not, but for those that a fork computes a second time.
    pub(super) fn counts_from(&self, index: usize) -> u32 {
        let rcb = self.rcb(index);
        match (self.is_choosy(index), rcb.committed.chain) {
            (false, _) => 0,
            (true, Some(_)) => u32::MAX,
            (true, None) => rcb.counted.tokens,
        }
    }

    /// Gives every slice that is written to its end the share of attention that the agent's last queries
    /// would give it.
    fn score(&mut self, index: usize) {
        let (Some(attention), closed) = (self.config.attention, self.closed(index) as usize) else { return };
        let rcb = self.agents[index].rcb.as_ref().expect("the slot is taken");
        let (noted, at) = (rcb.queries as usize, rcb.cursor.layout.tokens);
        let rows = noted.min(QUERIES);
        let width = attention.query_width();
        let ring = &self.queries[index * KEPT * width..][..KEPT * width];
        let query = |row: usize| &ring[(noted - rows + row) % KEPT * width..][..width];
        let mut look = Look::new(attention, self.config.paging.far, rows, query, self.scratch);
        let first = index * self.config.slices_per_agent() as usize;
        let table = &mut self.mappings[first..first + closed];
        table.iter_mut().for_each(|mapping| mapping.score = 0.0);
        let pager = &self.pager;
        look.score(
            table,
            |mapping| Key {
                sum: pager.schema(mapping.slice),
                tokens: if mapping.forgotten { 0 } else { u32::from(pager.slice(mapping.slice).schema) },
                distance: at - mapping.base,
            },
            |mapping, share| mapping.score += share,
        );
    }

    /// Counts the pages that an agent's last choices took turns with, and says so when all working sets
    /// together no longer fit.
    fn note_working_set(&mut self, index: usize) {
        let choices = self.rcb(index).choices;
        let slices = self.rcb(index).cursor.layout.slices as usize;
        let mut working = 0;
        for mapping in &mut self.table_mut(index)[..slices] {
            if mapping.selected {
                mapping.chosen = choices;
            }
            let recent = mapping.chosen > 0 && choices - mapping.chosen < WORKING_CHOICES;
            working += if recent { u32::from(mapping.pages) } else { 0 };
        }
        self.rcb_mut(index).working = working;
        self.note_thrashing();
    }

    /// Says so when the running agents' working sets together no longer fit.
    pub(super) fn note_thrashing(&mut self) {
        let working = self.working_pages(Priority::LOWEST);
        let thrashing = working > self.working_room();
        let before = core::mem::replace(&mut self.thrashing, thrashing);
        if thrashing && !before {
            self.emit(Event::Thrashing { working, pages: self.config.l1_pages });
        }
    }

    /// Pages of the working sets of all agents that have something to do and are at least this urgent: of an exact
    /// agent all that it has come to, of a bounded one what its last choices took turns with. A page that several of
    /// them attend to counts once.
    fn working_pages(&self, least: Priority) -> u32 {
        let runs = |rcb: &&Rcb| {
            rcb.effective.level() >= least.level() && matches!(rcb.state, State::Ready | State::Running)
        };
        let own = |rcb: &Rcb| match rcb.memory {
            MemoryMode::Exact => rcb.cursor.layout.pages,
            MemoryMode::Bounded { .. } => rcb.working,
        };
        let most: u32 = self.agents().filter(runs).map(own).sum();
        if most <= self.working_room() {
            return most;
        }
        // Of what is shared each has a part. Parts are counted in numbers that most divide.
        const PARTS: u64 = 5040;
        let part = |mapping: &Mapping| {
            let slice = self.pager.slice(mapping.slice);
            u64::from(slice.pages) * PARTS / u64::from(slice.refs.max(1))
        };
        let parts = |rcb: &Rcb| match rcb.memory {
            MemoryMode::Exact => self.table(usize::from(rcb.id.index)).iter().map(part).sum(),
            MemoryMode::Bounded { .. } => u64::from(rcb.working) * PARTS,
        };
        let all: u64 = self.agents().filter(runs).map(parts).sum();
        all.div_ceil(PARTS) as u32
    }

    /// Pages of page memory that working sets can count on.
    fn working_room(&self) -> u32 {
        self.config.l1_pages - self.config.pinned_pages
    }

    /// Whether the working sets of the running agents that are at least this urgent are more than page memory holds:
    /// whoever came besides would only make all of them wait for pages. Who is more urgent than they are waits for none
    /// of them.
    pub(super) fn is_thrashing(&self, least: Priority) -> bool {
        self.working_pages(least) > self.working_room()
    }

    /// Holds back or says an answer's next token.
    pub(super) fn answer(&mut self, index: usize, choice: Choice) {
        if self.holds(index) {
            self.rcb_mut(index).held = Some(choice);
        } else {
            self.say(index, choice);
        }
    }

    /// Exposed rows of an agent's part of a step, marked as such.
    pub(super) fn expose(&mut self, rider: &Rider) {
        let end = (rider.first_row + rider.rows) as usize;
        for row in &mut self.step.rows[end - rider.exposed as usize..end] {
            row.expose = true;
        }
    }
}
