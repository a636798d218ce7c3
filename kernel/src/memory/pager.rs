//! The pager: slices, the index, and the two tiers, kept in agreement.
//!
//! It moves whole slices and decides nothing: whose pages go is the caller's affair. A move that the
//! device cannot finish at once is gone on with at the next call; a slice is in one tier or in the
//! other, and never half in both. What goes to and comes from the cold store is in [`super::cold`].

use core::task::Poll;

use agentos_hal::{PAGE_TOKENS, PageError, PageId, TensorDevice};

use super::arena::{Arena, FrameId};
use super::cold::Cold;
use super::hash::{Identity, SliceHash};
use super::index::Index;
use super::pack::Packing;
use super::schema::Schemas;
use super::slices::{Kept, Place, SLICE_PAGES, Slice, SliceId, SliceTable};
use crate::pool::PagePool;

/// A slice on its way to the other tier.
#[derive(Clone, Copy, Debug)]
struct Move {
    slice: SliceId,
    /// The slice whose pages are read: the same one, or in the arena the one of which it becomes a copy.
    source: SliceId,
    to: Place,
    /// Pages to copy.
    pages: usize,
    /// Pages copied so far.
    copied: usize,
}

impl Move {
    /// Whether the slice that is read stays where it is.
    fn is_copy(&self) -> bool {
        self.source != self.slice
    }
}

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Moved {
    /// So many pages are in the other tier now.
    Pages(u32),
    /// The other tier has no room.
    NoRoom,
}

/// Pages and frames that are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages of page memory that hold something.
    pub l1: u32,
    /// Frames of the arena that hold something.
    pub l2: u32,
    /// Pages of slices that agents map and that are in the cold store alone.
    pub l3: u32,
}

/// The pager.
#[derive(Debug)]
pub struct Pager<'m> {
    pub(super) slices: SliceTable<'m>,
    index: Index<'m>,
    pub(super) pool: PagePool<'m>,
    pub(super) arena: Arena<'m>,
    pub(super) packing: Packing,
    /// One page's image on its way to or from a packed frame.
    image: &'m mut [u8],
    pub(super) schemas: Schemas<'m>,
    moving: Option<Move>,
    pub(super) cold: Cold<'m>,
    round: u64,
}

impl<'m> Pager<'m> {
    /// A pager of empty tiers. `image` has room for one page's image, or for three and a snapshot where there may be
    /// cold slices.
    pub fn new(
        slices: SliceTable<'m>,
        index: Index<'m>,
        pool: PagePool<'m>,
        arena: Arena<'m>,
        packing: Packing,
        image: &'m mut [u8],
        schemas: Schemas<'m>,
    ) -> Pager<'m> {
        let (image, others) = image.split_at_mut(packing.image_bytes());
        let cold = Cold::new(others, packing.image_bytes());
        Pager { slices, index, pool, arena, packing, image, schemas, moving: None, cold, round: 0 }
    }

    /// A slice.
    pub fn slice(&self, id: SliceId) -> &Slice {
        self.slices.get(id)
    }

    /// Every slice that is in use.
    pub fn slices(&self) -> impl Iterator<Item = (SliceId, &Slice)> {
        self.slices.iter()
    }

    /// Pages of page memory that nobody uses.
    pub fn free(&self) -> u32 {
        self.pool.free()
    }

    /// Bytes of a page's image.
    pub(super) fn image_bytes(&self) -> usize {
        self.packing.image_bytes()
    }

    /// Frames of the arena that nobody uses.
    pub fn free_frames(&self) -> u32 {
        self.arena.free_lossless()
    }

    /// Pages of page memory.
    pub fn pages(&self) -> u32 {
        self.pool.pages()
    }

    /// The pages that nobody uses.
    pub fn free_pages(&self) -> &[PageId] {
        self.pool.free_pages()
    }

    /// Every frame of the arena, and whether it is in use.
    pub fn frames(&self) -> impl Iterator<Item = (FrameId, bool)> {
        self.arena.frames()
    }

    /// Entries of the index.
    pub fn indexed(&self) -> usize {
        self.index.len()
    }

    /// Where the move that is under way leads, and with how many pages, unless a slice has them already.
    pub fn moving_to(&self) -> Option<(&Place, usize)> {
        let moving = self.moving.as_ref().filter(|moving| !moving.is_copy())?;
        Some((&moving.to, moving.pages))
    }

    /// Pages and frames in use.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for (_, slice) in self.slices.iter() {
            let pages = u32::from(slice.pages);
            match slice.place {
                Place::Device(_) => usage.l1 += pages,
                Place::Arena(_) => usage.l2 += pages,
                Place::Cold => usage.l3 += pages,
            }
        }
        usage
    }

    /// Begins a planning round: from here on [`Pager::need`] protects slices.
    pub fn begin_round(&mut self) {
        self.round += 1;
    }

    /// The planning round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// A step of this round needs the slice.
    pub fn need(&mut self, id: SliceId) {
        self.slices.get_mut(id).needed = self.round;
    }

    /// Whether a step of this round needs the slice.
    pub fn is_needed(&self, id: SliceId) -> bool {
        self.slices.get(id).needed == self.round
    }

    /// The slice of an identity, if it was made.
    pub fn find(&self, hash: SliceHash) -> Option<SliceId> {
        self.index.get(&hash).map(SliceId)
    }

    /// One more mapping of a slice.
    pub fn retain(&mut self, id: SliceId) {
        self.slices.retain(id);
    }

    /// A new slice that one agent maps. With an identity it can be found before it is computed, and
    /// whoever runs first computes it for all.
    pub fn create(&mut self, identity: Option<Identity>) -> SliceId {
        let id = self.slices.create();
        if let Some(identity) = identity {
            self.seal(id, Some(identity), identity.tokens);
            self.publish(id);
        }
        id
    }

    /// Seals a slice under its identity. It is to be published once it is computed.
    pub fn seal(&mut self, id: SliceId, identity: Option<Identity>, tokens: u8) {
        let slice = self.slices.get_mut(id);
        (slice.hash, slice.sealed) = (identity.map(|identity| identity.hash), Some(tokens));
        slice.packed = identity.is_some_and(|identity| identity.packed);
    }

    /// Lets others find a slice by its identity, unless they find an equal one already.
    pub fn publish(&mut self, id: SliceId) {
        if let Some(hash) = self.slices.get(id).hash
            && self.index.get(&hash).is_none()
        {
            // A full index only means that this slice will not be shared.
            self.slices.get_mut(id).indexed = self.index.insert(hash, id.0).is_ok();
        }
    }

    /// One mapping less. What nobody maps and nobody could find is removed; the rest stays until its
    /// pages are needed. What is in the cold store is found there again.
    pub fn release(&mut self, id: SliceId) {
        let useless = self.slices.release(id);
        let slice = self.slices.get(id);
        if (useless || slice.refs == 0 && slice.is_cold()) && !self.is_moving(id) {
            self.discard(id);
        }
    }

    /// Adds a page to a slice in page memory, if one is free.
    pub fn grow(&mut self, id: SliceId) -> Option<PageId> {
        if self.pool.free() == 0 {
            return None;
        }
        let mut page = [PageId(0)];
        self.pool.take(&mut page);
        let slice = self.slices.get_mut(id);
        let Place::Device(pages) = &mut slice.place else { panic!("only a resident slice grows") };
        pages[usize::from(slice.pages)] = page[0];
        slice.pages += 1;
        Some(page[0])
    }

    /// Notes that a step will compute one more token of a slice.
    pub fn plan_token(&mut self, id: SliceId) {
        self.slices.get_mut(id).planned += 1;
    }

    /// The tokens of a slice that were put into a step are computed, or, when the step failed, are not.
    pub fn settle(&mut self, id: SliceId, good: bool) {
        let slice = self.slices.get_mut(id);
        if good { slice.computed = slice.planned } else { slice.planned = slice.computed }
    }

    /// Counts the density of a slice's row at an offset.
    pub fn note_density(&mut self, id: SliceId, offset: u32, density: f32) {
        self.slices.get_mut(id).density.note(offset, density);
    }

    /// Removes the slice that has been unmapped for longest in page memory (or the arena): one that is on its
    /// way to the cold store only when there is no other. Returns whether there was one.
    pub fn reclaim(&mut self, resident: bool) -> bool {
        let wanted = |id: SliceId, slice: &Slice| {
            slice.resident() == resident && slice.needed != self.round && !self.is_moving(id)
        };
        let at_rest = |id: SliceId, slice: &Slice| slice.kept != Kept::Queued && wanted(id, slice);
        let found = self.slices.oldest_unmapped(at_rest).or_else(|| self.slices.oldest_unmapped(wanted));
        let Some(id) = found else { return false };
        self.discard(id);
        true
    }

    /// A slice with the first `tokens` of another, to go on in another way: the same one if nobody else
    /// can see it, else a copy (copy on write). `None` while page memory has too few free pages.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_pages`].
    pub fn make_own(
        &mut self,
        id: SliceId,
        tokens: u8,
        device: &mut dyn TensorDevice,
    ) -> Result<Option<SliceId>, PageError> {
        let slice = self.slices.get_mut(id);
        if slice.refs == 1 && !slice.indexed {
            (slice.planned, slice.computed, slice.schema) = (tokens, tokens, 0);
            slice.density.cut(tokens);
            // What it becomes is said when it is sealed again.
            (slice.hash, slice.packed, slice.sealed) = (None, false, None);
            self.schemas.forget(id);
            return Ok(Some(id));
        }
        let from = *self.slices.get(id);
        let count = usize::from(tokens).div_ceil(PAGE_TOKENS);
        if (self.pool.free() as usize) < count {
            return Ok(None);
        }
        let mut pages = [PageId(u32::MAX); SLICE_PAGES];
        self.pool.take(&mut pages[..count]);
        let mut pairs = [(PageId(0), PageId(0)); SLICE_PAGES];
        for ((pair, &old), &new) in pairs.iter_mut().zip(from.device_pages()).zip(&pages[..count]) {
            *pair = (old, new);
        }
        if let Err(error) = device.copy_pages(&pairs[..count]) {
            self.pool.give(&pages[..count]);
            return Err(error);
        }
        let copy = self.slices.create();
        let slice = self.slices.get_mut(copy);
        (slice.pages, slice.planned, slice.computed) = (count as u8, tokens, tokens);
        (slice.place, slice.needed) = (Place::Device(pages), self.round);
        self.release(id);
        Ok(Some(copy))
    }

    /// Moves a slice from page memory to the arena, as it is.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_out`].
    pub fn page_out(&mut self, id: SliceId, device: &mut dyn TensorDevice) -> Poll<Result<Moved, PageError>> {
        let count = usize::from(self.slices.get(id).pages);
        while (self.arena.free_lossless() as usize) < count {
            if !self.reclaim(false) {
                return Poll::Ready(Ok(Moved::NoRoom));
            }
        }
        let frames = self.take_frames(count, false);
        self.begin(id, frames, device)
    }

    /// Moves a slice to the arena, packed. From then on it is nobody's exact slice: it cannot be found by its identity.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_out`].
    pub fn page_out_packed(
        &mut self,
        id: SliceId,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<Moved, PageError>> {
        let count = usize::from(self.slices.get(id).pages);
        if (self.arena.free_packed() as usize) < count {
            return Poll::Ready(Ok(Moved::NoRoom));
        }
        let frames = self.take_frames(count, true);
        self.forget_identity(id);
        self.begin(id, frames, device)
    }

    /// So many frames of one kind, which are free.
    fn take_frames(&mut self, count: usize, packed: bool) -> Place {
        let mut frames = [FrameId::NONE; SLICE_PAGES];
        frames[..count].fill_with(|| {
            let frame = if packed { self.arena.take_packed() } else { self.arena.take_lossless() };
            frame.expect("so many are free")
        });
        Place::Arena(frames)
    }

    /// Moves a slice from the arena to page memory.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_in`].
    pub fn page_in(&mut self, id: SliceId, device: &mut dyn TensorDevice) -> Poll<Result<Moved, PageError>> {
        let count = usize::from(self.slices.get(id).pages);
        if (self.pool.free() as usize) < count {
            return Poll::Ready(Ok(Moved::NoRoom));
        }
        let mut pages = [PageId(u32::MAX); SLICE_PAGES];
        self.pool.take(&mut pages[..count]);
        self.begin(id, Place::Device(pages), device)
    }

    /// A slice in page memory with the first `tokens` of one in the arena, which stays there for others: as
    /// [`Pager::make_own`], and without a page of page memory for the original. The copy is not whole before
    /// the move is over. `None` while page memory has too few free pages.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_in`].
    pub fn page_in_own(
        &mut self,
        id: SliceId,
        tokens: u8,
        device: &mut dyn TensorDevice,
    ) -> Option<(SliceId, Poll<Result<Moved, PageError>>)> {
        let count = usize::from(tokens).div_ceil(PAGE_TOKENS);
        if (self.pool.free() as usize) < count {
            return None;
        }
        let mut pages = [PageId(u32::MAX); SLICE_PAGES];
        self.pool.take(&mut pages[..count]);
        let copy = self.slices.create();
        let slice = self.slices.get_mut(copy);
        (slice.pages, slice.planned, slice.computed) = (count as u8, tokens, tokens);
        (slice.place, slice.needed) = (Place::Device(pages), self.round);
        let moved = self.begin_move(
            Move { slice: copy, source: id, to: Place::Device(pages), pages: count, copied: 0 },
            device,
        );
        // It is held for as long as it is read.
        self.release(id);
        Some((copy, moved))
    }

    /// Begins to move a whole slice.
    fn begin(
        &mut self,
        slice: SliceId,
        to: Place,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<Moved, PageError>> {
        let pages = usize::from(self.slices.get(slice).pages);
        self.begin_move(Move { slice, source: slice, to, pages, copied: 0 }, device)
    }

    /// Begins a move; the one before is finished.
    fn begin_move(&mut self, moving: Move, device: &mut dyn TensorDevice) -> Poll<Result<Moved, PageError>> {
        assert!(!self.is_paging(), "one slice is moved at a time");
        self.moving = Some(moving);
        self.go_on(device)
    }

    /// Whether the device is at work on a page, or a schema is not finished yet.
    pub fn is_paging(&self) -> bool {
        self.moving.is_some() || self.cold.is_copying() || self.schemas.is_summing()
    }

    /// Whether slices have schemas.
    pub fn has_schemas(&self) -> bool {
        self.schemas.any()
    }

    /// The sum of a slice's keys, as far as [`Slice::schema`] says.
    pub fn schema(&self, id: SliceId) -> &[f32] {
        self.schemas.row(id)
    }

    /// A schema that was kept elsewhere: where it is put, of so many tokens.
    pub fn restore_schema(&mut self, id: SliceId, tokens: u8) -> &mut [f32] {
        self.slices.get_mut(id).schema = tokens;
        self.schemas.row_mut(id)
    }

    /// Makes the schema of the first `tokens` tokens of a slice in page memory. While it is pending nothing
    /// else is moved, and [`Pager::go_on`] goes on with it.
    ///
    /// # Errors
    /// As [`TensorDevice::summarise`].
    pub fn make_schema(
        &mut self,
        id: SliceId,
        tokens: u8,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<(), PageError>> {
        loop {
            match self.go_on_summing(device) {
                Poll::Ready(Ok(())) => (),
                other => return other,
            }
            let slice = self.slices.get(id);
            let before = slice.schema;
            if before >= tokens {
                return Poll::Ready(Ok(()));
            }
            let page = slice.device_pages()[usize::from(before) / PAGE_TOKENS];
            self.schemas.begin(id, page, (tokens - before).min(PAGE_TOKENS as u8), before);
        }
    }

    fn go_on_summing(&mut self, device: &mut dyn TensorDevice) -> Poll<Result<(), PageError>> {
        match self.schemas.go_on(device) {
            Poll::Ready(Ok(Some((id, tokens)))) => {
                self.slices.get_mut(id).schema = tokens;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Goes on with what is under way, if there is something.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_in`], [`TensorDevice::copy_out`] and [`TensorDevice::summarise`]; a slice
    /// stays where it was.
    pub fn go_on(&mut self, device: &mut dyn TensorDevice) -> Poll<Result<Moved, PageError>> {
        match self.go_on_summing(device) {
            Poll::Ready(Ok(())) => (),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        let Some(mut moving) = self.moving else { return Poll::Ready(Ok(Moved::Pages(0))) };
        while moving.copied < moving.pages {
            let copied = self.copy(moving.source, moving.to, moving.copied, device);
            match copied {
                Poll::Ready(Ok(())) => moving.copied += 1,
                Poll::Pending | Poll::Ready(Err(PageError::Busy)) => {
                    self.moving = Some(moving);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    self.end_move(moving.to);
                    return Poll::Ready(Err(error));
                }
            }
        }
        let from = match moving.is_copy() {
            true => moving.to,
            false => core::mem::replace(&mut self.slices.get_mut(moving.slice).place, moving.to),
        };
        self.end_move(from);
        Poll::Ready(Ok(Moved::Pages(moving.pages as u32)))
    }

    /// The move is over: the place where nothing is any more, or nothing came to, is given back.
    fn end_move(&mut self, vacant: Place) {
        let Some(moving) = self.moving.take() else { return };
        if moving.is_copy() {
            // Its pages are the copy's, whatever is in them.
            self.forget_if_unwanted(moving.source);
        } else {
            self.give(vacant, moving.pages);
        }
        self.forget_if_unwanted(moving.slice);
    }

    /// Copies one page of a slice to the other tier.
    fn copy(
        &mut self,
        source: SliceId,
        to: Place,
        at: usize,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<(), PageError>> {
        let Slice { place: from, computed, .. } = *self.slices.get(source);
        match (from, to) {
            (Place::Device(from), Place::Arena(to)) if self.arena.is_packed(to[at]) => {
                let copied = self.packing.copy_out(device, from[at], (computed, at), self.image);
                if let Poll::Ready(Ok(())) = copied {
                    self.packing.pack(self.image, self.arena.image_mut(to[at]));
                }
                copied
            }
            (Place::Arena(from), Place::Device(to)) if self.arena.is_packed(from[at]) => {
                self.packing.unpack(self.arena.image(from[at]), self.image);
                device.copy_in(to[at], self.image)
            }
            (Place::Device(from), Place::Arena(to)) => {
                self.packing.copy_out(device, from[at], (computed, at), self.arena.image_mut(to[at]))
            }
            (Place::Arena(from), Place::Device(to)) => device.copy_in(to[at], self.arena.image(from[at])),
            _ => panic!("a move leads to the other tier"),
        }
    }

    /// Makes a page's image, for [`Pager::image`]. Ready as [`TensorDevice::copy_out`].
    ///
    /// # Errors
    /// As [`TensorDevice::copy_out`].
    pub fn make_image(
        &mut self,
        id: SliceId,
        page: usize,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<(), PageError>> {
        let Slice { place, computed, .. } = *self.slices.get(id);
        match place {
            Place::Arena(_) => Poll::Ready(Ok(())),
            Place::Device(pages) => self.packing.copy_out(device, pages[page], (computed, page), self.image),
            Place::Cold => panic!("a slice in the cold store has no image here"),
        }
    }

    /// The image of a page, as it is or packed where its frame is: the one that was made last.
    pub fn image(&self, id: SliceId, page: usize) -> &[u8] {
        match self.slices.get(id).place {
            Place::Arena(frames) => self.arena.image(frames[page]),
            Place::Device(_) | Place::Cold => self.image,
        }
    }

    /// Whether the pages of a slice are packed.
    pub fn is_packed(&self, id: SliceId) -> bool {
        let slice = self.slices.get(id);
        matches!(slice.place, Place::Arena(frames) if slice.pages > 0 && self.arena.is_packed(frames[0]))
    }

    /// A slice of `pages` pages that one agent maps and [`Pager::fill`] is to fill: in the arena while
    /// there is room, else in page memory; `None` where neither has any.
    pub fn adopt(&mut self, pages: usize, packed: bool) -> Option<SliceId> {
        let packed = packed && self.arena.free_packed() as usize >= pages;
        while !packed && (self.arena.free_lossless() as usize) < pages && self.reclaim(false) {}
        let place = if packed || self.arena.free_lossless() as usize >= pages {
            self.take_frames(pages, packed)
        } else {
            while (self.pool.free() as usize) < pages {
                if !self.reclaim(true) {
                    return None;
                }
            }
            let mut taken = [PageId(u32::MAX); SLICE_PAGES];
            self.pool.take(&mut taken[..pages]);
            Place::Device(taken)
        };
        let id = self.slices.create();
        let slice = self.slices.get_mut(id);
        (slice.pages, slice.place) = (pages as u8, place);
        Some(id)
    }

    /// Fills a page of an adopted slice with an image, as it is or packed.
    ///
    /// # Errors
    /// As [`TensorDevice::copy_in`].
    pub fn fill(
        &mut self,
        id: SliceId,
        page: usize,
        image: &[u8],
        packed: bool,
        device: &mut dyn TensorDevice,
    ) -> Poll<Result<(), PageError>> {
        let place = self.slices.get(id).place;
        let stays = matches!(place, Place::Arena(frames) if self.arena.is_packed(frames[page]));
        let image = if packed && !stays {
            self.packing.unpack(image, self.image);
            &*self.image
        } else {
            image
        };
        match place {
            Place::Arena(frames) => {
                self.arena.image_mut(frames[page]).copy_from_slice(image);
                Poll::Ready(Ok(()))
            }
            Place::Device(pages) => device.copy_in(pages[page], image),
            Place::Cold => panic!("an adopted slice has pages"),
        }
    }

    /// An adopted slice is whole: what it holds, and the identity under which it may be published.
    pub fn settle_adopted(&mut self, id: SliceId, computed: u8, sealed: Option<u8>, hash: Option<SliceHash>) {
        let slice = self.slices.get_mut(id);
        (slice.planned, slice.computed, slice.sealed, slice.hash) = (computed, computed, sealed, hash);
        // Whoever trusts a checkpoint does not pass that on to everybody who will ever read the store.
        slice.kept = Kept::Done;
    }

    /// Notes where a walk over all mappings meets a slice first; returns where it did before.
    pub fn meet(&mut self, id: SliceId, place: (u16, u32)) -> Option<(u16, u32)> {
        let slice = self.slices.get_mut(id);
        let before = slice.met;
        slice.met = before.or(Some(place));
        before
    }

    /// A walk over all mappings begins.
    pub fn forget_meetings(&mut self) {
        self.slices.for_each_mut(|_| true, |slice| slice.met = None);
    }

    /// Page memory was lost with the device: what was there is not computed any more.
    pub fn lose_device(&mut self) {
        if let Some(moving) = self.moving {
            self.end_move(moving.to);
        }
        self.schemas.lose_device();
        self.lose_cold();
        while self.reclaim_any_resident() {}
        let resident = |slice: &Slice| slice.refs > 0 && slice.resident();
        // The simulator is held to find it when this is left out.
        if cfg!(not(feature = "planted-bug")) {
            self.slices.for_each_mut(resident, |slice| {
                (slice.planned, slice.computed, slice.schema) = (0, 0, 0);
            });
        }
    }

    fn reclaim_any_resident(&mut self) -> bool {
        let Some(id) = self.slices.oldest_unmapped(|_, slice| slice.resident()) else { return false };
        self.discard(id);
        true
    }

    /// Whether a slice is on its way to another tier, and its pages are to stay for that.
    pub fn is_moving(&self, id: SliceId) -> bool {
        let moves = |moving: Move| moving.slice == id || moving.source == id;
        self.moving.is_some_and(moves) || self.cold.holds(id)
    }

    /// A slice whose last mapping went while it was on its way.
    pub(super) fn forget_if_unwanted(&mut self, id: SliceId) {
        let slice = self.slices.get(id);
        if slice.refs == 0 && (slice.is_cold() || !(slice.indexed && slice.complete())) {
            self.discard(id);
        }
    }

    fn forget_identity(&mut self, id: SliceId) {
        self.give_up(id);
        let slice = self.slices.get_mut(id);
        let hash = slice.hash.take();
        if core::mem::take(&mut slice.indexed)
            && let Some(hash) = hash
        {
            self.index.remove(&hash);
        }
    }

    pub(super) fn discard(&mut self, id: SliceId) {
        self.forget_identity(id);
        self.schemas.forget(id);
        let slice = *self.slices.get(id);
        self.cold.count -= u32::from(slice.is_cold());
        self.give(slice.place, usize::from(slice.pages));
        self.slices.remove(id);
    }

    pub(super) fn give(&mut self, place: Place, count: usize) {
        match place {
            Place::Device(pages) => self.pool.give(&pages[..count]),
            Place::Arena(frames) => frames[..count].iter().for_each(|&frame| self.arena.give(frame)),
            Place::Cold => (),
        }
    }
}
