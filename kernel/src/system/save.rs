//! Agents into bytes (see [`crate::checkpoint`]), as many at a time as the host has room for.

use core::task::Poll;

use agentos_hal::{PAGE_TOKENS, PageError, TensorDevice};
use heapless::Vec;
use serde::Serialize;

use super::{Kernel, Tick, Transfer};
use crate::agent::{AgentId, Cursor};
use crate::call::CallError;
use crate::checkpoint::{
    AgentRecord, CHECKSUM_BYTES, CheckpointError, Contents, Header, MAGIC, MappingRecord, Pages,
    RECORD_BYTES, VERSION,
};
use crate::layout::Layout;
use crate::memory::Mapping;

/// Tokens that are put into bytes at once.
const WORDS: usize = 128;

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Agent,
    Tokens {
        at: u32,
    },
    Inbox {
        at: u32,
    },
    /// The queries of the agent's latest rows, as they lie.
    Queries {
        at: u32,
    },
    Mapping {
        entry: u32,
    },
    /// The schema of the slice of an entry.
    Schema {
        entry: u32,
        at: u32,
    },
    /// A page of the slice of an entry; `at`: its bytes that are written.
    Page {
        entry: u32,
        page: usize,
        at: usize,
    },
    Checksum,
    Done,
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub(super) struct Saver {
    /// The agent, if only one is written.
    only: Option<AgentId>,
    contents: Contents,
    stage: Stage,
    /// The slot of the agent that is being written.
    slot: usize,
    /// Its number in the checkpoint.
    number: u16,
    /// Bytes that are made and not written yet, from `written` on.
    made: Vec<u8, RECORD_BYTES>,
    written: usize,
    hasher: blake3::Hasher,
}

impl Saver {
    pub(super) fn has_begun(&self) -> bool {
        self.stage != Stage::Header
    }
}

impl Kernel<'_> {
    pub(super) fn begin_save(&mut self, only: Option<AgentId>, contents: Contents) -> Result<(), CallError> {
        if let Some(agent) = only {
            self.known(agent)?;
        }
        self.pager.forget_meetings();
        let hasher = blake3::Hasher::new();
        let made = Vec::new();
        let stage = Stage::Header;
        let saver = Saver { only, contents, stage, slot: 0, number: 0, made, written: 0, hasher };
        self.transfer = Some(Transfer::Out(saver));
        Ok(())
    }

    /// Gives up the checkpoint that is being written or read. What was read of it is undone.
    pub fn end_transfer(&mut self) {
        if let Some(Transfer::In(restorer)) = self.transfer.take() {
            self.undo_restore(restorer.filling());
        }
    }

    /// Writes the next bytes of the checkpoint that [`crate::call::Call::Checkpoint`] has begun; returns
    /// how many, and 0 once all are written and agents go on. While it is pending, tick the kernel: a step
    /// has to end first, or the device is at work on a page.
    ///
    /// # Errors
    /// [`CheckpointError::NotBegun`], [`CheckpointError::Page`]; the checkpoint is then given up. If the device
    /// was lost, the next tick says so, and a checkpoint can be begun anew behind
    /// [`Kernel::device_restored`].
    ///
    /// # Panics
    /// Without room for a byte.
    pub fn read_checkpoint(
        &mut self,
        device: &mut dyn TensorDevice,
        bytes: &mut [u8],
    ) -> Poll<Result<usize, CheckpointError>> {
        if !matches!(self.transfer, Some(Transfer::Out(_))) {
            return Poll::Ready(Err(CheckpointError::NotBegun));
        }
        assert!(!bytes.is_empty(), "a checkpoint is read into at least one byte");
        if !self.at_rest() {
            return Poll::Pending;
        }
        let Some(Transfer::Out(mut saver)) = self.transfer.take() else { unreachable!("it was just there") };
        let mut count = 0;
        while count < bytes.len() && saver.stage != Stage::Done {
            match self.save_some(&mut saver, device, &mut bytes[count..]) {
                Poll::Ready(Ok(more)) => count += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if count == 0 => {
                    self.transfer = Some(Transfer::Out(saver));
                    return Poll::Pending;
                }
                Poll::Pending => break,
            }
        }
        if saver.stage != Stage::Done || count > 0 {
            self.transfer = Some(Transfer::Out(saver));
        }
        Poll::Ready(Ok(count))
    }

    /// Writes what is made, or makes what comes next.
    fn save_some(
        &mut self,
        saver: &mut Saver,
        device: &mut dyn TensorDevice,
        bytes: &mut [u8],
    ) -> Poll<Result<usize, CheckpointError>> {
        if saver.written < saver.made.len() {
            let count = copy(&saver.made[saver.written..], bytes);
            saver.written += count;
            if saver.stage != Stage::Checksum {
                saver.hasher.update(&bytes[..count]);
            } else if saver.written == saver.made.len() {
                saver.stage = Stage::Done;
            }
            return Poll::Ready(Ok(count));
        }
        (saver.written, _) = (0, saver.made.clear());
        let Stage::Page { entry, page, at } = saver.stage else {
            self.make(saver);
            return Poll::Ready(Ok(0));
        };
        let mapping = self.saved_mapping(saver, entry).expect("its record is written");
        let slice = mapping.slice;
        if at == 0 {
            match self.pager.make_image(slice, page, device) {
                Poll::Ready(Ok(())) => (),
                Poll::Ready(Err(PageError::Busy)) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.page_refused(error))),
            }
        }
        let image = self.pager.image(slice, page);
        let count = copy(&image[at..], bytes);
        saver.hasher.update(&bytes[..count]);
        saver.stage = if at + count < image.len() {
            Stage::Page { entry, page, at: at + count }
        } else if page + 1 < saved_pages(self.pager.slice(slice).computed) {
            Stage::Page { entry, page: page + 1, at: 0 }
        } else {
            Stage::Mapping { entry: entry + 1 }
        };
        Poll::Ready(Ok(count))
    }

    /// What a page that could not be moved makes of a checkpoint. A device that is gone is the next tick's
    /// matter.
    pub(super) fn page_refused(&mut self, error: PageError) -> CheckpointError {
        if matches!(error, PageError::Lost | PageError::NotPrepared) {
            let _: Tick = self.lose();
        }
        CheckpointError::Page(error)
    }

    /// Makes the bytes of the stage that is due, and says what comes after.
    fn make(&mut self, saver: &mut Saver) {
        saver.stage = match saver.stage {
            Stage::Header => {
                let saved = |slot: &usize| self.is_saved(saver.only, *slot);
                let agents = (0..self.agents.len()).filter(saved).count() as u16;
                let header = Header { agents, ..self.checkpoint_header() };
                let begun = saver.made.extend_from_slice(&MAGIC);
                begun
                    .and_then(|()| saver.made.extend_from_slice(&VERSION.to_le_bytes()))
                    .expect("it is short");
                push(&mut saver.made, &header);
                Stage::Agent
            }
            Stage::Agent => {
                while saver.slot < self.agents.len() && !self.is_saved(saver.only, saver.slot) {
                    saver.slot += 1;
                }
                if saver.slot == self.agents.len() {
                    Stage::Checksum
                } else {
                    push(&mut saver.made, &self.agent_record(saver.slot, saver.only, saver.contents));
                    Stage::Tokens { at: 0 }
                }
            }
            Stage::Tokens { at } => {
                let tokens = &self.log(saver.slot)[at as usize..];
                match push_words(&mut saver.made, tokens) {
                    0 => Stage::Inbox { at: 0 },
                    count => Stage::Tokens { at: at + count },
                }
            }
            Stage::Inbox { at } => {
                let first = saver.slot * self.config.inbox as usize;
                let inbox = &self.inbox[first..][..self.rcb(saver.slot).inbox as usize];
                match push_words(&mut saver.made, &inbox[at as usize..]) {
                    0 => Stage::Queries { at: 0 },
                    count => Stage::Inbox { at: at + count },
                }
            }
            Stage::Queries { at } => {
                let queries = self.saved_queries(saver.slot, saver.contents);
                match push_words(&mut saver.made, &as_words(&queries[at as usize..])) {
                    0 => Stage::Mapping { entry: 0 },
                    count => Stage::Queries { at: at + count },
                }
            }
            Stage::Mapping { entry } => self.make_mapping(saver, entry),
            Stage::Schema { entry, at } => {
                let slice = self.saved_mapping(saver, entry).expect("its record is written").slice;
                let schema = &self.pager.schema(slice)[at as usize..];
                match push_words(&mut saver.made, &as_words(schema)) {
                    0 if saved_pages(self.pager.slice(slice).computed) > 0 => {
                        Stage::Page { entry, page: 0, at: 0 }
                    }
                    0 => Stage::Mapping { entry: entry + 1 },
                    count => Stage::Schema { entry, at: at + count },
                }
            }
            Stage::Page { .. } | Stage::Done => unreachable!("pages are written as they are"),
            Stage::Checksum => {
                let checksum: [u8; CHECKSUM_BYTES] = *saver.hasher.finalize().as_bytes();
                saver.made.extend_from_slice(&checksum).expect("it is short");
                Stage::Checksum
            }
        };
    }

    fn make_mapping(&mut self, saver: &mut Saver, entry: u32) -> Stage {
        let Some(mapping) = self.saved_mapping(saver, entry) else {
            (saver.slot, saver.number) = (saver.slot + 1, saver.number + 1);
            return Stage::Agent;
        };
        let Mapping { slice: id, base, fidelity, selected, pinned, forgotten, .. } = mapping;
        let Mapping { mass, relevant, chosen, .. } = mapping;
        let before = self.pager.meet(id, (saver.number, entry));
        let pages = match before {
            Some((agent, entry)) => Pages::Met { agent, entry },
            None if self.pager.is_packed(id) => Pages::Packed,
            None => Pages::Here,
        };
        let slice = self.pager.slice(id);
        let (sealed, computed) = (slice.sealed, slice.computed);
        let schema = if before.is_none() { slice.schema } else { 0 };
        push(
            &mut saver.made,
            &MappingRecord {
                base,
                fidelity,
                selected,
                pinned,
                forgotten,
                mass,
                relevant,
                chosen,
                schema,
                sealed,
                computed,
                pages,
            },
        );
        if schema > 0 {
            Stage::Schema { entry, at: 0 }
        } else if before.is_none() && saved_pages(computed) > 0 {
            Stage::Page { entry, page: 0, at: 0 }
        } else {
            Stage::Mapping { entry: entry + 1 }
        }
    }

    /// What a checkpoint of this system says of what results depend on, without agents.
    pub(super) fn checkpoint_header(&self) -> Header {
        Header::of(self.model, self.vocabulary.delimiters.len(), &self.config, &self.packing)
    }

    fn is_saved(&self, only: Option<AgentId>, slot: usize) -> bool {
        self.agents[slot].rcb.as_ref().is_some_and(|rcb| only.is_none_or(|agent| agent == rcb.id))
    }

    /// The number of an agent in the checkpoint.
    fn number_of(&self, only: Option<AgentId>, agent: AgentId) -> Option<u16> {
        let slot = self.find(agent).filter(|&slot| self.is_saved(only, slot))?;
        Some((0..slot).filter(|&before| self.is_saved(only, before)).count() as u16)
    }

    /// Entries of an agent's page table that are written: none where the tokens do, and from the first one that is
    /// in the cold store alone none either. Whoever reads the checkpoint finds that slice there again, or computes it
    /// and what comes behind it, to the same bits unless it was packed.
    fn saved_entries(&self, slot: usize, contents: Contents) -> u32 {
        let rcb = self.rcb(slot);
        let exact = rcb.committed.chain.is_some() && !rcb.committed.packed;
        let tokens_do = contents == Contents::Tokens && exact;
        if tokens_do || rcb.mapped == 0 {
            return 0;
        }
        let entries = rcb.committed.layout.slices;
        let table = &self.table(slot)[..entries as usize];
        let cold = table.iter().position(|mapping| self.pager.slice(mapping.slice).is_cold());
        cold.map_or(entries, |first| first as u32)
    }

    /// Where so many entries of an agent's page table end, which are not all that it has.
    fn cursor_behind(&self, slot: usize, entries: u32) -> Cursor {
        let (before, behind) = self.table(slot).split_at(entries as usize);
        let pages = before.iter().map(|mapping| u32::from(self.pager.slice(mapping.slice).pages)).sum();
        let chain = before.last().map_or(Some(self.root), |last| self.pager.slice(last.slice).hash);
        let layout = Layout { tokens: behind[0].base, slices: entries, pages, open: 0 };
        let floor = self.rcb(slot).committed.floor.min(layout.tokens);
        Cursor { layout, chain, packed: false, trail: None, floor }
    }

    /// The queries of an agent's latest rows, where its pages are written.
    fn saved_queries(&self, slot: usize, contents: Contents) -> &[f32] {
        let queries = if self.saved_entries(slot, contents) > 0 { self.rcb(slot).queries } else { 0 };
        &self.queries[self.query_ring(slot, queries)]
    }

    /// The entry of an agent's page table, or behind those the slice that was sent to it, that has this
    /// number in the checkpoint.
    fn saved_mapping(&self, saver: &Saver, entry: u32) -> Option<Mapping> {
        let entries = self.saved_entries(saver.slot, saver.contents);
        if entry < entries {
            return Some(self.table(saver.slot)[entry as usize]);
        }
        let offer = entry - entries;
        (offer < self.rcb(saver.slot).offers).then(|| self.mappings[self.offer_place(saver.slot, offer)])
    }

    fn agent_record(&self, slot: usize, only: Option<AgentId>, contents: Contents) -> AgentRecord {
        let rcb = self.rcb(slot);
        let mapped = self.saved_entries(slot, contents);
        let committed = match mapped {
            0 => Cursor::start(self.root),
            all if all == rcb.committed.layout.slices => rcb.committed,
            some => self.cursor_behind(slot, some),
        };
        // Of what was packed, a reader cannot tell what it stands for.
        let chain = committed.chain.filter(|_| mapped == 0 || !rcb.committed.packed);
        let committed = Cursor { chain, ..committed };
        AgentRecord {
            state: rcb.state,
            parent: rcb.parent.and_then(|parent| self.number_of(only, parent)),
            spec: rcb.spec(),
            admitted: rcb.promise.pages > 0,
            tokens: rcb.tokens,
            inbox: rcb.inbox,
            mapped,
            offers: rcb.offers,
            offers_taken: rcb.offers_taken,
            received: rcb.received,
            committed,
            reached: rcb.reached,
            counted: rcb.counted,
            asked: rcb.asked,
            replays: rcb.replays,
            choices: rcb.choices,
            queries: if mapped > 0 { rcb.queries } else { 0 },
            turn_tokens: rcb.turn_tokens,
            turn_over: rcb.turn_over,
            waits_for: rcb.waits_for.iter().filter_map(|&agent| self.number_of(only, agent)).collect(),
            calls: self.call_records(rcb.id),
            lived_us: rcb.age_us(self.now_us),
            metrics: rcb.metrics,
        }
    }
}

/// Numbers as the words that have their bits, as many as are put into bytes at once.
fn as_words(numbers: &[f32]) -> Vec<u32, WORDS> {
    numbers.iter().take(WORDS).map(|number| number.to_bits()).collect()
}

/// Pages that hold so many tokens of a slice.
pub(super) fn saved_pages(computed: u8) -> usize {
    usize::from(computed).div_ceil(PAGE_TOKENS)
}

/// Appends a record. [`RECORD_BYTES`] is more than any record has.
fn push(made: &mut Vec<u8, RECORD_BYTES>, record: &impl Serialize) {
    let mut bytes = [0; RECORD_BYTES];
    let record = postcard::to_slice(record, &mut bytes).expect("a record is shorter than the longest");
    made.extend_from_slice(record).expect("a record is shorter than the longest");
}

/// Appends as many words as are put into bytes at once; returns how many.
fn push_words(made: &mut Vec<u8, RECORD_BYTES>, words: &[u32]) -> u32 {
    let words = &words[..words.len().min(WORDS)];
    for word in words {
        made.extend_from_slice(&word.to_le_bytes()).expect("so many fit");
    }
    words.len() as u32
}

/// Copies what fits; returns how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    to[..count].copy_from_slice(&from[..count]);
    count
}
