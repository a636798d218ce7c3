//! The tensor machine on OpenCL: graphics cards of any vendor, and processors through PoCL.
//!
//! This file is the device. `driver` makes OpenCL safe to call and keeps context and kernels for the process;
//! `machine` makes everything in `prepare`; `weights` and `batch` are the model and the step in device memory;
//! `run` turns instructions into kernels (`kernels/*.cl`), `report` says where these write what they found.
//!
//! A step is sent off by `submit` as a whole; `poll` looks whether it is done, and reads one buffer then.
//!
//! What must never happen here: a sum whose order depends on the batch, atomic addition of floats, logits that
//! cross the bus, or `unsafe` outside of `driver`.

#![deny(missing_docs)]

mod batch;
mod driver;
mod error;
mod failing;
mod found;
mod machine;
mod report;
mod run;
#[cfg(test)]
mod tests;
mod weights;

use std::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{
    Caps, DType, DeviceError, Footprint, Inputs, LateMasks, Lifecycle, Limits, ModelShape, PageError, PageId,
    PrepareError, Prepared, Program, Step, StepReport, SubmitError, TensorDevice, WeightSource,
};
use opencl3::error_codes::ClError;

pub use crate::error::OpenError;
pub use crate::found::{Found, devices};

use crate::driver::{Driver, is_done};
use crate::machine::Machine;

/// The OpenCL device: the first graphics card, else the first device of another kind.
pub struct OpenClDevice {
    driver: &'static Driver,
    life: Lifecycle<Machine>,
}

impl OpenClDevice {
    /// Opens the device, and compiles the kernels if nothing in this process did before.
    ///
    /// # Errors
    /// Any [`OpenError`].
    pub fn new() -> Result<OpenClDevice, OpenError> {
        let driver = driver::driver()?;
        Ok(OpenClDevice { driver, life: Lifecycle::new() })
    }

    /// What a page operation came to. A failure of the driver is the end of this model.
    fn paged(&mut self, done: Result<Result<(), ClError>, PageError>) -> Result<(), PageError> {
        done?.map_err(|_| {
            self.life.clear();
            PageError::Lost
        })
    }
}

impl Machine {
    /// Reads the report of a step that is done.
    fn collect(&mut self) -> Result<Poll<()>, ClError> {
        let end = self.end.as_ref().map_err(|error| ClError(error.0))?;
        if !is_done(end)? {
            return Ok(Poll::Pending);
        }
        self.queue.read(&self.report, 0, &mut self.host_report[..self.layout.words / 2])?;
        Ok(Poll::Ready(()))
    }
}

impl TensorDevice for OpenClDevice {
    fn caps(&self) -> Caps {
        Caps {
            backend: "opencl",
            variant: &self.driver.name,
            dtypes: &DType::ALL,
            threads: self.driver.units,
            inputs: Inputs::F32,
            // A write waits for all that the queue has before it: it would be there no sooner than the step's end.
            late_masks: LateMasks::Refused,
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
        let (machine, footprint) = Machine::new(self.driver, prepared, weights)?;
        self.life.ready(prepared, machine);
        Ok(footprint)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        let machine = self.life.submit(step)?;
        machine.end = machine.submit(step).and_then(|()| machine.queue.submit());
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        match self.life.running().map(Machine::collect) {
            Ok(Ok(Poll::Pending)) => Poll::Pending,
            Ok(Ok(Poll::Ready(()))) => Poll::Ready(self.life.finish().and_then(|machine| machine.report())),
            Ok(Err(error)) => {
                self.life.clear();
                Poll::Ready(Err(machine::failure(&error)))
            }
            Err(idle) => Poll::Ready(Err(idle)),
        }
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let done = self.life.image(page, image.len()).map(|machine| machine.copy_out(page, image));
        Poll::Ready(self.paged(done))
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        let done = self.life.image(page, image.len()).map(|machine| machine.copy_in(page, image));
        Poll::Ready(self.paged(done))
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        let copy =
            |machine: &mut Machine| pairs.iter().try_for_each(|&(from, to)| machine.copy_page(from, to));
        let done = self.life.copies(pairs).map(copy);
        self.paged(done)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        let checked = self.life.summary(page, layer, tokens, &summary);
        let done = checked.map(|machine| machine.summarise(page, layer, tokens, summary));
        Poll::Ready(self.paged(done))
    }
}
