//! Reading what test runners print at their end.

use std::ops::AddAssign;

/// Tests counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that are marked to be ignored.
    pub ignored: u64,
}

impl Counts {
    /// The counts in a runner's closing line; none for any other line.
    pub fn of_line(line: &str) -> Option<Counts> {
        let rest = line.strip_prefix("test result: ")?;
        let (_verdict, parts) = rest.split_once(". ")?;
        let count = |label: &str| {
            let part = parts.split("; ").find_map(|part| part.strip_suffix(label))?;
            part.trim().parse().ok()
        };
        Some(Counts { passed: count(" passed")?, failed: count(" failed")?, ignored: count(" ignored")? })
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_counted_and_others_are_not() {
        let good =
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.02s";
        let bad =
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s";
        let mut sum = Counts::of_line(good).unwrap();
        sum += Counts::of_line(bad).unwrap();
        assert_eq!(sum, Counts { passed: 16, failed: 2, ignored: 3 });
        assert_eq!(Counts::of_line("test results::are_read ... ok"), None);
        assert_eq!(Counts::of_line("test result: ok. many passed; 0 failed"), None);
    }
}
