//! The sensor: the driver's traffic on the bus, failures of the bus, and the stand-in.

mod rig;

use agentos_hal::PeripheralError;
use agentos_tools::Schema;
use agentos_tools::sensor::{ADDRESS, Sensor, StandIn, sensor};
use embedded_hal::i2c::{ErrorKind, I2c, NoAcknowledgeSource};
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use rig::{call, pool};
use serde_json::{Value, json};

/// Calibration as the data sheet's example has it: T1 to P9, and a humidity's.
const CALIBRATION: [u8; 26] = [
    0x70, 0x6b, 0x43, 0x67, 0x18, 0xfc, 0x7d, 0x8e, 0x43, 0xd6, 0xd0, 0x0b, 0x27, 0x0b, 0x8c, 0x00, 0xf9,
    0xff, 0x8c, 0x3c, 0xf8, 0xc6, 0x70, 0x17, 0x00, 75,
];
const HUMIDITY: [u8; 7] = [0x69, 0x01, 0x00, 0x14, 0x24, 0x03, 0x1e];

fn read(register: u8, bytes: Vec<u8>) -> Transaction {
    Transaction::write_read(ADDRESS, vec![register], bytes)
}

fn set(register: u8, value: u8) -> Transaction {
    Transaction::write(ADDRESS, vec![register, value])
}

fn set_up() -> Vec<Transaction> {
    vec![
        read(0xd0, vec![0x60]),
        set(0xe0, 0xb6),
        read(0x88, CALIBRATION.to_vec()),
        read(0xe1, HUMIDITY.to_vec()),
        read(0xf4, vec![0]),
        set(0xf2, 0x01),
        read(0xf4, vec![0]),
        set(0xf4, 0x54),
        read(0xf5, vec![0]),
        set(0xf5, 0x10),
    ]
}

fn measured(data: [u8; 8]) -> Vec<Transaction> {
    vec![read(0xf4, vec![0x54]), read(0xf4, vec![0x54]), set(0xf4, 0x55), read(0xf7, data.to_vec())]
}

/// The data sheet's readings of its example: 25.08 °C and 100653 Pa.
const EXAMPLE: [u8; 8] = [0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x75, 0x30];

fn mocked(transactions: &[Transaction]) -> (Mock, Sensor<Mock, NoopDelay>) {
    let bus = Mock::new(transactions);
    let device = "mocked BME280".to_owned();
    (bus.clone(), Sensor { device, bus, address: ADDRESS, delay: NoopDelay::new() })
}

#[test]
fn the_driver_reads_what_the_data_sheet_says() {
    let traffic: Vec<Transaction> = [set_up(), measured(EXAMPLE), measured(EXAMPLE)].concat();
    let (mut bus, mocked) = mocked(&traffic);
    let mut tool = sensor(mocked, &pool()).unwrap();
    // It is set up once.
    for _ in 0..2 {
        let told: Value = serde_json::from_str(&call(&mut tool, &json!({})).unwrap()).unwrap();
        assert_eq!(told["device"], "mocked BME280");
        assert_eq!(told["temperature_c"], 25.08);
        assert_eq!(told["pressure_hpa"], 1006.5);
        Schema::new(tool.descriptor.output.as_ref().unwrap()).unwrap().hold(&told).unwrap();
    }
    bus.done();
}

#[test]
fn a_bus_that_fails_is_told_and_tried_anew() {
    let silent = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
    let mut traffic = vec![read(0xd0, vec![0]).with_error(silent), read(0xd0, vec![0x11])];
    traffic.extend([set_up(), measured(EXAMPLE)].concat());
    traffic.push(read(0xf4, vec![0]).with_error(ErrorKind::ArbitrationLoss));
    traffic.extend([set_up(), measured(EXAMPLE)].concat());
    let (mut bus, mocked) = mocked(&traffic);
    let mut tool = sensor(mocked, &pool()).unwrap();
    let mut failure = |reason: &str| {
        let (error, why) = call(&mut tool, &json!({})).unwrap_err();
        assert_eq!(error, PeripheralError::Failed);
        assert!(
            why.starts_with("mocked BME280 at address 0x76 cannot be read") && why.contains(reason),
            "{why}"
        );
    };
    failure("NoAcknowledge");
    failure("no BME280");
    call(&mut tool, &json!({})).unwrap();
    let (_, why) = call(&mut tool, &json!({})).unwrap_err();
    assert!(why.contains("ArbitrationLoss"), "{why}");
    call(&mut tool, &json!({})).unwrap();
    bus.done();
}

#[test]
fn the_stand_in_says_that_it_is_one() {
    let mut tool = sensor(StandIn::sensor(), &pool()).unwrap();
    let mut read = || -> Value { serde_json::from_str(&call(&mut tool, &json!({})).unwrap()).unwrap() };
    let first = read();
    assert_eq!(first["device"], "software stand-in");
    assert_eq!(first["temperature_c"], 25.08);
    assert_eq!(first["pressure_hpa"], 1006.5);
    let readings: Vec<Value> = (0..3).map(|_| read()).collect();
    assert!(readings.iter().all(|reading| *reading != first), "it always says the same: {first}");
    for reading in readings {
        assert!((20.0..30.0).contains(&reading["temperature_c"].as_f64().unwrap()), "{reading}");
        assert!((990.0..1020.0).contains(&reading["pressure_hpa"].as_f64().unwrap()), "{reading}");
        assert!((20.0..80.0).contains(&reading["humidity_percent"].as_f64().unwrap()), "{reading}");
    }
    let (error, why) = call(&mut tool, &json!({ "x": 1 })).unwrap_err();
    assert_eq!(error, PeripheralError::Refused, "{why}");
}

#[test]
fn the_stand_in_has_the_registers_of_the_chip() {
    let mut bus = StandIn::new();
    let mut bytes = [0; 26];
    bus.write_read(ADDRESS, &[0x88], &mut bytes).unwrap();
    assert_eq!(bytes, CALIBRATION);
    let mut bytes = [0; 7];
    bus.write_read(ADDRESS, &[0xe1], &mut bytes).unwrap();
    assert_eq!(bytes, HUMIDITY);
    let mut data = [0; 8];
    bus.write_read(ADDRESS, &[0xf7], &mut data).unwrap();
    assert_eq!(data, [0x80, 0, 0, 0x80, 0, 0, 0x80, 0], "nothing was measured");
    bus.write(ADDRESS, &[0xf4, 0x55]).unwrap();
    bus.write_read(ADDRESS, &[0xf7], &mut data).unwrap();
    assert_eq!(data, EXAMPLE);
    let mut control = [0];
    bus.write_read(ADDRESS, &[0xf4], &mut control).unwrap();
    assert_eq!(control, [0x54], "it sleeps again");
    assert!(bus.write(0x77, &[0xd0]).is_err());
    bus.write(ADDRESS, &[0xd0, 0]).unwrap();
    bus.write_read(ADDRESS, &[0xd0], &mut control).unwrap();
    assert_eq!(control, [0x60], "what cannot be written");
}
