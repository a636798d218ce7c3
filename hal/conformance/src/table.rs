//! The result of a run, for reading.

use std::fmt;

use crate::tolerance::Tolerance;

/// One check's result.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was checked: an instruction, or a promise.
    pub check: &'static str,
    /// Which kind of it: a weight type, a program, a page memory type.
    pub kind: String,
    /// Cases that ran.
    pub cases: u32,
    /// The largest error, in the tolerance's unit.
    pub worst: f64,
    /// What is allowed.
    pub tolerance: &'static Tolerance,
    /// The device said, with the right error, that it does not do this.
    pub refused: bool,
    /// What went wrong in the first case that failed.
    pub failure: Option<String>,
}

/// All checks' results for one backend.
#[derive(Clone, Debug)]
pub struct Table {
    /// The backend and its variant.
    pub backend: String,
    /// The seed that repeats the run.
    pub seed: u64,
    /// In the order in which they ran.
    pub lines: Vec<Line>,
}

impl Table {
    /// No check failed, and at least one ran.
    pub fn passed(&self) -> bool {
        !self.lines.is_empty() && self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.failure.is_some())
    }
}

impl Line {
    fn verdict(&self) -> &'static str {
        match (&self.failure, self.refused) {
            (Some(_), _) => "FAIL",
            (None, true) => "refused",
            (None, false) => "ok",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, seed {}", self.backend, self.seed)?;
        writeln!(
            f,
            "{:<15} {:<26} {:>5} {:>9} {:>9}  {:<29} verdict",
            "check", "kind", "cases", "worst", "allowed", "unit"
        )?;
        for line in &self.lines {
            writeln!(
                f,
                "{:<15} {:<26} {:>5} {:>9.1e} {:>9.1e}  {:<29} {}",
                line.check,
                line.kind,
                line.cases,
                line.worst,
                line.tolerance.limit,
                line.tolerance.unit,
                line.verdict()
            )?;
        }
        for line in self.failures() {
            let failure = line.failure.as_deref().unwrap_or_default();
            writeln!(f, "FAIL {} {}: {failure}", line.check, line.kind)?;
        }
        let (failed, all) = (self.failures().count(), self.lines.len());
        write!(f, "{} of {all} checks passed", all - failed)
    }
}
