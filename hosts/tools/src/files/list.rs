//! The tool `list_files`.

use std::time::Duration;

use cap_std::fs::Dir;
use serde_json::{Value, json};

use super::roots::Roots;
use super::{first, path_schema};
use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::grant::RootPath;
use crate::pool::Pool;
use crate::schema::SchemaError;
use crate::stop::Stop;
use crate::worker::Function;

/// Entries of a folder that are looked at.
const MOST_ENTRIES: usize = 10_000;
/// Bytes of text that one call gives.
const OUTPUT_BYTES: usize = 64 << 10;

/// The tool `list_files`: what is in a folder.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn list_files(roots: Roots, pool: &Pool) -> Result<Tool, SchemaError> {
    crate::worker::tool(descriptor(&roots), ListFiles(roots), pool)
}

struct ListFiles(Roots);

impl ListFiles {
    /// What is asked for; none for the roots themselves.
    fn path(&self, arguments: &Value) -> Result<Option<RootPath>, ToolFailure> {
        let path = arguments.get("path").and_then(Value::as_str);
        path.map(|path| self.0.locate(path)).transpose()
    }
}

impl Function for ListFiles {
    fn check(&self, arguments: &Value) -> Result<(), ToolFailure> {
        self.path(arguments).map(drop)
    }

    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        let Some(path) = self.path(arguments)? else {
            let roots = self.0.names().into_iter().map(|name| format!("{name}/\n"));
            return Ok(roots.collect::<String>().into_bytes());
        };
        let shown = self.0.shown(&path);
        if !self.0.is_folder(&path)? {
            return Err(ToolFailure::Failed(format!("{shown} is a file; read_file reads it")));
        }
        let folder = self.0.open_folder(&path)?;
        let listed = list(&folder, &shown, stop);
        listed.map_err(|error| ToolFailure::Failed(format!("{shown} cannot be listed: {error}")))
    }
}

/// What is in a folder, in order, each as other tools take it; folders with `/`, links with `@`, files with their bytes.
fn list(folder: &Dir, shown: &str, stop: &Stop) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    let mut more = false;
    for entry in folder.entries()? {
        if stop.is_raised() || lines.len() == MOST_ENTRIES {
            more = true;
            break;
        }
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().replace(char::is_control, "\u{fffd}");
        let name = format!("{}/{name}", shown.trim_end_matches('/'));
        let kind = entry.file_type()?;
        lines.push(match kind {
            kind if kind.is_dir() => format!("{name}/"),
            kind if kind.is_symlink() => format!("{name}@"),
            // It may be gone by now.
            _ => match entry.metadata() {
                Ok(found) => format!("{name} ({} bytes)", found.len()),
                Err(_) => name,
            },
        });
    }
    lines.sort_unstable();
    let mut output = String::new();
    for line in lines {
        if output.len() + line.len() + 80 > OUTPUT_BYTES {
            more = true;
            break;
        }
        output.push_str(&line);
        output.push('\n');
    }
    if more {
        output.push_str("[cut here: there are more; a folder in it has fewer]\n");
    } else if output.is_empty() {
        output.push_str("[the folder is empty]\n");
    }
    Ok(output.into_bytes())
}

fn descriptor(roots: &Roots) -> Descriptor {
    let root = first(roots);
    let example = |request: &str, arguments: Value| Example { request: request.to_owned(), arguments };
    Descriptor {
        name: "list_files".to_owned(),
        description: "Lists what is in a folder; without a path, the folders that there are to begin with."
            .to_owned(),
        arguments: json!({
            "type": "object",
            "properties": { "path": path_schema(roots) },
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Files,
        effect: Effect::None,
        urgency: Urgency::Medium,
        timeout: Duration::from_secs(10),
        attempts: 2,
        output_bytes: OUTPUT_BYTES,
        output_tokens: 256,
        examples: vec![
            example("Which files are there?", json!({ "path": root })),
            example("What is in the folder reports?", json!({ "path": format!("{root}/reports") })),
            example("Which folders can you see?", json!({})),
        ],
    }
}
