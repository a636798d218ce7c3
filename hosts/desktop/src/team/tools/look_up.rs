//! The tool `look_up`: passages of the collections that an agent is granted, while it runs.
//!
//! What an agent is given before it starts is found by its prompt, with the model's help. In the midst of a run the
//! model is at work for all agents, so passages are found by the rare words that they share with the question, which
//! alone find nearly as many (see [`RELEVANCE_WEIGHT`](crate::knowledge::recall::RELEVANCE_WEIGHT)).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentos_tools::{Access, Descriptor, Effect, Example, Pool, Stop, Tool, ToolFailure, Urgency, worker};
use serde_json::{Value, json};

use crate::knowledge::catalogue::Catalogue;

/// Collections that are open, by name; none until the run is made ready. Copies are the same.
#[derive(Clone, Default)]
pub struct Shelves(Arc<OnceLock<Vec<(String, Catalogue)>>>);

/// The tool's name.
pub const LOOK_UP: &str = "look_up";

/// Passages that are told of one question at most.
const PASSAGES: usize = 3;

/// Bytes of all of them.
const BYTES: usize = 1 << 14;

impl Shelves {
    /// Puts the collections there. Those that are there already stay.
    pub fn fill(&self, collections: Vec<(String, Catalogue)>) {
        let _filled_before = self.0.set(collections);
    }

    /// The passages of some collections that fit a question best, the best first, each under the line that names its
    /// source.
    fn passages(&self, collections: &[String], question: &str) -> Vec<&str> {
        let open = self.0.get().map_or(&[][..], Vec::as_slice);
        let granted = open.iter().filter(|(name, _)| collections.contains(name));
        let mut found: Vec<_> =
            granted.flat_map(|(_, catalogue)| catalogue.find_by_words(question, PASSAGES)).collect();
        found.sort_by(|one, other| other.score.total.total_cmp(&one.score.total));
        found.iter().take(PASSAGES).map(|hit| hit.passage.text.as_str()).collect()
    }
}

/// The tool `look_up` of an agent that is granted these collections.
///
/// # Errors
/// None in practice: it would be a mistake in its own schema.
pub(super) fn look_up(collections: Vec<String>, shelves: Shelves, pool: &Pool) -> Result<Tool, String> {
    let descriptor = descriptor(&collections);
    let find = move |arguments: &Value, _: &Stop| {
        let question = arguments["about"].as_str().unwrap_or_default();
        let passages = shelves.passages(&collections, question);
        if passages.is_empty() {
            let names = collections.join(", ");
            return Err(ToolFailure::failed(format!(
                "nothing in {names} has these words; others may be there"
            )));
        }
        Ok(joined(&passages).into_bytes())
    };
    worker::tool(descriptor, find, pool).map_err(|error| error.to_string())
}

/// As many whole passages as there is room for; the first one as far as there is.
fn joined(passages: &[&str]) -> String {
    let mut text = String::new();
    for passage in passages {
        if text.is_empty() {
            text.push_str(&passage[..passage.floor_char_boundary(BYTES)]);
        } else if text.len() + 2 + passage.len() <= BYTES {
            text.push_str("\n\n");
            text.push_str(passage);
        }
    }
    text
}

fn descriptor(collections: &[String]) -> Descriptor {
    let example = |request: &str, about: &str| Example {
        request: request.to_owned(),
        arguments: json!({ "about": about }),
    };
    Descriptor {
        name: LOOK_UP.to_owned(),
        description: format!(
            "Finds what documents say about something. The documents: {}.",
            collections.join(", ")
        ),
        arguments: json!({
            "type": "object",
            "properties": {
                "about": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 400,
                    "description": "words that stand in what is looked for",
                },
            },
            "required": ["about"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Knowledge,
        effect: Effect::None,
        urgency: Urgency::Medium,
        timeout: Duration::from_secs(10),
        attempts: 1,
        output_bytes: BYTES,
        output_tokens: 512,
        examples: vec![
            example("What does the manual say about the pump?", "pump"),
            example("Look up in the documents how the sails are set.", "set sails"),
            example("Is there anything written about the harbour dues?", "harbour dues"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_passages_are_told_as_far_as_there_is_room() {
        let long = "é".repeat(BYTES);
        assert_eq!(joined(&["a", &long, "b"]), "a\n\nb");
        assert_eq!(joined(&[&long]).len(), BYTES);
        assert_eq!(joined(&[]), "");
    }
}
