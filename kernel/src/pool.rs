//! The free list of page memory. The kernel owns page ids; the device owns what is in the pages.

use agentos_hal::PageId;

/// Pages that nothing maps, last given back first taken.
#[derive(Debug)]
pub struct PagePool<'m> {
    free: &'m mut [PageId],
    count: usize,
}

impl<'m> PagePool<'m> {
    /// A pool of all pages below `table.len()`, which is to be the device's `Limits::pages`.
    pub fn new(table: &'m mut [PageId]) -> PagePool<'m> {
        PagePool::above(0, table)
    }

    /// A pool of as many pages as `table` has, from page `first` on: those below belong to somebody else.
    pub fn above(first: u32, table: &'m mut [PageId]) -> PagePool<'m> {
        let count = table.len();
        // Taken from the end, so the lowest ids lie there.
        for (id, page) in (first..).zip(table.iter_mut().rev()) {
            *page = PageId(id);
        }
        PagePool { free: table, count }
    }

    /// Pages that can be taken.
    pub fn free(&self) -> u32 {
        self.count as u32
    }

    /// The pages that can be taken.
    pub fn free_pages(&self) -> &[PageId] {
        &self.free[..self.count]
    }

    /// Pages that there are.
    pub fn pages(&self) -> u32 {
        self.free.len() as u32
    }

    /// Fills `pages` with pages that are free no more.
    ///
    /// # Panics
    /// When there are not so many: the caller has asked [`PagePool::free`] before.
    pub(crate) fn take(&mut self, pages: &mut [PageId]) {
        assert!(pages.len() <= self.count, "more pages taken than are free");
        for page in pages {
            self.count -= 1;
            *page = self.free[self.count];
        }
    }

    /// Takes pages back.
    ///
    /// # Panics
    /// When that would be more than there are: a page was given back twice.
    pub(crate) fn give(&mut self, pages: &[PageId]) {
        for &page in pages.iter().rev() {
            self.free[self.count] = page;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_below_belong_to_somebody_else() {
        let mut table = [PageId(0); 2];
        let mut pool = PagePool::above(7, &mut table);
        let mut mine = [PageId(9); 2];
        pool.take(&mut mine);
        assert_eq!(mine, [PageId(7), PageId(8)]);
    }

    #[test]
    fn every_page_is_given_once_and_comes_back() {
        let mut table = [PageId(0); 4];
        let mut pool = PagePool::new(&mut table);
        let mut mine = [PageId(9); 3];
        pool.take(&mut mine);
        assert_eq!(mine, [PageId(0), PageId(1), PageId(2)]);
        pool.give(&mine[1..]);
        assert_eq!(pool.free(), 3);
        let mut again = [PageId(9); 3];
        pool.take(&mut again);
        assert_eq!(again, [PageId(1), PageId(2), PageId(3)]);
        assert_eq!(pool.free(), 0);
    }
}
