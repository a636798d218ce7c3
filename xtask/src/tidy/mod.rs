//! `cargo xtask tidy`: the rules of the repository that no compiler checks.
//!
//! Every rule is a pure function: [`edges`] over cargo's list of packages; the others over the path and
//! the text of one file. [`files`] says which files there are.

mod code;
mod edges;
mod files;
mod length;
mod packages;
mod placement;
mod roots;
mod words;

use std::fmt;

use crate::Outcome;
use crate::process::{Failure, Repository};

/// Something that a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, or the package and what it depends on.
    pub place: String,
    /// The line, counted from 1; none where the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub what: String,
    /// Only worth a look.
    pub mild: bool,
}

impl Finding {
    /// A finding about a whole file or a package.
    pub fn of(place: &str, what: impl Into<String>) -> Finding {
        Finding { place: place.to_owned(), line: None, what: what.into(), mild: false }
    }

    /// A finding in the line with this index, counted from 0.
    pub fn at(place: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding { line: Some(line + 1), ..Finding::of(place, what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.mild {
            f.write_str("note: ")?;
        }
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.place, self.what),
            None => write!(f, "{}: {}", self.place, self.what),
        }
    }
}

/// Checks the whole repository and prints what breaks a rule.
///
/// # Errors
/// [`Failure::Found`] when a rule is broken; those of asking cargo and git.
pub fn tidy(repository: &Repository) -> Outcome {
    let mut findings = edges::check(&packages::packages(repository)?);
    let paths = files::paths(repository)?;
    let mut read = 0;
    for path in &paths {
        if let Some(text) = files::text(repository, path)? {
            read += 1;
            findings.extend(check(path, &text));
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.iter().filter(|finding| !finding.mild).count() {
        0 => {
            println!("{read} files are tidy");
            Ok(())
        }
        broken => Err(Failure::Found(format!("tidy: {broken} findings in {read} files"))),
    }
}

/// All rules about one file.
fn check(path: &str, text: &str) -> Vec<Finding> {
    let rules = [length::check, words::check, placement::check, roots::check];
    rules.iter().flat_map(|rule| rule(path, text)).collect()
}
