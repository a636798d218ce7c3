//! How well the program does what it promises, on data that is not its own.
//!
//! * [`slicing`]: topics of joined documents, against the boundaries that are known.

pub mod slicing;
