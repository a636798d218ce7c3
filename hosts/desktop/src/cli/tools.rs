//! `agentos tools`: the tools that agents of a team may be granted, and trying one by hand.

use std::path::PathBuf;
use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_hal::{CallNumber, PeripheralError};
use agentos_tools::grant::{Arguments, CommandGrant, HostGrant, RootGrant};
use agentos_tools::{Access, Collected, Descriptor, Effect, Grant, Registry, ToolFailure};
use clap::Args;
use serde_json::json;

use super::error::CliError;
use super::output;
use crate::host::StdConsole;
use crate::team::tools::{
    Choose, Errands, Manner, Policy, Reception, TOOL_NAMES, ToolUse, kit, means, person,
};

/// `agentos tools`.
#[derive(Args, Debug)]
pub struct Tools {
    /// One tool, with its schema [default: a list of all]
    name: Option<String>,
    /// Call it with these arguments
    #[arg(long, value_name = "JSON", requires = "name")]
    call: Option<String>,
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

/// How long nothing happens between two looks at a call.
const PAUSE: Duration = Duration::from_millis(1);

impl Tools {
    pub fn run(&self) -> Result<(), CliError> {
        let grant = Grant {
            tools: TOOL_NAMES.map(str::to_owned).to_vec(),
            roots: self.root.clone(),
            hosts: self.host.clone(),
            commands: self.command.clone(),
        };
        let granted = ToolUse {
            grant,
            choose: Choose::Model,
            chain: Vec::new(),
            template: Manner::Plain,
            asks: Vec::new(),
            policy: Policy::Granted,
            calls: 1,
            tokens: ToolUse::TOKENS,
        };
        let errands = Errands::default();
        let mut registry =
            kit(&granted, &means(&errands.bell), &[], None, &errands, &[]).map_err(CliError::Tools)?;
        match (&self.name, &self.call) {
            (None, _) => self.list(&registry),
            (Some(name), None) => self.show(&registry, name),
            (Some(name), Some(arguments)) => self.call(&mut registry, name, arguments, &errands),
        }
    }

    fn list(&self, registry: &Registry) -> Result<(), CliError> {
        let text = if self.json {
            let all: Vec<_> = registry.descriptors().map(described).collect();
            format!("{}\n", json!(all))
        } else {
            registry.descriptors().map(|tool| format!("{:12}  {}\n", tool.name, tool.description)).collect()
        };
        print(&text)
    }

    fn show(&self, registry: &Registry, name: &str) -> Result<(), CliError> {
        let tool = find(registry, name)?;
        let text = if self.json {
            format!("{}\n", described(tool))
        } else {
            let pretty = |value| serde_json::to_string_pretty(value).unwrap_or_default();
            let mut text = format!("{}: {}\n", tool.name, tool.description);
            text += &format!("reaches      {}\n", access(tool.access));
            text += &format!("effect       {}\n", effect(tool.effect));
            text += &format!("limits       {} s, {} bytes\n", tool.timeout.as_secs_f32(), tool.output_bytes);
            text += &format!("arguments    {}\n", pretty(&tool.arguments));
            for example in &tool.examples {
                text += &format!("example      {:?}: {}\n", example.request, example.arguments);
            }
            text
        };
        print(&text)
    }

    fn call(
        &self,
        registry: &mut Registry,
        name: &str,
        arguments: &str,
        errands: &Errands,
    ) -> Result<(), CliError> {
        let tool = find(registry, name)?.clone();
        let number = registry.find(name).map_err(|unknown| CliError::Tools(unknown.to_string()))?;
        let mut output = Collected::new(tool.output_bytes);
        let began = Instant::now();
        let call = CallNumber(1);
        let (mut reception, who) = (None, |_: u64| "agentos".to_owned());
        let result = match registry.start(call, number, arguments.as_bytes(), &mut output) {
            Err(error) => Err(error),
            Ok(()) => loop {
                if tool.access == Access::Person {
                    reception
                        .get_or_insert_with(|| Reception::new(person(), None))
                        .serve(&errands.person, who);
                }
                if let Some(served) = errands.memory.next() {
                    let nobody = "a memory is an agent's own: agents of a team may call this".to_owned();
                    errands.memory.answer(served.call, Err(ToolFailure::Refused(nobody)));
                }
                match registry.poll(call, &mut output) {
                    Poll::Ready(result) => break result,
                    Poll::Pending if began.elapsed() > tool.timeout => {
                        registry.cancel(call);
                        break Err(PeripheralError::Gone);
                    }
                    Poll::Pending => std::thread::sleep(PAUSE),
                }
            },
        };
        let text = output.text();
        match result {
            Ok(()) => print(&format!("{text}\n")),
            Err(PeripheralError::Gone) if text.is_empty() => {
                Err(CliError::Tools(format!("{name} gave nothing within {} s", tool.timeout.as_secs_f32())))
            }
            Err(error) if text.is_empty() => Err(CliError::Tools(error.to_string())),
            Err(_) => Err(CliError::Tools(text)),
        }
    }
}

/// What a tool says may steer a terminal as little as what a model says.
fn print(text: &str) -> Result<(), CliError> {
    let mut harmless = String::new();
    output::push_harmless(text, &mut harmless);
    output::write_all(&mut StdConsole(std::io::stdout().lock()), &harmless)
}

fn find<'r>(registry: &'r Registry, name: &str) -> Result<&'r Descriptor, CliError> {
    let unknown = |unknown: agentos_tools::UnknownTool| CliError::Tools(unknown.to_string());
    let number = registry.find(name).map_err(unknown)?;
    Ok(registry.descriptor(number).expect("it was just found"))
}

fn described(tool: &Descriptor) -> serde_json::Value {
    json!({
        "name": tool.name,
        "description": tool.description,
        "arguments": tool.arguments,
        "output": tool.output,
        "reaches": access(tool.access),
        "effect": effect(tool.effect),
        "timeout_s": tool.timeout.as_secs_f64(),
        "attempts": tool.attempts,
        "output_bytes": tool.output_bytes,
        "output_tokens": tool.output_tokens,
    })
}

const fn access(access: Access) -> &'static str {
    match access {
        Access::None => "nothing",
        Access::Clock => "the time",
        Access::Files => "files under granted roots",
        Access::Commands => "granted commands",
        Access::Network => "granted hosts",
        Access::Person => "a person",
        Access::Memory => "the agent's own memory",
        Access::Sensor => "a sensor",
        Access::Server => "a server of tools",
        Access::Agent => "another agent",
    }
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "none",
        Effect::Idempotent => "the same however often it is called",
        Effect::Irreversible => "each call counts: at most once",
    }
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
