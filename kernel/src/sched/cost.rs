//! How many rows a step may have to stay under its latency target. Measured on the running device;
//! it changes when things are computed and never what comes out.

/// A running estimate of what a row costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCost {
    /// Nanoseconds of a row in a full step; 0 before the first measurement.
    row_ns: u64,
}

/// Fewest rows of a step: below this a step's fixed cost dominates.
pub const LEAST_ROWS: u32 = 16;

/// Steps over which an estimate is smoothed.
const SMOOTHING: u64 = 8;

impl RowCost {
    /// Nothing is known yet.
    pub const UNKNOWN: RowCost = RowCost { row_ns: 0 };

    /// What is known after a step of `rows` took `step_us`. Small steps say little of a row.
    #[must_use]
    pub fn after(self, rows: u32, step_us: u64) -> RowCost {
        if rows < LEAST_ROWS || step_us == 0 {
            return self;
        }
        let measured = step_us.saturating_mul(1000) / u64::from(rows);
        let row_ns = match self.row_ns {
            0 => measured,
            known => (known * (SMOOTHING - 1) + measured) / SMOOTHING,
        };
        RowCost { row_ns: row_ns.max(1) }
    }

    /// Rows that fit a target, at least [`LEAST_ROWS`] and at most `most`; [`LEAST_ROWS`] before
    /// anything is known.
    #[must_use]
    pub fn rows_within(self, target_us: u64, most: u32) -> u32 {
        let fit = match self.row_ns {
            0 => u64::from(LEAST_ROWS),
            row_ns => target_us.saturating_mul(1000) / row_ns,
        };
        (fit.min(u64::from(most)) as u32).max(LEAST_ROWS.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_as_long_as_its_target_allows() {
        let cost = RowCost::UNKNOWN;
        assert_eq!(cost.rows_within(50_000, 128), LEAST_ROWS);
        let cost = cost.after(64, 64_000);
        assert_eq!(cost.rows_within(50_000, 128), 50);
        assert_eq!(cost.rows_within(500_000, 128), 128);
        assert_eq!(cost.rows_within(1, 128), LEAST_ROWS);
        assert_eq!(cost.rows_within(500_000, 8), 8);
    }

    #[test]
    fn one_odd_step_changes_little() {
        let cost = RowCost::UNKNOWN.after(100, 100_000).after(100, 1_700_000);
        assert_eq!(cost.rows_within(60_000, 128), 20);
        assert_eq!(cost, cost.after(1, 1_000_000));
    }
}
