//! Agents out of bytes (see [`crate::checkpoint`]).
//!
//! Nothing in the bytes is believed: each record is checked against the sizes of this system and against
//! the tokens before it is acted on, and one that makes no sense undoes all that came of those before it.

mod check;

use core::task::Poll;

use agentos_hal::{PageError, TensorDevice};
use serde::de::DeserializeOwned;

use super::save::saved_pages;
use super::storage::Slot;
use super::{Kernel, Transfer};
use crate::agent::{BlockedOn, Rcb, Restoring, State};
use crate::call::{CallError, Tokens};
use crate::checkpoint::{self, AgentRecord, CheckpointError, Header, MAGIC, MappingRecord, Pages};
use crate::event::Event;
use crate::interrupt::VectorId;
use crate::layout::Layout;
use crate::memory::table::VACANT_MAPPING;
use crate::memory::{Mapping, SliceHash, SliceId, select};
use crate::sample::Sampler;

/// A checkpoint that is being read.
#[derive(Debug)]
pub(super) struct Restorer {
    /// Bytes that are read; 0 before the whole is verified.
    at: usize,
    /// Agents in it.
    agents: u16,
    /// Those of them that are whole.
    number: u16,
    /// The agent that is being read.
    reading: Option<Reading>,
    /// A slice that is being filled, and how many of its pages are.
    filling: Option<(SliceId, usize)>,
}

impl Restorer {
    pub(super) fn has_begun(&self) -> bool {
        self.at > 0
    }

    /// The slice that is being filled and that nobody maps yet.
    pub(super) fn filling(&self) -> Option<SliceId> {
        self.filling.map(|(slice, _)| slice)
    }
}

/// An agent that is being read.
#[derive(Clone, Debug)]
struct Reading {
    slot: usize,
    record: AgentRecord,
    /// Mappings and offers that are read.
    entry: u32,
    /// Where the tokens end that are mapped.
    layout: Layout,
    /// The identity of what is mapped, as long as it follows from the tokens.
    chain: Option<SliceHash>,
    /// The last mapping's base and how many tokens of it are computed.
    last: Option<(u32, u8)>,
    /// Pages of all that is mapped and offered, and of what is selected.
    pages: u32,
    selected_pages: u32,
}

/// Why reading stops here.
enum Stop {
    /// Something makes no sense.
    Nonsense,
    /// The device is at work on a page.
    Pending,
    Error(CheckpointError),
}

impl From<CheckpointError> for Stop {
    fn from(error: CheckpointError) -> Stop {
        Stop::Error(error)
    }
}

impl Kernel<'_> {
    pub(super) fn begin_restore(&mut self) -> Result<(), CallError> {
        if self.shutdown {
            return Err(CallError::Shutdown);
        }
        let restorer = Restorer { at: 0, agents: 0, number: 0, reading: None, filling: None };
        self.transfer = Some(Transfer::In(restorer));
        Ok(())
    }

    /// Makes agents of a whole checkpoint, for which [`crate::call::Call::Restore`] was called; returns how
    /// many. They have new names and their old tags, and go on from where they were. While it is pending,
    /// tick the kernel, and hand over the same bytes again.
    ///
    /// # Errors
    /// Any [`CheckpointError`]; nothing came of it then. If the device was lost, the next tick says so, and the
    /// same bytes can be read behind [`Kernel::device_restored`].
    pub fn write_checkpoint(
        &mut self,
        device: &mut dyn TensorDevice,
        bytes: &[u8],
    ) -> Poll<Result<u16, CheckpointError>> {
        if !matches!(self.transfer, Some(Transfer::In(_))) {
            return Poll::Ready(Err(CheckpointError::NotBegun));
        }
        if !self.at_rest() {
            return Poll::Pending;
        }
        let Some(Transfer::In(mut restorer)) = self.transfer.take() else {
            unreachable!("it was just there")
        };
        let result = match self.read_all(&mut restorer, device, bytes) {
            Ok(()) => {
                self.set_going();
                return Poll::Ready(Ok(restorer.agents));
            }
            Err(Stop::Pending) => {
                self.transfer = Some(Transfer::In(restorer));
                return Poll::Pending;
            }
            Err(Stop::Nonsense) => CheckpointError::Damaged { at: Some(restorer.at) },
            Err(Stop::Error(error)) => error,
        };
        self.transfer = Some(Transfer::In(restorer));
        self.end_transfer();
        Poll::Ready(Err(result))
    }

    fn read_all(
        &mut self,
        restorer: &mut Restorer,
        device: &mut dyn TensorDevice,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        if restorer.at == 0 {
            checkpoint::verify(bytes)?;
            restorer.at = MAGIC.len() + 2;
            let header: Header = read(restorer, bytes)?;
            self.check_header(&header)?;
            restorer.agents = header.agents;
        }
        while restorer.number < restorer.agents {
            let mut reading = match restorer.reading.take() {
                Some(reading) => reading,
                None => self.read_agent(restorer, bytes)?,
            };
            while reading.entry < reading.record.mapped + reading.record.offers {
                if let Err(stop) = self.read_mapping(&mut reading, restorer, device, bytes) {
                    restorer.reading = Some(reading);
                    return Err(stop);
                }
                reading.entry += 1;
            }
            self.check_whole(&reading)?;
            restorer.number += 1;
        }
        self.resolve_waits(restorer.agents)?;
        if restorer.at == bytes.len() - checkpoint::CHECKSUM_BYTES { Ok(()) } else { Err(Stop::Nonsense) }
    }

    /// Reads an agent with its tokens, and gives it a slot.
    fn read_agent(&mut self, restorer: &mut Restorer, bytes: &[u8]) -> Result<Reading, Stop> {
        let number = restorer.number;
        let begin = restorer.at;
        let record: AgentRecord = read(restorer, bytes)?;
        self.check_record(&record, number)?;
        let sampler = Sampler::new(record.spec.sampling).map_err(|_| Stop::Nonsense)?;
        let tokens = Tokens(take(restorer, bytes, 4 * record.tokens as usize)?);
        let inbox = Tokens(take(restorer, bytes, 4 * record.inbox as usize)?);
        let known = |tokens: &Tokens<'_>| self.check_tokens(*tokens).is_ok();
        if !known(&tokens) || !known(&inbox) {
            restorer.at = begin;
            return Err(Stop::Nonsense);
        }
        let id = self.vacancy().ok_or(Stop::Nonsense)?;
        let slot = usize::from(id.index);
        let mut rcb = Rcb::new(id, &record.spec, sampler, self.root, self.now_us);
        if record.admitted && !record.state.is_over() {
            let unfit = |unfit| CheckpointError::Unfit { agent: number, unfit };
            rcb.promise = self.fits(record.spec.context, record.spec.memory).map_err(unfit)?;
        }
        (rcb.tokens, rcb.inbox, rcb.received) = (record.tokens, record.inbox, record.received);
        (rcb.cursor, rcb.committed) = (record.committed, record.committed);
        rcb.reached = record.reached.min(record.tokens);
        rcb.counted = record.counted;
        (rcb.asked, rcb.replays) = (record.asked, record.replays);
        (rcb.queries, rcb.choices) = (record.queries, record.choices);
        (rcb.turn_tokens, rcb.turn_over) = (record.turn_tokens, record.turn_over);
        (rcb.lived_us, rcb.metrics) = (record.lived_us, record.metrics);
        let ring = self.query_ring(slot, record.queries);
        let queries = Tokens(take(restorer, bytes, 4 * ring.len())?);
        if !are_numbers(queries) {
            restorer.at = begin;
            return Err(Stop::Nonsense);
        }
        let (state, parent) = (record.state, record.parent);
        let (waits_for, calls) = (record.waits_for.clone(), record.calls.clone());
        self.check_calls(number, calls.len())?;
        rcb.restoring = Some(Restoring { number, state, parent, waits_for, calls });
        self.agents[slot].rcb = Some(rcb);
        put_numbers(queries, &mut self.queries[ring]);
        tokens.copy_to(&mut self.tokens[slot * self.config.context as usize..]);
        inbox.copy_to(&mut self.inbox[slot * self.config.inbox as usize..]);
        let chain = record.committed.chain.map(|_| self.root);
        let layout = Layout::default();
        Ok(Reading { slot, record, entry: 0, layout, chain, last: None, pages: 0, selected_pages: 0 })
    }

    /// Reads a mapping, or a slice that was sent to the agent, with its pages.
    fn read_mapping(
        &mut self,
        reading: &mut Reading,
        restorer: &mut Restorer,
        device: &mut dyn TensorDevice,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        let begin = restorer.at;
        let record: MappingRecord = read(restorer, bytes)?;
        let result = self.read_slice(reading, &record, restorer, device, bytes);
        if result.is_err() {
            // A pending one is read again; one that makes no sense does so from here on.
            restorer.at = begin;
        }
        let id = result?;
        let MappingRecord { base, fidelity, selected, forgotten, pinned, .. } = record;
        let MappingRecord { mass, relevant, chosen, .. } = record;
        let seen = Mapping { slice: id, base, fidelity, selected, forgotten, ..VACANT_MAPPING };
        let mapping = Mapping { mass, relevant, chosen, ..seen };
        if reading.entry < reading.record.mapped {
            self.rcb_mut(reading.slot).mapped += 1;
            self.table_mut(reading.slot)[reading.entry as usize] = mapping;
            if pinned {
                self.pin_restored(reading, restorer.number)?;
            }
        } else {
            let offer = reading.entry - reading.record.mapped;
            let place = self.offer_place(reading.slot, offer);
            self.mappings[place] = mapping;
            let rcb = self.rcb_mut(reading.slot);
            rcb.offers += 1;
            rcb.offers_taken = rcb.offers.min(reading.record.offers_taken);
        }
        Ok(())
    }

    fn pin_restored(&mut self, reading: &Reading, agent: u16) -> Result<(), Stop> {
        let slice = self.table(reading.slot)[reading.entry as usize].slice;
        if !self.pager.slice(slice).complete() {
            return Err(Stop::Nonsense);
        }
        let pages = u32::from(self.pager.slice(slice).pages);
        let left = self.config.pinned_pages - self.pinned;
        if pages > left {
            let what = "pages to pin";
            return Err(CheckpointError::TooLarge { agent, what, found: pages, fits: left }.into());
        }
        self.table_mut(reading.slot)[reading.entry as usize].pinned = true;
        self.rcb_mut(reading.slot).pinned += pages;
        self.pinned += pages;
        Ok(())
    }

    /// The slice of a record, with one mapping more.
    fn read_slice(
        &mut self,
        reading: &mut Reading,
        record: &MappingRecord,
        restorer: &mut Restorer,
        device: &mut dyn TensorDevice,
        bytes: &[u8],
    ) -> Result<SliceId, Stop> {
        let pages = saved_pages(record.computed);
        let mut next = reading.clone();
        let hash = self.check_mapping(&mut next, record, pages as u32)?;
        let equal = hash.and_then(|hash| self.pager.find(hash));
        // One that is in the cold store alone might not come.
        let here = |id: &SliceId| self.pager.slice(*id).complete() && !self.pager.slice(*id).is_cold();
        let equal = equal.filter(|id| here(id) && restorer.filling.is_none());
        let image = match record.pages {
            Pages::Packed => self.packing.packed_bytes(),
            Pages::Here | Pages::Met { .. } => self.packing.image_bytes(),
        };
        let numbers = if record.schema > 0 {
            self.config.attention.map_or(0, |attention| attention.key_width())
        } else {
            0
        };
        let schema = Tokens(take(restorer, bytes, 4 * numbers)?);
        if !are_numbers(schema) {
            return Err(Stop::Nonsense);
        }
        let id = match (record.pages, equal) {
            (Pages::Met { agent, entry }, _) => {
                let id = self.met(reading, restorer, agent, entry).ok_or(Stop::Nonsense)?;
                let slice = self.pager.slice(id);
                if (slice.computed, slice.sealed) != (record.computed, record.sealed) {
                    return Err(Stop::Nonsense);
                }
                self.pager.retain(id);
                id
            }
            (_, Some(equal)) => {
                // This system has computed it already.
                take(restorer, bytes, pages * image)?;
                self.pager.retain(equal);
                equal
            }
            (place, None) => {
                let packed = place == Pages::Packed;
                let images = take(restorer, bytes, pages * image)?;
                let (id, filled) = match restorer.filling {
                    Some(filling) => filling,
                    None => (self.adopt(pages, packed, restorer.number)?, 0),
                };
                restorer.filling = Some((id, filled));
                for (page, image) in images.chunks_exact(image).enumerate().skip(filled) {
                    match self.pager.fill(id, page, image, packed, device) {
                        Poll::Ready(Ok(())) => restorer.filling = Some((id, page + 1)),
                        Poll::Ready(Err(PageError::Busy)) | Poll::Pending => return Err(Stop::Pending),
                        Poll::Ready(Err(error)) => return Err(Stop::Error(self.page_refused(error))),
                    }
                }
                restorer.filling = None;
                self.pager.settle_adopted(id, record.computed, record.sealed, hash);
                id
            }
        };
        if numbers > 0 && self.pager.slice(id).schema == 0 {
            put_numbers(schema, self.pager.restore_schema(id, record.schema));
        }
        let slice = self.pager.slice(id);
        if hash.is_some() && slice.hash.is_none() {
            // Another agent, whose context has not come to its end yet, brought it.
            self.pager.settle_adopted(id, record.computed, record.sealed, hash);
        }
        *reading = next;
        Ok(id)
    }

    fn adopt(&mut self, pages: usize, packed: bool, agent: u16) -> Result<SliceId, CheckpointError> {
        let fits = self.pager.free() + self.pager.free_frames();
        let found = pages as u32;
        let refusal = CheckpointError::TooLarge { agent, what: "pages of a slice", found, fits };
        self.pager.adopt(pages, packed).ok_or(refusal)
    }

    /// The slice of an earlier mapping.
    fn met(&self, reading: &Reading, restorer: &Restorer, agent: u16, entry: u32) -> Option<SliceId> {
        let slot = if agent == restorer.number { reading.slot } else { self.restored(agent)? };
        let rcb = self.rcb(slot);
        if entry < rcb.mapped {
            return Some(self.table(slot)[entry as usize].slice);
        }
        let offer = entry - rcb.mapped;
        (offer < rcb.offers).then(|| self.mappings[self.offer_place(slot, offer)].slice)
    }

    /// Puts the new names of agents into who waits for whom.
    fn resolve_waits(&mut self, agents: u16) -> Result<(), Stop> {
        for number in 0..agents {
            let slot = self.restored(number).expect("it was read");
            let Some(restoring) = self.rcb(slot).restoring.clone() else { continue };
            for other in restoring.waits_for {
                let other = self.restored(other).ok_or(Stop::Nonsense)?;
                let (id, other) = (self.rcb(slot).id, self.rcb(other).id);
                if id == other || self.waits_through(other, id) {
                    return Err(Stop::Nonsense);
                }
                self.rcb_mut(slot).waits_for.push(other).map_err(|_| Stop::Nonsense)?;
            }
            let parent = restoring.parent.and_then(|parent| self.restored(parent));
            self.rcb_mut(slot).parent = parent.map(|parent| self.rcb(parent).id);
        }
        Ok(())
    }

    /// The slot of the agent of a number in the checkpoint.
    fn restored(&self, number: u16) -> Option<usize> {
        let of = |slot: &Slot| {
            let rcb = slot.rcb.as_ref();
            rcb.is_some_and(|rcb| rcb.restoring.as_ref().is_some_and(|of| of.number == number))
        };
        self.agents.iter().position(of)
    }

    /// All agents are whole: they go on from where they were.
    fn set_going(&mut self) {
        for index in 0..self.agents.len() {
            let Some(rcb) = self.agents[index].rcb.as_mut() else { continue };
            let Some(restoring) = rcb.restoring.take() else { continue };
            let (agent, tokens, computed) = (rcb.id, rcb.tokens, rcb.committed.layout.tokens);
            self.emit(Event::Restored { agent, tokens, computed });
            select::link(self.table_mut(index));
            // Only now: of a checkpoint that is refused nobody finds a slice.
            for entry in 0..self.table(index).len() {
                let slice = self.table(index)[entry].slice;
                self.pager.publish(slice);
            }
            for call in &restoring.calls {
                self.restore_call(index, call);
            }
            self.set_state(index, restoring.state);
        }
        self.inherit();
    }

    /// Puts a restored agent into the state that it was in.
    fn set_state(&mut self, index: usize, state: State) {
        let rcb = self.rcb(index);
        let (agent, context) = (rcb.id, rcb.context);
        // All of it was computed, and it had nothing left to say.
        let full = rcb.reached >= context && rcb.generates() && !rcb.turn_over;
        match state {
            State::Stopped(_) | State::Faulted(_) | State::Suspended(_) => self.change(index, state),
            _ if rcb.promise.pages == 0 => self.vacated = true,
            State::Blocked(BlockedOn::Host | BlockedOn::Tool) => self.change(index, state),
            State::Blocked(BlockedOn::Agent(_)) if !rcb.waits_for.is_empty() => {
                self.change(index, State::Blocked(BlockedOn::Agent(rcb.waits_for[0])));
            }
            State::Blocked(BlockedOn::Message) if rcb.inbox > 0 => self.take_inbox(index),
            State::Blocked(BlockedOn::Message) => self.change(index, state),
            _ => self.go_on(index),
        }
        if full && !state.is_over() {
            // The interrupt that says so is not in a checkpoint.
            self.raise(VectorId::ContextFull, Some(agent), u64::from(context));
        }
    }

    /// Forgets the agents that were read so far.
    pub(super) fn undo_restore(&mut self, filling: Option<SliceId>) {
        if let Some(slice) = filling {
            self.pager.release(slice);
        }
        for index in 0..self.agents.len() {
            if self.agents[index].rcb.as_ref().is_some_and(|rcb| rcb.restoring.is_some()) {
                self.vacate(index);
                let generation = self.agents[index].generation.wrapping_add(1);
                self.agents[index] = Slot { generation, rcb: None };
            }
        }
    }
}

/// Reads a record.
fn read<T: DeserializeOwned>(restorer: &mut Restorer, bytes: &[u8]) -> Result<T, Stop> {
    let end = bytes.len() - checkpoint::CHECKSUM_BYTES;
    let body = bytes.get(restorer.at..end).ok_or(Stop::Nonsense)?;
    let (record, rest) = postcard::take_from_bytes(body).map_err(|_| Stop::Nonsense)?;
    restorer.at = end - rest.len();
    Ok(record)
}

/// Whether words are the bits of numbers.
fn are_numbers(words: Tokens<'_>) -> bool {
    words.iter().all(|word| f32::from_bits(word).is_finite())
}

fn put_numbers(words: Tokens<'_>, places: &mut [f32]) {
    places.iter_mut().zip(words.iter()).for_each(|(place, word)| *place = f32::from_bits(word));
}

/// Takes so many bytes.
fn take<'b>(restorer: &mut Restorer, bytes: &'b [u8], count: usize) -> Result<&'b [u8], Stop> {
    let end = bytes.len() - checkpoint::CHECKSUM_BYTES;
    let body = bytes.get(restorer.at..end).ok_or(Stop::Nonsense)?;
    let taken = body.get(..count).ok_or(Stop::Nonsense)?;
    restorer.at += count;
    Ok(taken)
}
