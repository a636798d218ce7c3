//! What fits, and which rows come next: functions of the tokens pushed and the bounds, that ask no
//! device.

use agentos_hal::{Row, Segment, Want};

use super::{Ask, Room, Sequence, SequenceError, State};
use crate::layout::{Layout, Placement};

impl Sequence<'_> {
    /// Where the context would end with these tokens, if it has room for them.
    pub(super) fn fit(&self, tokens: &[u32], free: usize) -> Result<Layout, SequenceError> {
        let mut end = self.pushed;
        for (index, &token) in tokens.iter().enumerate() {
            let vocab = self.delimiters.len();
            let delimiter =
                *self.delimiters.get(token as usize).ok_or(SequenceError::Token { index, token, vocab })?;
            (end, _) = end.append(delimiter, self.slice_limits);
            let taken = (end.pages - self.pushed.pages) as usize;
            for (count, most, room) in [
                (end.tokens as usize, self.context, Room::Context),
                (end.slices as usize, self.slices, Room::Slices),
                (end.pages as usize, self.mapped, Room::Mapped),
                (taken, free, Room::Pages),
            ] {
                if count > most {
                    return Err(SequenceError::Full { room, pushed: tokens.len(), fits: index });
                }
            }
        }
        Ok(end)
    }

    /// Lays out the rows of the next step, to compute them or to look: as many tokens as a chunk has, and no more wanting or exposed
    /// rows than a step may have.
    pub(super) fn plan(&mut self, ask: &Ask<'_>) {
        self.rows = 0;
        (self.began, self.looks) = (self.planned, ask.depth.is_some());
        let (mut outcomes, mut exposed) = (0, 0);
        while self.rows < self.chunk && self.planned.tokens < self.pushed.tokens {
            let want = if self.looks { Want::Nothing } else { self.want(self.planned.tokens) };
            outcomes += usize::from(want != Want::Nothing);
            exposed += usize::from(ask.exposes(self.planned.tokens));
            // Where none may be exposed at all, the device says so of the one row that is.
            if outcomes > self.outcomes || exposed > self.exposed.max(1) {
                break;
            }
            let token = self.tables.tokens[self.planned.tokens as usize];
            let (end, placement) = self.planned.append(self.delimiters[token as usize], self.slice_limits);
            let Placement { address, slice, offset, page, place } = placement;
            self.tables.slices[slice as usize] = Segment { base: address - offset, len: offset + 1 };
            let page = self.tables.pages[page as usize];
            self.tables.rows[self.rows] =
                Row { token, address, page, place, offset, want, mask: None, expose: false };
            self.rows += 1;
            self.planned = end;
        }
        self.state = State::Planned;
    }

    /// Forgets the rows that are laid out: they are to be computed as before.
    pub(super) fn unplan(&mut self) {
        self.planned = self.began;
        self.state = State::Resting;
        if let (Some(slice), 1..) = (self.planned.slices.checked_sub(1), self.planned.open) {
            self.tables.slices[slice as usize].len = self.planned.open;
        }
    }

    fn want(&self, address: u32) -> Want {
        let following = address + 1;
        if following == self.pushed.tokens {
            Want::Candidates
        } else if address >= self.score_from {
            Want::Score(self.tables.tokens[following as usize])
        } else {
            Want::Nothing
        }
    }
}
