//! Sensors on the buses of this machine.

use std::path::Path;

use linux_embedded_hal::I2cdev;
use linux_embedded_hal::i2cdev::linux::LinuxI2CError;

use super::{Sensor, Sleep};

/// A BME280 on a bus such as `/dev/i2c-1`.
///
/// # Errors
/// [`LinuxI2CError`]: the bus is not there, or may not be used.
pub fn on_bus(bus: &Path, address: u8) -> Result<Sensor<I2cdev, Sleep>, LinuxI2CError> {
    let device = format!("BME280 on {}", bus.display());
    Ok(Sensor { device, bus: I2cdev::new(bus)?, address, delay: Sleep })
}
