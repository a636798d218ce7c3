//! What tests that reach across crates share: a model file as the kernel's metadata, and the tables
//! that a sequence works in.

mod metadata;
mod tables;

pub use metadata::FileMetadata;
pub use tables::Tables;
