//! The files of the repository.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::process::{Failure, Repository, output_of};

/// Paths of all files that belong to the repository, from its top folder, with `/`, sorted: those that
/// git tracks, or every file when this is no git checkout.
///
/// # Errors
/// [`Failure::Start`] and [`Failure::Exit`] of git; [`Failure::File`].
pub fn paths(repository: &Repository) -> Result<Vec<String>, Failure> {
    let root = &repository.root;
    if !root.join(".git").exists() {
        let mut found = Vec::new();
        walk(root, "", &mut found)?;
        found.sort();
        return Ok(found);
    }
    let mut git = std::process::Command::new("git");
    // A build machine may well have cloned as another user.
    git.args(["-c", "safe.directory=*", "ls-files", "--cached", "-z"]).current_dir(root);
    let listed = output_of(&mut git)?;
    Ok(String::from_utf8_lossy(&listed).split_terminator('\0').map(str::to_owned).collect())
}

/// The text of a file; none when it is not text, or was deleted and git does not know it yet.
///
/// # Errors
/// [`Failure::File`].
pub fn text(repository: &Repository, path: &str) -> Result<Option<String>, Failure> {
    let full = repository.root.join(path);
    match fs::read(&full) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::File { path: full, source }),
    }
}

/// Collects the files below `folder`, but for what builds leave there.
fn walk(root: &Path, folder: &str, found: &mut Vec<String>) -> Result<(), Failure> {
    let full = root.join(folder);
    let failed = |source| Failure::File { path: full.clone(), source };
    for entry in fs::read_dir(&full).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() && name != "target" {
            walk(root, &path, found)?;
        }
    }
    Ok(())
}
