//! A device that tells what its page memory was asked for: calls, pages, and the time that they took.

use std::cell::Cell;
use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_hal::device::{Caps, Footprint, PageSummary};
use agentos_hal::{
    DeviceError, Limits, MaskError, ModelShape, PageError, PageId, PrepareError, Program, Step, StepReport,
    SubmitError, TensorDevice, WeightSource,
};

/// What page memory was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Pages copied to images.
    pub out: u32,
    /// Pages filled from images.
    pub into: u32,
    /// Pages copied inside the device.
    pub within: u32,
    /// Time of the copies to images.
    pub out_time: Duration,
    /// Time of the copies from images.
    pub in_time: Duration,
}

/// A device that does what another does.
pub struct Meter<'d> {
    device: &'d mut dyn TensorDevice,
    moved: &'d Cell<Moved>,
}

impl<'d> Meter<'d> {
    /// Adds to `moved` what `device` is asked for.
    pub fn new(device: &'d mut dyn TensorDevice, moved: &'d Cell<Moved>) -> Meter<'d> {
        Meter { device, moved }
    }

    fn note(&self, change: impl FnOnce(&mut Moved)) {
        let mut moved = self.moved.get();
        change(&mut moved);
        self.moved.set(moved);
    }
}

impl TensorDevice for Meter<'_> {
    fn caps(&self) -> Caps {
        self.device.caps()
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        self.device.prepare(program, shape, limits, weights)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        self.device.submit(step)
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        self.device.allow(mask, words)
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        self.device.poll()
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        let start = Instant::now();
        let copied = self.device.copy_out(page, image);
        let time = start.elapsed();
        self.note(|moved| {
            moved.out_time += time;
            moved.out += u32::from(copied.is_ready());
        });
        copied
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        let start = Instant::now();
        let copied = self.device.copy_in(page, image);
        let time = start.elapsed();
        self.note(|moved| {
            moved.in_time += time;
            moved.into += u32::from(copied.is_ready());
        });
        copied
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        self.note(|moved| moved.within += pairs.len() as u32);
        self.device.copy_pages(pairs)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        self.device.summarise(page, layer, tokens, summary)
    }
}
