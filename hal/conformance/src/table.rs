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
    /// The names of what a line shows, above it.
    pub fn header() -> String {
        row("check", "kind", ["cases", "worst", "allowed"], "unit", "verdict")
    }

    fn verdict(&self) -> &'static str {
        match (&self.failure, self.refused) {
            (Some(_), _) => "FAIL",
            (None, true) => "refused",
            (None, false) => "ok",
        }
    }
}

fn row(check: &str, kind: &str, numbers: [&str; 3], unit: &str, verdict: &str) -> String {
    let [cases, worst, allowed] = numbers;
    format!("{check:<15} {kind:<26} {cases:>5} {worst:>9} {allowed:>9}  {unit:<29} {verdict}")
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tolerance { limit, unit, .. } = *self.tolerance;
        let (cases, worst, allowed) =
            (self.cases.to_string(), format!("{:.1e}", self.worst), format!("{limit:.1e}"));
        f.write_str(&row(self.check, &self.kind, [&cases, &worst, &allowed], unit, self.verdict()))
    }
}

impl Table {
    /// What went wrong, and how many checks passed: the end of the table.
    pub fn summary(&self) -> String {
        let mut summary = String::new();
        for line in self.failures() {
            let failure = line.failure.as_deref().unwrap_or_default();
            summary += &format!("FAIL {} {}: {failure}\n", line.check, line.kind);
        }
        let (failed, all) = (self.failures().count(), self.lines.len());
        summary + &format!("{} of {all} checks passed", all - failed)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, seed {}", self.backend, self.seed)?;
        writeln!(f, "{}", Line::header())?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        f.write_str(&self.summary())
    }
}
