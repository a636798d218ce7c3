//! How well the default model calls tools: `cargo xtask eval tools`.
//!
//! The arguments are the folder with the leaderboard's data, how many cases of each category to take, and a file
//! for the results. Every call is made inside the grammar of its schema and then held to the schema by a validator
//! that knows nothing of grammars.

mod ask;
mod cases;
mod judge;
mod masks;
mod ready;

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use ask::{Choices, Shots, Tally};
use masks::Times;
use ready::Ready;

/// Cases that show how it is done; they are not asked.
const SHOTS: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, most, results] = arguments.as_slice() else {
        eprintln!("usage: tools FOLDER CASES RESULTS");
        return ExitCode::from(2);
    };
    match run(Path::new(folder), most.parse().unwrap_or(usize::MAX), Path::new(results)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every call keeps to its schema.
fn run(folder: &Path, most: usize, results: &Path) -> Result<bool, String> {
    let mut simple = cases::read(folder, "simple_python")?;
    let multiple = cases::read(folder, "multiple")?;
    let shown = simple.split_off(simple.len().saturating_sub(SHOTS));
    let take = |cases: &[cases::Case]| cases.len().min(most);
    let (simple, multiple) = (&simple[..take(&simple)], &multiple[..take(&multiple)]);
    let mut model = Ready::new();

    let choices = Choices::of(&mut model, multiple);
    println!("| choice of 2 to 4 functions, {} cases | right |", choices.of);
    println!("|---|---|");
    for (how, right) in &choices.right {
        println!("| {how} | {} |", share(*right, choices.of));
    }
    println!();
    println!("| arguments | cases | whole in time | keep to the schema | right |");
    println!("|---|---|---|---|---|");
    let (mut rows, mut calls) = (Vec::new(), Vec::new());
    for (category, cases) in [("simple_python", simple), ("multiple", multiple)] {
        for shots in [Shots::NONE, Shots(&shown)] {
            let tally = Tally::of(&mut model, cases, shots);
            println!(
                "| {category}, {} shots | {} | {} | {} | {} |",
                shots.0.len(),
                tally.asked,
                share(tally.whole, tally.asked),
                share(tally.valid, tally.whole),
                share(tally.right, tally.asked)
            );
            calls.extend(cases.iter().filter_map(|case| {
                let text = tally.texts.iter().find(|(id, _)| *id == case.id)?;
                Some((case, text.1.clone()))
            }));
            rows.push(json!({"category": category, "shots": shots.0.len(), "asked": tally.asked,
                "whole": tally.whole, "valid": tally.valid, "right": tally.right, "failures": tally.failures}));
        }
    }
    let times = Times::of(&mut model, &calls);
    let [mean, median, p99, most, step] = times.micros();
    println!();
    println!("| {} masks, µs | mean | median | p99 | most | a step without | p99 of a step |", times.count());
    println!("|---|---|---|---|---|---|---|");
    println!(
        "| | {mean:.1} | {median:.1} | {p99:.1} | {most:.1} | {step:.0} | {:.2} % |",
        100.0 * p99 / step
    );
    let masks = json!({"count": times.count(), "mean_us": mean, "median_us": median, "p99_us": p99, "most_us": most,
        "step_us": step});
    let whole = rows.iter().all(|row| row["valid"] == row["whole"]);
    let choices = json!({"cases": choices.of, "layer": choices.layer, "right": choices.right
        .iter().map(|(how, right)| ((*how).to_owned(), json!(right))).collect::<serde_json::Map<_, _>>()});
    let report = json!({"choice": choices, "arguments": rows, "masks": masks});
    std::fs::write(results, format!("{report:#}\n"))
        .map_err(|error| format!("{}: {error}", results.display()))?;
    Ok(whole)
}

fn share(part: usize, of: usize) -> String {
    format!("{part} ({:.1} %)", 100.0 * part as f64 / of.max(1) as f64)
}
