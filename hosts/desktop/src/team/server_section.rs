//! `[[server]]` of the team file: servers of tools that speak the Model Context Protocol.
//!
//! ```toml
//! [[server]]
//! name = "files"
//! command = ["mcp-server-files", "docs"]   # or url = "http://127.0.0.1:8000/mcp"
//! # token_env = "FILES_TOKEN"              # with a url: the variable that has the token to send
//! environment = ["HOME"]                   # variables that it gets
//! trusted = true                           # believe what it says its tools do to the world
//! timeout_seconds = 30
//! urgency = "medium"                       # of results that come together, who is told first
//! examples = [{ tool = "read", request = "What do the notes say?", arguments = { path = "notes.txt" } }]
//! ```
//!
//! An agent is granted its tools by their names, `SERVER.TOOL`.

use std::path::PathBuf;
use std::time::Duration;

use agentos_tools::mcp::{Declaration, Reach, Token};
use agentos_tools::{Example, Urgency};
use serde_json::{Value, json};
use toml::de::{DeTable, DeValue};

use super::error::{Problem, TeamError, quoted};
use super::section::{Section, Setting, shown};
use super::source::Source;
use super::tools::TOOL_NAMES;

const SERVER_KEYS: &[&str] = &[
    "name",
    "command",
    "url",
    "environment",
    "trusted",
    "timeout_seconds",
    "urgency",
    "examples",
    "token_env",
];
const EXAMPLE_KEYS: &[&str] = &["tool", "request", "arguments"];

/// How long a server may take to start and to tell its tools.
const START: Duration = Duration::from_secs(30);

/// Seconds that a call may take where the file does not say.
const TIMEOUT_S: u32 = 30;

/// The servers of a team.
pub(super) fn servers(source: &Source<'_>, team: &Section<'_>) -> Result<Vec<Declaration>, TeamError> {
    let tables = team.list("server", "tables that begin with [[server]]", DeValue::as_table)?;
    let mut servers: Vec<Declaration> = Vec::with_capacity(tables.len());
    for table in tables {
        let at = table.at;
        let server = server(source, table)?;
        if servers.iter().any(|other| other.name == server.name) {
            let error = format!("two servers are named {}", quoted(&server.name));
            return Err(source.error(at, Problem::Grant { error }));
        }
        servers.push(server);
    }
    Ok(servers)
}

fn server(source: &Source<'_>, table: Setting<&DeTable<'_>>) -> Result<Declaration, TeamError> {
    let section = Section::new(*source, "[[server]]", table.value, table.at, SERVER_KEYS)?;
    let name = section.words("name")?.ok_or_else(|| section.missing("name"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.value.chars().all(plain) || TOOL_NAMES.contains(&name.value) {
        let found = quoted(name.value);
        let accepted = "letters, digits, - and _, and no tool's own name";
        return Err(section.refuse("name", Setting { value: &found, at: name.at }, accepted));
    }
    let timeout_s =
        section.whole_u32("timeout_seconds", 1..=3600)?.map_or(TIMEOUT_S, |seconds| seconds.value);
    let urgencies = [
        ("critical", Urgency::Critical),
        ("high", Urgency::High),
        ("medium", Urgency::Medium),
        ("low", Urgency::Low),
    ];
    let urgency = section.choice("urgency", &urgencies, "\"critical\", \"high\", \"medium\" or \"low\"")?;
    Ok(Declaration {
        name: name.value.to_owned(),
        reach: reach(&section)?,
        start: START,
        timeout: Duration::from_secs(u64::from(timeout_s)),
        urgency: urgency.map_or(Urgency::Medium, |urgency| urgency.value),
        message_bytes: 8 << 20,
        calls: 16,
        output_bytes: 1 << 20,
        output_tokens: 512,
        examples: examples(source, &section)?,
        trusted: section.choice_of_truth("trusted")?,
    })
}

/// Requests for which tools of a server are the right ones.
fn examples(source: &Source<'_>, section: &Section<'_>) -> Result<Vec<(String, Example)>, TeamError> {
    let example = |table: Setting<&DeTable<'_>>| {
        let example = Section::new(*source, "an example", table.value, table.at, EXAMPLE_KEYS)?;
        let tool = example.words("tool")?.ok_or_else(|| example.missing("tool"))?;
        let request = example.words("request")?.ok_or_else(|| example.missing("request"))?;
        let arguments = match example.value("arguments") {
            None => json!({}),
            Some(found) => match as_json(found.value) {
                Some(arguments @ Value::Object(_)) => arguments,
                _ => {
                    let shown = shown(found.value);
                    let found = Setting { value: shown.as_str(), at: found.at };
                    return Err(example.refuse("arguments", found, "a table of JSON's kinds of values"));
                }
            },
        };
        Ok((tool.value.to_owned(), Example { request: request.value.to_owned(), arguments }))
    };
    let accepted = "tables like { tool = \"read\", request = \"What do the notes say?\", arguments = {} }";
    section.list("examples", accepted, DeValue::as_table)?.into_iter().map(example).collect()
}

/// A value as JSON, which has no times, and no numbers beyond its own.
fn as_json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Integer(whole) => i64::from_str_radix(whole.as_str(), whole.radix()).ok()?.into(),
        DeValue::Float(float) => serde_json::Number::from_f64(float.as_str().parse().ok()?)?.into(),
        DeValue::Array(list) => {
            list.iter().map(|value| as_json(value.get_ref())).collect::<Option<Vec<Value>>>()?.into()
        }
        DeValue::Table(table) => {
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                Some((AsRef::<str>::as_ref(key.get_ref()).to_owned(), as_json(value.get_ref())?))
            };
            Value::Object(table.iter().map(entry).collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) => return None,
    })
}

fn reach(section: &Section<'_>) -> Result<Reach, TeamError> {
    let texts = |key| -> Result<Vec<String>, TeamError> {
        let texts = section.list(key, "a list of texts", DeValue::as_str)?;
        Ok(texts.into_iter().map(|text| text.value.to_owned()).collect())
    };
    let mut command = texts("command")?.into_iter();
    let token = section.words("token_env")?;
    match (command.next(), section.words("url")?) {
        (Some(_), None) if token.is_some() => {
            let at = token.map_or(section.at, |token| token.at);
            let accepted = "token_env with url, and environment with command";
            Err(section.error(at, Problem::Conflict { key: "token_env", with: "command", accepted }))
        }
        (Some(program), None) => Ok(Reach::Command {
            program: PathBuf::from(program),
            arguments: command.collect(),
            environment: texts("environment")?,
            folder: None,
        }),
        (None, Some(url)) => Ok(Reach::Http {
            url: url.value.to_owned(),
            token: token.map(|name| Token::Variable(name.value.to_owned())),
        }),
        (None, None) => Err(section.missing("command or url")),
        (Some(_), Some(url)) => {
            let accepted = "one of the two";
            Err(section.error(url.at, Problem::Conflict { key: "url", with: "command", accepted }))
        }
    }
}
