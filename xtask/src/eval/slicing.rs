//! `cargo xtask eval slicing`: topics of joined news items, by `agentos eval slicing`.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use super::wheel::Wheel;
use crate::Outcome;
use crate::process::{Failure, Repository, output_of, succeed};
use crate::{agentos, model};

/// How much of it.
#[derive(Clone, Debug, Args)]
pub struct Slicing {
    /// News items to join, eight to a text.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u16).range(8..=236))]
    pub documents: u16,
    /// Only these policies, as `agentos eval slicing` takes them.
    #[arg(long, value_name = "POLICY")]
    pub policy: Vec<String>,
    /// Where the results go, as JSON; without it a table is printed.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The package whose tests read 300 news items of the Australian Broadcasting Corporation, one a line: the background
/// documents of Lee, Pincombe and Welsh (2005). None of its code runs.
const GENSIM: Wheel = Wheel {
    package: "gensim==4.4.0",
    file: "gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    sha256: "91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
    // The file is the same on every machine; only its texts are read.
    only: &["--platform", "manylinux_2_24_x86_64", "--python-version", "3.11"],
};

/// Items by which the constants of the rules were chosen; they are not asked again.
pub const SEEN: usize = 64;

const ITEMS: &str = "gensim/test/test_data/lee_background.cor";

/// Gets the documents once, and runs the evaluation.
///
/// # Errors
/// Those of [`Wheel::fetch`], [`agentos::build`] and [`model::ensure`]; [`Failure::File`]; [`Failure::Exit`].
pub fn run(repository: &Repository, options: &Slicing) -> Outcome {
    let folder = repository.root.join("target").join("eval");
    let documents = items(&folder)?;
    let documents = documents.into_iter().skip(SEEN).take(usize::from(options.documents));
    let program = agentos::build(repository)?;
    model::ensure(&program)?;
    let mut command = Command::new(program);
    command.args(["eval", "slicing"]).args(documents);
    options.policy.iter().for_each(|policy| _ = command.arg("--policy").arg(policy));
    let Some(out) = &options.out else { return succeed(&mut command) };
    let json = output_of(command.arg("--json"))?;
    std::fs::write(out, json).map_err(|source| Failure::File { path: out.clone(), source })
}

/// A file for each item, in order.
///
/// # Errors
/// Those of [`Wheel::fetch`]; [`Failure::Start`] and [`Failure::Exit`] of Python; [`Failure::Found`]; [`Failure::File`].
pub fn items(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let texts = folder.join("news");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Failure::File { path, source }
    };
    let read = || -> Result<String, Failure> {
        let wheel = GENSIM.fetch(folder)?;
        let text = output_of(Command::new("python3").args([
            "-c",
            "import sys,zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))",
            &wheel.display().to_string(),
            ITEMS,
        ]))?;
        String::from_utf8(text).map_err(|_| Failure::Found(format!("{ITEMS} is not UTF-8 text")))
    };
    let names = |count: usize| (0..count).map(|n| texts.join(format!("{n:03}.txt"))).collect::<Vec<_>>();
    if texts.is_dir() {
        let count = std::fs::read_dir(&texts).map_err(failed(&texts))?.count();
        return Ok(names(count));
    }
    let text = read()?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    // Under another name until all are there.
    let part = folder.join("news.part");
    std::fs::create_dir_all(&part).map_err(failed(&part))?;
    for (number, line) in lines.iter().enumerate() {
        let path = part.join(format!("{number:03}.txt"));
        std::fs::write(&path, line).map_err(failed(&path))?;
    }
    std::fs::rename(&part, &texts).map_err(failed(&texts))?;
    Ok(names(lines.len()))
}
