//! What is known of a tool without calling it.

use std::time::Duration;

use agentos_hal::Peripheral;
use serde_json::Value;

/// What happens to the world when a tool is called, and so whether a call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing: a call may be made as often as one likes.
    None,
    /// The same call twice leaves what one call leaves.
    Idempotent,
    /// Each call counts. It is made at most once: never tried again, and never made anew after a restore.
    Irreversible,
}

/// What a tool reaches, and so what an agent has to be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing outside the call.
    None,
    /// The time.
    Clock,
    /// Files under granted roots.
    Files,
    /// Granted commands.
    Commands,
    /// Granted hosts.
    Network,
    /// A person.
    Person,
    /// The agent's own memory.
    Memory,
    /// A sensor.
    Sensor,
    /// A server of tools.
    Server,
    /// Another agent.
    Agent,
}

/// A request for which a tool is the right one: how tools are chosen by likeness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What somebody says.
    pub request: String,
    /// What the tool is then called with.
    pub arguments: Value,
}

/// What is known of a tool without calling it.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Its name: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// What it is for, in a sentence or two that a model reads.
    pub description: String,
    /// JSON schema of its arguments: an object.
    pub arguments: Value,
    /// JSON schema of its output; `None` where its output is text.
    pub output: Option<Value>,
    /// What an agent has to be granted.
    pub access: Access,
    /// What a call does to the world.
    pub effect: Effect,
    /// How long a call may take.
    pub timeout: Duration,
    /// Times that a call that failed is made in all. An irreversible one is made once whatever this says.
    pub attempts: u8,
    /// Bytes of output that are taken at all.
    pub output_bytes: usize,
    /// Tokens that its output may take in a context.
    pub output_tokens: u32,
    /// Requests for which it is the right one.
    pub examples: Vec<Example>,
}

/// A tool: a peripheral, and what is known of it.
pub struct Tool {
    /// What is known of it.
    pub descriptor: Descriptor,
    /// What answers calls.
    pub peripheral: Box<dyn Peripheral + Send>,
}
