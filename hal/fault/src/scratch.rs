//! Memory that the caller lends.

use agentos_hal::{Candidate, Limits, ModelShape, Outcome, PrepareError, Resource, page};

use crate::plan::FaultPlan;

/// Where a wrapper makes what it cannot alter in place. A plan without such faults needs none of it:
/// then [`Scratch::default`] does. What is in the tables does not matter.
#[derive(Debug, Default)]
pub struct Scratch<'m> {
    /// For falsified reports: `Limits::outcomes` of them.
    pub outcomes: &'m mut [Outcome],
    /// For falsified reports: `Limits::outcomes` · `Limits::candidates` of them.
    pub candidates: &'m mut [Candidate],
    /// For devices that can be lost: the bytes of one page image.
    pub image: &'m mut [u8],
}

impl Scratch<'_> {
    /// Checks that every table is long enough for the plan.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`], in bytes of the first table that is too short.
    pub(crate) fn check(
        &self,
        plan: &FaultPlan<'_>,
        shape: &ModelShape,
        limits: &Limits,
    ) -> Result<(), PrepareError> {
        let (reports, images) = (u64::from(plan.poisons()), u64::from(plan.loses()));
        let outcomes = reports * u64::from(limits.outcomes);
        for (needed, available) in [
            (outcomes * size_of::<Outcome>() as u64, size_of_val(self.outcomes)),
            (
                outcomes * u64::from(limits.candidates) * size_of::<Candidate>() as u64,
                size_of_val(self.candidates),
            ),
            (images * page::image_bytes(shape, limits.kv) as u64, size_of_val(self.image)),
        ] {
            let available = available as u64;
            if needed > available {
                return Err(PrepareError::TooLarge { what: Resource::ScratchBytes, needed, available });
            }
        }
        Ok(())
    }
}
