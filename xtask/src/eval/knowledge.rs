//! `cargo xtask eval knowledge`: questions about Debian's manuals, by `agentos eval knowledge`, and beside llama.cpp.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use super::debian;
use crate::bench::peer::Peer;
use crate::process::{Failure, Repository, output_of, succeed};
use crate::{Outcome, agentos, model};

/// How much of it.
#[derive(Clone, Debug, Args)]
pub struct Knowledge {
    /// Questions to ask at most.
    #[arg(long, default_value_t = 1000)]
    pub count: usize,
    /// Passages that go into a prompt at most.
    #[arg(long, default_value_t = 8)]
    pub top: u16,
    /// Tokens of passages that go into a prompt at most.
    #[arg(long, default_value_t = 2048)]
    pub budget: u32,
    /// How the library keeps passages; each way has a library of its own.
    #[arg(long, default_value = "lossless", value_parser = ["lossless", "int8", "k4v4"])]
    pub packing: String,
    /// Have llama.cpp compute the same prompts, after each round.
    #[arg(long)]
    pub peer: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    pub threads: u32,
}

/// Tokens of an answer at most.
const ANSWER_TOKENS: u32 = 24;

/// Debian's packages of the policy, of the questions that are asked frequently, and of the guides to APT: some 240
/// pages of print. Nothing in them runs.
const PACKAGES: [&str; 3] = ["debian-policy", "debian-faq", "apt-doc"];

/// Where their texts are, under which name they are entered, and how a file's name ends that is in English.
const FOLDERS: [(&str, &str, &str); 3] = [
    ("usr/share/doc/debian-policy/policy.html", "policy", ".html"),
    ("usr/share/doc/debian/FAQ", "faq", ".en.html"),
    ("usr/share/doc/apt-doc/guide.html", "apt", ".html"),
];

/// Gets the manuals once, enters what is not entered, and asks.
///
/// # Errors
/// [`Failure::Found`] where there are no packages of Debian; [`Failure::Start`], [`Failure::Exit`] and
/// [`Failure::Answer`] of the programs; those of [`agentos::build`], [`model::ensure`] and [`Peer::install`].
pub fn run(repository: &Repository, options: &Knowledge) -> Outcome {
    let folder = repository.root.join("target").join("eval");
    let manuals = manuals(&folder)?;
    let program = agentos::build(repository)?;
    let model = model::path(&program)?;
    let peer = if options.peer { Some(Peer::install(repository, &model)?) } else { None };
    let library = match &*options.packing {
        "lossless" => folder.join("manuals.redb"),
        packing => folder.join(format!("manuals-{packing}.redb")),
    };
    let mut ingest = Command::new(&program);
    ingest.arg("ingest").arg(&manuals).args([
        "--collection",
        "manuals",
        "--packing",
        &options.packing,
        "--store",
    ]);
    ingest.arg(&library);
    succeed(&mut ingest)?;
    let mut command = Command::new(&program);
    command.args(["eval", "knowledge", "manuals", "--json", "--store"]).arg(&library);
    command.arg("--questions").arg(repository.root.join("xtask/src/eval/manuals.tsv"));
    for (name, value) in [
        ("--count", options.count.to_string()),
        ("--top", options.top.to_string()),
        ("--budget", options.budget.to_string()),
        ("--max-tokens", ANSWER_TOKENS.to_string()),
        ("--threads", options.threads.to_string()),
    ] {
        command.args([name, &value]);
    }
    let said = output_of(&mut command)?;
    let asked = folder.join("knowledge.json");
    std::fs::write(&asked, &said).map_err(|source| Failure::File { path: asked.clone(), source })?;
    let answer = || Failure::Answer { command: "agentos eval knowledge".to_owned(), expected: "figures" };
    let value: Value = serde_json::from_slice(&said).map_err(|_| answer())?;
    let mut lines = ways(&value).ok_or_else(answer)?;
    if let Some(peer) = &peer {
        for variant in peer.variants() {
            let said = peer.ask(variant, options.threads, &asked, ANSWER_TOKENS)?;
            lines.push(peers(variant.name, &said).ok_or_else(answer)?);
        }
    }
    print!("{}", table(&lines));
    if let Some(found) = value["found"].as_u64() {
        println!(
            "\nThe passage that answers was in the prompt of {found} of {} questions.",
            lines[0].questions
        );
    }
    println!("All answers: {}", asked.display());
    Ok(())
}

/// One way of getting an answer.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    right: u64,
    questions: u64,
    first_ms: f64,
    p90_ms: f64,
}

fn ways(value: &Value) -> Option<Vec<Line>> {
    let line = |way: &Value| {
        Some(Line {
            name: format!("agentos, {}", way["way"].as_str()?),
            right: way["right"].as_u64()?,
            questions: way["questions"].as_u64()?,
            first_ms: way["first_ms"].as_f64()?,
            p90_ms: way["first_p90_ms"].as_f64()?,
        })
    };
    value["ways"].as_array()?.iter().map(line).collect()
}

fn peers(name: &str, value: &Value) -> Option<Line> {
    let mut samples: Vec<f64> = value["first_ms"].as_array()?.iter().filter_map(Value::as_f64).collect();
    samples.sort_by(f64::total_cmp);
    let at =
        |share: f64| samples.get((share * samples.len().saturating_sub(1) as f64).round() as usize).copied();
    Some(Line {
        name: format!("llama.cpp, {name}"),
        right: value["right"].as_u64()?,
        questions: value["questions"].as_u64()?,
        first_ms: at(0.5)?,
        p90_ms: at(0.9)?,
    })
}

/// The first line is what the others are compared with.
fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "| passages | right | first token, ms | p90 | of the first line |\n|---|---|---|---|---|\n",
    );
    let first = lines.first().map_or(1.0, |line| line.first_ms.max(1e-9));
    for line in lines {
        text += &format!(
            "| {} | {} of {} | {:.0} | {:.0} | {:.1} x |\n",
            line.name,
            line.right,
            line.questions,
            line.first_ms,
            line.p90_ms,
            line.first_ms / first
        );
    }
    text
}

/// The folder of the manuals.
fn manuals(folder: &Path) -> Result<PathBuf, Failure> {
    debian::arranged(&folder.join("manuals"), &PACKAGES, |all, wanted| {
        for (place, name, ending) in FOLDERS {
            let to = wanted.join(name);
            debian::make(&to)?;
            for file in debian::files(&all.join(place))? {
                if let Some(name) = file.file_name().filter(|name| name.to_string_lossy().ends_with(ending)) {
                    debian::rename(&file, &to.join(name))?;
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_read_and_compared() {
        let way = |name: &str, ms: f64| json!({ "way": name, "right": 5, "questions": 12, "first_ms": ms, "first_p90_ms": 2.0 * ms });
        let mut lines = ways(&json!({ "ways": [way("relocated", 100.0), way("computed", 1500.0)] })).unwrap();
        lines.push(
            peers("Q4_1", &json!({ "first_ms": [9000, 2000, 3000], "right": 4, "questions": 12 })).unwrap(),
        );
        assert_eq!((lines[2].first_ms, lines[2].p90_ms), (3000.0, 9000.0));
        let text = table(&lines);
        assert!(text.contains("| agentos, computed | 5 of 12 | 1500 | 3000 | 15.0 x |"), "{text}");
        assert!(text.contains("| llama.cpp, Q4_1 | 4 of 12 | 3000 | 9000 | 30.0 x |"), "{text}");
        assert_eq!(ways(&json!({ "ways": [{}] })), None);
    }
}
