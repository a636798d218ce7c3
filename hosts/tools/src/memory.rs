//! The tool `memory`: what an agent may do about its own context.

use std::time::Duration;

use serde_json::{Value, json};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::schema::SchemaError;
use crate::served::{Requests, served};

/// Characters of what an action is about.
const ABOUT_CHARS: u32 = 200;

/// What an agent does about its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What it knows of something stays within reach.
    Pin,
    /// What it knows of something need not.
    Forget,
    /// What it knows of something is said again.
    Recall,
}

/// A request to an agent's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryRequest {
    /// What is to be done.
    pub action: Action,
    /// What it is about, in the agent's words.
    pub about: String,
}

impl MemoryRequest {
    /// Of arguments that fit the tool's schema; `None` for others.
    pub fn of(arguments: &Value) -> Option<MemoryRequest> {
        let action = match arguments["action"].as_str()? {
            "pin" => Action::Pin,
            "forget" => Action::Forget,
            "recall" => Action::Recall,
            _ => return None,
        };
        Some(MemoryRequest { action, about: arguments["about"].as_str()?.to_owned() })
    }
}

/// The tool `memory`. Its host sees to the context of the agent that calls.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn memory(requests: &Requests) -> Result<Tool, SchemaError> {
    served(descriptor(), requests)
}

fn descriptor() -> Descriptor {
    let example = |request: &str, action: &str, about: &str| Example {
        request: request.to_owned(),
        arguments: json!({ "action": action, "about": about }),
    };
    let arguments: Value = json!({
        "type": "object",
        "properties": {
            "action": { "enum": ["recall", "pin", "forget"] },
            "about": {
                "type": "string",
                "minLength": 1,
                "maxLength": ABOUT_CHARS,
                "description": "words that are in what is meant",
            },
        },
        "required": ["action", "about"],
        "additionalProperties": false,
    });
    Descriptor {
        name: "memory".to_owned(),
        description: "Finds what was said earlier in this conversation, keeps it at hand, or lets it go."
            .to_owned(),
        arguments,
        output: None,
        access: Access::Memory,
        effect: Effect::Idempotent,
        urgency: Urgency::High,
        timeout: Duration::from_secs(10),
        attempts: 1,
        output_bytes: 1 << 14,
        output_tokens: 256,
        examples: vec![
            example("What did the report say about the harbour?", "recall", "report harbour"),
            example("Keep in mind when the ferry leaves.", "pin", "ferry leaves"),
            example("You need not remember the list of names.", "forget", "list of names"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_the_schema_is_a_request() {
        let descriptor = descriptor();
        for example in &descriptor.examples {
            assert!(MemoryRequest::of(&example.arguments).is_some(), "{}", example.request);
        }
        let request = MemoryRequest::of(&json!({ "action": "forget", "about": "x" }));
        assert_eq!(request, Some(MemoryRequest { action: Action::Forget, about: "x".to_owned() }));
        assert_eq!(MemoryRequest::of(&json!({ "action": "erase", "about": "x" })), None);
        assert_eq!(MemoryRequest::of(&json!({})), None);
    }
}
