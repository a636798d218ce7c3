//! Masks that a step is submitted without: they are found while the device computes what needs none.

use crate::error::MaskError;
use crate::shape::ModelShape;
use crate::step::{Step, allows_any};

/// What a device does with a step some of whose masks come later ([`Step::masks`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LateMasks {
    /// It refuses the step: [`StepFault::LateMask`](crate::StepFault::LateMask).
    #[default]
    Refused,
    /// It takes them, and computes in `poll`: whoever calls that can look for masks only behind it.
    InPoll,
    /// It takes them, and computes by itself from `submit` on.
    Beside,
}

/// Masks of a step that may come later: the first so many.
pub const MOST_LATE: usize = 256;

const BITS: usize = u64::BITS as usize;

/// Which masks of the step under way are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outstanding([u64; MOST_LATE / BITS]);

impl Outstanding {
    /// None.
    pub const NONE: Outstanding = Outstanding([0; MOST_LATE / BITS]);

    /// Those of a step that was checked.
    pub fn of(step: &Step<'_>) -> Outstanding {
        let mut of = Outstanding::NONE;
        step.late_masks().for_each(|mask| of.0[mask / BITS] |= 1 << (mask % BITS));
        of
    }

    /// Whether all are there.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// Takes note of a mask that comes now.
    ///
    /// # Errors
    /// Any [`MaskError`] but [`MaskError::Idle`]; nothing has changed then.
    pub fn give(&mut self, mask: u16, words: &[u32], shape: &ModelShape) -> Result<(), MaskError> {
        let (at, bit) = (usize::from(mask) / BITS, 1 << (usize::from(mask) % BITS));
        let word = self.0.get_mut(at).filter(|word| **word & bit != 0).ok_or(MaskError::Mask { mask })?;
        if words.len() != shape.mask_words() {
            return Err(MaskError::Length { found: words.len(), expected: shape.mask_words() });
        }
        if !allows_any(words, shape) {
            return Err(MaskError::Nothing { mask });
        }
        *word &= !bit;
        Ok(())
    }
}
