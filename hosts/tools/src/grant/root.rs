//! Folders whose files an agent may read, and the paths by which it names them.

use std::fmt;
use std::path::PathBuf;

use super::granted;

/// A folder that is granted with all that lies in it. An agent sees its name, never where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootGrant {
    /// The name that paths begin with.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
}

/// Something under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootPath {
    /// The root's place in the grant.
    pub root: usize,
    /// The parts of the path below it; none name it itself.
    pub parts: Vec<String>,
}

/// Why a path names nothing that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRefusal {
    /// The path.
    pub path: String,
    /// What is wrong with it.
    pub fault: PathFault,
    /// Names of the roots that are granted.
    pub granted: Vec<String>,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// It begins at the top of a file system.
    Absolute,
    /// It has a part that is `..`.
    Upwards,
    /// It has a character that no portable name has.
    Character(char),
    /// It is longer than this, in bytes.
    Long(usize),
    /// It begins with no root.
    NoRoot,
}

/// Bytes of a path.
const PATH_BYTES: usize = 1024;

impl fmt::Display for PathRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = crate::schema::clipped(&self.path);
        match self.fault {
            PathFault::Absolute => write!(f, "{path:?} is an absolute path, and a path begins with a root"),
            PathFault::Upwards => write!(f, "{path:?} has a part `..`, and no path leads upwards"),
            PathFault::Character(c) => write!(f, "{path:?} has the character {c:?}, and no path has it"),
            PathFault::Long(most) => {
                write!(f, "{path:?} is longer than the {most} bytes that a path may have")
            }
            PathFault::NoRoot => write!(f, "{path:?} begins with no root"),
        }?;
        write!(f, "; {}", granted("root", &self.granted))
    }
}

impl std::error::Error for PathRefusal {}

/// What a path names: a root's name and parts below it, with `/` between. Parts that are empty or `.` say
/// nothing.
pub(super) fn locate(roots: &[RootGrant], path: &str) -> Result<RootPath, PathRefusal> {
    let refusal = |fault| PathRefusal {
        path: path.to_owned(),
        fault,
        granted: roots.iter().map(|root| root.name.clone()).collect(),
    };
    if path.len() > PATH_BYTES {
        return Err(refusal(PathFault::Long(PATH_BYTES)));
    }
    // `\` and `:` are separators elsewhere: a path means the same on every machine.
    if let Some(c) = path.chars().find(|&c| c.is_control() || matches!(c, '\\' | ':')) {
        return Err(refusal(PathFault::Character(c)));
    }
    if path.starts_with('/') {
        return Err(refusal(PathFault::Absolute));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(refusal(PathFault::Upwards));
    }
    let (first, rest) = parts.split_first().ok_or_else(|| refusal(PathFault::NoRoot))?;
    let root = roots.iter().position(|root| root.name == *first);
    let root = root.ok_or_else(|| refusal(PathFault::NoRoot))?;
    Ok(RootPath { root, parts: rest.iter().map(|&part| part.to_owned()).collect() })
}
