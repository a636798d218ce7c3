//! The tools of a system, by name, and their calls, by number.

use std::collections::HashMap;
use std::fmt;
use std::task::Poll;

use agentos_hal::{CallNumber, Output, Peripheral, PeripheralError};
use strsim::damerau_levenshtein;

use crate::descriptor::{Descriptor, Tool};
use crate::failure::ToolFailure;
use crate::schema::{Schema, SchemaError};

/// Characters of a tool's name: models and servers of tools take no more.
const NAME_CHARS: usize = 64;

/// Tools by name. It passes each call on to the tool that it was started with.
#[derive(Default)]
pub struct Registry {
    tools: Vec<Tool>,
    calls: HashMap<CallNumber, ToolNumber>,
}

/// The place of a tool in its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolNumber(pub usize);

/// Why a tool is not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// Its name is none.
    Name {
        /// The name.
        name: String,
    },
    /// There is one of its name.
    Duplicate {
        /// The name.
        name: String,
    },
    /// A schema of it is none.
    Schema {
        /// The tool's name.
        name: String,
        /// `arguments` or `output`.
        of: &'static str,
        /// What is wrong.
        error: SchemaError,
    },
    /// Its arguments are declared to be something else than an object.
    NoObject {
        /// The tool's name.
        name: String,
    },
    /// One of its examples does not fit the schema of its arguments.
    Example {
        /// The tool's name.
        name: String,
        /// What somebody says in the example.
        request: String,
        /// What does not fit.
        why: String,
    },
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::Name { name } => write!(
                f,
                "{name:?} is no name of a tool; 1 to {NAME_CHARS} ASCII letters, digits, `_`, `-` and `.` \
                 would be"
            ),
            RegistryError::Duplicate { name } => {
                write!(f, "there are two tools `{name}`; each has a name of its own")
            }
            RegistryError::Schema { name, of, error } => {
                write!(f, "tool `{name}`: its {of}: {error}")
            }
            RegistryError::NoObject { name } => write!(
                f,
                "tool `{name}`: arguments are an object; \"type\": \"object\" at the top of their schema would say so"
            ),
            RegistryError::Example { name, request, why } => {
                write!(f, "tool `{name}`: the example {request:?}: {why}")
            }
        }
    }
}

impl std::error::Error for RegistryError {}

/// There is no tool of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTool {
    /// The name.
    pub name: String,
    /// The tool that may be meant.
    pub nearest: Option<String>,
    /// The tools that there are.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no tool `{}`", crate::schema::clipped(&self.name))?;
        if let Some(nearest) = &self.nearest {
            write!(f, " (did you mean `{nearest}`?)")?;
        }
        match self.known.as_slice() {
            [] => f.write_str("; there are none"),
            known => write!(f, "; the tools are: {}", known.join(", ")),
        }
    }
}

impl std::error::Error for UnknownTool {}

impl Registry {
    /// A registry without tools.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Takes a tool in.
    ///
    /// # Errors
    /// [`RegistryError`], in the order in which its variants stand.
    pub fn add(&mut self, tool: Tool) -> Result<ToolNumber, RegistryError> {
        check(&tool.descriptor)?;
        let name = &tool.descriptor.name;
        if self.tools.iter().any(|other| other.descriptor.name == *name) {
            return Err(RegistryError::Duplicate { name: name.clone() });
        }
        check_schemas(&tool.descriptor)?;
        self.tools.push(tool);
        Ok(ToolNumber(self.tools.len() - 1))
    }

    /// What is known of all tools, in the order in which they were taken in.
    pub fn descriptors(&self) -> impl ExactSizeIterator<Item = &Descriptor> {
        self.tools.iter().map(|tool| &tool.descriptor)
    }

    /// What is known of a tool; none when there is none of this number.
    pub fn descriptor(&self, tool: ToolNumber) -> Option<&Descriptor> {
        self.tools.get(tool.0).map(|tool| &tool.descriptor)
    }

    /// Finds a tool by its name.
    ///
    /// # Errors
    /// [`UnknownTool`], with the one that may be meant.
    pub fn find(&self, name: &str) -> Result<ToolNumber, UnknownTool> {
        let found = self.descriptors().position(|descriptor| descriptor.name == name);
        found.map(ToolNumber).ok_or_else(|| self.unknown(name))
    }

    /// Begins a call of a tool.
    ///
    /// # Errors
    /// Those of [`Peripheral::start`]; [`PeripheralError::Refused`] too when there is no such tool, or a call
    /// of this number is under way.
    pub fn start(
        &mut self,
        call: CallNumber,
        tool: ToolNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        if self.calls.contains_key(&call) {
            return Err(ToolFailure::Refused(format!("call {call} is under way already")).write(output));
        }
        let Some(Tool { peripheral, .. }) = self.tools.get_mut(tool.0) else {
            let many = self.tools.len();
            return Err(ToolFailure::Refused(format!("tool {} of {many} is none", tool.0)).write(output));
        };
        peripheral.start(call, arguments, output)?;
        self.calls.insert(call, tool);
        Ok(())
    }

    /// Looks whether a call is over, as [`Peripheral::poll`] does.
    ///
    /// # Errors
    /// Those of [`Peripheral::poll`].
    pub fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        let Some(peripheral) = self.peripheral_of(call) else {
            return Poll::Ready(Err(PeripheralError::NoCall));
        };
        let poll = peripheral.poll(call, output);
        if poll.is_ready() {
            self.calls.remove(&call);
        }
        poll
    }

    /// Gives up a call; one that is not there is none.
    pub fn cancel(&mut self, call: CallNumber) {
        if let Some(peripheral) = self.peripheral_of(call) {
            peripheral.cancel(call);
            self.calls.remove(&call);
        }
    }

    /// Calls that are under way.
    pub fn open(&self) -> usize {
        self.calls.len()
    }

    fn peripheral_of(&mut self, call: CallNumber) -> Option<&mut (dyn Peripheral + Send)> {
        let tool = self.calls.get(&call)?;
        Some(self.tools[tool.0].peripheral.as_mut())
    }

    fn unknown(&self, name: &str) -> UnknownTool {
        let known: Vec<String> = self.descriptors().map(|descriptor| descriptor.name.clone()).collect();
        UnknownTool { nearest: nearest(name, &known), name: name.to_owned(), known }
    }
}

/// The name that `name` was probably meant to be.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    // A name that is longer than any tool's can be is none, and would take long to compare.
    if name.len() > NAME_CHARS {
        return None;
    }
    let distance =
        |known: &String| damerau_levenshtein(&name.to_ascii_lowercase(), &known.to_ascii_lowercase());
    let (distance, nearest) = known.iter().map(|known| (distance(known), known)).min_by_key(|(d, _)| *d)?;
    (distance <= nearest.len() / 2).then(|| nearest.clone())
}

fn check(descriptor: &Descriptor) -> Result<(), RegistryError> {
    let name = &descriptor.name;
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(sound) {
        return Err(RegistryError::Name { name: name.clone() });
    }
    Ok(())
}

fn check_schemas(descriptor: &Descriptor) -> Result<(), RegistryError> {
    let name = &descriptor.name;
    let wrong = |of| move |error| RegistryError::Schema { name: name.clone(), of, error };
    let arguments = Schema::new(&descriptor.arguments).map_err(wrong("arguments"))?;
    if descriptor.arguments.get("type").and_then(|kind| kind.as_str()) != Some("object") {
        return Err(RegistryError::NoObject { name: name.clone() });
    }
    if let Some(output) = &descriptor.output {
        Schema::new(output).map_err(wrong("output"))?;
    }
    for example in &descriptor.examples {
        arguments.hold(&example.arguments).map_err(|why| RegistryError::Example {
            name: name.clone(),
            request: example.request.clone(),
            why: format!("the object {why}"),
        })?;
    }
    Ok(())
}
