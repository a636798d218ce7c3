//! The clock: the time that it is given, in the zone that it is asked for.

mod rig;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentos_hal::PeripheralError;
use agentos_tools::clock::clock;
use agentos_tools::{Schema, Tool};
use rig::{call, pool};
use serde_json::{Value, json};

/// Seconds of 2026-11-27T22:20:58Z.
const THEN: u64 = 1_795_818_058;

fn stopped(seconds: u64) -> Tool {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    clock(Arc::new(move || then), &pool()).unwrap()
}

fn told(tool: &mut Tool, arguments: Value) -> Value {
    let value = serde_json::from_str(&call(tool, &arguments).unwrap()).unwrap();
    Schema::new(tool.descriptor.output.as_ref().unwrap()).unwrap().hold(&value).unwrap();
    value
}

#[test]
fn the_time_is_told_in_every_zone() {
    let mut tool = stopped(THEN);
    for (zone, time, weekday) in [
        ("UTC", "2026-11-27T22:20:58+00:00", "Friday"),
        ("Europe/Berlin", "2026-11-27T23:20:58+01:00", "Friday"),
        ("Asia/Tokyo", "2026-11-28T07:20:58+09:00", "Saturday"),
        ("Asia/Kathmandu", "2026-11-28T04:05:58+05:45", "Saturday"),
        ("America/St_Johns", "2026-11-27T18:50:58-03:30", "Friday"),
    ] {
        let expected = json!({ "time": time, "weekday": weekday, "time_zone": zone });
        assert_eq!(told(&mut tool, json!({ "time_zone": zone })), expected);
    }
    assert_eq!(told(&mut tool, json!({}))["time"], "2026-11-27T22:20:58+00:00");
    // In summer it is another hour.
    let mut summer = stopped(THEN - 150 * 86_400);
    assert_eq!(
        told(&mut summer, json!({ "time_zone": "Europe/Berlin" }))["time"],
        "2026-07-01T00:20:58+02:00"
    );
}

#[test]
fn a_zone_that_is_none_is_told() {
    let mut tool = stopped(THEN);
    for zone in ["Europe/Atlantis", "", "../../etc/passwd", "/etc/localtime", "EUROPE", "\u{0}"] {
        let (error, why) = call(&mut tool, &json!({ "time_zone": zone })).unwrap_err();
        assert_eq!(error, PeripheralError::Failed);
        assert!(why.contains("such as \"Europe/Berlin\""), "{why}");
    }
}

#[test]
fn a_clock_beyond_all_calendars_is_a_failure() {
    let mut tool = stopped(u64::MAX / 4);
    assert!(call(&mut tool, &json!({})).unwrap_err().1.contains("tells no time"));
}
