//! `cargo xtask bench --calls`: where the time of tool calls goes (L_c, paper §5.1) with sixteen agents, all of them
//! held to a form, beside its targets; and what masks add to a step.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::table::{median, quantile};
use crate::Outcome;
use crate::process::{Failure, Repository, output_of};

/// Sixteen agents that call a calculator, a clock and a sensor.
const TEAM: &str = include_str!("calls.toml");

/// Times that the team runs.
const RUNS: usize = 12;

/// The kernel's part of a call in 99 of 100, in microseconds, as asked.
const MOST_US: f64 = 1000.0;

/// What masks may add to a step in 99 of 100, in percent, as asked.
const MOST_PERCENT: f64 = 5.0;

/// What the lines of some runs come to.
#[derive(Debug, Default, PartialEq)]
struct Parts {
    /// By the names of the parts, a sample for each call, in microseconds.
    of_calls: BTreeMap<&'static str, Vec<f64>>,
    /// What masks added to 99 of 100 steps of each run at most, in percent.
    masks: Vec<f64>,
}

/// The part of a call that is neither the tool's nor a step's.
const KERNEL: &str = "dispatch and alignment";

impl Parts {
    /// Adds the lines of a run.
    fn add(&mut self, lines: &str) {
        let lines: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut kernel: BTreeMap<u64, [Option<f64>; 2]> = BTreeMap::new();
        for line in &lines {
            let us = |name: &str| line[name].as_f64();
            let parts: &[(&'static str, &str)] = match line["event"].as_str() {
                Some("tool_over") => {
                    &[("dispatch", "dispatch_us"), ("tool, and steps beside it", "device_us")]
                }
                Some("tool_returned") => &[("alignment", "align_us")],
                Some("tool_resumed") => &[("encoding, to the next token", "encode_us")],
                Some("summary") => {
                    self.masks.extend(line["masks"]["p99_percent"].as_f64());
                    &[]
                }
                _ => &[],
            };
            for &(name, field) in parts {
                self.of_calls.entry(name).or_default().extend(us(field));
            }
            if let Some(call) = line["call"].as_u64() {
                let [dispatch, align] = kernel.entry(call).or_default();
                *dispatch = dispatch.or(us("dispatch_us"));
                *align = align.or(us("align_us"));
            }
        }
        let whole = kernel.values().filter_map(|[dispatch, align]| Some((*dispatch)? + (*align)?));
        self.of_calls.entry(KERNEL).or_default().extend(whole);
    }

    /// The table.
    fn shown(&self) -> Result<String, Failure> {
        let mut text = String::from(
            "| part of a call, µs | calls | median | p99 | worst | target |\n|---|---|---|---|---|---|\n",
        );
        for (name, samples) in &self.of_calls {
            if samples.is_empty() {
                return Err(Failure::Found(format!("no call tells of its {name}")));
            }
            let [median, p99, worst] = [median(samples), quantile(samples, 0.99), quantile(samples, 1.0)];
            let target = if *name == KERNEL { met(p99, MOST_US) } else { String::new() };
            let calls = samples.len();
            text += &format!("| {name} | {calls} | {median:.0} | {p99:.0} | {worst:.0} | {target} |\n");
        }
        let worst = quantile(&self.masks, 1.0);
        let target = met(worst, MOST_PERCENT);
        text += &format!(
            "\nMasks add {:.1} % to a step at the 99th percentile (median of {} runs; {worst:.1} in the worst, {target})\n",
            median(&self.masks),
            self.masks.len()
        );
        Ok(text)
    }
}

/// Times the calls and prints the table.
///
/// # Errors
/// When the program cannot be run, or tells of no calls.
pub fn bench(repository: &Repository, program: &Path, model: &Path) -> Outcome {
    let folder = repository.root.join("target").join("bench");
    let team = folder.join("calls.toml");
    let file = |source| Failure::File { path: team.clone(), source };
    std::fs::create_dir_all(&folder).map_err(file)?;
    std::fs::write(&team, TEAM).map_err(file)?;
    let mut parts = Parts::default();
    for _ in 0..RUNS {
        let mut command = Command::new(program);
        command.arg("run").arg(&team).args(["--json", "--backend", "cpu", "--model"]).arg(model);
        parts.add(&String::from_utf8_lossy(&output_of(&mut command)?));
    }
    print!("{}", parts.shown()?);
    Ok(())
}

fn met(found: f64, most: f64) -> String {
    format!("≤ {most}: {}", if found <= most { "met" } else { "NOT MET" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_call_come_from_its_lines() {
        let mut parts = Parts::default();
        parts.add(
            "not json\n\
             {\"event\":\"tool_over\",\"call\":1,\"dispatch_us\":300,\"device_us\":9000}\n\
             {\"event\":\"tool_over\",\"call\":2,\"dispatch_us\":100,\"device_us\":7000}\n\
             {\"event\":\"tool_returned\",\"call\":1,\"align_us\":40}\n\
             {\"event\":\"tool_resumed\",\"call\":1,\"encode_us\":50000}\n\
             {\"event\":\"summary\",\"masks\":{\"steps\":9,\"p50_percent\":1.0,\"p99_percent\":6.5}}\n",
        );
        // The second has not returned: it has no sum.
        assert_eq!(parts.of_calls[KERNEL], [340.0]);
        assert_eq!(parts.of_calls["dispatch"], [300.0, 100.0]);
        let text = parts.shown().unwrap();
        assert!(text.contains("| dispatch and alignment | 1 | 340 | 340 | 340 | ≤ 1000: met |"), "{text}");
        assert!(text.contains("6.5 in the worst, ≤ 5: NOT MET"), "{text}");
        assert!(Parts { of_calls: [("dispatch", Vec::new())].into(), masks: Vec::new() }.shown().is_err());
    }
}
