//! From a path to a device that is ready, with the text side made before.

use agentos_hal::{Footprint, Limits};

use super::error::CliError;
use crate::device::{Device, DeviceOptions};
use crate::heap;
use crate::model::ModelFile;

/// A device that holds a model.
pub struct Prepared {
    /// The device.
    pub device: Device,
    /// What it took.
    pub footprint: Footprint,
}

/// Makes the text side, then opens a device and gives it the model. One after the other: what the
/// tokenizer's making takes for a moment is given back before the weights come, so that the two peaks
/// never add up.
pub fn prepare<T>(
    file: &ModelFile<'_>,
    limits: &Limits,
    options: &DeviceOptions,
    text: impl FnOnce() -> Result<T, CliError>,
) -> Result<(Prepared, T), CliError> {
    let text = text()?;
    heap::trim();
    Ok((open(file, limits, options)?, text))
}

fn open(file: &ModelFile<'_>, limits: &Limits, options: &DeviceOptions) -> Result<Prepared, CliError> {
    let mut device = Device::open(options)?;
    let footprint = device.prepare(&file.model, limits, &mut file.weights())?;
    tell_kernels(&device);
    Ok(Prepared { device, footprint })
}

/// Says on standard error which kernels a device has, where there was something to choose from.
pub fn tell_kernels(device: &Device) {
    if let Some(tuning) = device.tuning() {
        eprintln!("kernels: {tuning}; --kernels pins others");
    }
}
