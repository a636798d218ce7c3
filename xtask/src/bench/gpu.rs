//! `cargo xtask bench --backend …`: a backend's speeds, what bounds them, and what a step costs.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Options;
use super::table::{self, median};
use crate::Outcome;
use crate::process::Failure;

/// Works of `agentos bench`, in the order of the table: prompts of 512 tokens, then answers of 1, 8 and 64
/// contexts, each at no depth and at a depth of 2,048.
const WORKS: [&str; 8] =
    ["prefill", "prefill-deep", "decode", "deep", "batch8", "deep8", "batch64", "deep64"];

/// Runs of a work; the first warms up.
const RUNS: &str = "4";

/// The columns of the table.
const COLUMNS: [&str; 8] = [
    "work",
    "tok/s",
    "of copy bandwidth",
    "of multiply-adds",
    "dispatches a step",
    "bytes to the device",
    "bytes back",
    "encoded in, ms",
];

/// Times the works on a backend and prints two tables: speeds, and times of kernels where the device has
/// timestamps.
///
/// # Errors
/// Those of the program, such as a backend that it does not have.
pub fn bench(program: &Path, model: &Path, backend: &str, options: &Options) -> Outcome {
    let wanted = |work: &&&str| options.work.is_empty() || options.work.iter().any(|chosen| chosen == **work);
    let (mut kernels, mut begun) = (String::new(), false);
    for work in WORKS.iter().filter(wanted) {
        let answer = match super::json(&mut command(program, model, backend, work, options)) {
            Ok(answer) => answer,
            // One that needs more memory than there is has said so; the others may fit.
            Err(failure @ Failure::Exit { .. }) if begun => {
                eprintln!("{work} is left out: {failure}");
                continue;
            }
            Err(failure) => return Err(failure),
        };
        if !std::mem::replace(&mut begun, true) {
            println!("{}\n", device(&answer));
            print!("{}", table::heading(&COLUMNS, None));
        }
        println!("{}", row(work, &answer));
        kernels += &kernel_rows(work, &answer);
    }
    if kernels.is_empty() {
        println!("\nThe device times no kernels.");
    } else {
        print!("\n{}{kernels}", table::heading(&["work", "kernel", "dispatches", "us a step"], None));
    }
    Ok(())
}

/// Checks that the works are known to this table.
///
/// # Errors
/// [`Failure::Found`].
pub fn check(works: &[String]) -> Result<(), Failure> {
    match works.iter().find(|work| !WORKS.contains(&work.as_str())) {
        Some(work) => Err(Failure::Found(format!(
            "with --backend there is no work {work}; there are: {}",
            WORKS.join(", ")
        ))),
        None => Ok(()),
    }
}

fn command(program: &Path, model: &Path, backend: &str, work: &str, options: &Options) -> Command {
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--ops", "--runs", RUNS, "--work", work, "--backend", backend]);
    if let Some(adapter) = &options.adapter {
        command.arg("--adapter").arg(adapter);
    }
    if let Some(activations) = &options.activations {
        command.args(["--activations", activations]);
    }
    command.arg("--model").arg(model);
    command
}

/// What computed, and its limits.
fn device(answer: &Value) -> String {
    let ceiling = |name: &str| answer["ceiling"][name].as_f64().unwrap_or(0.0) / 1e9;
    let name = answer["adapter"]
        .as_str()
        .map_or_else(|| format!("{} threads", answer["threads"].as_u64().unwrap_or(0)), str::to_owned);
    format!(
        "{}, {name}, {}: copies {:.1} GB/s, multiplies and adds {:.1} G/s",
        answer["backend"].as_str().unwrap_or("?"),
        answer["variant"].as_str().unwrap_or("?"),
        ceiling("bytes_per_s"),
        ceiling("operations_per_s"),
    )
}

fn row(work: &str, answer: &Value) -> String {
    let speed = median(&super::samples(answer));
    let share = |bound: &str| match answer["bounds"][bound].as_f64() {
        Some(bound) if bound > 0.0 => format!("{:.1} %", 100.0 * speed / bound),
        _ => String::new(),
    };
    let step = |name: &str, decimals: usize| {
        answer["step"][name].as_f64().map_or_else(String::new, |value| format!("{value:.decimals$}"))
    };
    format!(
        "| {work} | {speed:.1} | {} | {} | {} | {} | {} | {} |",
        share("memory"),
        share("arithmetic"),
        step("dispatches", 0),
        step("bytes_written", 0),
        step("bytes_read", 0),
        step("encode_ms", 3),
    )
}

/// A row for each kernel of the work's last step.
fn kernel_rows(work: &str, answer: &Value) -> String {
    let mut rows = String::new();
    for op in answer["step"]["ops"].as_array().into_iter().flatten() {
        let (name, dispatches) = (op["name"].as_str().unwrap_or("?"), op["dispatches"].as_u64().unwrap_or(0));
        let us = op["us"].as_f64().unwrap_or(0.0);
        writeln!(rows, "| {work} | {name} | {dispatches} | {us:.1} |").expect("a text takes all rows");
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_row_and_kernels() {
        let answer = serde_json::json!({
            "backend": "wgpu", "adapter": "A GPU", "threads": 1, "variant": "groups",
            "samples": [400.0, 410.0, 420.0],
            "bounds": {"memory": 1000.0, "arithmetic": 4100.0},
            "ceiling": {"bytes_per_s": 2e12, "operations_per_s": 5e13},
            "step": {"dispatches": 394.0, "bytes_written": 412.5, "bytes_read": 644.0, "encode_ms": 0.25,
                     "ops": [{"name": "product", "dispatches": 210, "us": 1200.04}]},
        });
        assert_eq!(
            device(&answer),
            "wgpu, A GPU, groups: copies 2000.0 GB/s, multiplies and adds 50000.0 G/s"
        );
        assert_eq!(row("decode", &answer), "| decode | 410.0 | 41.0 % | 10.0 % | 394 | 412 | 644 | 0.250 |");
        assert_eq!(kernel_rows("decode", &answer), "| decode | product | 210 | 1200.0 |\n");
        let bare = serde_json::json!({"backend": "cpu", "threads": 2, "samples": [1.0], "step": null});
        assert_eq!(row("decode", &bare), "| decode | 1.0 |  |  |  |  |  |  |");
        assert_eq!((kernel_rows("decode", &bare).len(), device(&bare).contains("2 threads")), (0, true));
    }

    #[test]
    fn an_unknown_work_is_refused_with_those_there_are() {
        assert!(check(&["deep64".to_owned()]).is_ok());
        let error = check(&["pick".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("prefill-deep"), "{error}");
    }
}
