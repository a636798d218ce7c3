//! Tools as peripherals: what agents may call on a desktop, each behind
//! [`Peripheral`](agentos_hal::Peripheral), with a [`Descriptor`] that says how it is called.
//!
//! A tool is a function that blocks ([`Function`]) on a bounded [`Pool`] of threads; [`worker::tool`] makes a
//! peripheral of it. What reaches outside is built from a [`Grant`], and holds it. A [`Registry`] passes calls
//! on by number. What only the host itself can do is [`served`] by it.
//!
//! What must never happen here: a call that blocks the caller, a panic over what a model, a file or a
//! server wrote, or a way around what was granted.

#![deny(missing_docs)]

pub mod calculator;
pub mod clock;
pub mod descriptor;
pub mod failure;
pub mod files;
pub mod grant;
pub mod http;
pub mod limits;
pub mod mcp;
pub mod memory;
pub mod output;
pub mod person;
pub mod pool;
pub mod registry;
#[cfg(unix)]
pub mod run;
pub mod schema;
pub mod sensor;
pub mod served;
pub mod stop;
pub mod toolbox;
pub mod worker;

pub use descriptor::{Access, Descriptor, Effect, Example, Tool, Urgency};
pub use failure::ToolFailure;
pub use grant::Grant;
pub use limits::CallLimits;
pub use output::Collected;
pub use pool::{Pool, PoolLimits};
pub use registry::{Registry, RegistryError, ToolNumber, UnknownTool};
pub use schema::{Schema, SchemaError};
pub use served::{Requests, Served};
pub use stop::Stop;
pub use worker::Function;
