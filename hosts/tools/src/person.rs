//! The tool `ask_human`: a question to the person who sits before the host.

use std::time::Duration;

use serde_json::{Value, json};

use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::schema::SchemaError;
use crate::served::{Requests, served};

/// Characters of a question.
const QUESTION_CHARS: u32 = 400;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// The tool `ask_human`. Its host shows the `question` of each request and answers with what the person says:
/// data like any other.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn ask_human(requests: &Requests) -> Result<Tool, SchemaError> {
    served(descriptor(), requests)
}

fn descriptor() -> Descriptor {
    let example = |request: &str, question: &str| Example {
        request: request.to_owned(),
        arguments: json!({ "question": question }),
    };
    let arguments: Value = json!({
        "type": "object",
        "properties": {
            "question": {
                "type": "string",
                "minLength": 1,
                "maxLength": QUESTION_CHARS,
                "description": "what the person is to tell, in a sentence",
            },
        },
        "required": ["question"],
        "additionalProperties": false,
    });
    Descriptor {
        name: "ask_human".to_owned(),
        description: "Asks the person who runs this system a question, and waits for the answer.".to_owned(),
        arguments,
        output: None,
        access: Access::Person,
        effect: Effect::Idempotent,
        urgency: Urgency::High,
        timeout: PATIENCE,
        attempts: 1,
        output_bytes: 1 << 12,
        output_tokens: 256,
        examples: vec![
            example("Find out from me which colour I want.", "Which colour do you want?"),
            example("Ask the user for their name.", "What is your name?"),
            example("Check with a human whether the door may be opened.", "May the door be opened?"),
        ],
    }
}
