//! `cargo xtask bench --agents`: what the kernel makes of many agents, beside its targets and beside
//! what the peer does with the same work.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Options;
use super::peer::Peer;
use super::table::{self, median, quantile};
use crate::Outcome;
use crate::process::Failure;

/// A work, the turns that it gets, and the runs in one turn, of which the first warms up if there are
/// more. The first two take minutes a run.
const WORKS: [(&str, usize, &str); 12] = [
    ("priority", 2, "1"),
    ("arrivals", 1, "1"),
    ("overcommit8", 2, "3"),
    ("overcommit64", 1, "2"),
    ("overcommit_n1", 2, "3"),
    ("kernel16", 3, "4"),
    ("kernel64", 3, "3"),
    ("pick", 3, "4"),
    ("fork", 2, "3"),
    ("swap", 3, "2"),
    ("aggregate8", 3, "5"),
    ("aggregate64", 2, "3"),
];

/// The columns of [`Line`]s.
const COLUMNS: [&str; 5] = ["work", "figure", "target", "measured", "met"];

/// Which of the samples a line shows.
#[derive(Clone, Copy, Debug)]
enum Of {
    Median,
    /// A sample that this share of all does not exceed.
    Quantile(f64),
    Most,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
    Within(f64, f64),
}

/// A line of the table: a figure of a work, what it is to be, and the peer's figures that belong beside.
struct Line {
    work: &'static str,
    figure: &'static str,
    of: Of,
    target: Option<Target>,
    peers: &'static [&'static str],
}

const fn line(work: &'static str, figure: &'static str) -> Line {
    Line { work, figure, of: Of::Median, target: None, peers: &[] }
}

const fn aims(work: &'static str, figure: &'static str, target: Target) -> Line {
    Line { target: Some(target), ..line(work, figure) }
}

/// The table. Its targets are those that the system was designed for.
const LINES: [Line; 44] = [
    Line {
        peers: &["first token, first slot", "first token, last slot"],
        ..aims("priority", "first token", Target::AtMost(350.0))
    },
    Line { of: Of::Most, ..aims("priority", "steps to dispatch", Target::AtMost(1.0)) },
    line("priority", "dispatch"),
    line("priority", "background"),
    line("priority", "background alone"),
    aims("priority", "background, of alone", Target::Within(95.0, 105.0)),
    line("arrivals", "dispatch"),
    Line { of: Of::Quantile(0.99), ..line("arrivals", "dispatch") },
    line("arrivals", "dispatch, fcfs"),
    Line { of: Of::Quantile(0.99), ..line("arrivals", "dispatch, fcfs") },
    Line { of: Of::Most, ..aims("arrivals", "steps to dispatch", Target::AtMost(1.0)) },
    line("arrivals", "first token"),
    Line { of: Of::Quantile(0.99), ..aims("arrivals", "first token", Target::AtMost(350.0)) },
    line("arrivals", "first token, fcfs"),
    Line { of: Of::Quantile(0.99), ..line("arrivals", "first token, fcfs") },
    aims("overcommit8", "finished", Target::Exactly(8.0)),
    aims("overcommit8", "recomputed", Target::Exactly(0.0)),
    line("overcommit8", "paged out"),
    line("overcommit8", "paged in"),
    line("overcommit8", "generated"),
    line("overcommit8", "of that with room for all"),
    aims("overcommit64", "finished", Target::Exactly(64.0)),
    aims("overcommit64", "recomputed", Target::Exactly(0.0)),
    line("overcommit64", "paged out"),
    line("overcommit64", "generated"),
    line("overcommit64", "of that with room for all"),
    aims("overcommit_n1", "finished", Target::Exactly(5.0)),
    aims("overcommit_n1", "recomputed", Target::Exactly(0.0)),
    line("overcommit_n1", "paged out"),
    line("overcommit_n1", "generated"),
    line("overcommit_n1", "of that with room for all"),
    aims("kernel16", "kernel, of step", Target::AtMost(1.0)),
    aims("kernel64", "kernel, of step", Target::AtMost(3.0)),
    aims("pick", "pick and requeue of 64", Target::AtMost(500.0)),
    aims("pick", "pick and requeue of 4096", Target::AtMost(500.0)),
    aims("fork", "fork", Target::AtMost(20.0)),
    Line { of: Of::Most, ..aims("fork", "copied by the fork", Target::Exactly(0.0)) },
    Line { peers: &["out"], ..line("swap", "out") },
    Line { peers: &["in"], ..line("swap", "in") },
    Line { peers: &["prefill"], ..line("swap", "prefill") },
    aims("swap", "prefill, of out and in", Target::AtLeast(100.0)),
    line("swap", "bytes in"),
    aims("aggregate8", "agents, of bare steps", Target::AtLeast(90.0)),
    line("aggregate64", "agents, of bare steps"),
];

/// The samples of a work's figures, and their units.
#[derive(Default)]
struct Samples(BTreeMap<String, (String, Vec<f64>)>);

impl Samples {
    /// Adds those of `agentos bench`.
    fn add_ours(&mut self, answer: &Value) {
        for figure in answer["figures"].as_array().into_iter().flatten() {
            let text = |name: &str| figure[name].as_str().unwrap_or_default().to_owned();
            let (_, samples) = self.0.entry(text("name")).or_insert_with(|| (text("unit"), Vec::new()));
            samples.extend(super::samples(figure));
        }
    }

    /// Adds those of the peer.
    fn add_theirs(&mut self, answer: &Value) {
        for (name, samples) in answer["figures"].as_object().into_iter().flatten() {
            let (_, all) = self.0.entry(name.clone()).or_default();
            all.extend(samples.as_array().into_iter().flatten().filter_map(Value::as_f64));
        }
    }

    fn of(&self, name: &str) -> &[f64] {
        self.0.get(name).map_or(&[], |(_, samples)| samples)
    }
}

/// Times the works and prints the table.
///
/// # Errors
/// When a program cannot be run.
pub fn bench(program: &Path, model: &Path, peer: Option<&Peer>, options: &Options) -> Outcome {
    let threads = *options.threads.last().unwrap_or(&1);
    print!("{}", table::heading(&COLUMNS, peer));
    for (work, turns, runs) in WORKS {
        if !options.work.is_empty() && !options.work.iter().any(|chosen| chosen == work) {
            continue;
        }
        let mut ours = Samples::default();
        let mut theirs: Vec<Samples> = Vec::new();
        for turn in 0..turns {
            let mut command = Command::new(program);
            command.args(["bench", "--json", "--work", work, "--runs", runs]);
            command.arg("--threads").arg(threads.to_string()).arg("--model").arg(model);
            ours.add_ours(&super::json(&mut command)?);
            let Some(peer) = peer else { continue };
            theirs.resize_with(peer.variants().len(), Samples::default);
            // Where the peer's newcomer waits for everybody, once in the format that it is fastest at.
            let skipped = match work {
                "swap" => 0,
                "priority" if turn == 0 => peer.variants().len() - 1,
                _ => continue,
            };
            for (variant, samples) in peer.variants().iter().zip(&mut theirs).skip(skipped) {
                samples.add_theirs(&peer.answer(variant, work, threads, "1")?);
            }
        }
        for line in LINES.iter().filter(|line| line.work == work) {
            print!("{}", shown(line, &ours, &theirs)?);
        }
    }
    Ok(())
}

/// A line of the table as Markdown.
fn shown(line: &Line, ours: &Samples, theirs: &[Samples]) -> Result<String, Failure> {
    let Line { work, figure, of, target, peers } = line;
    let samples = ours.of(figure);
    if samples.is_empty() {
        return Err(Failure::Found(format!("agentos bench --work {work} tells of no {figure:?}")));
    }
    let unit = ours.0.get(*figure).map_or("", |(unit, _)| unit);
    let measured = of.of(samples);
    let target_text = target.map_or(String::new(), |target| target.to_string());
    let met = target.map_or("", |target| if target.is_met(measured) { "yes" } else { "NO" });
    let space = if unit.is_empty() { "" } else { " " };
    let mut text =
        format!("| {work} | {figure}{of} | {target_text} | {}{space}{unit} | {met} |", short(measured));
    for theirs in theirs {
        let told = || peers.iter().filter(|name| !theirs.of(name).is_empty());
        let medians = || told().map(|name| median(theirs.of(name)));
        let join = |parts: Vec<String>| parts.join(" / ");
        let values = join(medians().map(short).collect());
        let ratios = join(medians().map(|theirs| short(measured / theirs)).collect());
        text += &format!(" {values} | {ratios} |");
    }
    Ok(text + "\n")
}

/// Three digits, or all before the point.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        value if value < 1.0 => 3,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

impl Of {
    fn of(self, samples: &[f64]) -> f64 {
        match self {
            Of::Median => median(samples),
            Of::Quantile(share) => quantile(samples, share),
            Of::Most => samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Of::Median => Ok(()),
            Of::Quantile(share) => write!(f, ", p{:.0}", 100.0 * share),
            Of::Most => f.write_str(", most"),
        }
    }
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Target::AtMost(most) => value <= most,
            Target::AtLeast(least) => value >= least,
            Target::Exactly(wanted) => value == wanted,
            Target::Within(least, most) => (least..=most).contains(&value),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtMost(most) => write!(f, "≤ {most}"),
            Target::AtLeast(least) => write!(f, "≥ {least}"),
            Target::Exactly(wanted) => write!(f, "{wanted}"),
            Target::Within(least, most) => write!(f, "{least} to {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_shows_its_target_and_the_peers() {
        let mut ours = Samples::default();
        ours.add_ours(&json!({"figures": [{"name": "a", "unit": "ms", "samples": [30.0, 10.0, 20.0]}]}));
        let mut theirs = Samples::default();
        theirs.add_theirs(&json!({"figures": {"x": [40.0], "y": [200.0]}}));
        let line = Line { peers: &["x", "y"], ..aims("w", "a", Target::AtMost(25.0)) };
        let text = shown(&line, &ours, &[theirs]).unwrap();
        assert_eq!(text, "| w | a | ≤ 25 | 20.0 ms | yes | 40.0 / 200 | 0.500 / 0.100 |\n");
        let worst = Line { of: Of::Most, ..aims("w", "a", Target::AtMost(25.0)) };
        assert_eq!(shown(&worst, &ours, &[]).unwrap(), "| w | a, most | ≤ 25 | 30.0 ms | NO |\n");
        assert!(shown(&super::line("w", "b"), &ours, &[]).is_err());
    }

    #[test]
    fn quantiles_are_samples() {
        let samples: Vec<f64> = (1..=24).map(f64::from).collect();
        assert_eq!(Of::Quantile(0.99).of(&samples), 24.0);
        assert_eq!(Of::Quantile(0.5).of(&samples), 12.0);
    }
}
