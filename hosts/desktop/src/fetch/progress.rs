//! How a person sees that something is under way: a bar on a terminal, a few lines elsewhere, or nothing.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What a long piece of work tells while it runs. Amounts are bytes.
pub trait Progress {
    /// A piece of work of `total` bytes starts; an earlier one that was not finished is forgotten.
    fn begin(&mut self, what: &str, total: u64);
    /// `bytes` more of it are done.
    fn advance(&mut self, bytes: u64);
    /// The piece of work is over, done or given up. Calling it twice is harmless.
    fn finish(&mut self);
    /// One line that a person should read: a wait, a retry, a repaired file.
    fn note(&mut self, line: &str);
}

/// The implementation that suits standard error: a bar on a terminal, otherwise plain lines.
pub fn for_stderr() -> Box<dyn Progress> {
    let stderr = std::io::stderr();
    if stderr.is_terminal() {
        Box::new(TerminalProgress::default())
    } else {
        Box::new(PlainProgress::new(stderr))
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&mut self, _what: &str, _total: u64) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
    fn note(&mut self, _line: &str) {}
}

/// A bar with rate and remaining time, drawn on standard error.
#[derive(Debug, Default)]
pub struct TerminalProgress {
    bar: Option<ProgressBar>,
}

impl Progress for TerminalProgress {
    fn begin(&mut self, what: &str, total: u64) {
        self.finish();
        let bar = ProgressBar::new(total).with_style(bar_style()).with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn note(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{msg} {bar:30} {decimal_bytes} of {decimal_total_bytes} ({decimal_bytes_per_sec}, {eta} left)",
    )
    .expect("the template is a constant and well formed")
}

/// A line at every tenth of the work, for logs and pipes.
#[derive(Debug)]
pub struct PlainProgress<W: Write> {
    out: W,
    what: String,
    total: u64,
    done: u64,
    tenths_told: u64,
}

impl<W: Write> PlainProgress<W> {
    /// Lines go to `out`; a failure to write them is ignored.
    pub fn new(out: W) -> Self {
        PlainProgress { out, what: String::new(), total: 0, done: 0, tenths_told: 0 }
    }
}

impl<W: Write> Progress for PlainProgress<W> {
    fn begin(&mut self, what: &str, total: u64) {
        self.what = what.to_owned();
        (self.total, self.done, self.tenths_told) = (total, 0, 0);
        let _ = writeln!(self.out, "{what}: {}", megabytes(total));
    }

    fn advance(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes).min(self.total);
        let tenths = tenths(self.done, self.total);
        if tenths > self.tenths_told {
            self.tenths_told = tenths;
            let _ = writeln!(self.out, "{}: {} %", self.what, tenths * 10);
        }
    }

    fn finish(&mut self) {}

    fn note(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }
}

fn tenths(done: u64, total: u64) -> u64 {
    if total == 0 {
        return 10;
    }
    (u128::from(done) * 10 / u128::from(total)) as u64
}

/// Bytes as decimal megabytes with one digit after the point, as disks and networks count them.
pub fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_progress_tells_each_tenth_once() {
        let mut out = Vec::new();
        let mut progress = PlainProgress::new(&mut out);
        progress.begin("model", 1_050_000);
        for _ in 0..42 {
            progress.advance(25_000);
        }
        progress.advance(u64::MAX);
        progress.finish();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "model: 1.0 MB");
        assert_eq!(lines[1], "model: 10 %");
        assert_eq!(lines.last(), Some(&"model: 100 %"));
        assert_eq!(lines.len(), 11);
    }

    #[test]
    fn an_empty_piece_of_work_is_done_at_once() {
        assert_eq!(tenths(0, 0), 10);
        assert_eq!(tenths(u64::MAX, u64::MAX), 10);
        assert_eq!(tenths(9, 100), 0);
    }
}
