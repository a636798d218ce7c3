//! From a path to a device that is ready, with the text side made at the same time.

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

/// Opens a device and gives it the model, while `text` works on a thread of its own: neither needs the
/// other, and together they are most of the time before the first token.
pub fn prepare<T: Send>(
    file: &ModelFile<'_>,
    limits: &Limits,
    options: &DeviceOptions,
    text: impl FnOnce() -> Result<T, CliError> + Send,
) -> Result<(Prepared, T), CliError> {
    std::thread::scope(|scope| {
        let text = scope.spawn(text);
        let prepared = open(file, limits, options);
        let text = text.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        heap::trim();
        Ok((prepared?, text))
    })
}

fn open(file: &ModelFile<'_>, limits: &Limits, options: &DeviceOptions) -> Result<Prepared, CliError> {
    let mut device = Device::open(options)?;
    let footprint = device.prepare(&file.model, limits, &mut file.weights())?;
    Ok(Prepared { device, footprint })
}
