//! Messages: tokens for an agent's context, and slices of other agents'.
//!
//! What is sent waits in an inbox until the answer that is under way is over. A slice that is sent is
//! retained at once, so that it does not matter what becomes of its sender; it stands as an offer at the
//! end of the receiver's part of the table of mappings until the receiver's context has come to it. There
//! it is mapped: the open slice ends early, and no row is computed for what the slice holds.

use super::Kernel;
use crate::agent::{AgentId, Receive, Received, State};
use crate::call::{CallError, Forward, Tokens};
use crate::event::Event;
use crate::interrupt::VectorId;
use crate::memory::admit;
use crate::memory::table::{Fidelity, Mapping, VACANT_MAPPING};

impl Kernel<'_> {
    pub(super) fn send(
        &mut self,
        from: Option<AgentId>,
        to: AgentId,
        tokens: Tokens<'_>,
    ) -> Result<(), CallError> {
        let index = self.alive(to)?;
        self.check_tokens(tokens)?;
        self.check_inbox(index, tokens.len())?;
        self.put_tokens(index, tokens);
        self.announce(from, index, tokens.len());
        Ok(())
    }

    /// Sends a part of one agent's context to another, between tokens that go before and after it.
    pub(super) fn forward(&mut self, forward: &Forward<'_>) -> Result<(), CallError> {
        let Forward { from, start, end, to, before, after } = *forward;
        let (index, source) = (self.alive(to)?, self.known(from)?);
        self.check_tokens(before)?;
        self.check_tokens(after)?;
        let tokens = self.rcb(source).tokens;
        if start >= end || end > tokens {
            return Err(CallError::Range { start, end, tokens });
        }
        let sent = before.len() + (end - start) as usize + after.len();
        self.check_inbox(index, sent)?;
        self.put_tokens(index, before);
        if self.rcb(index).receive == Receive::Mapped {
            self.offer(index, source, forward);
        }
        let first = index * self.config.inbox as usize + self.rcb(index).inbox as usize;
        let log = source * self.config.context as usize;
        self.inbox[first..][..(end - start) as usize]
            .copy_from_slice(&self.tokens[log + start as usize..log + end as usize]);
        self.rcb_mut(index).inbox += end - start;
        self.put_tokens(index, after);
        self.announce(Some(from), index, sent);
        Ok(())
    }

    fn check_inbox(&self, index: usize, tokens: usize) -> Result<(), CallError> {
        if tokens == 0 {
            return Err(CallError::Empty);
        }
        let rcb = self.rcb(index);
        let fits = (rcb.context - rcb.tokens).min(self.config.inbox).saturating_sub(rcb.inbox) as usize;
        if tokens > fits { Err(CallError::TooLong { tokens, fits }) } else { Ok(()) }
    }

    fn put_tokens(&mut self, index: usize, tokens: Tokens<'_>) {
        let first = index * self.config.inbox as usize + self.rcb(index).inbox as usize;
        tokens.copy_to(&mut self.inbox[first..]);
        self.rcb_mut(index).inbox += tokens.len() as u32;
    }

    fn announce(&mut self, from: Option<AgentId>, index: usize, tokens: usize) {
        let to = self.rcb(index).id;
        self.emit(Event::Message { from, to, tokens: tokens as u32 });
        self.raise(VectorId::Ipc, Some(to), tokens as u64);
    }

    /// Offers the whole slices of a range that is about to be put into the inbox, if all of them fit what
    /// the receiver was promised.
    fn offer(&mut self, index: usize, source: usize, forward: &Forward<'_>) {
        let entries = self.table(source).len();
        let within = |kernel: &Self, entry: usize| {
            let mapping = kernel.table(source)[entry];
            let slice = kernel.pager.slice(mapping.slice);
            let end = mapping.base + u32::from(slice.computed);
            // What is in the cold store alone might not come, and then the receiver's tokens would not make it.
            let whole = slice.complete() && !slice.is_cold();
            (whole && mapping.base >= forward.start && end <= forward.end).then_some((mapping, end))
        };
        let mut received = self.rcb(index).received;
        let mut last_end = None;
        for entry in 0..entries {
            let Some((mapping, end)) = within(self, entry) else { continue };
            let pages = u32::from(self.pager.slice(mapping.slice).pages);
            received = Received {
                runs: received.runs + u32::from(last_end != Some(mapping.base)),
                slices: received.slices + 1,
                tokens: received.tokens + end - mapping.base,
                pages: received.pages + pages,
            };
            last_end = Some(end);
        }
        let (context, promise) = (self.rcb(index).context, self.rcb(index).promise);
        let slices = self.config.slices_per_agent();
        // Until they are mapped they are as they are, and who packs was not promised room for that.
        if promise.packs || !admit::maps(&received, context, self.config.slice_limits, slices, promise.pages)
        {
            return;
        }
        self.rcb_mut(index).received = received;
        let inbox = self.rcb(index).inbox;
        for entry in 0..entries {
            let Some((mapping, _)) = within(self, entry) else { continue };
            self.pager.retain(mapping.slice);
            let place = self.offer_place(index, self.rcb(index).offers);
            let base = inbox + mapping.base - forward.start;
            self.mappings[place] =
                Mapping { slice: mapping.slice, base, fidelity: Fidelity::Relocated, ..VACANT_MAPPING };
            self.rcb_mut(index).offers += 1;
        }
    }

    /// Where an agent's `number`th offer stands in the table of mappings.
    pub(super) fn offer_place(&self, index: usize, number: u32) -> usize {
        (index + 1) * self.config.slices_per_agent() as usize - 1 - number as usize
    }

    /// The slices that were sent to an agent and that its context has not come to, the last one first.
    pub(super) fn offers(&self, index: usize) -> &[Mapping] {
        let end = (index + 1) * self.config.slices_per_agent() as usize;
        &self.mappings[end - self.rcb(index).offers as usize..end]
    }

    /// The address at which the next slice that was sent to an agent is to be mapped.
    pub(super) fn next_offer(&self, index: usize) -> Option<u32> {
        (self.rcb(index).offers_taken > 0).then(|| self.mappings[self.offer_place(index, 0)].base)
    }

    /// A fork has the slices that its parent's context has not come to, of the messages that it has taken.
    pub(super) fn fork_offers(&mut self, parent: usize, child: usize) {
        for number in 0..self.rcb(parent).offers_taken {
            let offer = self.mappings[self.offer_place(parent, number)];
            self.pager.retain(offer.slice);
            let place = self.offer_place(child, number);
            self.mappings[place] = offer;
            let rcb = self.rcb_mut(child);
            (rcb.offers, rcb.offers_taken) = (number + 1, number + 1);
        }
    }

    /// Gives back all offers of an agent but the first `keep`.
    pub(super) fn drop_offers(&mut self, index: usize, keep: u32) {
        for number in keep..self.rcb(index).offers {
            let slice = self.mappings[self.offer_place(index, number)].slice;
            self.pager.release(slice);
        }
        let rcb = self.rcb_mut(index);
        rcb.offers = rcb.offers.min(keep);
        rcb.offers_taken = rcb.offers_taken.min(keep);
    }

    /// Gives back the first offer that was lost with the device, and those behind it: their tokens are
    /// computed.
    pub(super) fn drop_lost_offers(&mut self, index: usize) {
        let lost = |number: &u32| {
            let slice = self.mappings[self.offer_place(index, *number)].slice;
            self.pager.slice(slice).computed == 0
        };
        if let Some(first) = (0..self.rcb(index).offers).find(lost) {
            self.drop_offers(index, first);
        }
    }

    /// Maps the next slice that was sent to an agent, if its context has come to it. Returns whether it
    /// has.
    pub(super) fn take_offer(&mut self, index: usize) -> bool {
        let at = self.rcb(index).cursor.layout;
        // Behind it the agent can be made again from its tokens no more, so all before it has to be there.
        if self.next_offer(index) != Some(at.tokens) || self.has_cold(index) {
            return false;
        }
        let offers = self.rcb(index).offers;
        let offer = self.mappings[self.offer_place(index, 0)];
        let wanted = u32::from(self.pager.slice(offer.slice).pages);
        if self.lacks_room(index, wanted) {
            // Before it is mapped: more than its quota might never become resident.
            if !self.knows_its_slices(index) {
                return false;
            }
            self.choose_slices(index, wanted, usize::MAX);
        }
        let (first, last) = (self.offer_place(index, offers - 1), self.offer_place(index, 0));
        self.mappings.copy_within(first..last, first + 1);
        let slice = self.pager.slice(offer.slice);
        let (tokens, pages) = (u32::from(slice.computed), u32::from(slice.pages));
        let base = at.tokens;
        let rcb = self.rcb_mut(index);
        assert!(rcb.mapped == at.slices, "an agent maps nothing behind its cursor");
        (rcb.offers, rcb.offers_taken) = (rcb.offers - 1, rcb.offers_taken - 1);
        rcb.mapped += 1;
        rcb.cursor.layout.tokens += tokens;
        rcb.cursor.layout.slices += 1;
        rcb.cursor.layout.pages += pages;
        rcb.cursor.layout.open = 0;
        // What comes after is not what the whole context would have given.
        (rcb.cursor.chain, rcb.cursor.trail) = (None, None);
        rcb.cursor.floor = base + tokens;
        rcb.committed = rcb.cursor;
        rcb.reached = rcb.reached.max(base + tokens);
        rcb.metrics.relocated += u64::from(tokens);
        let agent = rcb.id;
        let entry = rcb.mapped as usize - 1;
        self.table_mut(index)[entry] = Mapping { relevant: base, next: entry as u32 + 1, ..offer };
        self.emit(Event::Relocated { agent, base, tokens });
        true
    }

    /// What came for an agent becomes part of its context, and it goes on. An answer that grew
    /// meanwhile may have left too little room: what no longer fits is cut off, and reported as a full
    /// context.
    pub(super) fn take_inbox(&mut self, index: usize) {
        let rcb = self.rcb(index);
        let (tokens, waiting, context) = (rcb.tokens, rcb.inbox, rcb.context);
        let taken = waiting.min(context - tokens);
        let from = index * self.config.inbox as usize;
        let to = index * self.config.context as usize + tokens as usize;
        self.tokens[to..to + taken as usize].copy_from_slice(&self.inbox[from..from + taken as usize]);
        self.take_offers(index, tokens, tokens + taken);
        let rcb = self.rcb_mut(index);
        rcb.tokens += taken;
        rcb.inbox = 0;
        if taken > 0 {
            (rcb.turn_tokens, rcb.turn_over) = (0, false);
            rcb.ask();
        }
        let agent = rcb.id;
        if taken < waiting {
            self.raise(VectorId::ContextFull, Some(agent), u64::from(context));
        }
        self.stir(index);
        match self.rcb(index).state {
            State::Running => (),
            _ if taken > 0 => self.change(index, State::Ready),
            // Nothing came of it: it rests as it would without.
            _ => self.come_to_rest(index),
        }
    }

    /// Offers whose message is taken get addresses: those of the inbox begin at `base`. Those that do not
    /// lie whole before the last token are dropped, and their tokens are computed: somebody has to compute the row
    /// whose outcome is the answer's first token.
    fn take_offers(&mut self, index: usize, base: u32, end: u32) {
        for number in self.rcb(index).offers_taken..self.rcb(index).offers {
            let place = self.offer_place(index, number);
            let offer = &mut self.mappings[place];
            offer.base += base;
            if offer.base + u32::from(self.pager.slice(offer.slice).computed) >= end {
                self.drop_offers(index, number);
                break;
            }
        }
        let rcb = self.rcb_mut(index);
        rcb.offers_taken = rcb.offers;
    }
}
