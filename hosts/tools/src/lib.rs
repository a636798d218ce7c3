//! Tools as peripherals: what agents may call on a desktop, each behind
//! [`Peripheral`](agentos_hal::Peripheral), with a [`Descriptor`] that says how it is called.
//!
//! What must never happen here: a call that blocks the caller, a panic over what a model, a file or a
//! server wrote, or a way around what was granted.

#![deny(missing_docs)]

pub mod descriptor;

pub use descriptor::{Access, Descriptor, Effect, Example, Tool};
