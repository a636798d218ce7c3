//! The tools that an agent is granted, built.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use agentos_tools::http::HttpLimits;
use agentos_tools::mcp::{Declaration, Hub};
use agentos_tools::memory::memory;
use agentos_tools::person::ask_human;
use agentos_tools::run::{RunLimits, Warden};
use agentos_tools::sensor::{StandIn, sensor};
use agentos_tools::served::served;
use agentos_tools::toolbox::{Means, toolbox};
use agentos_tools::{Access, Descriptor, Effect, Pool, PoolLimits, Registry, Requests, Tool};
use serde_json::json;

use super::bell::Bell;
use super::use_::ToolUse;
use crate::team::Agent;

/// Names of the tools that a team file may name.
pub const TOOL_NAMES: [&str; 10] = [
    "ask_human",
    "calculator",
    "clock",
    "http_get",
    "list_files",
    "memory",
    "read_file",
    "run",
    "search_text",
    "sensor",
];

/// The name of the tool by which an agent is asked.
pub fn ask_name(agent: &str) -> String {
    format!("ask.{agent}")
}

/// Characters of what an agent is asked at most.
const REQUEST_CHARS: u32 = 400;

/// Tokens that it may be more: few texts have one for less than a character.
pub const REQUEST_TOKENS: u32 = REQUEST_CHARS;

/// How long an agent may take with its answer whose time is not bounded, with the wait for those who asked it before.
const ANSWER: Duration = Duration::from_secs(600);

/// Bytes of an answer.
const ANSWER_BYTES: usize = 1 << 16;

/// The tool by which an agent is asked.
fn ask(agent: &Agent, requests: &Requests) -> Result<Tool, String> {
    let name = &agent.name;
    let told = agent.system.as_deref().map_or(String::new(), |system| format!(" {name} is told: {system}"));
    let descriptor = Descriptor {
        name: ask_name(name),
        description: format!("Asks {name}, who answers in words.{told}"),
        arguments: json!({
            "type": "object",
            "properties": { "request": { "type": "string", "minLength": 1, "maxLength": REQUEST_CHARS } },
            "required": ["request"],
            "additionalProperties": false,
        }),
        output: None,
        access: Access::Agent,
        // What it calls itself that cannot be undone is noted as its own call.
        effect: Effect::None,
        timeout: agent.max_time_us.map_or(ANSWER, Duration::from_micros).max(ANSWER),
        attempts: 1,
        output_bytes: ANSWER_BYTES,
        output_tokens: agent.max_tokens,
        examples: Vec::new(),
    };
    served(descriptor, requests).map_err(|error| error.to_string())
}

/// What tools have of this program's own loop: calls that it answers, and a bell.
#[derive(Clone, Default)]
pub struct Errands {
    /// What tools ring when a call is over.
    pub bell: Bell,
    /// Those of `ask_human`.
    pub person: Requests,
    /// Those of `memory`.
    pub memory: Requests,
    /// Those of agents to each other.
    pub agents: Requests,
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

/// The tools that an agent is granted, in the order in which its grant names them, and the agents that it may ask
/// behind them.
///
/// # Errors
/// What cannot be had of them, in words.
pub fn kit(
    tools: &ToolUse,
    means: &Means,
    servers: &[Declaration],
    hub: Option<&Hub>,
    errands: &Errands,
    agents: &[Agent],
) -> Result<Registry, String> {
    let mut registry = toolbox(&tools.grant, means).map_err(|error| error.to_string())?;
    for name in &tools.grant.tools {
        if let Some(tool) = own(name, means, errands) {
            registry.add(tool?).map_err(|error| error.to_string())?;
        }
    }
    for server in servers {
        let mine = |name: &str| name.split_once('.').is_some_and(|(of, _)| of == server.name);
        let wanted: Vec<&String> = tools.grant.tools.iter().filter(|name| mine(name)).collect();
        let (Some(hub), false) = (hub, wanted.is_empty()) else { continue };
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
            registry.add(tool).map_err(|error| refuse(&error))?;
        }
    }
    for &other in &tools.asks {
        registry.add(ask(&agents[other], &errands.agents)?).map_err(|error| error.to_string())?;
    }
    Ok(registry)
}

/// The tools that this program adds to those of the toolbox.
fn own(name: &str, means: &Means, errands: &Errands) -> Option<Result<Tool, String>> {
    let tool = match name {
        "ask_human" => ask_human(&errands.person),
        "memory" => memory(&errands.memory),
        // No sensor is at hand on most desktops; this one says that it stands in for one.
        "sensor" => sensor(StandIn::sensor(), &means.pool),
        _ => return None,
    };
    Some(tool.map_err(|error| error.to_string()))
}
