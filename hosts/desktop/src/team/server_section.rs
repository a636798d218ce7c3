//! `[[server]]` of the team file: servers of tools that speak the Model Context Protocol.
//!
//! ```toml
//! [[server]]
//! name = "files"
//! command = ["mcp-server-files", "docs"]   # or url = "http://127.0.0.1:8000/mcp"
//! environment = ["HOME"]                   # variables that it gets
//! trusted = true                           # believe what it says its tools do to the world
//! timeout_seconds = 30
//! ```
//!
//! An agent is granted its tools by their names, `SERVER.TOOL`.

use std::path::PathBuf;
use std::time::Duration;

use agentos_tools::mcp::{Declaration, Reach};
use toml::de::{DeTable, DeValue};

use super::error::{Problem, TeamError, quoted};
use super::section::{Section, Setting};
use super::source::Source;
use super::tools::TOOL_NAMES;

const SERVER_KEYS: &[&str] = &["name", "command", "url", "environment", "trusted", "timeout_seconds"];

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
    Ok(Declaration {
        name: name.value.to_owned(),
        reach: reach(&section)?,
        start: START,
        timeout: Duration::from_secs(u64::from(timeout_s)),
        message_bytes: 8 << 20,
        calls: 16,
        output_bytes: 1 << 20,
        output_tokens: 512,
        trusted: section.choice_of_truth("trusted")?,
    })
}

fn reach(section: &Section<'_>) -> Result<Reach, TeamError> {
    let texts = |key| -> Result<Vec<String>, TeamError> {
        let texts = section.list(key, "a list of texts", DeValue::as_str)?;
        Ok(texts.into_iter().map(|text| text.value.to_owned()).collect())
    };
    let mut command = texts("command")?.into_iter();
    match (command.next(), section.words("url")?) {
        (Some(program), None) => Ok(Reach::Command {
            program: PathBuf::from(program),
            arguments: command.collect(),
            environment: texts("environment")?,
            folder: None,
        }),
        (None, Some(url)) => Ok(Reach::Http { url: url.value.to_owned(), token: None }),
        (None, None) => Err(section.missing("command or url")),
        (Some(_), Some(url)) => {
            let accepted = "one of the two";
            Err(section.error(url.at, Problem::Conflict { key: "url", with: "command", accepted }))
        }
    }
}
