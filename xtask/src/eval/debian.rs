//! Texts of Debian's packages: fetched by apt, unpacked, and only read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, succeed};

/// A folder with what `arrange` takes from where packages were unpacked to the folder that it is given. It is made once:
/// under another name until all is there.
///
/// # Errors
/// [`Failure::Found`] where there are no packages of Debian; [`Failure::Start`] and [`Failure::Exit`] of dpkg;
/// [`Failure::File`]; those of `arrange`.
pub fn arranged(
    folder: &Path,
    packages: &[&str],
    arrange: impl FnOnce(&Path, &Path) -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    if folder.is_dir() {
        return Ok(folder.to_owned());
    }
    let part = folder.with_extension("part");
    if part.exists() {
        std::fs::remove_dir_all(&part).map_err(failed(&part))?;
    }
    let (all, wanted) = (part.join("all"), part.join("wanted"));
    make(&wanted)?;
    let got =
        succeed(Command::new("apt-get").args(["download", "--quiet"]).args(packages).current_dir(&part));
    got.map_err(|why| {
        Failure::Found(format!(
            "Debian's packages {} are wanted ({why}); a machine with Debian or Ubuntu would do, after `apt-get update`",
            packages.join(", ")
        ))
    })?;
    for package in files(&part)? {
        if package.extension().is_some_and(|ending| ending == "deb") {
            succeed(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&all))?;
        }
    }
    arrange(&all, &wanted)?;
    rename(&wanted, folder)?;
    std::fs::remove_dir_all(&part).map_err(failed(&part))?;
    Ok(folder.to_owned())
}

/// What is in a folder, by name.
///
/// # Errors
/// [`Failure::File`].
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(failed(folder))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// Makes a folder.
///
/// # Errors
/// [`Failure::File`].
pub fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(failed(folder))
}

/// Moves a file or a folder.
///
/// # Errors
/// [`Failure::File`].
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::rename(from, to).map_err(failed(from))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::File { path, source }
}
