//! All the tools that a grant names, built from it.

use std::fmt;

use crate::calculator::calculator;
use crate::clock::{Now, clock};
use crate::descriptor::Tool;
use crate::files::{RootError, Roots, list_files, read_file, search_text};
use crate::grant::{Grant, GrantError};
use crate::http::{HttpLimits, http_get};
use crate::pool::Pool;
use crate::registry::{Registry, RegistryError};
#[cfg(unix)]
use crate::run::{RunLimits, Warden, run};
use crate::schema::SchemaError;

/// What tools need of their host, the same for all agents.
pub struct Means {
    /// The threads that tools run on.
    pub pool: Pool,
    /// The time.
    pub now: Now,
    /// What requests may take.
    pub http: HttpLimits,
    /// What commands may take.
    #[cfg(unix)]
    pub run: RunLimits,
    /// How a warden of commands is started.
    #[cfg(unix)]
    pub warden: Warden,
}

/// Why a grant makes no tools.
#[derive(Debug)]
pub enum ToolboxError {
    /// The grant means nothing, or two things.
    Grant(GrantError),
    /// A root cannot be opened.
    Root(RootError),
    /// A tool's own schema is none.
    Schema(SchemaError),
    /// A tool cannot be taken in.
    Registry(RegistryError),
}

impl fmt::Display for ToolboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolboxError::Grant(error) => error.fmt(f),
            ToolboxError::Root(error) => error.fmt(f),
            ToolboxError::Schema(error) => error.fmt(f),
            ToolboxError::Registry(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ToolboxError {}

/// Names of the tools that are built here.
pub const NAMES: [&str; 7] =
    ["calculator", "clock", "http_get", "list_files", "read_file", "run", "search_text"];

/// The tools of this crate that a grant names, each held to the grant; others, the host adds to the registry.
///
/// # Errors
/// [`ToolboxError`]: the first thing that cannot be had.
pub fn toolbox(grant: &Grant, means: &Means) -> Result<Registry, ToolboxError> {
    grant.check().map_err(ToolboxError::Grant)?;
    let mut registry = Registry::new();
    let roots = Roots::open(grant).map_err(ToolboxError::Root)?;
    for name in &grant.tools {
        if let Some(tool) = build(name, grant, &roots, means) {
            let tool = grant.limits.hold(tool.map_err(ToolboxError::Schema)?);
            registry.add(tool).map_err(ToolboxError::Registry)?;
        }
    }
    Ok(registry)
}

fn build(name: &str, grant: &Grant, roots: &Roots, means: &Means) -> Option<Result<Tool, SchemaError>> {
    let pool = &means.pool;
    Some(match name {
        "calculator" => calculator(pool),
        "clock" => clock(means.now.clone(), pool),
        "list_files" => list_files(roots.clone(), pool),
        "read_file" => read_file(roots.clone(), pool),
        "search_text" => search_text(roots.clone(), pool),
        "http_get" => http_get(grant.clone(), grant.limits.of_request(means.http), pool),
        #[cfg(unix)]
        "run" => run(grant.clone(), grant.limits.of_command(means.run), means.warden.clone(), pool),
        _ => return None,
    })
}
