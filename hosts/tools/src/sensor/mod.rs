//! The tool `sensor`: temperature, pressure and humidity of a BME280, through its driver over
//! `embedded_hal::i2c::I2c`. So the same tool serves a bus of this machine, a microcontroller's, and the
//! software [`StandIn`], which its output names as such.

#[cfg(all(feature = "linux-i2c", target_os = "linux"))]
mod linux;
mod stand_in;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bme280::i2c::BME280;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use serde_json::{Value, json};

#[cfg(all(feature = "linux-i2c", target_os = "linux"))]
pub use linux::on_bus;
pub use stand_in::{Absent, StandIn};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;

/// The address that a BME280 has unless it is wired otherwise.
pub const ADDRESS: u8 = 0x76;

/// A sensor and the bus that it is on.
pub struct Sensor<B, D> {
    /// What the output names it: `BME280 on /dev/i2c-1`.
    pub device: String,
    /// The bus.
    pub bus: B,
    /// The sensor's address on it.
    pub address: u8,
    /// How the driver waits.
    pub delay: D,
}

/// Waits by letting the thread sleep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sleep;

impl DelayNs for Sleep {
    fn delay_ns(&mut self, ns: u32) {
        std::thread::sleep(Duration::from_nanos(ns.into()));
    }
}

/// The tool `sensor`. The sensor is set up at the first call, and anew after it failed.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn sensor<B, D>(sensor: Sensor<B, D>, pool: &Pool) -> Result<Tool, SchemaError>
where
    B: I2c + Send + 'static,
    B::Error: fmt::Debug,
    D: DelayNs + Send + 'static,
{
    let Sensor { device, bus, address, delay } = sensor;
    let driver = Driver { chip: BME280::new(bus, address), delay, is_ready: false };
    let driver = Mutex::new(driver);
    let read = move |_: &Value, _: &Stop| {
        // One at a time: there is one sensor.
        let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error| {
            let why = reason(&error);
            ToolFailure::Failed(format!("{device} at address {address:#04x} cannot be read: {why}"))
        };
        let read = driver.read().map_err(failed)?;
        Ok(told(&device, &read).to_string().into_bytes())
    };
    crate::worker::tool(descriptor(), read, pool)
}

struct Driver<B, D> {
    chip: BME280<B>,
    delay: D,
    is_ready: bool,
}

impl<B: I2c, D: DelayNs> Driver<B, D> {
    fn read(&mut self) -> Result<bme280::Measurements<B::Error>, bme280::Error<B::Error>> {
        if !std::mem::take(&mut self.is_ready) {
            self.chip.init(&mut self.delay)?;
        }
        let read = self.chip.measure(&mut self.delay)?;
        self.is_ready = true;
        Ok(read)
    }
}

fn told<E>(device: &str, read: &bme280::Measurements<E>) -> Value {
    let to = |value: f32, digits: i32| {
        let scale = 10f64.powi(digits);
        (f64::from(value) * scale).round() / scale
    };
    json!({
        "device": device,
        "temperature_c": to(read.temperature, 2),
        "pressure_hpa": to(read.pressure / 100.0, 1),
        "humidity_percent": to(read.humidity, 1),
    })
}

fn reason<E: fmt::Debug>(error: &bme280::Error<E>) -> String {
    match error {
        bme280::Error::Bus(error) => format!("the bus says {error:?}"),
        bme280::Error::UnsupportedChip => "what answers there is no BME280".to_owned(),
        bme280::Error::InvalidData => "its data make no sense".to_owned(),
        bme280::Error::CompensationFailed => "its calibration makes no sense".to_owned(),
        bme280::Error::Delay => "it cannot be waited for".to_owned(),
        bme280::Error::NoCalibrationData => "it has told no calibration".to_owned(),
    }
}

fn descriptor() -> Descriptor {
    let example = |request: &str| Example { request: request.to_owned(), arguments: json!({}) };
    Descriptor {
        name: "sensor".to_owned(),
        description: "Measures the temperature, the air pressure and the humidity here and now.".to_owned(),
        arguments: json!({ "type": "object", "properties": {}, "additionalProperties": false }),
        output: Some(json!({
            "type": "object",
            "properties": {
                "device": { "type": "string" },
                "temperature_c": { "type": "number" },
                "pressure_hpa": { "type": "number" },
                "humidity_percent": { "type": "number" },
            },
            "required": ["device", "temperature_c", "pressure_hpa", "humidity_percent"],
            "additionalProperties": false,
        })),
        access: Access::Sensor,
        effect: Effect::None,
        urgency: Urgency::High,
        timeout: Duration::from_secs(5),
        attempts: 3,
        output_bytes: 1 << 10,
        output_tokens: 96,
        examples: vec![
            example("How warm is it in the room?"),
            example("What is the air pressure right now?"),
            example("Is the air humid?"),
        ],
    }
}
