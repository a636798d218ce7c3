//! `[agent.tools]` of the team file: which tools an agent may call, and what they reach.
//!
//! ```toml
//! [agent.tools]
//! use = ["calculator", "read_file", "run"]
//! choose = "likeness"            # or "model"; or chain = ["calculator", "run"] instead
//! template = "own"               # or "plain": how a model that chooses is told of tools and calls them
//! agents = ["librarian"]         # called as ask.librarian
//! policy = "granted"             # or "ask"
//! calls = 2
//! tokens = 192
//! reduce = "model"               # or "words": what decides what of a long text is left out
//! roots = [{ name = "docs", folder = "docs" }]
//! hosts = ["127.0.0.1:8080"]
//! limits = { seconds = 10, bytes = 65536, all_tokens = 600, memory_mb = 64, processor_seconds = 5, processes = 4 }
//! commands = [{ name = "count", program = "/usr/bin/wc", options = ["-l"], folder = "docs" }]
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentos_tools::grant::{Arguments, CommandGrant, HostGrant, RootGrant};
use agentos_tools::mcp::Declaration;
use agentos_tools::{CallLimits, Grant};
use toml::de::{DeTable, DeValue};

use super::error::{Problem, TeamError, quoted};
use super::knowledge::KnowledgeUse;
use super::name::nearest;
use super::section::{Section, Setting};
use super::source::Source;
use super::tools::{Choose, LOOK_UP, Manner, Policy, Reduce, TOOL_NAMES, ToolUse, ask_name};

const TOOL_KEYS: &[&str] = &[
    "use", "choose", "chain", "template", "agents", "policy", "calls", "tokens", "reduce", "roots", "hosts",
    "commands", "limits",
];
const ROOT_KEYS: &[&str] = &["name", "folder"];
const COMMAND_KEYS: &[&str] = &["name", "program", "before", "options", "any_arguments", "folder"];

const LIMIT_KEYS: &[&str] =
    &["seconds", "bytes", "all_tokens", "memory_mb", "processor_seconds", "processes"];

/// Bytes of a result: fewer hold no reason why there is none.
const RESULT_BYTES: std::ops::RangeInclusive<u32> = 4096..=1 << 30;

/// Tokens of a result: a header and a little more at the least.
const RESULT_TOKENS: std::ops::RangeInclusive<u32> = 32..=1 << 16;

/// What an agent may do with tools, and the names of those that it may ask.
pub(super) type Tools = (ToolUse, Vec<Setting<String>>);

/// Reads `[agent.tools]`, if an agent has it, and the names of those that it may ask.
pub(super) fn tools(
    source: &Source<'_>,
    agent: &Section<'_>,
    servers: &[Declaration],
    knowledge: Option<&KnowledgeUse>,
) -> Result<Option<Tools>, TeamError> {
    let Some(section) = agent.section("tools", "[agent.tools]", TOOL_KEYS)? else { return Ok(None) };
    let at = section.at;
    let asks = section.list("agents", "a list of names of agents", DeValue::as_str)?;
    let asks: Vec<Setting<String>> = asks.into_iter().map(|name| name.map(str::to_owned)).collect();
    let tools = names(&section, servers, !asks.is_empty())?;
    // What it may look up is what it is granted to read.
    let looks_up = tools.iter().any(|tool| tool == LOOK_UP);
    let collections = match knowledge {
        Some(knowledge) if looks_up => knowledge.collections.clone(),
        None if looks_up => {
            let accepted = "look_up together with knowledge";
            return Err(section.error(at, Problem::Conflict { key: LOOK_UP, with: "no knowledge", accepted }));
        }
        _ => Vec::new(),
    };
    let chooses = [("likeness", Choose::Likeness), ("model", Choose::Model)];
    let choose = section.choice("choose", &chooses, "\"likeness\" or \"model\"")?;
    let called = asks.iter().map(|name| ask_name(&name.value));
    let called: Vec<String> = tools.iter().cloned().chain(called).collect();
    let chain = chain(&section, &called)?;
    if let (Some(choose), false) = (&choose, chain.is_empty()) {
        let accepted = "one of the two: a chain says which tools are called";
        return Err(section.error(choose.at, Problem::Conflict { key: "choose", with: "chain", accepted }));
    }
    let manners = [("own", Manner::Own), ("plain", Manner::Plain)];
    let template = section.choice("template", &manners, "\"own\" or \"plain\"")?;
    let chosen_for_it = !matches!(&choose, Some(Setting { value: Choose::Model, .. }));
    if let (Some(template), true) = (&template, chosen_for_it) {
        let accepted = "template together with choose = \"model\"";
        let with = "tools that are chosen for the agent";
        return Err(section.error(template.at, Problem::Conflict { key: "template", with, accepted }));
    }
    let policies = [("granted", Policy::Granted), ("ask", Policy::Ask)];
    let policy = section.choice("policy", &policies, "\"granted\" or \"ask\"")?;
    let least = u32::try_from(chain.len()).unwrap_or(u32::MAX).max(1);
    let calls = section.whole_u32("calls", least..=1024)?;
    let tokens = section.whole_u32("tokens", RESULT_TOKENS)?;
    let reductions = [("words", Reduce::Words), ("model", Reduce::Model)];
    let reduce = section.choice("reduce", &reductions, "\"words\" or \"model\"")?;
    let (limits, all_tokens) = limits(&section)?;
    let grant = Grant {
        tools,
        roots: roots(source, &section)?,
        commands: commands(source, &section)?,
        hosts: hosts(&section)?,
        collections,
        limits,
    };
    grant.check().map_err(|error| section.error(at, Problem::Grant { error: error.to_string() }))?;
    let tools = ToolUse {
        grant,
        asks: Vec::new(),
        choose: choose.map_or(Choose::Likeness, |choose| choose.value),
        chain,
        template: template.map_or(Manner::Own, |template| template.value),
        policy: policy.map_or(Policy::Granted, |policy| policy.value),
        calls: calls.map_or(ToolUse::CALLS.max(least), |calls| calls.value),
        tokens: tokens.map_or(ToolUse::TOKENS, |tokens| tokens.value),
        reduce: reduce.map_or(Reduce::Model, |reduce| reduce.value),
        all_tokens,
    };
    Ok(Some((tools, asks)))
}

/// What calls may take, and tokens of all results together.
fn limits(section: &Section<'_>) -> Result<(CallLimits, u32), TeamError> {
    let Some(limits) = section.section("limits", "limits", LIMIT_KEYS)? else {
        return Ok((CallLimits::NONE, u32::MAX));
    };
    let none = CallLimits::NONE;
    let whole = |key, range| Ok(limits.whole_u32(key, range)?.map(|whole| whole.value));
    let seconds = limits.seconds("seconds")?.map(Duration::from_micros);
    let bytes = whole("bytes", RESULT_BYTES)?.map(|bytes| bytes as usize);
    let memory = whole("memory_mb", 1..=1 << 20)?.map(|mb| u64::from(mb) << 20);
    let processor = whole("processor_seconds", 1..=86_400)?.map(u64::from);
    let processes = whole("processes", 1..=1024)?.map(|count| count as usize);
    let all_tokens = whole("all_tokens", RESULT_TOKENS)?;
    let calls = CallLimits {
        time: seconds.unwrap_or(none.time),
        output_bytes: bytes.unwrap_or(none.output_bytes),
        processor_s: processor.unwrap_or(none.processor_s),
        memory_bytes: memory.unwrap_or(none.memory_bytes),
        processes: processes.unwrap_or(none.processes),
    };
    Ok((calls, all_tokens.unwrap_or(u32::MAX)))
}

fn names(section: &Section<'_>, servers: &[Declaration], asks: bool) -> Result<Vec<String>, TeamError> {
    let names = section.list("use", "a list of names of tools", DeValue::as_str)?;
    if names.is_empty() && !asks {
        return Err(section.missing("use"));
    }
    let served = |name: &str| {
        let server = name.split_once('.').map(|(server, _)| server);
        servers.iter().any(|declared| Some(declared.name.as_str()) == server)
    };
    let known = |name: Setting<&str>| match TOOL_NAMES.contains(&name.value) || served(name.value) {
        true => Ok(name.value.to_owned()),
        false => {
            let meant = nearest(name.value, TOOL_NAMES.iter().copied());
            let meant = meant.map_or(String::new(), |meant| format!("; {meant:?} may be meant"));
            let accepted = format!("one of {}, or SERVER.TOOL of a [[server]]{meant}", TOOL_NAMES.join(", "));
            let found = quoted(name.value);
            Err(section.refuse("use", Setting { value: &found, at: name.at }, &accepted))
        }
    };
    names.into_iter().map(known).collect()
}

/// The tools that are called one after the other.
fn chain(section: &Section<'_>, tools: &[String]) -> Result<Vec<String>, TeamError> {
    let names = section.list("chain", "a list of names of tools", DeValue::as_str)?;
    let known = |name: Setting<&str>| match tools.iter().any(|tool| tool == name.value) {
        true => Ok(name.value.to_owned()),
        false => {
            let (found, accepted) =
                (quoted(name.value), format!("one of those in use: {}", tools.join(", ")));
            Err(section.refuse("chain", Setting { value: &found, at: name.at }, &accepted))
        }
    };
    names.into_iter().map(known).collect()
}

fn roots(source: &Source<'_>, section: &Section<'_>) -> Result<Vec<RootGrant>, TeamError> {
    let root = |table: Setting<&DeTable<'_>>| {
        let root = Section::new(*source, "a root", table.value, table.at, ROOT_KEYS)?;
        let name = root.words("name")?.ok_or_else(|| root.missing("name"))?;
        let folder = root.words("folder")?.ok_or_else(|| root.missing("folder"))?;
        Ok(RootGrant { name: name.value.to_owned(), folder: beside(source, folder)? })
    };
    let tables =
        section.list("roots", "tables like { name = \"docs\", folder = \"docs\" }", DeValue::as_table)?;
    tables.into_iter().map(root).collect()
}

fn hosts(section: &Section<'_>) -> Result<Vec<HostGrant>, TeamError> {
    let host = |text: Setting<&str>| {
        text.value.parse().map_err(|_| {
            let found = quoted(text.value);
            let accepted = "a host like \"example.org\", \"127.0.0.1:8080\" or \"[::1]:8080\"";
            section.refuse("hosts", Setting { value: &found, at: text.at }, accepted)
        })
    };
    section.list("hosts", "a list of hosts", DeValue::as_str)?.into_iter().map(host).collect()
}

fn commands(source: &Source<'_>, section: &Section<'_>) -> Result<Vec<CommandGrant>, TeamError> {
    let command = |table: Setting<&DeTable<'_>>| {
        let command = Section::new(*source, "a command", table.value, table.at, COMMAND_KEYS)?;
        let name = command.words("name")?.ok_or_else(|| command.missing("name"))?;
        let program = command.words("program")?.ok_or_else(|| command.missing("program"))?;
        let folder = command.words("folder")?.ok_or_else(|| command.missing("folder"))?;
        let texts = |key| -> Result<Vec<String>, TeamError> {
            let texts = command.list(key, "a list of texts", DeValue::as_str)?;
            Ok(texts.into_iter().map(|text| text.value.to_owned()).collect())
        };
        let any = command.choice_of_truth("any_arguments")?;
        Ok(CommandGrant {
            name: name.value.to_owned(),
            program: PathBuf::from(program.value),
            before: texts("before")?,
            arguments: match any {
                true => Arguments::Any,
                false => Arguments::Plain { options: texts("options")? },
            },
            folder: beside(source, folder)?,
        })
    };
    let tables = section.list("commands", "tables with a name, a program and a folder", DeValue::as_table)?;
    tables.into_iter().map(command).collect()
}

/// A folder that is named relative to the team file's.
fn beside(source: &Source<'_>, name: Setting<&str>) -> Result<PathBuf, TeamError> {
    let path = source.path.parent().unwrap_or(Path::new("")).join(name.value);
    std::path::absolute(&path)
        .map_err(|error| source.error(name.at, Problem::Read { path, message: error.to_string() }))
}
