//! How well the program does what it promises, on data that is not its own.
//!
//! * [`knowledge`]: questions about a collection, and how soon they are answered.
//! * [`memory`]: whether a bounded agent finds what it was told, and what that takes.
//! * [`slicing`]: topics of joined documents, against the boundaries that are known.

pub mod knowledge;
pub mod memory;
pub mod slicing;
