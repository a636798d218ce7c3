//! The tool `http_get`: what granted hosts serve.
//!
//! The URL of each request, redirects with them, is read once, and the host that the grant allows is the very
//! one that the client then asks. Names are looked up by our own resolver, once per connection: it hands on
//! only addresses that may be reached, and the client connects to one of these. So neither a name that points
//! into a private network nor one that changes where it points gets anywhere.

mod address;
mod client;
mod target;

use std::time::Duration;

use serde_json::{Value, json};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::grant::Grant;
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;
use crate::worker::Function;

use client::Client;
pub use client::HttpLimits;
use target::Target;

/// The tool `http_get`.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn http_get(grant: Grant, limits: HttpLimits, pool: &Pool) -> Result<Tool, SchemaError> {
    crate::worker::tool(descriptor(&grant, &limits), HttpGet(Client::new(grant, limits)), pool)
}

/// Bytes that a byte of another character set has in UTF-8 at most.
const UTF8_GROWTH: usize = 3;

struct HttpGet(Client);

impl HttpGet {
    fn target(&self, arguments: &Value) -> Result<Target, ToolFailure> {
        let url = arguments["url"].as_str().unwrap_or_default();
        Target::read(url, self.0.grant()).map_err(ToolFailure::refused)
    }
}

impl Function for HttpGet {
    fn check(&self, arguments: &Value) -> Result<(), ToolFailure> {
        self.target(arguments).map(drop)
    }

    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        self.0.get(self.target(arguments)?, stop)
    }
}

fn descriptor(grant: &Grant, limits: &HttpLimits) -> Descriptor {
    let hosts: Vec<String> = grant.hosts.iter().map(ToString::to_string).collect();
    let first = hosts.first().map_or("example.org", String::as_str);
    let example = |request: &str, path: &str| Example {
        request: request.to_owned(),
        arguments: json!({ "url": format!("https://{first}/{path}") }),
    };
    Descriptor {
        name: "http_get".to_owned(),
        description: format!("Gets a page from the web. The hosts: {}.", hosts.join(", ")),
        arguments: json!({
            "type": "object",
            "properties": {
                "url": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": target::URL_BYTES,
                    "description": "begins with http:// or https://",
                },
            },
            "required": ["url"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Network,
        effect: Effect::Idempotent,
        urgency: Urgency::Medium,
        timeout: limits.time + Duration::from_secs(1),
        attempts: 2,
        output_bytes: limits.body_bytes.saturating_mul(UTF8_GROWTH),
        output_tokens: 512,
        examples: vec![
            example("Get the page about.html.", "about.html"),
            example("What does the website say?", ""),
            example("Download the list of stations.", "stations.json"),
        ],
    }
}
