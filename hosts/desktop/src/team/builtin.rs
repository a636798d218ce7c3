//! The team that runs when no file is given.

use std::path::Path;

use super::file::parse;
use super::spec::Team;

/// Its file, which is an example of one, too.
const FILE: &str = include_str!("builtin.toml");

/// The built-in team: it reads a text together, on any machine in less than a minute.
pub fn builtin() -> Team {
    parse(Path::new("(the built-in team)"), FILE).expect("the built-in team is a team")
}
