//! The tools that an agent is granted, built.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use agentos_tools::http::HttpLimits;
use agentos_tools::mcp::{Declaration, Hub};
use agentos_tools::memory::memory;
use agentos_tools::person::ask_human;
use agentos_tools::run::{RunLimits, Warden};
use agentos_tools::toolbox::{Means, toolbox};
use agentos_tools::{Grant, Pool, PoolLimits, Registry, Requests, Tool};

use super::bell::Bell;
use super::look_up::{LOOK_UP, Shelves, look_up};
use super::sensor::{SensorBus, sensor_tool};
use super::use_::ToolUse;

/// Names of the tools that a team file may name.
pub const TOOL_NAMES: [&str; 11] = [
    "ask_human",
    "calculator",
    "clock",
    "http_get",
    "list_files",
    LOOK_UP,
    "memory",
    "read_file",
    "run",
    "search_text",
    "sensor",
];

/// What tools have of this program's own loop: calls that it answers, and a bell.
#[derive(Clone, Default)]
pub struct Errands {
    /// What tools ring when a call is over.
    pub bell: Bell,
    /// Those of `ask_human`.
    pub person: Requests,
    /// Those of `memory`.
    pub memory: Requests,
    /// What `look_up` finds passages in.
    pub shelves: Shelves,
}

/// The word by which this program starts itself as the warden of a command.
pub const WARDEN: &str = "__warden";

/// Threads that tools run on, and calls that may wait for one.
const POOL: PoolLimits = PoolLimits { threads: NonZeroUsize::new(4).unwrap(), queue: 64 };

/// What all tools of this program need. They ring the bell when a call is over.
pub fn means(bell: &Bell) -> Means {
    let bell = bell.clone();
    Means {
        pool: Pool::new(POOL, move || bell.ring()),
        now: Arc::new(SystemTime::now),
        http: HttpLimits::default(),
        run: RunLimits::default(),
        warden: warden(),
    }
}

fn warden() -> Warden {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("agentos"));
    Warden { program, arguments: vec![OsString::from(WARDEN)] }
}

/// What tools reach that a team declares once for all its agents.
#[derive(Clone, Copy, Default)]
pub struct Outside<'a> {
    /// Servers of tools.
    pub servers: &'a [Declaration],
    /// What talks to them.
    pub hub: Option<&'a Hub>,
    /// The sensor.
    pub sensor: Option<&'a SensorBus>,
}

/// The tools that an agent is granted, in the order in which its grant names them.
///
/// # Errors
/// What cannot be had of them, in words.
pub fn kit(
    tools: &ToolUse,
    means: &Means,
    outside: Outside<'_>,
    errands: &Errands,
) -> Result<Registry, String> {
    let mut registry = toolbox(&tools.grant, means).map_err(|error| error.to_string())?;
    for name in &tools.grant.tools {
        if let Some(tool) = own(name, (&tools.grant, means), outside.sensor, errands) {
            registry.add(tools.grant.limits.hold(tool?)).map_err(|error| error.to_string())?;
        }
    }
    for server in outside.servers {
        let mine = |name: &str| name.split_once('.').is_some_and(|(of, _)| of == server.name);
        let wanted: Vec<&String> = tools.grant.tools.iter().filter(|name| mine(name)).collect();
        let (Some(hub), false) = (outside.hub, wanted.is_empty()) else { continue };
        let refuse = |error: &dyn std::fmt::Display| format!("the server {}: {error}", server.name);
        let offered = hub.connect(server.clone()).map_err(|error| refuse(&error))?.tools;
        let names: Vec<String> = offered.iter().map(|tool| tool.descriptor.name.clone()).collect();
        let known = |tool: &str| names.iter().any(|name| *name == format!("{}.{tool}", server.name));
        if let Some((tool, _)) = server.examples.iter().find(|(tool, _)| !known(tool)) {
            return Err(refuse(&format!("examples name the tool {tool}; it has {}", names.join(", "))));
        }
        if let Some(missing) = wanted.iter().find(|name| !names.contains(name)) {
            return Err(refuse(&format!("it has no tool {missing}; it has {}", names.join(", "))));
        }
        for tool in offered.into_iter().filter(|tool| wanted.contains(&&tool.descriptor.name)) {
            registry.add(tools.grant.limits.hold(tool)).map_err(|error| refuse(&error))?;
        }
    }
    Ok(registry)
}

/// The tools that this program adds to those of the toolbox.
fn own(
    name: &str,
    (grant, means): (&Grant, &Means),
    on: Option<&SensorBus>,
    errands: &Errands,
) -> Option<Result<Tool, String>> {
    let tool = match name {
        "ask_human" => ask_human(&errands.person),
        "memory" => memory(&errands.memory),
        LOOK_UP => {
            return Some(look_up(grant.collections.clone(), errands.shelves.clone(), &means.pool));
        }
        "sensor" => return Some(sensor_tool(on, &means.pool)),
        _ => return None,
    };
    Some(tool.map_err(|error| error.to_string()))
}
