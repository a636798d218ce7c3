//! Choosing a tool for a request by what the model makes of it: the tool whose example requests have the most
//! similar hidden rows.
//!
//! Where every tool has examples, these say in which layer and scale tools are told apart. Servers mostly tell of
//! none: then what a tool is called and for is compared with the request, in the middle one of those layers. Requests
//! and descriptions are different kinds of texts, so each kind is seen from the mean of its own: of texts that are
//! always the same, and of the descriptions at hand. `cargo xtask eval tools` measures how well that tells.

use crate::context::{self, CHUNK, Purpose, Tables};
use crate::device::Device;
use crate::model::ModelFile;
use crate::text::Tokenizer;
use crate::tools::hidden::{Pooled, Reading, middle_layers};
use crate::tools::likeness::{Frame, Known, Scale, best, calibrate};
use agentos_hal::KvType;
use agentos_tools::Descriptor;

/// Tokens that a request is looked at for; what is longer says the same again.
const CONTEXT: u32 = 512;

/// Characters of a request that are looked at: they are always fewer tokens than fit.
const CHARS: usize = 480;

/// Requests of many kinds: what they have in common, a new one has too.
const REQUESTS: [&str; 12] = [
    "What is 15 % of 80?",
    "What time is it in Paris?",
    "Find the word lamp in the notes.",
    "Show me the file letter.txt.",
    "Which files are in the folder docs?",
    "How warm is it in here?",
    "Get the page example.org/news.",
    "Ask the captain which way to go.",
    "Count the lines of the log.",
    "Remember what I said about the door.",
    "Book a table for two at eight.",
    "Send Ann a message that I am late.",
];

/// What tools of many kinds are called and for.
const DESCRIPTIONS: [&str; 12] = [
    "calculator: Computes an expression.",
    "clock: Says what time it is in a time zone.",
    "search text: Finds words in files.",
    "read file: Reads a file.",
    "list files: Lists what is in a folder.",
    "sensor: Measures temperature, pressure and humidity.",
    "http get: Gets a page from a host.",
    "ask human: Asks a person a question.",
    "run: Runs a command and gives what it prints.",
    "memory: Finds what was said earlier in the conversation.",
    "book table: Reserves a table in a restaurant.",
    "send message: Sends a message to a person.",
];

/// Texts of each tool below which no layer can be found by them: one is left out, and another has to find it.
const LEAST_TEXTS: usize = 2;

/// What is to be chosen: a request, and the tools that there are for it.
pub struct Question<'q> {
    /// The request.
    pub request: &'q str,
    /// The tools; at least one.
    pub tools: &'q [Descriptor],
}

/// The tool for each question, by its number. Layer and scale are those that tell the tools' own examples apart, or
/// where a tool has none the middle layer of those looked at, centred.
///
/// # Errors
/// What the device or the model refuses, in words.
pub fn by_likeness(
    questions: &[Question<'_>],
    file: &ModelFile<'_>,
    tokenizer: &Tokenizer,
    device: &mut Device,
) -> Result<Vec<usize>, String> {
    let shape = &file.model.shape;
    let layers = middle_layers(shape.layers);
    let purpose = Purpose { outcomes: 1, candidates: 1, masks: 0, taps: layers.len() as u32, exposed: CHUNK };
    let context = CONTEXT.min(shape.context);
    let limits =
        context::limits(shape, Some(context), KvType::F16, purpose).map_err(|error| error.to_string())?;
    device.prepare(&file.model, &limits, &mut file.weights()).map_err(|error| error.to_string())?;
    let mut tables = Tables::new(limits, tokenizer.delimiter_classes());
    let mut pooled = |text: &str| -> Result<Pooled, String> {
        let end = text.char_indices().nth(CHARS.min(context as usize / 2)).map_or(text.len(), |(end, _)| end);
        let reading = Reading::new(&text[..end], tokenizer).map_err(|error| error.to_string())?;
        let (mut sequence, mut pool) = tables.start().map_err(|error| error.to_string())?;
        let device = device.tensor_device();
        reading
            .pooled(&layers, shape.width as usize, &mut sequence, &mut pool, device)
            .map_err(|error| error.to_string())
    };
    questions.iter().map(|question| choose(question, &mut pooled)).collect()
}

/// What pools the hidden rows of a text.
type Pool<'p> = &'p mut dyn FnMut(&str) -> Result<Pooled, String>;

fn choose(question: &Question<'_>, pooled: Pool<'_>) -> Result<usize, String> {
    let alone = |tool: &Descriptor| 1 + tool.examples.len() < LEAST_TEXTS;
    let likeness = match question.tools.iter().any(alone) {
        true => by_description(question, pooled)?,
        false => by_example(question, pooled)?,
    };
    Ok(best(&likeness).unwrap_or(0))
}

/// How like each tool's own requests and its description are to the request.
fn by_example(question: &Question<'_>, pooled: Pool<'_>) -> Result<Vec<f64>, String> {
    let mut examples = Vec::new();
    for (tool, descriptor) in question.tools.iter().enumerate() {
        for example in &descriptor.examples {
            examples.push((tool, pooled(&example.request)?));
        }
        examples.push((tool, pooled(&descriptor.description)?));
    }
    let Some(calibration) = calibrate(&examples) else { return Ok(Vec::new()) };
    let rows = || examples.iter().map(|(tool, pooled)| (*tool, pooled[calibration.layer].as_slice()));
    let frame = Frame::of(rows().map(|(_, row)| row), calibration.scale);
    let request = pooled(question.request)?;
    Ok(Known::new(rows(), &frame).likeness(&frame.place(&request[calibration.layer])))
}

/// How like what each tool is called and for is to the request.
fn by_description(question: &Question<'_>, pooled: Pool<'_>) -> Result<Vec<f64>, String> {
    let mut in_the_middle = |text: &str| -> Result<Vec<f32>, String> {
        let mut layers = pooled(text)?;
        let middle = layers.len() / 2;
        Ok(layers.swap_remove(middle))
    };
    let mut all =
        |texts: &[String]| texts.iter().map(|text| in_the_middle(text)).collect::<Result<Vec<_>, _>>();
    let told = |tool: &Descriptor| format!("{}: {}", spoken(&tool.name), tool.description);
    let tools = all(&question.tools.iter().map(told).collect::<Vec<_>>())?;
    let requests = all(&REQUESTS.map(str::to_owned))?;
    let descriptions = all(&DESCRIPTIONS.map(str::to_owned))?;
    let request = all(&[question.request.to_owned()])?.remove(0);
    let frame = |rows: &[&[Vec<f32>]]| {
        let rows: Vec<&[f32]> = rows.iter().flat_map(|rows| rows.iter()).map(Vec::as_slice).collect();
        Frame::of(rows.into_iter(), Scale::Centred)
    };
    let rows = tools.iter().enumerate().map(|(tool, row)| (tool, row.as_slice()));
    let known = Known::new(rows, &frame(&[&tools, &descriptions]));
    Ok(known.likeness(&frame(&[&requests]).place(&request)))
}

/// A name as words.
fn spoken(name: &str) -> String {
    name.replace(['_', '-', '.'], " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agentos_tools::{Access, Effect, Example, Urgency};
    use serde_json::json;

    use super::*;

    fn tool(name: &str, description: &str, examples: &[&str]) -> Descriptor {
        let example = |request: &&str| Example { request: (*request).to_owned(), arguments: json!({}) };
        Descriptor {
            name: name.to_owned(),
            description: description.to_owned(),
            arguments: json!({}),
            output: None,
            access: Access::Server,
            effect: Effect::None,
            urgency: Urgency::High,
            timeout: Duration::from_secs(1),
            attempts: 1,
            output_bytes: 1,
            output_tokens: 1,
            examples: examples.iter().map(example).collect(),
        }
    }

    /// Three layers, of which the one in the middle knows what a text is about and what kind of text it is; the
    /// others tell long texts from short ones, and lamps from bells the wrong way round.
    fn pooled(text: &str) -> Result<Pooled, String> {
        let about = |word: &str| f32::from(u8::from(text.to_lowercase().contains(word)));
        let (lamp, bell) = (about("lamp"), about("bell"));
        let kind = 50.0 * about(":");
        let other = vec![text.len() as f32, bell * about(":") + lamp * (1.0 - about(":")), kind];
        Ok(vec![other.clone(), vec![kind, lamp, bell], other])
    }

    #[test]
    fn without_examples_what_tools_are_for_is_compared_in_the_middle_layer() {
        let tools = [
            tool("rig.a", "Says whether the lamp burns.", &[]),
            tool("rig.b", "Rings the bell.", &[]),
            tool("rig.c", "Opens the door to whoever is in front of it.", &[]),
        ];
        for (request, right) in [("Is the lamp lit?", 0), ("Make the bell sound!", 1)] {
            assert_eq!(choose(&Question { request, tools: &tools }, &mut pooled), Ok(right), "{request}");
        }
    }

    #[test]
    fn with_examples_the_layer_is_the_one_that_tells_them_apart() {
        let tools = [
            tool("a", "Says whether the lamp burns", &["Is the lamp on?", "lamp"]),
            tool("b", "Rings the bell", &["bell", "Let the bell ring for a long time, as it is noon."]),
        ];
        for (request, right) in [("The lamp?", 0), ("Is it time for the bell?", 1)] {
            assert_eq!(choose(&Question { request, tools: &tools }, &mut pooled), Ok(right), "{request}");
        }
    }
}
