//! `cargo xtask test`: everything that a fresh clone has to pass.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::Outcome;
use crate::process::{Failure, Repository, judge, not_started};
use crate::results::Counts;
use crate::stage::Stages;
use crate::{agentos, drivers, freestanding, logging, memory, model, sim, tidy};

/// Builds everything, gets the model and software drivers for the GPU backends, runs all tests of the workspace, measures the
/// shipped program's memory, runs what the kernel logs, sees that the simulator finds a planted mistake, links
/// the core without an operating system and checks the rules of the repository. With filters only the tests
/// whose names contain one of them. The last line says how many passed and failed; a stage that fails without
/// a failed test counts as one failure.
///
/// # Errors
/// [`Failure::Told`] when anything failed, or when no test matches the filters.
pub fn test(repository: &Repository, filters: &[String]) -> Outcome {
    let mut stages = Stages::default();
    let mut counts = Counts::default();
    let mut program = None;
    stages.run("build", || {
        program = Some(agentos::build_with_tests(repository)?);
        Ok(())
    });
    match &program {
        Some(program) => stages.run("model", || model::ensure(program)),
        None => stages.leave_out("model", "there is no program to get it with"),
    }
    drivers::ensure(repository, &mut stages);
    stages.run("tests", || workspace_tests(repository, filters, &mut counts));
    if filters.is_empty() {
        match &program {
            Some(program) => stages.run("memory", || memory::check(program)),
            None => stages.leave_out("memory", "there is no program to measure"),
        }
        if logging::LINKS_HERE {
            stages.run("logging", || logging::check(repository));
        } else {
            stages.leave_out("logging", "its linker script is for Linux");
        }
        stages.run("simulator", || sim::finds_planted(repository));
        if freestanding::RUNS_HERE {
            stages.run("freestanding", || freestanding::check(repository));
        } else {
            stages.leave_out("freestanding", "its program is for Linux on x86-64");
        }
        stages.run("tidy", || tidy::tidy(repository));
    } else {
        for name in ["memory", "logging", "simulator", "freestanding", "tidy"] {
            stages.leave_out(name, "only the tests that were named run");
        }
    }
    stages.print_summary();
    if counts.ignored > 0 {
        println!("{} ignored", counts.ignored);
    }
    println!("{}", closing_line(counts, stages.failed()));
    stages.outcome().map_err(|_| Failure::Told)
}

/// The variable that proptest reads its seed from.
const SEED: &str = "PROPTEST_RNG_SEED";

/// The seed of all property tests of a run: the one that was asked for, else another in each run, so that many runs
/// try much. Whichever it is, it is printed, and a run with it tries the same again.
fn seed(asked: Option<&str>) -> Result<u64, Failure> {
    let drawn = || Ok(RandomState::new().hash_one(0));
    let wrong = |asked| Failure::Found(format!("{SEED} is {asked:?}; a number below 2^64 would be a seed"));
    asked.map_or_else(drawn, |asked| asked.parse().map_err(|_| wrong(asked)))
}

/// Runs cargo's tests, shows their output as it comes and counts their closing lines.
fn workspace_tests(repository: &Repository, filters: &[String], counts: &mut Counts) -> Outcome {
    let mut cargo = repository.cargo(&["test", "--release", "--workspace", "--no-fail-fast", "--"]);
    let asked = std::env::var_os(SEED);
    let seed = seed(asked.as_ref().map(|asked| asked.to_string_lossy()).as_deref())?;
    println!("the property tests of this run are those of {SEED}={seed}");
    cargo.args(filters).env(SEED, seed.to_string()).stdout(Stdio::piped());
    let mut child = cargo.spawn().map_err(|source| not_started(&cargo, source))?;
    let output = child.stdout.take().expect("the output was asked for");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|source| not_started(&cargo, source))?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some(found) = Counts::of_line(&line) {
            *counts += found;
        }
    }
    let status = child.wait().map_err(|source| not_started(&cargo, source))?;
    judge(&cargo, status)?;
    match counts.passed {
        0 => Err(Failure::Found(format!("no test ran; no name contains {}", filters.join(" or ")))),
        _ => Ok(()),
    }
}

/// The last line. When tests failed, the stage that holds them is no failure of its own.
fn closing_line(counts: Counts, failed_stages: usize) -> String {
    let other_stages = if counts.failed > 0 { failed_stages.saturating_sub(1) } else { failed_stages };
    format!("{} passed, {} failed", counts.passed, counts.failed + other_stages as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_taken_or_drawn() {
        assert_eq!(seed(Some("7")).unwrap(), 7);
        assert_ne!(seed(None).unwrap(), seed(None).unwrap());
        for wrong in ["", "-1", "seven", "18446744073709551616"] {
            let error = seed(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains(SEED) && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_last_line_counts_tests_and_stages_that_failed() {
        let counts = |passed, failed| Counts { passed, failed, ignored: 0 };
        assert_eq!(closing_line(counts(40, 0), 0), "40 passed, 0 failed");
        assert_eq!(closing_line(counts(38, 2), 1), "38 passed, 2 failed");
        assert_eq!(closing_line(counts(38, 2), 2), "38 passed, 3 failed");
        assert_eq!(closing_line(counts(40, 0), 1), "40 passed, 1 failed");
        assert_eq!(closing_line(counts(0, 0), 1), "0 passed, 1 failed");
    }
}
