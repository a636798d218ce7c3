//! The tool `search_text`.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use cap_std::fs::Dir;
use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use super::roots::{Roots, open_file};
use super::text::Lines;
use super::{first, path_schema};
use crate::descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
use crate::failure::ToolFailure;
use crate::grant::RootPath;
use crate::pool::Pool;
use crate::schema::{SchemaError, clipped};
use crate::stop::Stop;
use crate::worker::Function;

/// Bytes of text that one call gives.
const OUTPUT_BYTES: usize = 32 << 10;
/// Hits that one call gives.
const MOST_HITS: usize = 200;
/// Bytes of the line that says what was not looked through.
const CLOSING_BYTES: usize = 320;
/// Files and folders that one call looks at.
const MOST_ENTRIES: usize = 20_000;
/// Bytes that one call reads.
const MOST_BYTES: u64 = 256 << 20;
/// Bytes of one file.
const FILE_BYTES: u64 = 16 << 20;
/// Bytes of a line that are looked through.
const LINE_BYTES: usize = 64 << 10;
/// Folders in folders.
const MOST_DEEP: usize = 32;
/// Bytes that a pattern's automaton may take.
const PATTERN_BYTES: usize = 1 << 20;

/// What a search passes over, in the words of its last line.
mod left_out {
    pub const BINARY: &str = "binary files";
    pub const DEEP: &str = "folders more than 32 deep";
    pub const FILES: &str = "files behind their first 16 MiB";
    pub const LINES: &str = "lines behind their first 64 KiB";
    pub const NAMES: &str = "names that are no text";
    pub const UNREADABLE: &str = "what cannot be read";
}

/// The tool `search_text`: lines that match a pattern, in a file or in all files below a folder.
///
/// # Errors
/// None in practice: [`SchemaError`] would be a mistake in its own schema.
pub fn search_text(roots: Roots, pool: &Pool) -> Result<Tool, SchemaError> {
    crate::worker::tool(descriptor(&roots), SearchText(roots), pool)
}

struct SearchText(Roots);

impl SearchText {
    fn read(&self, arguments: &Value) -> Result<(RootPath, Regex), ToolFailure> {
        let path = self.0.locate(arguments["path"].as_str().unwrap_or_default())?;
        let pattern = arguments["pattern"].as_str().unwrap_or_default();
        let sensitive = arguments.get("match_case").and_then(Value::as_bool).unwrap_or(false);
        let pattern =
            RegexBuilder::new(pattern).case_insensitive(!sensitive).size_limit(PATTERN_BYTES).build();
        let pattern = pattern.map_err(|error| {
            let error = clipped(&error.to_string());
            ToolFailure::Refused(format!("the pattern is none: {error}; plain words would be one"))
        })?;
        Ok((path, pattern))
    }
}

impl Function for SearchText {
    fn check(&self, arguments: &Value) -> Result<(), ToolFailure> {
        self.read(arguments).map(drop)
    }

    fn call(&self, arguments: &Value, stop: &Stop) -> Result<Vec<u8>, ToolFailure> {
        let (path, pattern) = self.read(arguments)?;
        let shown = self.0.shown(&path);
        let mut search = Search::new(pattern, stop);
        let broke = |error| ToolFailure::Failed(format!("{shown} cannot be searched: {error}"));
        if self.0.is_folder(&path)? {
            search.folder(&self.0.open_folder(&path)?, &shown, 0).map_err(broke)?;
        } else {
            search.file(self.0.open_file(&path)?, &shown).map_err(broke)?;
        }
        Ok(search.finish())
    }
}

struct Search<'s> {
    pattern: Regex,
    stop: &'s Stop,
    output: String,
    hits: usize,
    entries: usize,
    bytes: u64,
    /// The limit that was reached.
    full: Option<&'static str>,
    /// What was passed over below that limit.
    left_out: BTreeSet<&'static str>,
}

impl<'s> Search<'s> {
    fn new(pattern: Regex, stop: &'s Stop) -> Search<'s> {
        let (output, left_out) = (String::new(), BTreeSet::new());
        Search { pattern, stop, output, hits: 0, entries: 0, bytes: 0, full: None, left_out }
    }

    /// Looks through all files below a folder, in the order of their names. Links are passed over, so
    /// nothing is seen twice.
    fn folder(&mut self, folder: &Dir, shown: &str, deep: usize) -> io::Result<()> {
        let mut names = Vec::new();
        // With one more than are looked at, it is known that there are more.
        for entry in folder.entries()?.take(MOST_ENTRIES + 1) {
            let entry = entry?;
            names.push((entry.file_name(), entry.file_type()?));
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names {
            if self.entries == MOST_ENTRIES {
                self.full = Some("as many files as one call looks at were looked at");
            }
            if self.over() {
                break;
            }
            self.entries += 1;
            // What is no text has no place in what is shown either.
            let Some(name) = name.to_str() else {
                self.left_out.insert(left_out::NAMES);
                continue;
            };
            let shown = format!("{shown}/{}", name.replace(char::is_control, "\u{fffd}"));
            let searched = if kind.is_dir() && deep == MOST_DEEP {
                self.left_out.insert(left_out::DEEP);
                Ok(())
            } else if kind.is_dir() {
                folder.open_dir(name).and_then(|below| self.folder(&below, &shown, deep + 1))
            } else if kind.is_file() {
                open_file(folder, name).and_then(|file| self.file(file, &shown))
            } else {
                Ok(())
            };
            // Whatever cannot be read, others can.
            if searched.is_err() {
                self.left_out.insert(left_out::UNREADABLE);
            }
        }
        Ok(())
    }

    fn file(&mut self, file: impl io::Read, shown: &str) -> io::Result<()> {
        let Some(mut lines) = Lines::new(file, FILE_BYTES)? else {
            self.left_out.insert(left_out::BINARY);
            return Ok(());
        };
        let mut number = 0;
        while let Some(line) = lines.next(LINE_BYTES)? {
            number += 1;
            // With the end of the line.
            self.bytes += (line.text.len() + line.left_out + 1) as u64;
            if line.left_out > 0 {
                self.left_out.insert(left_out::LINES);
            }
            if let Some(hit) = self.pattern.find(&line.text) {
                self.hit(&format!("{shown}:{number}: {}\n", around(&line.text, hit.start())));
            }
            if self.over() {
                return Ok(());
            }
        }
        if lines.is_cut()? {
            self.left_out.insert(left_out::FILES);
        }
        Ok(())
    }

    fn hit(&mut self, line: &str) {
        if self.output.len() + line.len() + CLOSING_BYTES > OUTPUT_BYTES || self.hits == MOST_HITS {
            self.full = Some("no more hits fit");
        } else {
            self.output.push_str(line);
            self.hits += 1;
        }
    }

    fn over(&mut self) -> bool {
        if self.bytes > MOST_BYTES {
            self.full = Some("as many bytes as one call reads were read");
        }
        self.full.is_some() || self.stop.is_raised()
    }

    fn finish(mut self) -> Vec<u8> {
        let mut closing = Vec::new();
        match self.full {
            Some(limit) => closing.push(format!("cut here: {limit}; a narrower path would do")),
            None if self.hits == 0 => closing.push("nothing matches".to_owned()),
            None => (),
        }
        if !self.left_out.is_empty() {
            let left_out: Vec<&str> = self.left_out.into_iter().collect();
            closing.push(format!("not searched: {}", left_out.join(", ")));
        }
        if !closing.is_empty() {
            self.output.push_str(&format!("[{}]\n", closing.join("; ")));
        }
        self.output.into_bytes()
    }
}

/// A line as far as it can be read, with the hit in it.
fn around(line: &str, hit: usize) -> String {
    const BEFORE: usize = 60;
    if hit <= BEFORE {
        return clipped(line);
    }
    let start = line[..hit].char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
    if start == 0 { clipped(line) } else { format!("…{}", clipped(&line[start..])) }
}

fn descriptor(roots: &Roots) -> Descriptor {
    let root = first(roots);
    let example = |request: &str, pattern: &str| Example {
        request: request.to_owned(),
        arguments: json!({ "path": root, "pattern": pattern }),
    };
    Descriptor {
        name: "search_text".to_owned(),
        description: "Finds lines that match a regular expression, in a file or in all files below a folder."
            .to_owned(),
        arguments: json!({
            "type": "object",
            "properties": {
                "path": path_schema(roots),
                "pattern": { "type": "string", "minLength": 1, "maxLength": 256 },
                "match_case": { "type": "boolean" },
            },
            "required": ["path", "pattern"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Files,
        effect: Effect::None,
        urgency: Urgency::Medium,
        timeout: Duration::from_secs(20),
        attempts: 2,
        output_bytes: OUTPUT_BYTES,
        output_tokens: 512,
        examples: vec![
            example("Which files mention the lighthouse?", "lighthouse"),
            example("Find the line with the budget.", "budget"),
            example("Where is an e-mail address written?", "[a-z.]+@[a-z.]+"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_lines_are_bytes_that_are_read() {
        let (pattern, stop) = (Regex::new("needle").unwrap(), Stop::new());
        for (text, bytes) in [("", 0), ("\n\n\n", 3), ("one\ntwo\n", 8)] {
            let mut search = Search::new(pattern.clone(), &stop);
            search.file(text.as_bytes(), "any").unwrap();
            assert_eq!(search.bytes, bytes, "{text:?}");
        }
    }
}
