//! The promise about memory, measured on the program as it is shipped and on the default model: code that
//! is not optimised is larger, so the workspace's tests could not tell.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::process::{Failure, output_of, shown};

/// What the process may have resident besides weights and page memory: its code, the tokenizer, the
/// device's scratch. The promise is the CPU's: what a GPU's driver takes is its own.
const SPARE_BYTES: u64 = 20_000_000;

/// A context that is small, and a text that fills it: nothing hides behind page memory that is never
/// touched.
const RUN: [&str; 11] = [
    "generate",
    "--backend",
    "cpu",
    "--json",
    "--ctx",
    "128",
    "--temperature",
    "1",
    "--raw",
    "--prompt",
    "Once",
];

/// Runs the program and holds the most that it had resident to what was configured.
///
/// # Errors
/// [`Failure::Start`] and [`Failure::Exit`] of the program; [`Failure::Answer`]; [`Failure::Found`] when it
/// took more.
pub fn check(program: &Path) -> Outcome {
    let mut command = Command::new(program);
    command.args(RUN).stdin(Stdio::null());
    let output = output_of(&mut command)?;
    let memory = serde_json::from_slice(&output).ok().as_ref().and_then(Memory::of);
    let memory =
        memory.ok_or_else(|| Failure::Answer { command: shown(&command), expected: "figures of memory" })?;
    println!("{}", memory.judge()?);
    Ok(())
}

/// The figures of a run, in bytes.
#[derive(Clone, Copy, Debug)]
struct Memory {
    weights: u64,
    pages: u64,
    /// The most that the process had resident; `None` where the system does not tell.
    peak: Option<u64>,
}

impl Memory {
    fn of(object: &Value) -> Option<Memory> {
        let memory = object["memory"].as_object()?;
        let figure = |name: &str| memory.get(name).and_then(Value::as_u64);
        Some(Memory { weights: figure("weights")?, pages: figure("kv")?, peak: figure("peak_rss") })
    }

    /// What there is to tell of figures that are as promised.
    fn judge(&self) -> Result<String, Failure> {
        let Some(peak) = self.peak else {
            return Ok("this system does not tell what a process has resident".to_owned());
        };
        let configured = self.weights + self.pages;
        let told = format!(
            "{peak} bytes resident at most: {configured} for weights and page memory, and {} of {SPARE_BYTES} besides",
            peak.saturating_sub(configured)
        );
        // The weights themselves have to be in the figure, or it is none.
        if peak > self.weights && peak <= configured + SPARE_BYTES {
            Ok(told)
        } else {
            Err(Failure::Found(told))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_besides_weights_and_pages_is_bounded() {
        let memory = |peak| Memory { weights: 100_000_000, pages: 5_000_000, peak };
        let good = memory(Some(125_000_000)).judge().unwrap();
        assert!(good.ends_with("and 20000000 of 20000000 besides"), "{good}");
        let bad = memory(Some(125_000_001)).judge().unwrap_err().to_string();
        assert!(bad.contains("20000001 of 20000000"), "{bad}");
        assert!(memory(Some(100_000_000)).judge().is_err());
        assert!(memory(None).judge().is_ok());
    }

    #[test]
    fn figures_are_read_from_the_programs_object() {
        let object =
            serde_json::json!({ "memory": { "weights": 2, "kv": 1, "scratch": 7, "peak_rss": null } });
        let memory = Memory::of(&object).unwrap();
        assert_eq!((memory.weights, memory.pages, memory.peak), (2, 1, None));
        assert!(Memory::of(&serde_json::json!({})).is_none());
    }
}
