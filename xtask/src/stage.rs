//! A chore in parts: each with a line before and after, and its time.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::Failure;

/// How the parts of a chore went.
#[derive(Debug, Default)]
pub struct Stages {
    done: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: &'static str,
    time: Duration,
    end: End,
}

#[derive(Debug, PartialEq)]
enum End {
    Passed,
    Failed(String),
    LeftOut(String),
}

impl Stages {
    /// Runs one part. A failure is told and noted; the next part still runs.
    pub fn run(&mut self, name: &'static str, act: impl FnOnce() -> Outcome) {
        println!("== {name}");
        let start = Instant::now();
        let end = match act() {
            Ok(()) => End::Passed,
            Err(failure) => End::Failed(failure.to_string()),
        };
        self.note(Stage { name, time: start.elapsed(), end });
    }

    /// Notes that a part does not run, and why.
    pub fn leave_out(&mut self, name: &'static str, why: &str) {
        self.note(Stage { name, time: Duration::ZERO, end: End::LeftOut(why.to_owned()) });
    }

    /// Parts that failed.
    pub fn failed(&self) -> usize {
        self.done.iter().filter(|stage| matches!(stage.end, End::Failed(_))).count()
    }

    /// All parts again, a line each.
    pub fn print_summary(&self) {
        println!("== all stages");
        for stage in &self.done {
            println!("{}", line(stage));
        }
    }

    /// The end of the chore.
    ///
    /// # Errors
    /// [`Failure::Found`] with the number of parts that failed.
    pub fn outcome(&self) -> Outcome {
        match self.failed() {
            0 => Ok(()),
            failed => Err(Failure::Found(format!("{failed} of {} stages failed", self.done.len()))),
        }
    }

    fn note(&mut self, stage: Stage) {
        println!("== {}", line(&stage));
        self.done.push(stage);
    }
}

fn line(stage: &Stage) -> String {
    let (name, seconds) = (stage.name, stage.time.as_secs_f64());
    match &stage.end {
        End::Passed => format!("{name}: ok in {seconds:.1} s"),
        End::Failed(why) => format!("{name}: FAILED in {seconds:.1} s: {why}"),
        End::LeftOut(why) => format!("{name}: left out: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_does_not_stop_the_next() {
        let mut stages = Stages::default();
        let mut ran = false;
        stages.run("first", || Err(Failure::Found("it rained".into())));
        stages.run("second", || {
            ran = true;
            Ok(())
        });
        stages.leave_out("third", "no umbrella");
        assert!(ran);
        assert_eq!(stages.failed(), 1);
        assert_eq!(stages.outcome().unwrap_err().to_string(), "1 of 3 stages failed");
        assert!(line(&stages.done[0]).contains("FAILED"), "{}", line(&stages.done[0]));
        assert_eq!(line(&stages.done[2]), "third: left out: no umbrella");
    }
}
