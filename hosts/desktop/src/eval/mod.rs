//! What `agentos eval` measures: how well a system does what it is for, beside what it is compared with.
//!
//! * [`memory`]: whether a bounded agent finds what it was told, and what that takes.

pub mod memory;
