//! Which files a command line means: files themselves, and all that lie in folders.
//!
//! What is hidden is left out, and so is what a link leads to: a folder may hold a link to anywhere. A path that is
//! named is taken as it is. A document goes by its path in UTF-8, so what has none is refused.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A file to be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The name that it goes by: its path, made absolute.
    pub path: PathBuf,
    /// What readers are told of it: its place below the folder that was named.
    pub name: String,
    /// It was named itself, and not found in a folder.
    pub named: bool,
}

/// What lies at and below some paths, each file once, in the order of their paths; and what could not be looked at.
#[derive(Debug, Default)]
pub struct Walk {
    /// The files.
    pub files: Vec<Found>,
    /// What was named, made absolute.
    pub roots: Vec<PathBuf>,
    /// The folders and files that the system refuses to show.
    pub refused: Vec<(PathBuf, io::Error)>,
}

/// How deep folders are followed.
const DEEPEST: usize = 64;

/// Looks at some paths.
///
/// # Errors
/// The system's, about one of the paths themselves: with the path.
pub fn walk(paths: &[PathBuf]) -> Result<Walk, (PathBuf, io::Error)> {
    let mut walk = Walk::default();
    for path in paths {
        let failed = |error| (path.clone(), error);
        let absolute = std::path::absolute(path).map(|path| without_dots(&path)).map_err(failed)?;
        let metadata = std::fs::metadata(&absolute).map_err(failed)?;
        if absolute.to_str().is_none() {
            walk.refused.push((absolute, not_utf8()));
            continue;
        }
        if metadata.is_dir() {
            walk.folder(&absolute, &absolute, 0);
        } else if !metadata.is_file() {
            // To read from a device or a pipe is to wait for somebody.
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is neither a file nor a folder",
            )));
        } else {
            let name = name_of(&absolute, absolute.parent().unwrap_or(&absolute));
            walk.files.push(Found { path: absolute.clone(), name, named: true });
        }
        walk.roots.push(absolute);
    }
    walk.files.sort();
    walk.files.dedup_by(|one, other| one.path == other.path);
    Ok(walk)
}

impl Walk {
    /// Whether a path lies at or below those that were looked at, and nothing is there. What lies below a folder that
    /// the system refuses to show may be there.
    pub fn is_gone(&self, path: &Path) -> bool {
        let is_below = |other: &Path| path.starts_with(other);
        let is_meant = self.roots.iter().any(|root| is_below(root));
        let is_refused = self.refused.iter().any(|(refused, _)| is_below(refused));
        is_meant && !is_refused && is_nowhere(path)
    }

    fn folder(&mut self, folder: &Path, root: &Path, depth: usize) {
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.refused.push((folder.to_owned(), error)),
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            match entry.file_type() {
                _ if hidden => {}
                Ok(kind) if (kind.is_dir() || kind.is_file()) && entry.path().to_str().is_none() => {
                    self.refused.push((entry.path(), not_utf8()));
                }
                Ok(kind) if kind.is_dir() && depth < DEEPEST => self.folder(&entry.path(), root, depth + 1),
                Ok(kind) if kind.is_file() => {
                    let name = name_of(&entry.path(), root);
                    self.files.push(Found { path: entry.path(), name, named: false });
                }
                Ok(_) => {}
                Err(error) => self.refused.push((entry.path(), error)),
            }
        }
    }
}

fn name_of(path: &Path, root: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Why a path is refused that is not UTF-8: two of them could be taken for one.
fn not_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8; a name in UTF-8 would fit")
}

/// Whether the system says that nothing is at a path, and not that it cannot tell.
fn is_nowhere(path: &Path) -> bool {
    let is_absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    std::fs::symlink_metadata(path).is_err_and(|error| is_absent(error.kind()))
}

/// A path without `.` and `..`, as it is written: what is behind links is not asked.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_links_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["b.txt", "a/c.md", "a/.hidden.md", ".git/config", "a/d/e.html"] {
            std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            std::fs::write(root.join(path), "x").unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/", root.join("everything")).unwrap();
            std::os::unix::fs::symlink(root.join("b.txt"), root.join("a/link.txt")).unwrap();
        }
        let names = |paths: &[PathBuf]| {
            let walk = walk(paths).unwrap();
            walk.files.into_iter().map(|found| found.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[root.to_owned()]), ["a/c.md", "a/d/e.html", "b.txt"]);
        // A file that is found twice is one, and a hidden one that is named is meant.
        assert_eq!(names(&[root.join("b.txt"), root.join("a/../b.txt")]), ["b.txt"]);
        assert_eq!(names(&[root.join("a/.hidden.md")]), [".hidden.md"]);
        let (path, error) = walk(&[root.join("nowhere")]).unwrap_err();
        assert_eq!((path, error.kind()), (root.join("nowhere"), io::ErrorKind::NotFound));
    }

    #[test]
    fn only_what_is_known_not_to_be_there_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("docs");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join(".notes.md"), "x").unwrap();
        let refused = vec![(root.join("disk"), io::Error::other("the disk does not answer"))];
        let walk = Walk { files: Vec::new(), roots: vec![root.clone()], refused };
        assert!(walk.is_gone(&root.join("gone.md")));
        assert!(walk.is_gone(&root.join(".notes.md/gone.md")));
        assert!(!walk.is_gone(&root.join(".notes.md")));
        assert!(!walk.is_gone(&root.join("disk/gone.md")));
        assert!(!walk.is_gone(&folder.path().join("elsewhere.md")));
    }
}
