//! A BME280 in software, register by register, for a machine without one.

use embedded_hal::i2c::{Error, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

use super::{ADDRESS, Sensor, Sleep};

/// A bus with a BME280 on it that is software. Its calibration and its first reading are those of the example
/// in the sensor's data sheet (25.08 °C, 100653 Pa); the next ones go up and down around it.
#[derive(Clone, Debug)]
pub struct StandIn {
    registers: [u8; 256],
    /// The register that the next byte is read from.
    at: u8,
    measured: u32,
}

/// Nothing on the bus has this address, or takes this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent;

impl Error for Absent {
    fn kind(&self) -> ErrorKind {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

const CALIBRATION: usize = 0x88;
const HUMIDITY_H1: usize = 0xA1;
const CHIP: usize = 0xD0;
const RESET: u8 = 0xE0;
const HUMIDITY_CALIBRATION: usize = 0xE1;
const CONTROL_HUMIDITY: u8 = 0xF2;
const CONTROL_MEASURE: u8 = 0xF4;
const CONFIGURATION: u8 = 0xF5;
const DATA: usize = 0xF7;

const IS_BME280: u8 = 0x60;
const DO_RESET: u8 = 0xB6;
const MODE: u8 = 0b11;

/// T1 to T3 and P1 to P9 of the data sheet's example, as they lie in the registers.
const WORDS: [i32; 12] = [27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000];
/// H1 to H6 of a sensor as it is sold.
const HUMIDITY: (u8, i16, u8, i16, i16, i8) = (75, 361, 0, 324, 50, 30);
/// What the converter reads: temperature and pressure of the example, and a humidity of about a half.
const RAW: (u32, u32, u32) = (519_888, 415_148, 30_000);

impl StandIn {
    /// The bus with the sensor, as it is after power came on.
    pub fn new() -> StandIn {
        let mut registers = [0; 256];
        for (index, word) in WORDS.iter().enumerate() {
            registers[CALIBRATION + 2 * index..][..2].copy_from_slice(&(*word as u16).to_le_bytes());
        }
        let (h1, h2, h3, h4, h5, h6) = HUMIDITY;
        registers[HUMIDITY_H1] = h1;
        registers[HUMIDITY_CALIBRATION..][..2].copy_from_slice(&h2.to_le_bytes());
        registers[HUMIDITY_CALIBRATION + 2] = h3;
        // H4 and H5 have 12 bits each, and share a byte.
        registers[HUMIDITY_CALIBRATION + 3] = (h4 >> 4) as u8;
        registers[HUMIDITY_CALIBRATION + 4] = (h4 & 0xF) as u8 | ((h5 & 0xF) << 4) as u8;
        registers[HUMIDITY_CALIBRATION + 5] = (h5 >> 4) as u8;
        registers[HUMIDITY_CALIBRATION + 6] = h6 as u8;
        registers[CHIP] = IS_BME280;
        let mut bus = StandIn { registers, at: 0, measured: 0 };
        bus.reset();
        bus
    }

    /// A sensor that is this, and says so.
    pub fn sensor() -> Sensor<StandIn, Sleep> {
        Sensor { device: "software stand-in".to_owned(), bus: StandIn::new(), address: ADDRESS, delay: Sleep }
    }

    fn reset(&mut self) {
        for register in [CONTROL_HUMIDITY, CONTROL_MEASURE, CONFIGURATION] {
            self.registers[usize::from(register)] = 0;
        }
        // Data registers hold this until something was measured.
        self.registers[DATA..][..8].copy_from_slice(&[0x80, 0, 0, 0x80, 0, 0, 0x80, 0]);
    }

    fn set(&mut self, register: u8, value: u8) {
        match register {
            RESET if value == DO_RESET => self.reset(),
            CONTROL_HUMIDITY | CONFIGURATION => self.registers[usize::from(register)] = value,
            CONTROL_MEASURE => {
                self.registers[usize::from(register)] = value;
                if value & MODE != 0 {
                    self.measure();
                    // After a single measurement it sleeps.
                    self.registers[usize::from(register)] &= !MODE;
                }
            }
            // The others cannot be written.
            _ => (),
        }
    }

    fn measure(&mut self) {
        let swing = swing(self.measured);
        self.measured = self.measured.wrapping_add(1);
        let (temperature, pressure, humidity) = RAW;
        let data = &mut self.registers[DATA..][..8];
        data[..3].copy_from_slice(&twenty_bits(pressure.wrapping_add_signed(swing * 4)));
        data[3..6].copy_from_slice(&twenty_bits(temperature.wrapping_add_signed(swing * 40)));
        data[6..].copy_from_slice(&(humidity.wrapping_add_signed(-swing * 20) as u16).to_be_bytes());
    }
}

impl Default for StandIn {
    fn default() -> StandIn {
        StandIn::new()
    }
}

/// 0, up to 16, down to -16, and back.
fn swing(measured: u32) -> i32 {
    let phase = (measured % 64) as i32;
    match phase {
        0..=16 => phase,
        17..=48 => 32 - phase,
        _ => phase - 64,
    }
}

/// A value of 20 bits, as it lies in three registers.
fn twenty_bits(value: u32) -> [u8; 3] {
    [(value >> 12) as u8, (value >> 4) as u8, (value << 4) as u8]
}

impl ErrorType for StandIn {
    type Error = Absent;
}

impl I2c for StandIn {
    /// A write is a register's number, then a value, then more such pairs; a read goes on from the last
    /// register's number.
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Absent> {
        if address != ADDRESS {
            return Err(Absent);
        }
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    for pair in bytes.chunks(2) {
                        match *pair {
                            [register, value] => self.set(register, value),
                            [register] => self.at = register,
                            _ => (),
                        }
                    }
                }
                Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        *byte = self.registers[usize::from(self.at)];
                        self.at = self.at.wrapping_add(1);
                    }
                }
            }
        }
        Ok(())
    }
}
