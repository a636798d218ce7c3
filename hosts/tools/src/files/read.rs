//! The tool `read_file`.

use std::time::Duration;

use serde_json::{Value, json};

use super::roots::Roots;
use super::text::Lines;
use super::{first, path_schema};
use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::grant::RootPath;
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;
use crate::worker::Function;

/// Bytes of a file that are looked through for the lines that are asked for.
const MOST_BYTES: u64 = 64 << 20;
/// Bytes of text that one call gives.
const OUTPUT_BYTES: usize = 64 << 10;
/// Bytes that the last line may need, which says what was left out.
const NOTE_BYTES: usize = 160;

/// The tool `read_file`: lines of a text file.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn read_file(roots: Roots, pool: &Pool) -> Result<Tool, SchemaError> {
    crate::worker::tool(descriptor(&roots), ReadFile(roots), pool)
}

struct ReadFile(Roots);

impl ReadFile {
    fn path(&self, arguments: &Value) -> Result<RootPath, ToolFailure> {
        self.0.locate(arguments["path"].as_str().unwrap_or_default())
    }
}

impl Function for ReadFile {
    fn check(&self, arguments: &Value) -> Result<(), ToolFailure> {
        self.path(arguments).map(drop)
    }

    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        let path = self.path(arguments)?;
        let number = |name: &str| arguments.get(name).and_then(Value::as_u64);
        let from = number("from_line").unwrap_or(1);
        let lines = number("lines").unwrap_or(u64::MAX);
        let shown = self.0.shown(&path);
        if self.0.is_folder(&path)? {
            return Err(ToolFailure::Failed(format!("{shown} is a folder; list_files tells what is in it")));
        }
        let file = self.0.open_file(&path)?;
        let broke = |error| ToolFailure::Failed(format!("{shown} cannot be read: {error}"));
        let binary = || ToolFailure::Failed(format!("{shown} is no text: it has bytes that are 0"));
        let mut text = Lines::new(file, MOST_BYTES).map_err(broke)?.ok_or_else(binary)?;
        excerpt(&mut text, from, lines, stop).map_err(broke)?.ok_or_else(|| {
            ToolFailure::Failed(format!(
                "{shown} has no line {from}; it ends before, or after {MOST_BYTES} bytes"
            ))
        })
    }
}

/// Lines from one on, and a note where more would follow. None when there is no such line.
fn excerpt<R: std::io::Read>(
    text: &mut Lines<R>,
    from: u64,
    lines: u64,
    stop: &Stop,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut number = 1;
    while number < from {
        if stop.is_raised() || text.next(0)?.is_none() {
            return Ok(None);
        }
        number += 1;
    }
    let mut output = String::new();
    while number - from < lines {
        if stop.is_raised() {
            return Ok(None);
        }
        let room = OUTPUT_BYTES - NOTE_BYTES - output.len();
        let Some(line) = text.next(room)? else {
            if text.is_cut()? {
                output.push_str(&format!("[cut here: no more than {MOST_BYTES} bytes of a file are read]\n"));
            }
            let empty = number == from && from > 1;
            return Ok((!empty).then(|| output.into_bytes()));
        };
        // What was replaced is longer than what it replaces.
        if line.left_out > 0 || line.text.len() + 1 > room {
            if output.is_empty() {
                output.extend(line.text.chars().take(room / 4));
                output.push_str(&format!("\n[cut here: line {number} is longer than what fits]\n"));
            } else {
                output.push_str(&format!("[cut here: no more fits; from_line {number} goes on]\n"));
            }
            return Ok(Some(output.into_bytes()));
        }
        output.push_str(&line.text);
        output.push('\n');
        number += 1;
    }
    Ok(Some(output.into_bytes()))
}

fn descriptor(roots: &Roots) -> Descriptor {
    let root = first(roots);
    let example = |request: &str, arguments: Value| Example { request: request.to_owned(), arguments };
    Descriptor {
        name: "read_file".to_owned(),
        description: "Reads a text file, or some lines of it.".to_owned(),
        arguments: json!({
            "type": "object",
            "properties": {
                "path": path_schema(roots),
                "from_line": { "type": "integer", "minimum": 1, "description": "first line; 1 if there is none" },
                "lines": { "type": "integer", "minimum": 1, "maximum": 1_000_000, "description": "how many" },
            },
            "required": ["path"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Files,
        effect: Effect::None,
        urgency: Urgency::Medium,
        timeout: Duration::from_secs(10),
        attempts: 2,
        output_bytes: OUTPUT_BYTES,
        output_tokens: 512,
        examples: vec![
            example("What does the file notes.txt say?", json!({ "path": format!("{root}/notes.txt") })),
            example(
                "Show me the first ten lines of readme.md.",
                json!({ "path": format!("{root}/readme.md"), "lines": 10 }),
            ),
            example(
                "Read lines 50 to 60 of the log.",
                json!({ "path": format!("{root}/log.txt"), "from_line": 50, "lines": 11 }),
            ),
        ],
    }
}
