//! Masks that a step was submitted without: the guard finds them while the device computes the rest.

use agentos_hal::{LateMasks, MaskError};

use super::{Devices, Kernel};
use crate::guard::Allowed;

impl Kernel<'_> {
    /// Asks the guard for what the device waits for, or soon will, and gives it to the device.
    pub(super) fn give_masks(&mut self, devices: &mut Devices<'_>) {
        for number in 0..self.step.rider_count {
            if self.step.late == 0 {
                break;
            }
            let rider = self.step.riders[number];
            let last = self.step.rows[(rider.first_row + rider.rows) as usize - 1];
            let Some(mask) = last.mask.filter(|&mask| self.step.late >> mask & 1 == 1) else { continue };
            // Who is killed meanwhile has its slot until the step is over.
            let agent = self.rcb(usize::from(rider.agent)).id;
            let words = self.step.mask_mut(mask);
            match devices.guard.next(agent, words, LateMasks::Refused) {
                Allowed::Masked => (),
                Allowed::Anything => words.fill(u32::MAX),
                Allowed::Later | Allowed::NotYet => continue,
            }
            match devices.tensor.allow(mask, words) {
                // That a device has no step any more its poll tells.
                Ok(()) | Err(MaskError::Idle) => self.step.late &= !(1 << mask),
                Err(error) => panic!("the guard's mask is none: {error}"),
            }
        }
    }
}
