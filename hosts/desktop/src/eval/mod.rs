//! How well the program does what it promises, on data that is not its own.
//!
//! * [`knowledge`]: questions about a collection, and how soon they are answered.
//! * [`memory`]: what bounded memory costs: what is found, how well a text is foretold, passages moved and pages packed.
//! * [`slicing`]: topics of joined documents, against the boundaries that are known.

pub mod knowledge;
pub mod memory;
pub mod slicing;
