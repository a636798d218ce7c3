//! Reading files, and the text of a team file with the way back from a byte to its place.

use std::io::Read;
use std::path::Path;

use super::MOST_BYTES;
use super::error::{Place, Problem, TeamError, read_problem};

/// The text of a team file.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// Its name.
    pub path: &'a Path,
    /// What it says.
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// A problem at a byte of the text.
    pub fn error(&self, at: usize, problem: Problem) -> TeamError {
        TeamError { path: self.path.to_owned(), place: Some(self.place(at)), problem: problem.into() }
    }

    /// The place of a byte.
    pub fn place(&self, at: usize) -> Place {
        Place::of(self.text, at)
    }

    /// What the file that a value of this text names says, without the line end that files of text end
    /// with. The name is relative to the team file's folder.
    pub fn read_beside(&self, at: usize, name: &str) -> Result<String, TeamError> {
        let path = self.path.parent().unwrap_or(Path::new("")).join(name);
        let bytes = read_bytes(&path).map_err(|problem| self.error(at, problem))?;
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let at_byte = error.utf8_error().valid_up_to();
            self.error(at, Problem::NotText { path: path.clone(), at: at_byte })
        })?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        if text.trim().is_empty() {
            return Err(self.error(at, Problem::EmptyFile { path }));
        }
        Ok(text)
    }
}

/// The text of the team file itself.
pub(super) fn read_team_file(path: &Path) -> Result<String, TeamError> {
    let refuse = |place, problem| TeamError { path: path.to_owned(), place, problem: Box::new(problem) };
    let bytes = read_bytes(path).map_err(|problem| refuse(None, problem))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
        let place = Some(Place::of(&before, before.len()));
        refuse(place, Problem::NotText { path: path.to_owned(), at })
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| read_problem(path, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Problem::TooLong { path: path.to_owned(), limit: MOST_BYTES });
    }
    Ok(bytes)
}
