//! The third tier of memory (paper §2.2, L3): slices, and knowledge that was computed once, in one file that
//! outlives the program and the machine's power.
//!
//! [`Store`] is a [`ColdStore`](agentos_hal::ColdStore) on [`redb`]: the kernel hands slices over and gets them
//! back under the hash of their tokens and of all before them. A host asks the same store for more: collections
//! of documents, their passages, and the schema of every slice, which [`scan`] searches.
//!
//! Begin reading at [`store`]; what goes to the file and comes from it is in `engine`, the two threads that
//! wait for it are `writer` and `reader`, and what each decides is in pure functions beside them: [`encoding`],
//! `importance`, `pieces`, `record`.
//!
//! What must never happen here: a page that is not what was handed over, a caller of the kernel's side that
//! waits for a disk, a panic over what a file holds, or something told as durable that a crash undoes.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod counter;
mod create;
pub mod encoding;
mod engine;
pub mod error;
mod header;
mod importance;
mod index;
pub mod knowledge;
pub mod medium;
pub mod options;
mod owner;
mod pieces;
mod reader;
mod record;
pub mod scan;
pub mod stats;
pub mod store;
mod writer;

pub use encoding::Encoding;
pub use error::{KnowledgeError, OpenError};
pub use knowledge::{Collection, Document, Draft, Modified, Passage, PassageId, PassageSlice, Schema};
pub use options::{Bound, Kind, Options};
pub use scan::{Hit, VectorIndex};
pub use stats::Stats;
pub use store::Store;
