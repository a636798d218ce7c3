//! What a step asks for beside the next tokens.

use core::ops::Range;

use agentos_hal::{LayerRange, Row, Tap, Want};

/// What a tick asks of the device beside the tokens themselves; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    /// The tokens that may follow the context, as in [`Step::masks`](agentos_hal::Step::masks); `None` allows
    /// all. It holds for the step that computes the last token pushed. One that is empty comes later, by
    /// [`Sequence::allow`](super::Sequence::allow).
    pub mask: Option<&'a [u32]>,
    /// What is shown of the rows in `exposed`.
    pub taps: &'a [Tap],
    /// Addresses of the rows that are exposed.
    pub exposed: Range<u32>,
    /// The layers in which attention's entropy and mass are counted.
    pub counters: LayerRange,
    /// Only a look: after so many layers the step ends ([`Step::depth`](agentos_hal::Step::depth)), and nobody is told what
    /// may follow. The tokens are still to be computed after it ([`Tick::Looked`](super::Tick::Looked)).
    pub depth: Option<u32>,
}

impl Ask<'_> {
    pub(super) fn exposes(&self, address: u32) -> bool {
        !self.taps.is_empty() && self.exposed.contains(&address)
    }

    pub(super) fn put_into(&self, row: &mut Row) {
        row.mask = (self.mask.is_some() && row.want == Want::Candidates).then_some(0);
        row.expose = self.exposes(row.address);
    }
}
