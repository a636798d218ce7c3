//! The kernel of AgentOS: it decides which tokens exist, where they live and what is computed next.
//!
//! A language model is its processor. A tensor device only does arithmetic on pages that it is told
//! about; a host only brings things in and out. What lives here:
//!
//! * [`model`]: model families as constant programs for a tensor device, and their sizes.
//! * [`layout`]: where slices end, as a pure function of the tokens.
//! * [`pool`]: the free list of page memory.
//! * [`sequence`]: one context on a device, computed in chunks and then token by token.
//! * [`sample`] and [`random`]: choosing the next token.
//! * [`score`]: judging a text.
//! * [`system`]: many agents on one device, and all that belongs to it: [`agent`], [`memory`],
//!   [`sched`], [`interrupt`], [`event`], [`call`], [`tool`], [`guard`], [`checkpoint`] and [`watch`].
//!
//! Principles:
//!
//! * A call does a bounded amount of work and returns what it waits for. Nothing blocks.
//! * Memory is lent by the host, once. What does not fit is refused with a typed error that says
//!   what would.
//! * Same tokens, same seed, same result: not the chunking, nor timing, nor what else runs can
//!   change a bit of it.
//! * Control flow in one place above, pure functions below.
//!
//! What must never happen here: an allocation, `unsafe`, a clock or a random number that did not
//! come in as an argument, the name of a backend, or text (tokenizers, templates, file formats).

#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_store;

pub mod agent;
pub mod call;
pub mod checkpoint;
pub mod event;
pub mod guard;
pub mod interrupt;
pub mod layout;
pub mod memory;
pub mod model;
pub mod pool;
pub mod random;
pub mod sample;
pub mod sched;
pub mod score;
pub mod sequence;
pub mod system;
pub mod tool;
pub mod watch;
