//! `[sensor]` of the team file: where the tool `sensor` measures.
//!
//! ```toml
//! [sensor]
//! bus = "/dev/i2c-1"    # an I2C bus of this machine
//! address = 0x76        # or 0x77
//! ```
//!
//! Without it the tool reads a sensor that is software, and says so.

use std::path::PathBuf;

use agentos_tools::sensor::ADDRESS;

use super::error::TeamError;
use super::section::Section;
use super::tools::SensorBus;

const SENSOR_KEYS: &[&str] = &["bus", "address"];

/// Addresses of 7 bits that are not reserved.
const ADDRESSES: std::ops::RangeInclusive<u32> = 0x08..=0x77;

/// Reads `[sensor]`, if the team has it.
pub(super) fn sensor(team: &Section<'_>) -> Result<Option<SensorBus>, TeamError> {
    let Some(section) = team.section("sensor", "[sensor]", SENSOR_KEYS)? else { return Ok(None) };
    let bus = section.words("bus")?.ok_or_else(|| section.missing("bus"))?;
    let address = section.whole_u32("address", ADDRESSES)?;
    let address = address.map_or(ADDRESS, |address| u8::try_from(address.value).expect("it has 7 bits"));
    Ok(Some(SensorBus { bus: PathBuf::from(bus.value), address }))
}
