//! What a row and a page cost, measured on the running machine: how many rows a step may have to stay under its
//! latency target, and whether a slice is fetched from the cold store or computed. It changes when things are
//! computed, or that they are, and never what comes out.

/// A running estimate of what a row costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCost {
    /// Nanoseconds of a row in a full step; 0 before the first measurement.
    row_ns: u64,
}

/// Fewest rows of a step: below this a step's fixed cost dominates.
pub const LEAST_ROWS: u32 = 16;

/// As a step's latency target: a step may take as long as it does. For systems in which nobody waits for another.
pub const NO_TARGET: u64 = u64::MAX;

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
    /// anything is known. Where there is no target ([`NO_TARGET`]) all do.
    #[must_use]
    pub fn rows_within(self, target_us: u64, most: u32) -> u32 {
        if target_us == NO_TARGET {
            return most;
        }
        let fit = match self.row_ns {
            0 => u64::from(LEAST_ROWS),
            row_ns => target_us.saturating_mul(1000) / row_ns,
        };
        (fit.min(u64::from(most)) as u32).max(LEAST_ROWS.min(most))
    }

    /// Nanoseconds that so many rows take; `None` before anything is known.
    #[must_use]
    pub fn rows_ns(self, rows: u32) -> Option<u64> {
        (self.row_ns > 0).then(|| self.row_ns.saturating_mul(u64::from(rows)))
    }
}

/// A running estimate of what it costs to bring a page in from the cold store, from asking for it to having it in
/// page memory; time in which the device computes is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadCost {
    /// Nanoseconds of a page; 0 before the first measurement.
    page_ns: u64,
    /// Pages measured, as far as that matters.
    measured: u32,
}

/// Pages that have to be measured before a store may count as slow: the first ones of a medium are the slowest.
pub const LEAST_PAGES: u32 = 16;

impl LoadCost {
    /// Nothing is known yet.
    pub const UNKNOWN: LoadCost = LoadCost { page_ns: 0, measured: 0 };

    /// What is known after a slice of `pages` took `load_us`.
    #[must_use]
    pub fn after(self, pages: u32, load_us: u64) -> LoadCost {
        let measured = load_us.saturating_mul(1000) / u64::from(pages.max(1));
        let page_ns = match self.page_ns {
            0 => measured,
            known => (known.saturating_mul(SMOOTHING - 1)).saturating_add(measured) / SMOOTHING,
        };
        LoadCost { page_ns: page_ns.max(1), measured: self.measured.saturating_add(pages).min(LEAST_PAGES) }
    }

    /// Whether fetching a slice costs less than computing it; so it is taken to be before both are known.
    #[must_use]
    pub fn pays(self, rows: RowCost, tokens: u32, pages: u32) -> bool {
        let load_ns = self.page_ns.saturating_mul(u64::from(pages));
        self.measured < LEAST_PAGES || rows.rows_ns(tokens).is_none_or(|rows_ns| load_ns < rows_ns)
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
        assert_eq!(cost.rows_within(NO_TARGET, 128), 128);
        assert_eq!(RowCost::UNKNOWN.rows_within(NO_TARGET, 128), 128);
    }

    #[test]
    fn a_slice_is_fetched_where_that_is_quicker() {
        let rows = RowCost::UNKNOWN.after(64, 64_000);
        let slow = LoadCost::UNKNOWN.after(8, 80_000);
        assert!(slow.pays(rows, 64, 8), "eight pages say too little");
        assert!(!slow.after(8, 80_000).pays(rows, 64, 8));
        assert!(slow.after(8, 80_000).pays(RowCost::UNKNOWN, 64, 8));
        assert!(LoadCost::UNKNOWN.after(16, 8_000).pays(rows, 64, 8));
        // A slice of a page with one token is quickly computed.
        assert!(!LoadCost::UNKNOWN.after(16, 32_000).pays(rows, 1, 1));
    }

    #[test]
    fn one_odd_step_changes_little() {
        let cost = RowCost::UNKNOWN.after(100, 100_000).after(100, 1_700_000);
        assert_eq!(cost.rows_within(60_000, 128), 20);
        assert_eq!(cost, cost.after(1, 1_000_000));
    }
}
