//! What a team computes on, and having it again after it was lost.

use agentos_hal::{Clock, ColdStore, Limits, PrepareError, TensorDevice, WeightSource};
use agentos_kernel::model::Model;
use embedded_hal::delay::DelayNs;

use super::error::RunError;
use super::run::Runner;
use crate::team::sink::{DeviceNews, Sink};

/// What computes, with what it is given its model from: before the run, and again when it was lost.
pub struct Machine<'r> {
    /// The device.
    pub device: &'r mut dyn TensorDevice,
    /// The model that it was prepared for.
    pub model: Model,
    /// The model's weights.
    pub weights: &'r mut dyn WeightSource,
    /// Where slices outlive the run; [`NoStore`](agentos_hal::NoStore) where nothing does.
    pub store: &'r mut dyn ColdStore,
}

impl Machine<'_> {
    fn prepare(&mut self, limits: &Limits) -> Result<(), PrepareError> {
        self.device.prepare(self.model.program, &self.model.shape, limits, self.weights).map(|_| ())
    }
}

/// Losses with no step between them after which another device would be lost too.
const MOST_LOSSES: u32 = 3;

/// How long a driver that comes back is waited for, try by try: after the last one it is given up.
const WAITS_US: [u32; 4] = [100_000, 500_000, 2_000_000, 4_000_000];

impl Runner<'_> {
    /// Prepares a device that was lost, and lets the agents go on: with what the arena has, and with the
    /// rest computed again.
    ///
    /// # Errors
    /// [`RunError::DeviceLost`] when no step succeeds between losses, or the device does not come back;
    /// those of the sink.
    pub(super) fn recover(&mut self, sink: &mut dyn Sink) -> Result<(), RunError> {
        self.losses += 1;
        let began_us = self.clock.now().micros;
        sink.device(&DeviceNews::Lost { at_us: began_us, losses: self.losses })?;
        sink.flush()?;
        if self.losses > MOST_LOSSES {
            return Err(RunError::DeviceLost { losses: self.losses, tries: 0, error: None });
        }
        let tries = self.prepare_again()?;
        self.kernel.device_restored();
        let at_us = self.clock.now().micros;
        sink.device(&DeviceNews::Restored { at_us, tries, took_us: at_us - began_us })?;
        sink.flush()
    }

    /// Tries until the device is prepared; says how often it took.
    fn prepare_again(&mut self) -> Result<u32, RunError> {
        let limits = self.kernel.config().device_limits(&self.machine.model.shape);
        let mut tries = 0;
        loop {
            tries += 1;
            let Err(error) = self.machine.prepare(&limits) else { return Ok(tries) };
            // Whatever else is refused will be refused again.
            let passes = matches!(error, PrepareError::Device(_));
            match WAITS_US.get(tries as usize - 1).filter(|_| passes) {
                Some(&wait_us) => self.clock.delay_us(wait_us),
                None => {
                    return Err(RunError::DeviceLost { losses: self.losses, tries, error: Some(error) });
                }
            }
        }
    }
}
