//! Whether the pager's books agree: every page and frame has one holder, and slices are what they say.

use agentos_hal::{PAGE_TOKENS, PageId};

use super::pager::Pager;
use super::slices::{Kept, Place, SLICE_PAGES, Slice, SliceId};
use crate::system::audit::Broken;

impl Pager<'_> {
    /// Checks everything that can be seen without knowing who maps what. Nothing is changed. The work
    /// grows with pages times slices: for tests, simulations and builds with debug assertions.
    ///
    /// # Errors
    /// The first [`Broken`] invariant found.
    pub fn audit(&self) -> Result<(), Broken> {
        for (id, slice) in self.slices() {
            self.audit_slice(id, slice)?;
        }
        let indexed = self.slices().filter(|(_, slice)| slice.indexed).count();
        if indexed != self.indexed() {
            return Err(Broken::IndexCount { indexed, entries: self.indexed() });
        }
        self.audit_cold()?;
        let free = || self.free_pages().iter().map(|page| page.0);
        each_once(self.pages(), || free().chain(self.held_pages()))
            .map_err(|(page, holders)| Broken::Page { page: PageId(page), holders })?;
        let free = || self.frames().filter(|(_, in_use)| !in_use).map(|(frame, _)| frame.number());
        each_once(self.frames().count() as u32, || free().chain(self.held_frames()))
            .map_err(|(frame, holders)| Broken::Frame { frame, holders })?;
        Ok(())
    }

    fn audit_slice(&self, id: SliceId, slice: &Slice) -> Result<(), Broken> {
        let room = usize::from(slice.pages) * PAGE_TOKENS;
        let most = slice.sealed.map_or(room, usize::from);
        let counted = slice.computed <= slice.planned && usize::from(slice.planned) <= most.min(room);
        if !counted || usize::from(slice.pages) > SLICE_PAGES {
            return Err(Broken::SliceTokens { slice: id });
        }
        let found = slice.hash.and_then(|hash| self.find(hash));
        if slice.indexed && found != Some(id) {
            return Err(Broken::Index { slice: id });
        }
        // Nobody would ever give it back.
        if slice.refs == 0 && !slice.indexed && !self.is_moving(id) {
            return Err(Broken::Forgotten { slice: id });
        }
        Ok(())
    }

    /// Whether as many slices are cold, or on their way to the store, as count as such.
    fn audit_cold(&self) -> Result<(), Broken> {
        for (slice, found) in self.slices().filter(|(_, slice)| slice.is_cold()) {
            let wanted = found.refs > 0 || self.is_moving(slice);
            if !(found.complete() && found.hash.is_some() && wanted) {
                return Err(Broken::Cold { slice });
            }
        }
        let cold = self.slices().filter(|(_, slice)| slice.is_cold()).count();
        let queued = self.slices().filter(|(_, slice)| slice.kept == Kept::Queued).count();
        let counted = (self.cold() as usize, self.queued() as usize);
        if (cold, queued) == counted { Ok(()) } else { Err(Broken::Storing { cold, queued, counted }) }
    }

    /// The pages that slices, and the moves under way, hold.
    fn held_pages(&self) -> impl Iterator<Item = u32> {
        self.places()
            .flat_map(|(place, count)| match place {
                Place::Device(pages) => &pages[..count],
                Place::Arena(_) | Place::Cold => &[],
            })
            .map(|page| page.0)
    }

    /// The frames that slices, and the move under way, hold.
    fn held_frames(&self) -> impl Iterator<Item = u32> {
        self.places()
            .flat_map(|(place, count)| match place {
                Place::Arena(frames) => &frames[..count],
                Place::Device(_) | Place::Cold => &[],
            })
            .map(|frame| frame.number())
    }

    fn places(&self) -> impl Iterator<Item = (&Place, usize)> {
        let places = self.slices().map(|(_, slice)| (&slice.place, usize::from(slice.pages)));
        places.chain(self.moving_to()).chain(self.loading_to())
    }
}

/// Whether every number below `count` comes once; else one that does not, and how often it comes. Numbers
/// are looked at in chunks, a bit for each, so that it takes no memory.
fn each_once<I: Iterator<Item = u32>>(count: u32, numbers: impl Fn() -> I) -> Result<(), (u32, usize)> {
    let wrong = |number| Err((number, numbers().filter(|&other| other == number).count()));
    if let Some(beyond) = numbers().find(|&number| number >= count) {
        return wrong(beyond);
    }
    for first in (0..count).step_by(u128::BITS as usize) {
        let chunk = first..count.min(first.saturating_add(u128::BITS));
        let mut seen = 0u128;
        for number in numbers().filter(|number| chunk.contains(number)) {
            let bit = 1 << (number - first);
            if seen & bit != 0 {
                return wrong(number);
            }
            seen |= bit;
        }
        if seen.count_ones() as usize != chunk.len() {
            return wrong(first + seen.trailing_ones());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_or_never_is_found() {
        let check = |count, numbers: &[u32]| each_once(count, || numbers.iter().copied());
        assert_eq!(check(0, &[]), Ok(()));
        assert_eq!(check(3, &[2, 0, 1]), Ok(()));
        assert_eq!(check(3, &[2, 0]), Err((1, 0)));
        assert_eq!(check(3, &[2, 0, 2]), Err((2, 2)));
        assert_eq!(check(3, &[2, 0, 1, 7]), Err((7, 1)));
        let many: std::vec::Vec<u32> = (0..300).rev().collect();
        assert_eq!(check(300, &many), Ok(()));
        assert_eq!(check(300, &many[..299]), Err((0, 0)));
        assert_eq!(check(301, &many), Err((300, 0)));
    }
}
