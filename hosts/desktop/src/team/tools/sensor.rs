//! The tool `sensor`, on a bus of this machine or in software.

use std::path::PathBuf;

use agentos_tools::sensor::{StandIn, sensor};
use agentos_tools::{Pool, Tool};

/// Where a BME280 is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorBus {
    /// The bus: `/dev/i2c-1`.
    pub bus: PathBuf,
    /// The sensor's address on it, of 7 bits.
    pub address: u8,
}

/// The tool `sensor`. No sensor is at hand on most desktops: where none is declared, it reads one that is software and
/// says that it stands in for one.
///
/// # Errors
/// Why the bus cannot be used, in words.
pub(super) fn sensor_tool(declared: Option<&SensorBus>, pool: &Pool) -> Result<Tool, String> {
    match declared {
        None => sensor(StandIn::sensor(), pool).map_err(|error| error.to_string()),
        Some(declared) => on_bus(declared, pool),
    }
}

#[cfg(all(feature = "linux-i2c", target_os = "linux"))]
fn on_bus(declared: &SensorBus, pool: &Pool) -> Result<Tool, String> {
    let SensorBus { bus, address } = declared;
    let found = agentos_tools::sensor::on_bus(bus, *address)
        .map_err(|error| format!("the bus {} cannot be used: {error}", bus.display()))?;
    sensor(found, pool).map_err(|error| error.to_string())
}

#[cfg(not(all(feature = "linux-i2c", target_os = "linux")))]
fn on_bus(declared: &SensorBus, _: &Pool) -> Result<Tool, String> {
    Err(format!(
        "the sensor on {} cannot be read by this program: one for Linux with the feature linux-i2c could, \
         and without [sensor] a stand-in in software is read",
        declared.bus.display()
    ))
}
