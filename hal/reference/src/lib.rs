//! The tensor machine in plain scalar code: what the others are measured against, and where a port
//! begins. This file is the device. `machine` makes everything in `prepare`; `weights` and `pages`
//! are its two memories; `interpret` runs the program over the rows of a step; `attention` and `head`
//! are the two instructions that take more than a few lines. What all backends share (refusals, the
//! walk through a step, sizes, formats) is in `agentos-hal`.
//!
//! Every sum and every function runs in `f64` and is rounded to `f32` once, when it is written to a
//! register. The oracle is thus nearly exact, and what the conformance suite measures is the error
//! of the other backend's `f32` arithmetic alone, not the difference of two summation orders.
//!
//! What must never happen here: cleverness. No instruction looks at another one, no row at another
//! row. A step allocates nothing: vectors grow inside the capacity that `prepare` gave them.

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

extern crate alloc;

mod attention;
mod head;
mod interpret;
mod machine;
mod pages;
mod weights;

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, Inputs, LateMasks, Lifecycle, Limits, MaskError, ModelShape,
    PageError, PageId, PrepareError, Prepared, Program, Step, StepReport, SubmitError, TensorDevice,
    WeightSource,
};

use crate::machine::{Batch, Machine};

/// The scalar device. It computes in `poll` and copies pages at once.
pub struct Reference {
    memory_bytes: u64,
    life: Lifecycle<(Machine, Batch)>,
}

impl Reference {
    /// A device that refuses, in `prepare`, what needs more than this many bytes.
    pub const fn new(memory_bytes: u64) -> Reference {
        Reference { memory_bytes, life: Lifecycle::with_late_masks() }
    }
}

impl TensorDevice for Reference {
    fn caps(&self) -> Caps {
        Caps {
            backend: "reference",
            variant: "scalar",
            dtypes: &DType::ALL,
            threads: 1,
            inputs: Inputs::F32,
            late_masks: LateMasks::InPoll,
        }
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.life.clear();
        let prepared = Prepared::new(program, shape, limits)?;
        let (machine, batch, footprint) = Machine::new(&prepared, weights, self.memory_bytes)?;
        self.life.ready(prepared, (machine, batch));
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let (_, batch) = self.life.submit(step)?;
        batch.copy(step);
        Ok(())
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        let (_, batch) = self.life.allow(mask, words)?;
        batch.allow(mask, words);
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        if self.life.lacks_masks() {
            return Poll::Pending;
        }
        Poll::Ready(self.life.finish().and_then(|(machine, batch)| {
            machine.run(batch)?;
            Ok(machine.report())
        }))
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.life.image(page, image.len()).map(|(machine, _)| {
            image.copy_from_slice(&machine.pages.bytes[machine.pages.image(page)]);
        }))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        Poll::Ready(self.life.image(page, image.len()).map(|(machine, _)| {
            let place = machine.pages.image(page);
            machine.pages.bytes[place].copy_from_slice(image);
            machine.pages.forget_mass(page);
        }))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let (Machine { pages, .. }, _) = self.life.copies(pairs)?;
        for &(from, to) in pairs {
            let (from, start) = (pages.image(from), pages.image(to).start);
            pages.bytes.copy_within(from, start);
            pages.forget_mass(to);
        }
        Ok(())
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        let checked = self.life.summary(page, layer, tokens, &summary);
        Poll::Ready(checked.map(|(machine, _)| machine.pages.summarise(page, layer, tokens, summary)))
    }
}
