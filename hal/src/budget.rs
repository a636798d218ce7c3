//! The memory that `prepare` takes, counted while it is taken, so that what does not fit is refused
//! with numbers and the [`Footprint`] is what was counted.

use crate::device::Footprint;
use crate::error::{PrepareError, Resource};

/// Memory that is left for a model, and what the model has taken of it.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: u64,
    taken: Footprint,
}

impl Budget {
    /// A budget of this many bytes, nothing of which is taken.
    pub const fn new(bytes: u64) -> Budget {
        Budget { left: bytes, taken: Footprint { weights: 0, pages: 0, scratch: 0 } }
    }

    /// Takes `count` elements of `element_bytes` bytes each for a purpose: weights, pages, or, of any
    /// other name, scratch. Returns the bytes.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`]; nothing was taken then.
    pub fn take(&mut self, what: Resource, count: u64, element_bytes: usize) -> Result<usize, PrepareError> {
        let needed = count.saturating_mul(element_bytes as u64);
        let refusal = PrepareError::TooLarge { what, needed, available: self.left };
        let bytes = usize::try_from(needed).map_err(|_| refusal)?;
        self.left = self.left.checked_sub(needed).ok_or(refusal)?;
        let purpose = match what {
            Resource::WeightBytes => &mut self.taken.weights,
            Resource::PageBytes => &mut self.taken.pages,
            _ => &mut self.taken.scratch,
        };
        *purpose += needed;
        Ok(bytes)
    }

    /// The bytes that are left.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// What was taken.
    pub const fn taken(&self) -> Footprint {
        self.taken
    }
}
