//! Going back to an earlier place of a context, so that several texts are computed behind one beginning.

use agentos_hal::PageId;

use super::{Sequence, State};
use crate::layout::Layout;
use crate::pool::PagePool;

impl Sequence<'_> {
    /// Forgets what comes after the first `tokens` tokens, and gives back the pages that only that took. Nothing
    /// that was computed before is computed again.
    ///
    /// Returns how many tokens are kept: `tokens`, if so many are computed, no step is under way and a slice ends
    /// there; none otherwise, as after [`Sequence::reset`].
    pub fn rewind(&mut self, tokens: u32, pool: &mut PagePool<'_>) -> u32 {
        let end = self.layout_at(tokens);
        let rests = self.state == State::Resting && tokens <= self.computed;
        if !rests || end.open != 0 {
            self.reset(pool);
            return 0;
        }
        pool.give(&self.tables.pages[end.pages as usize..self.pushed.pages as usize]);
        self.pushed = end;
        self.planned = end;
        self.computed = tokens;
        self.score_from = u32::MAX;
        self.found = None;
        tokens
    }

    /// The pages of the context, in the order of its slices: each slice begins on a page of its own.
    pub fn page_ids(&self) -> &[PageId] {
        &self.tables.pages[..self.pushed.pages as usize]
    }

    fn layout_at(&self, tokens: u32) -> Layout {
        let before = &self.tokens()[..(tokens as usize).min(self.tokens().len())];
        before.iter().fold(Layout::default(), |layout, &token| {
            layout.append(self.delimiters[token as usize], self.slice_limits).0
        })
    }
}
