//! What an agent is granted, and the refusals that say so.
//!
//! Tools are built from a [`Grant`] and hold it: each call is checked against what its own tool was built
//! from, so that no call can name another's.

mod command;
mod host;
mod root;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::limits::CallLimits;
pub use command::{Arguments, CommandGrant, CommandRefusal};
pub use host::{Host, HostGrant, HostRefusal, NoHost};
pub use root::{PathFault, PathRefusal, RootGrant, RootPath};

/// What an agent is granted. The empty one grants nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Names of tools.
    pub tools: Vec<String>,
    /// Folders whose files it may read.
    pub roots: Vec<RootGrant>,
    /// Commands that it may run.
    pub commands: Vec<CommandGrant>,
    /// Hosts that it may get things from.
    pub hosts: Vec<HostGrant>,
    /// Names of collections of documents that it may look things up in.
    pub collections: Vec<String>,
    /// What its calls may take.
    pub limits: CallLimits,
}

/// A tool that an agent was not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolRefusal {
    /// The tool's name.
    pub name: String,
    /// Names of the tools that are granted.
    pub granted: Vec<String>,
}

impl fmt::Display for ToolRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = crate::schema::clipped(&self.name);
        write!(f, "the tool `{name}` is not granted; {}", granted("tool", &self.granted))
    }
}

impl std::error::Error for ToolRefusal {}

/// A grant that means nothing, or two things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// A root's name that no path can begin with.
    RootName {
        /// The name.
        name: String,
    },
    /// Two of a kind with one name.
    Twice {
        /// `root`, `command` or `tool`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A path that depends on where the host was started.
    Relative {
        /// What it is the path of.
        of: String,
        /// The path.
        path: PathBuf,
    },
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantError::RootName { name } => {
                write!(f, "{name:?} is no name of a root; one part of a path such as \"docs\" would be")
            }
            GrantError::Twice { kind, name } => {
                write!(f, "two {kind}s are named {name:?}; each has a name of its own")
            }
            GrantError::Relative { of, path } => {
                write!(
                    f,
                    "{of}: the path {} is relative; one from the top of the file system would do",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for GrantError {}

impl Grant {
    /// Whether it means what it says.
    ///
    /// # Errors
    /// [`GrantError`]: the first thing that does not.
    pub fn check(&self) -> Result<(), GrantError> {
        once("tool", self.tools.iter())?;
        once("root", self.roots.iter().map(|root| &root.name))?;
        once("command", self.commands.iter().map(|command| &command.name))?;
        for RootGrant { name, folder } in &self.roots {
            let alone = [RootGrant { name: name.clone(), folder: folder.clone() }];
            if !root::locate(&alone, name).is_ok_and(|located| located.parts.is_empty()) {
                return Err(GrantError::RootName { name: name.clone() });
            }
            absolute(|| format!("root {name:?}"), folder)?;
        }
        for CommandGrant { name, program, folder, .. } in &self.commands {
            absolute(|| format!("program of the command {name:?}"), program)?;
            absolute(|| format!("folder of the command {name:?}"), folder)?;
        }
        Ok(())
    }

    /// Whether a tool may be called.
    ///
    /// # Errors
    /// [`ToolRefusal`], with those that may be.
    pub fn tool(&self, name: &str) -> Result<(), ToolRefusal> {
        if self.tools.iter().any(|granted| granted == name) {
            return Ok(());
        }
        Err(ToolRefusal { name: name.to_owned(), granted: self.tools.clone() })
    }

    /// What a path names.
    ///
    /// # Errors
    /// [`PathRefusal`], with the roots that there are.
    pub fn path(&self, path: &str) -> Result<RootPath, PathRefusal> {
        root::locate(&self.roots, path)
    }

    /// The command of this name, when it may be run with these arguments.
    ///
    /// # Errors
    /// [`CommandRefusal`], with the commands or options that there are.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Result<&CommandGrant, CommandRefusal> {
        command::permit(&self.commands, name, arguments)
    }

    /// Whether a host may be reached.
    ///
    /// # Errors
    /// [`HostRefusal`], with those that may be.
    pub fn host(&self, host: &Host) -> Result<&HostGrant, HostRefusal> {
        host::permit(&self.hosts, host)
    }
}

fn once<'n>(kind: &'static str, names: impl Iterator<Item = &'n String>) -> Result<(), GrantError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(GrantError::Twice { kind, name: name.clone() });
        }
    }
    Ok(())
}

fn absolute(of: impl Fn() -> String, path: &Path) -> Result<(), GrantError> {
    if path.is_absolute() { Ok(()) } else { Err(GrantError::Relative { of: of(), path: path.to_owned() }) }
}

/// What is granted of a kind, as a text ends with it.
fn granted(kind: &str, names: &[String]) -> String {
    match names {
        [] => format!("no {kind} is granted"),
        [name] => format!("the {kind} that is granted: {name}"),
        names => format!("the {kind}s that are granted: {}", names.join(", ")),
    }
}
