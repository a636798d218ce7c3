//! Tools as text and as JSON.

use agentos_tools::{Access, Descriptor, Effect, Urgency};
use serde_json::{Value, json};

/// A line for a list.
pub(super) fn line(tool: &Descriptor) -> String {
    format!("{:12}  {}\n", tool.name, tool.description)
}

/// All that is known of a tool.
pub(super) fn page(tool: &Descriptor) -> String {
    let pretty = |value| serde_json::to_string_pretty(value).unwrap_or_default();
    let mut text = format!("{}: {}\n", tool.name, tool.description);
    text += &format!("reaches      {}\n", access(tool.access));
    text += &format!("effect       {}\n", effect(tool.effect));
    text += &format!("urgency      {}\n", urgency(tool.urgency));
    text += &format!("limits       {} s, {} bytes\n", tool.timeout.as_secs_f32(), tool.output_bytes);
    text += &format!("arguments    {}\n", pretty(&tool.arguments));
    for example in &tool.examples {
        text += &format!("example      {:?}: {}\n", example.request, example.arguments);
    }
    text
}

/// The same as JSON.
pub(super) fn described(tool: &Descriptor) -> Value {
    json!({
        "name": tool.name,
        "description": tool.description,
        "arguments": tool.arguments,
        "output": tool.output,
        "reaches": access(tool.access),
        "effect": effect(tool.effect),
        "urgency": urgency(tool.urgency),
        "timeout_s": tool.timeout.as_secs_f64(),
        "attempts": tool.attempts,
        "output_bytes": tool.output_bytes,
        "output_tokens": tool.output_tokens,
    })
}

const fn access(access: Access) -> &'static str {
    match access {
        Access::None => "nothing",
        Access::Clock => "the time",
        Access::Files => "files under granted roots",
        Access::Commands => "granted commands",
        Access::Network => "granted hosts",
        Access::Person => "a person",
        Access::Memory => "the agent's own memory",
        Access::Knowledge => "granted collections",
        Access::Sensor => "a sensor",
        Access::Server => "a server of tools",
        Access::Agent => "another agent",
    }
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "none",
        Effect::Idempotent => "the same however often it is called",
        Effect::Irreversible => "each call counts: at most once",
    }
}

const fn urgency(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::Critical => "critical",
        Urgency::High => "high",
        Urgency::Medium => "medium",
        Urgency::Low => "low",
    }
}
