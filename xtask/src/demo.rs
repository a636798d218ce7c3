//! What `cargo xtask run` shows without arguments: the model, three things it can do, and how fast.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::process::{Failure, output_of, shown, succeed};

/// Short answers, so that the demonstration ends in seconds, and memory for no more than it needs.
const OPTIONS: [&str; 6] = ["--temperature", "0", "--max-tokens", "80", "--ctx", "512"];

const QUESTION: &str = "What is the capital of France?";

const TEXT: &str = "\
An operating system keeps programs from harming each other. It gives each program a share of the processor, \
decides which parts of memory it may touch, and stops it when another one is more urgent. Without an operating \
system, every program would have to know every device, and one mistake would take the whole machine down. \
Time-sharing systems of the 1960s were the first to let many people work on one computer as if each had it alone.

Summarize the text above in one sentence.";

const STRUCTURED: &str = "Write a JSON object with the keys \"name\", \"city\" and \"age\" for this sentence: \
                          Ada is 36 years old and lives in London.";

/// Shows the demonstration.
///
/// # Errors
/// [`Failure::Start`] and [`Failure::Exit`] of `agentos`, which has said why; [`Failure::Answer`].
pub fn demo(program: &Path) -> Outcome {
    succeed(agentos(program, &["inspect"]).stdin(Stdio::null()))?;
    for prompt in [QUESTION, TEXT] {
        ask(prompt);
        succeed(&mut generate(program, prompt))?;
    }
    ask(STRUCTURED);
    let mut command = generate(program, STRUCTURED);
    command.arg("--json");
    let output = output_of(&mut command)?;
    let closing = serde_json::from_slice(&output).ok().as_ref().and_then(closing);
    let missing = || Failure::Answer { command: shown(&command), expected: "text, timing and memory" };
    println!("{}", closing.ok_or_else(missing)?);
    Ok(())
}

fn agentos(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn generate(program: &Path, prompt: &str) -> Command {
    let mut command = agentos(program, &["generate", "--prompt", prompt]);
    command.args(OPTIONS).stdin(Stdio::null());
    command
}

fn ask(prompt: &str) {
    println!();
    for line in prompt.lines() {
        println!("{}", format!("> {line}").trim_end());
    }
    println!();
}

/// The answer in the object that `generate --json` prints, with what it took. A figure that the system
/// does not tell is a dash.
fn closing(object: &Value) -> Option<String> {
    let text = object["text"].as_str()?;
    let (timing, memory) = (object["timing"].as_object()?, object["memory"].as_object()?);
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    let time = |name: &str| figure(timing.get(name).and_then(Value::as_f64));
    let megabytes = |name: &str| figure(memory.get(name).and_then(Value::as_f64).map(|bytes| bytes / 1e6));
    Some(format!(
        "{text}\n\n\
         Speed: first token after {} ms, of which {} ms to load; prompt {} tokens/s, answer {} tokens/s.\n\
         Memory: weights {} MB, keys and values {} MB, scratch {} MB; peak of the process {} MB.",
        time("first_token_ms"),
        time("load_ms"),
        time("prefill_tok_s"),
        time("decode_tok_s"),
        megabytes("weights"),
        megabytes("kv"),
        megabytes("scratch"),
        megabytes("peak_rss"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_memory_are_told_from_the_programs_object() {
        let object = serde_json::json!({
            "text": "{}",
            "timing": { "load_ms": 61.5, "first_token_ms": 140.2, "prefill_tok_s": 1500.0, "decode_tok_s": 310.4 },
            "memory": { "weights": 98_000_000, "kv": 4_000_000, "scratch": 1_500_000, "peak_rss": null },
        });
        let text = closing(&object).unwrap();
        assert!(text.starts_with("{}\n\nSpeed: first token after 140 ms, of which 62 ms to load;"), "{text}");
        assert!(text.contains("answer 310 tokens/s"), "{text}");
        assert!(text.contains("weights 98 MB"), "{text}");
        assert!(text.ends_with("peak of the process - MB."), "{text}");
        assert_eq!(closing(&serde_json::json!({ "text": "x" })), None);
    }
}
