//! `agentos tools`: the tools that agents of a team may be granted, and trying one by hand.

mod by_hand;
mod show;

use std::path::PathBuf;

use agentos_tools::grant::{Arguments, CommandGrant, HostGrant, RootGrant};
use agentos_tools::{Grant, Registry, ToolNumber, UnknownTool};
use clap::Args;
use serde_json::{Map, Value, json};

use super::error::CliError;
use super::output;
use super::tooling::Toolset;
use crate::host::StdConsole;
use crate::team::tools::{Choose, Errands, Manner, Outside, Policy, Reduce, TOOL_NAMES, ToolUse, kit, means};
use crate::team::{self, Team};

/// `agentos tools`.
#[derive(Args, Debug)]
pub struct Tools {
    /// One tool, with its schema [default: a list of all]
    name: Option<String>,
    /// Call it with these arguments
    #[arg(long, value_name = "JSON", requires = "name")]
    call: Option<String>,
    /// The tools that agents of a team are granted, as they are granted, with those of its servers
    #[arg(long, value_name = "TEAM.toml", conflicts_with_all = ["root", "host", "command"])]
    team: Option<PathBuf>,
    /// Those of one agent of the team
    #[arg(long, value_name = "NAME", requires = "team")]
    agent: Option<String>,
    /// Grant the files of a folder under a name
    #[arg(long, value_name = "NAME=FOLDER", value_parser = root)]
    root: Vec<RootGrant>,
    /// Grant a host, such as example.org or 127.0.0.1:8080
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Vec<HostGrant>,
    /// Grant a command, to be run in this folder without options
    #[arg(long, value_name = "NAME=PROGRAM", value_parser = command)]
    command: Vec<CommandGrant>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Tools {
    pub fn run(&self) -> Result<(), CliError> {
        match &self.team {
            Some(path) => self.of_team(&team::read(path)?),
            None => self.of_all(),
        }
    }

    /// All tools of this program, with what the command line grants.
    fn of_all(&self) -> Result<(), CliError> {
        let grant = Grant {
            tools: TOOL_NAMES.map(str::to_owned).to_vec(),
            roots: self.root.clone(),
            hosts: self.host.clone(),
            commands: self.command.clone(),
            ..Grant::default()
        };
        let granted = ToolUse {
            grant,
            choose: Choose::Model,
            chain: Vec::new(),
            asks: Vec::new(),
            template: Manner::Plain,
            policy: Policy::Granted,
            reduce: Reduce::Words,
            calls: 1,
            tokens: ToolUse::TOKENS,
            all_tokens: u32::MAX,
        };
        let errands = Errands::default();
        let mut registry =
            kit(&granted, &means(&errands.bell), Outside::default(), &errands).map_err(CliError::Tools)?;
        match &self.name {
            None if self.json => print(&format!("{}\n", Value::Array(described(&registry)))),
            None => print(&registry.descriptors().map(show::line).collect::<String>()),
            Some(name) => {
                let number = registry.find(name).map_err(unknown)?;
                self.one(&mut registry, number, &errands)
            }
        }
    }

    /// The tools of a team's agents.
    fn of_team(&self, team: &Team) -> Result<(), CliError> {
        let mut toolset = Toolset::new(team, None)?;
        let members = self.members(team)?;
        let Some(name) = &self.name else {
            return print(&self.list(team, &mut toolset, &members));
        };
        let mut owners = Vec::new();
        for &member in &members {
            let (registry, _) = toolset.by_hand(member).expect("it has tools");
            match registry.find(name) {
                Ok(number) => owners.push((member, number)),
                Err(error) if members.len() == 1 => return Err(unknown(error)),
                Err(_) => (),
            }
        }
        let names = || owners.iter().map(|&(member, _)| team.agents[member].name.as_str());
        match owners[..] {
            [(member, number)] => {
                let (registry, errands) = toolset.by_hand(member).expect("it has tools");
                self.one(registry, number, errands)
            }
            [] => Err(CliError::Tools(format!("no agent of the team is granted the tool {name}"))),
            _ => {
                let names = names().collect::<Vec<_>>().join(", ");
                Err(CliError::Tools(format!("{names} are granted {name}; --agent NAME says for whom")))
            }
        }
    }

    /// The agents that are asked about: all that have tools, or one.
    fn members(&self, team: &Team) -> Result<Vec<usize>, CliError> {
        let have: Vec<usize> =
            (0..team.agents.len()).filter(|&member| team.agents[member].tools.is_some()).collect();
        let Some(name) = &self.agent else { return Ok(have) };
        let named = have.iter().find(|&&member| team.agents[member].name == *name);
        named.map(|&member| vec![member]).ok_or_else(|| {
            let names: Vec<&str> = have.iter().map(|&member| team.agents[member].name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            CliError::Tools(format!("no agent with tools is named {name}; those with tools: {known}"))
        })
    }

    fn list(&self, team: &Team, toolset: &mut Toolset, members: &[usize]) -> String {
        let (mut text, mut all) = (String::new(), Map::new());
        for &member in members {
            let name = &team.agents[member].name;
            let (registry, _) = toolset.by_hand(member).expect("it has tools");
            if self.json {
                all.insert(name.clone(), json!(described(registry)));
            } else {
                text += &format!("{name}\n");
                text.extend(registry.descriptors().map(|tool| format!("  {}", show::line(tool))));
            }
        }
        if self.json { format!("{}\n", Value::Object(all)) } else { text }
    }

    /// Shows a tool, or calls it.
    fn one(&self, registry: &mut Registry, number: ToolNumber, errands: &Errands) -> Result<(), CliError> {
        if let Some(arguments) = &self.call {
            return print(&format!("{}\n", by_hand::call(registry, number, arguments, errands)?));
        }
        let tool = registry.descriptor(number).expect("it was just found");
        print(&if self.json { format!("{}\n", show::described(tool)) } else { show::page(tool) })
    }
}

fn described(registry: &Registry) -> Vec<Value> {
    registry.descriptors().map(show::described).collect()
}

fn unknown(error: UnknownTool) -> CliError {
    CliError::Tools(error.to_string())
}

/// What a tool says may steer a terminal as little as what a model says.
fn print(text: &str) -> Result<(), CliError> {
    let mut harmless = String::new();
    output::push_harmless(text, &mut harmless);
    output::write_all(&mut StdConsole(std::io::stdout().lock()), &harmless)
}

fn root(text: &str) -> Result<RootGrant, String> {
    let (name, folder) = text.split_once('=').ok_or("NAME=FOLDER would fit, such as docs=./docs")?;
    let folder = std::path::absolute(PathBuf::from(folder)).map_err(|error| error.to_string())?;
    Ok(RootGrant { name: name.to_owned(), folder })
}

fn command(text: &str) -> Result<CommandGrant, String> {
    let (name, program) = text.split_once('=').ok_or("NAME=PROGRAM would fit, such as count=/usr/bin/wc")?;
    Ok(CommandGrant {
        name: name.to_owned(),
        program: PathBuf::from(program),
        before: Vec::new(),
        arguments: Arguments::Plain { options: Vec::new() },
        folder: std::env::current_dir().map_err(|error| error.to_string())?,
    })
}

fn host(text: &str) -> Result<HostGrant, String> {
    text.parse().map_err(|_| "a host such as example.org or 127.0.0.1:8080 would fit".to_owned())
}
