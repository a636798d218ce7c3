//! Granted roots, held open.

use std::fmt;
use std::io;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};

use crate::failure::ToolFailure;
use crate::grant::{Grant, RootGrant, RootPath};

/// The roots of a grant, held open. Copies are the same.
#[derive(Clone, Debug)]
pub struct Roots(Arc<(Grant, Vec<Dir>)>);

/// A root that cannot be opened.
#[derive(Debug)]
pub struct RootError {
    /// The root.
    pub root: RootGrant,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for RootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RootGrant { name, folder } = &self.root;
        write!(f, "root `{name}`: the folder {} cannot be opened: {}", folder.display(), self.source)
    }
}

impl std::error::Error for RootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Roots {
    /// Opens the roots of a grant.
    ///
    /// # Errors
    /// [`RootError`]: the first that is no folder, or may not be read.
    pub fn open(grant: &Grant) -> Result<Roots, RootError> {
        let open = |root: &RootGrant| {
            Dir::open_ambient_dir(&root.folder, ambient_authority())
                .map_err(|source| RootError { root: root.clone(), source })
        };
        let dirs = grant.roots.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Roots(Arc::new((grant.clone(), dirs))))
    }

    /// Names of the roots.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.0.roots.iter().map(|root| root.name.clone()).collect()
    }

    /// What a path names, as far as its text tells.
    pub(super) fn locate(&self, path: &str) -> Result<RootPath, ToolFailure> {
        self.0.0.path(path).map_err(ToolFailure::refused)
    }

    /// Opens a file to read.
    pub(super) fn open_file(&self, path: &RootPath) -> Result<File, ToolFailure> {
        let (dir, below) = self.below(path);
        open_file(dir, &below).map_err(|error| self.failure(path, error))
    }

    /// Opens a folder.
    pub(super) fn open_folder(&self, path: &RootPath) -> Result<Dir, ToolFailure> {
        let (dir, below) = self.below(path);
        dir.open_dir(&below).map_err(|error| self.failure(path, error))
    }

    /// Whether it is a folder; an error when it is nothing.
    pub(super) fn is_folder(&self, path: &RootPath) -> Result<bool, ToolFailure> {
        let (dir, below) = self.below(path);
        dir.metadata(&below).map(|found| found.is_dir()).map_err(|error| self.failure(path, error))
    }

    /// A path as an agent writes it.
    pub(super) fn shown(&self, path: &RootPath) -> String {
        let mut shown = self.0.0.roots[path.root].name.clone();
        for part in &path.parts {
            shown.push('/');
            shown.push_str(part);
        }
        shown
    }

    fn below(&self, path: &RootPath) -> (&Dir, String) {
        let below = if path.parts.is_empty() { ".".to_owned() } else { path.parts.join("/") };
        (&self.0.1[path.root], below)
    }

    fn failure(&self, path: &RootPath, error: io::Error) -> ToolFailure {
        let shown = crate::schema::clipped(&self.shown(path));
        match error.kind() {
            io::ErrorKind::NotFound => {
                ToolFailure::Failed(format!("there is no {shown}; list_files tells what there is"))
            }
            // What the system and `cap-std` say of a link that leads out.
            io::ErrorKind::PermissionDenied => {
                let roots = self.names().join(", ");
                ToolFailure::Failed(format!(
                    "{shown} leads out of its root, or may not be read; files that lie in a root can be ({roots})"
                ))
            }
            io::ErrorKind::NotADirectory => {
                ToolFailure::Failed(format!("{shown} has a file where a folder would be"))
            }
            _ => ToolFailure::Failed(format!("{shown} cannot be opened: {error}")),
        }
    }
}

/// Opens a regular file. A pipe or a device is never waited for, and never read.
pub(super) fn open_file(dir: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        // Opening a pipe that nobody writes to would wait.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = dir.open_with(name, &options)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file, and only those are read"))
    }
}
