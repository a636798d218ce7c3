//! The team file: TOML with every key known, every value in its range, and every file that it names
//! read.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use agentos_hal::PAGE_TOKENS;
use agentos_kernel::agent::{Admission, MemoryMode, Priority};
use agentos_kernel::memory::admit::LEAST_BOUNDED;
use agentos_kernel::sample::{Sampler, Sampling, SamplingError};
use agentos_store::Encoding;
use agentos_tools::mcp::Declaration;
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::MOST_AGENTS;
use super::check::{self, Declared};
use super::error::{Problem, TeamError, quoted};
use super::knowledge::KnowledgeUse;
use super::section::{Section, Setting, shown};
use super::source::{Source, read_team_file};
use super::spec::{Agent, Memory, Schedule, StoreFile, Team};
use super::{sensor_section, server_section, tool_section};
use crate::knowledge::ask::Fidelity;

const TEAM_KEYS: &[&str] = &["model", "document", "memory", "store", "schedule", "server", "sensor", "agent"];
const DOCUMENT_KEYS: &[&str] = &["text"];
const MEMORY_KEYS: &[&str] = &["l1_tokens", "l2_mb"];
const STORE_KEYS: &[&str] = &["path", "size_mb", "packing"];
const SCHEDULE_KEYS: &[&str] = &["step_ms", "quantum"];
const AGENT_KEYS: &[&str] = &[
    "name",
    "system",
    "prompt",
    "prompt_file",
    "priority",
    "after",
    "memory",
    "l1_tokens",
    "persist",
    "packed",
    "max_tokens",
    "context",
    "max_seconds",
    "admission",
    "copies",
    "sampling",
    "tools",
    "knowledge",
    "knowledge_tokens",
    "fidelity",
    "response_schema",
];
const SAMPLING_KEYS: &[&str] = &["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed"];

/// Tokens of an answer where the file does not say.
const MAX_TOKENS: u32 = 256;

/// Tokens of anything: no model's context comes near.
const TOKENS: RangeInclusive<u32> = 1..=1 << 24;

/// Fewer tokens of page memory hold no agent.
const PAGED_TOKENS: RangeInclusive<u32> = LEAST_BOUNDED * PAGE_TOKENS as u32..=*TOKENS.end();

/// Candidates that sampling may look at.
const TOP_K: RangeInclusive<u32> = 0..=256;

/// Characters of a name.
const NAME_CHARS: usize = 64;

/// Reads a team file. The files that it names are looked for in its folder.
///
/// # Errors
/// [`TeamError`].
pub fn read(path: &Path) -> Result<Team, TeamError> {
    parse(path, &read_team_file(path)?)
}

/// [`read`] for a file whose text is `text`.
///
/// # Errors
/// [`TeamError`].
pub fn parse(path: &Path, text: &str) -> Result<Team, TeamError> {
    let source = Source { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let message = error.message().to_owned();
        source.error(error.span().map_or(0, |span| span.start), Problem::Toml { message })
    })?;
    let team = Section::new(source, "the file", table.get_ref(), 0, TEAM_KEYS)?;
    let model = team.words("model")?.map(|name| beside(path, name.value));
    let document = document(&source, &team)?;
    let memory = memory(&team)?;
    let store = store(path, &team)?;
    let schedule = schedule(&team)?;
    let servers = server_section::servers(&source, &team)?;
    let sensor = sensor_section::sensor(&team)?;
    let declared = declared(&source, &team, &servers)?;
    let agents = check::agents(&source, declared)?;
    Ok(Team { path: path.to_owned(), model, document, memory, store, schedule, servers, sensor, agents })
}

fn beside(path: &Path, name: &str) -> std::path::PathBuf {
    path.parent().unwrap_or(Path::new("")).join(name)
}

/// `document = "FILE"` or `[document]` with a `text`.
fn document(source: &Source<'_>, team: &Section<'_>) -> Result<Option<String>, TeamError> {
    const ACCEPTED: &str = "the name of a file, or a table [document] with a text";
    match team.value("document") {
        None => Ok(None),
        Some(Setting { value: DeValue::String(_), .. }) => {
            let file = team.words("document")?.expect("it is there");
            source.read_beside(file.at, file.value).map(Some)
        }
        Some(Setting { value: DeValue::Table(_), .. }) => {
            let section = team.section("document", "[document]", DOCUMENT_KEYS)?.expect("it is there");
            let text = section.words("text")?.ok_or_else(|| section.missing("text"))?;
            Ok(Some(text.value.trim_end_matches(['\r', '\n']).to_owned()))
        }
        Some(Setting { value, at }) => {
            let found = shown(value);
            Err(team.refuse("document", Setting { value: &found, at }, ACCEPTED))
        }
    }
}

fn memory(team: &Section<'_>) -> Result<Memory, TeamError> {
    let Some(section) = team.section("memory", "[memory]", MEMORY_KEYS)? else {
        return Ok(Memory::default());
    };
    Ok(Memory {
        l1_tokens: section.whole_u32("l1_tokens", PAGED_TOKENS)?.map(|tokens| tokens.value),
        l2_mb: section.whole_u32("l2_mb", 0..=1 << 20)?.map(|mb| mb.value),
    })
}

fn store(path: &Path, team: &Section<'_>) -> Result<Option<StoreFile>, TeamError> {
    let Some(section) = team.section("store", "[store]", STORE_KEYS)? else { return Ok(None) };
    let name = section.words("path")?.ok_or_else(|| section.missing("path"))?;
    let size_mb = section.whole_u32("size_mb", 1..=1 << 24)?.map(|mb| mb.value);
    let packings = [("int8", Encoding::Int8), ("k4v4", Encoding::K4V4)];
    let packing = section.choice("packing", &packings, "\"int8\" or \"k4v4\"")?;
    let packing = packing.map_or(StoreFile::USUAL_PACKING, |packing| packing.value);
    Ok(Some(StoreFile { path: beside(path, name.value), size_mb, packing }))
}

fn schedule(team: &Section<'_>) -> Result<Schedule, TeamError> {
    let Some(section) = team.section("schedule", "[schedule]", SCHEDULE_KEYS)? else {
        return Ok(Schedule::default());
    };
    Ok(Schedule {
        step_ms: section.whole_u32("step_ms", 1..=60_000)?.map(|ms| ms.value),
        quantum: section.whole_u32("quantum", 1..=1 << 16)?.map(|tokens| tokens.value),
    })
}

/// The `[[agent]]` tables, each on its own.
fn declared(
    source: &Source<'_>,
    team: &Section<'_>,
    servers: &[Declaration],
) -> Result<Vec<Declared>, TeamError> {
    const NAME: &str = "[[agent]]";
    let tables = team.list("agent", "tables that begin with [[agent]]", DeValue::as_table)?;
    if tables.is_empty() {
        let at = team.value("agent").map_or(team.at, |agents| agents.at);
        return Err(team.error(at, Problem::NoAgents));
    }
    let section = |table: Setting<_>| Section::new(*source, NAME, table.value, table.at, AGENT_KEYS);
    tables.into_iter().map(|table| agent(source, &section(table)?, servers)).collect()
}

fn agent(source: &Source<'_>, section: &Section<'_>, servers: &[Declaration]) -> Result<Declared, TeamError> {
    let name = name(section)?;
    let place = source.place(name.at);
    let context = section.whole_u32("context", TOKENS)?;
    let prompt = prompt(source, section)?;
    let system = section.text("system")?.filter(|text| !text.value.trim().is_empty());
    let priority = section.whole_u32("priority", 0..=Priority::HIGHEST.level() as u32)?;
    let admissions = [("wait", Admission::Wait), ("refuse", Admission::Refuse)];
    let admission = section.choice("admission", &admissions, "\"wait\" or \"refuse\"")?;
    let copies = section.whole_u32("copies", 1..=MOST_AGENTS as u32)?;
    let after = section.list("after", "a list of names of agents", DeValue::as_str)?;
    let knowledge = knowledge(section)?;
    let packed = section.truth("packed")?.is_some_and(|packed| packed.value);
    // Passages that are sent to it stay as they are until they are mapped.
    let sent = knowledge.as_ref().is_some_and(|knowledge| knowledge.fidelity != Fidelity::Exact);
    let memory = memory_mode(section, packed && !sent)?;
    let (tools, asks) = match tool_section::tools(source, section, servers, knowledge.as_ref())? {
        Some((tools, asks)) => (Some(tools), asks),
        None => (None, Vec::new()),
    };
    let agent = Agent {
        name: name.value.to_owned(),
        system: system.map(|text| Arc::from(text.value)),
        on_call: prompt.is_none(),
        prompt: Arc::from(prompt.unwrap_or_default()),
        priority: priority.map_or(Priority::NORMAL, |level| {
            Priority::new(level.value as u8).expect("its range was checked")
        }),
        after: Vec::new(),
        memory,
        persist: persist(section)?,
        packed,
        max_tokens: section.whole_u32("max_tokens", TOKENS)?.map_or(MAX_TOKENS, |tokens| tokens.value),
        context: context.map(|context| context.value),
        max_time_us: section.seconds("max_seconds")?,
        admission: admission.map_or(Admission::Wait, |admission| admission.value),
        sampling: sampling(section)?,
        tools,
        knowledge,
        response_schema: response_schema(source, section)?,
        place,
        context_place: context.map_or(place, |context| source.place(context.at)),
    };
    let after = after.into_iter().map(|name| name.map(str::to_owned)).collect();
    Ok(Declared {
        agent,
        at: section.at,
        name_at: name.at,
        after,
        asks,
        copies: copies.map(|copies| copies.value),
    })
}

/// Names stand in prompts, in tables on a terminal and before numbers of copies.
fn name<'a>(section: &Section<'a>) -> Result<Setting<&'a str>, TeamError> {
    let name = section.text("name")?.ok_or_else(|| section.missing("name"))?;
    let fits = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let count = name.value.chars().count();
    if count == 0 || count > NAME_CHARS || !name.value.chars().all(fits) {
        let found = quoted(name.value);
        let accepted = format!("1 to {NAME_CHARS} letters, digits, - and _");
        return Err(section.refuse("name", Setting { value: &found, at: name.at }, &accepted));
    }
    Ok(name)
}

/// What an agent is asked; `None` of one that is on call.
fn prompt(source: &Source<'_>, section: &Section<'_>) -> Result<Option<String>, TeamError> {
    match (section.words("prompt")?, section.words("prompt_file")?) {
        (Some(text), None) => Ok(Some(text.value.to_owned())),
        (None, Some(file)) => source.read_beside(file.at, file.value).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(file)) => {
            let accepted = "one of the two";
            Err(section.error(file.at, Problem::Conflict { key: "prompt_file", with: "prompt", accepted }))
        }
    }
}

/// The collections that an agent is granted, and how much of them it is given.
fn knowledge(section: &Section<'_>) -> Result<Option<KnowledgeUse>, TeamError> {
    const ACCEPTED: &str = "a list of names of collections";
    let names = section.list("knowledge", ACCEPTED, DeValue::as_str)?;
    if let Some(empty) = names.iter().find(|name| name.value.trim().is_empty()) {
        return Err(section.refuse("knowledge", Setting { value: "an empty name", at: empty.at }, ACCEPTED));
    }
    let tokens = section.whole_u32("knowledge_tokens", KnowledgeUse::TOKENS)?;
    let fidelities =
        [("exact", Fidelity::Exact), ("relocated", Fidelity::Relocated), ("decisive", Fidelity::Decisive)];
    let fidelity = section.choice("fidelity", &fidelities, "\"exact\", \"relocated\" or \"decisive\"")?;
    if names.is_empty() {
        let alone = |key, at, accepted| {
            Err(section.error(at, Problem::Conflict { key, with: "no knowledge", accepted }))
        };
        return match (tokens, fidelity) {
            (Some(tokens), _) => {
                alone("knowledge_tokens", tokens.at, "knowledge_tokens together with knowledge")
            }
            (None, Some(fidelity)) => alone("fidelity", fidelity.at, "fidelity together with knowledge"),
            (None, None) => Ok(None),
        };
    }
    let collections = names.into_iter().map(|name| name.value.to_owned()).collect();
    let tokens = tokens.map_or(KnowledgeUse::DEFAULT_TOKENS, |tokens| tokens.value);
    let fidelity = fidelity.map_or(KnowledgeUse::DEFAULT_FIDELITY, |fidelity| fidelity.value);
    Ok(Some(KnowledgeUse { collections, tokens, fidelity }))
}

/// The schema of an answer: a file of JSON beside the team file.
fn response_schema(source: &Source<'_>, section: &Section<'_>) -> Result<Option<Arc<Value>>, TeamError> {
    let Some(file) = section.words("response_schema")? else { return Ok(None) };
    let text = source.read_beside(file.at, file.value)?;
    let schema = serde_json::from_str(&text).map_err(|error| {
        let found = format!("{} ({error})", quoted(file.value));
        section.refuse("response_schema", Setting { value: &found, at: file.at }, "a file with a JSON schema")
    })?;
    Ok(Some(Arc::new(schema)))
}

fn memory_mode(section: &Section<'_>, packed: bool) -> Result<MemoryMode, TeamError> {
    let accepted = "\"exact\" or \"bounded\"";
    let bounded = section.choice("memory", &[("exact", false), ("bounded", true)], accepted)?;
    let tokens = section.whole_u32("l1_tokens", PAGED_TOKENS)?;
    match (bounded, tokens) {
        (Some(Setting { value: true, .. }), Some(tokens)) => {
            Ok(MemoryMode::Bounded { pages: tokens.value.div_ceil(PAGE_TOKENS as u32), packed })
        }
        (Some(Setting { value: true, at }), None) => {
            let accepted = "memory = \"bounded\" together with l1_tokens, the tokens that stay resident";
            let with = "no l1_tokens";
            Err(section.error(at, Problem::Conflict { key: "memory = \"bounded\"", with, accepted }))
        }
        (_, Some(tokens)) => {
            let accepted = "l1_tokens together with memory = \"bounded\"";
            let with = "memory = \"exact\"";
            Err(section.error(tokens.at, Problem::Conflict { key: "l1_tokens", with, accepted }))
        }
        (_, None) => Ok(MemoryMode::Exact),
    }
}

/// Every agent is kept that is not said not to be.
fn persist(section: &Section<'_>) -> Result<bool, TeamError> {
    Ok(section.truth("persist")?.is_none_or(|persist| persist.value))
}

fn sampling(agent: &Section<'_>) -> Result<Sampling, TeamError> {
    let Some(section) = agent.section("sampling", "[agent.sampling]", SAMPLING_KEYS)? else {
        return Ok(Sampling::GREEDY);
    };
    let number = |key, default: f32| -> Result<f32, TeamError> {
        Ok(section.number(key)?.map_or(default, |number| number.value as f32))
    };
    let greedy = Sampling::GREEDY;
    let sampling = Sampling {
        temperature: number("temperature", greedy.temperature)?,
        top_p: number("top_p", greedy.top_p)?,
        min_p: number("min_p", greedy.min_p)?,
        repeat_penalty: number("repeat_penalty", greedy.repeat_penalty)?,
        top_k: section.whole_u32("top_k", TOP_K)?.map_or(greedy.top_k, |k| k.value),
        seed: section.whole("seed", 0..=u64::MAX)?.map_or(greedy.seed, |seed| seed.value),
        ..greedy
    };
    match Sampler::new(sampling) {
        Ok(_) => Ok(sampling),
        Err(error) => Err(sampling_error(&section, error)),
    }
}

/// The kernel's refusal, at the key that it is about.
fn sampling_error(section: &Section<'_>, error: SamplingError) -> TeamError {
    let key = SAMPLING_KEYS.iter().find(|key| key.replace('_', "-") == error.name);
    let at = key.and_then(|key| section.value(key)).map_or(section.at, |value| value.at);
    section.error(at, Problem::Sampling(error))
}
