//! The line above a result: which tool gave it, from where, how much it was, what was cut and when.
//!
//! The line is the host's word, so nothing in the data may pass for it. Values stand in quotes and cannot end
//! them, and a line of data that begins as the header does has its bracket shown by its number
//! ([`visible`](crate::text::visible)). The same holds for the marks of what was left out.

use std::fmt::{self, Write as _};

use crate::control::number;
use crate::text::hidden;

/// How a header begins.
pub const HEADER_OPEN: &str = "[tool ";

/// How a mark begins that says what was left out.
pub const GAP_OPEN: &str = "[…";

/// Characters of a value that a header shows.
const MAX_VALUE_CHARS: usize = 96;

/// What is known of a result besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// The tool's name.
    pub tool: &'a str,
    /// Where the tool had it from: a path, an address, a command. May be empty.
    pub source: &'a str,
    /// The call did not work, and the text says why.
    pub failed: bool,
    /// When it was taken, in whatever way the host tells times. May be empty.
    pub taken: &'a str,
    /// Bytes that the tool gave.
    pub bytes: usize,
}

/// Writes the header: one line, without its end. `remarks` are this crate's own words about the text.
#[must_use]
pub fn header(provenance: &Provenance<'_>, remarks: &[String]) -> String {
    let mut line = String::from(HEADER_OPEN);
    line.push_str(&quoted(provenance.tool));
    if provenance.failed {
        line.push_str(" failed");
    }
    if !provenance.source.is_empty() {
        line.push_str(" from ");
        line.push_str(&quoted(provenance.source));
    }
    let _ = write!(line, "; {} bytes", Grouped(provenance.bytes));
    for remark in remarks {
        line.push_str("; ");
        line.push_str(remark);
    }
    if !provenance.taken.is_empty() {
        line.push_str("; at ");
        line.push_str(&quoted(provenance.taken));
    }
    line.push(']');
    line
}

/// A value in quotes that it cannot end, on one line, and not too long.
#[must_use]
pub fn quoted(value: &str) -> String {
    let chars: Vec<char> = value.chars().take(MAX_VALUE_CHARS + 1).collect();
    let mut quoted = String::from('"');
    for (at, &c) in chars.iter().take(MAX_VALUE_CHARS).enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => quoted.push_str(&number(c)),
            _ if hidden(before, c, chars.get(at + 1).copied()).is_some() => quoted.push_str(&number(c)),
            _ => quoted.push(c),
        }
    }
    quoted.push_str(if chars.len() > MAX_VALUE_CHARS { "…\"" } else { "\"" });
    quoted
}

/// A number with its digits in groups of three: `4,812`.
#[derive(Clone, Copy, Debug)]
pub struct Grouped(pub usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}
