//! The desktop host: what the `agentos` program needs around the kernel on a machine with an operating system.

pub mod fetch;
