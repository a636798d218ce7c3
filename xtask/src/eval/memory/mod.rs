//! `cargo xtask eval memory`: what bounded memory costs, by `agentos eval memory` and `agentos eval slicing`, on texts
//! of Debian's packages and of a package of Python.

mod texts;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::process::{Failure, Repository, output_of};
use crate::{Outcome, agentos, model};
use texts::Texts;

/// How much of it.
#[derive(Clone, Debug, Args)]
pub struct Memory {
    /// Only these runs, by the beginnings of their names.
    #[arg(value_name = "RUN")]
    pub runs: Vec<String>,
    /// Questions about each length.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(4..=10_000))]
    pub questions: u32,
    /// Cases of passages that are moved.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub cases: u32,
    /// News items whose topics are found, eight to a text.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u16).range(8..=236))]
    pub items: u16,
    /// Where results go, a file of JSON and a chart for each run [default: target/eval/memory].
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// A run of the program.
struct Run {
    /// What its files are called.
    name: &'static str,
    /// What it measures: `retrieval`, `loss`, `relocation`, `packing` or `slicing`.
    of: &'static str,
    arguments: Vec<String>,
    texts: Vec<PathBuf>,
}

/// Gets the texts once, measures, and prints what is asked beside what was found.
///
/// # Errors
/// Those of [`Texts::get`], [`agentos::build`] and [`model::ensure`]; [`Failure::Exit`] and [`Failure::Answer`] of the
/// program; [`Failure::Found`] where no run has such a name; [`Failure::File`].
pub fn run(repository: &Repository, options: &Memory) -> Outcome {
    let folder = repository.root.join("target").join("eval");
    let wanted = |run: &Run| {
        options.runs.is_empty() || options.runs.iter().any(|name| run.name.starts_with(name.as_str()))
    };
    let all = runs(&Texts::get(&folder)?, options);
    if !all.iter().any(wanted) {
        let names: Vec<&str> = all.iter().map(|run| run.name).collect();
        return Err(Failure::Found(format!("no such run; there are {}", names.join(", "))));
    }
    let program = agentos::build(repository)?;
    model::ensure(&program)?;
    let out = options.out.clone().unwrap_or_else(|| folder.join("memory"));
    std::fs::create_dir_all(&out).map_err(|source| Failure::File { path: out.clone(), source })?;
    let mut lines = Vec::new();
    for run in all.iter().filter(|run| wanted(run)) {
        println!("{}: agentos eval {} {}", run.name, run.command().join(" "), run.arguments.join(" "));
        let figures = run.measure(&program, &out)?;
        lines.extend(verdict::lines(run.name, run.of, &figures));
    }
    print!("\n{}", verdict::table(&lines));
    println!("All figures: {}", out.display());
    Ok(())
}

impl Run {
    fn command(&self) -> Vec<&'static str> {
        if self.of == "slicing" { vec!["slicing"] } else { vec!["memory", self.of] }
    }

    /// Runs the program, and keeps what it says.
    fn measure(&self, program: &Path, out: &Path) -> Result<Value, Failure> {
        let mut command = Command::new(program);
        command.arg("eval").args(self.command()).args(&self.texts).args(&self.arguments).arg("--json");
        let said = output_of(command.arg("--svg").arg(out.join(self.name).with_extension("svg")))?;
        let path = out.join(self.name).with_extension("json");
        std::fs::write(&path, &said).map_err(|source| Failure::File { path, source })?;
        serde_json::from_slice(&said).map_err(|_| Failure::Answer {
            command: format!("agentos eval {}", self.command().join(" ")),
            expected: "figures",
        })
    }
}

fn runs(texts: &Texts, options: &Memory) -> Vec<Run> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
    let run = |name, of, texts: &[PathBuf], arguments: &str| Run {
        name,
        of,
        arguments: words(arguments),
        texts: texts.to_vec(),
    };
    let (questions, cases) = (options.questions, options.cases);
    let apart = format!("--from different --passage 64 --cases {cases}");
    let kinds = texts.of_several_kinds();
    let items = texts.items_not_seen(options.items.into());
    vec![
        run(
            "retrieval",
            "retrieval",
            &texts.licences,
            &format!("--tokens 1024,4096 --l1 256,512 --questions {questions}"),
        ),
        run(
            "retrieval-of-the-beginning",
            "retrieval",
            &texts.licences,
            "--tokens 31000 --l1 512 --questions 32 --place beginning --memory relevance",
        ),
        run("loss-licences", "loss", &texts.licences, "--texts 3 --l1 512"),
        run("loss-manuals", "loss", &texts.manuals, "--texts 2 --l1 512"),
        run("loss-news", "loss", &texts.joined, "--texts 3 --l1 512"),
        run("relocation-same", "relocation", &texts.licences, &format!("--cases {cases}")),
        run("relocation-licences", "relocation", &texts.licences, &apart),
        run("relocation-news", "relocation", &texts.items, &apart),
        run("relocation-kinds", "relocation", &kinds, &apart),
        run("packing", "packing", &texts.licences, ""),
        run("slicing", "slicing", &items, ""),
    ]
}
