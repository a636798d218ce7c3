//! Knowledge: documents that are read once and found again by what a question asks (paper §2.2, L3).
//!
//! * [`walk`]: which files a command line means.
//! * [`passage`]: documents are cut into passages, groups of whole slices.
//! * [`prefix`]: what all passages of a collection stand behind.
//! * [`compute`]: their keys and values, computed once.
//! * [`library`], [`ingest`]: where they are kept, and how they get there.
//! * [`relevance`], [`words`], [`recall`], [`catalogue`]: what finds them again.
//! * [`heavy`]: what the model holds on to in each of their slices.
//! * [`twins`]: which of them say the same.
//! * [`ask`]: answering a question from them.

pub mod ask;
pub mod catalogue;
pub mod compute;
pub mod heavy;
pub mod ingest;
pub mod library;
pub mod passage;
pub mod prefix;
pub mod recall;
pub mod relevance;
pub mod twins;
pub mod walk;
pub mod words;
