//! The table of a benchmark.

use std::fmt;

use super::peer::Peer;

/// One work at one number of threads.
#[derive(Debug)]
pub struct Row {
    work: String,
    threads: u32,
    /// Our samples.
    pub ours: Vec<f64>,
    /// What the machine allows; 0 when the work has no such limit.
    pub limit: f64,
    /// Samples of each of the peer's variants.
    pub peers: [Vec<f64>; 2],
}

impl Row {
    /// A row without samples.
    pub fn new(work: &str, threads: u32) -> Row {
        Row { work: work.to_owned(), threads, ours: Vec::new(), limit: 0.0, peers: [Vec::new(), Vec::new()] }
    }
}

/// The columns of [`Row`]s.
pub const COLUMNS: [&str; 5] = ["work", "threads", "agentos, tok/s", "limit", "of limit"];

/// The heading of a Markdown table with these columns, and two for each of the peer's variants.
pub fn heading(columns: &[&str], peer: Option<&Peer>) -> String {
    let variants = peer.iter().flat_map(|peer| peer.variants());
    let theirs = variants.flat_map(|variant| [format!("llama.cpp {}", variant.name), "ratio".to_owned()]);
    let columns: Vec<String> = columns.iter().copied().map(str::to_owned).chain(theirs).collect();
    format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = median(&self.ours);
        write!(f, "| {} | {} | {ours:.1} |", self.work, self.threads)?;
        if self.limit > 0.0 {
            write!(f, " {:.0} | {:.0} % |", self.limit, 100.0 * ours / self.limit)?;
        } else {
            write!(f, " | |")?;
        }
        for samples in self.peers.iter().filter(|samples| !samples.is_empty()) {
            let theirs = median(samples);
            write!(f, " {theirs:.1} | {:.2} |", ours / theirs)?;
        }
        writeln!(f)
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => (sorted[len / 2 - 1] + sorted[len / 2]) / 2.0,
    }
}

/// The sample that this share of all does not exceed; 0 of none.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil().max(1.0) as usize - 1;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_has_a_rule_for_every_column() {
        assert_eq!(heading(&["work", "met"], None), "| work | met |\n|---|---|\n");
    }

    #[test]
    fn a_row_shows_medians_and_ratios() {
        let mut row = Row::new("decode", 2);
        row.ours = vec![1.0, 300.0, 310.0];
        row.limit = 400.0;
        row.peers = [vec![100.0, 200.0], vec![]];
        assert_eq!(row.to_string(), "| decode | 2 | 300.0 | 400 | 75 % | 150.0 | 2.00 |\n");
    }
}
