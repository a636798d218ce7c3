//! The tool `clock`: the time, from a function that the host gives.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde_json::{Value, json};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;

/// Tells the time: the system's, or that of a replay.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The tool `clock`.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn clock(now: Now, pool: &Pool) -> Result<Tool, SchemaError> {
    // The same answer on every machine, whatever zones it has installed.
    let zones = TimeZoneDatabase::bundled();
    crate::worker::tool(descriptor(), move |arguments: &Value, _: &Stop| tell(&now, &zones, arguments), pool)
}

fn tell(now: &Now, zones: &TimeZoneDatabase, arguments: &Value) -> Result<Vec<u8>, ToolFailure> {
    let zone = match arguments.get("time_zone").and_then(Value::as_str) {
        None => TimeZone::UTC,
        Some(name) => zones.get(name).map_err(|_| unknown(name))?,
    };
    let outside = |error| ToolFailure::Failed(format!("the machine's clock tells no time: {error}"));
    let now = Timestamp::try_from(now()).map_err(outside)?;
    let told = now.to_zoned_datetime(zone);
    // Whole seconds: a model makes nothing of more.
    let text = told.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let name = told.time_zone().iana_name().unwrap_or("UTC");
    let weekday = told.strftime("%A").to_string();
    Ok(json!({ "time": text, "weekday": weekday, "time_zone": name }).to_string().into_bytes())
}

fn unknown(name: &str) -> ToolFailure {
    let name = crate::schema::clipped(name);
    ToolFailure::Failed(format!(
        "there is no time zone {name:?}; a name of the IANA database such as \"Europe/Berlin\" or \"UTC\" would do"
    ))
}

fn descriptor() -> Descriptor {
    let example = |request: &str, arguments: Value| Example { request: request.to_owned(), arguments };
    Descriptor {
        name: "clock".to_owned(),
        description: "Tells the date, the weekday and the time now, in UTC or in a time zone.".to_owned(),
        arguments: json!({
            "type": "object",
            "properties": {
                "time_zone": {
                    "type": "string",
                    "maxLength": 64,
                    "description": "a name of the IANA database, for example Europe/Berlin; UTC if there is none",
                },
            },
            "additionalProperties": false,
        }),
        output: Some(json!({
            "type": "object",
            "properties": {
                "time": { "type": "string" },
                "weekday": { "type": "string" },
                "time_zone": { "type": "string" },
            },
            "required": ["time", "weekday", "time_zone"],
            "additionalProperties": false,
        })),
        access: Access::Clock,
        effect: Effect::None,
        urgency: Urgency::High,
        timeout: Duration::from_secs(5),
        attempts: 1,
        output_bytes: 1 << 10,
        output_tokens: 64,
        examples: vec![
            example("What time is it?", json!({})),
            example("What day of the week is it today?", json!({})),
            example("How late is it in Tokyo now?", json!({ "time_zone": "Asia/Tokyo" })),
        ],
    }
}
