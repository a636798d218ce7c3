//! A team: agents that a file describes, run together on one kernel.
//!
//! * [`read`] and [`parse`]: the team file, checked; a [`Team`] comes of it or a [`TeamError`].
//! * [`builtin()`]: a team to begin with.
//! * [`prompt`]: what an agent's context opens with, and goes on with.
//! * [`runner`]: a team on a kernel, from its openings to its summary.
//! * [`json`]: what happened, a line of JSON per event.
//! * [`trace`]: what happened, as a trace to look at.
//! * [`checkpoint`]: a team in a file.
//! * [`tools`]: agents that call tools, or answer in a form.
//! * [`people`]: those who are asked, and answer over HTTP.
//! * [`knowledge`]: what agents are given to read.
//! * [`sink`]: telling it while it happens, to a person or a program.
//!
//! What must never happen here: that a file which is wrong in one place is run all the same, or
//! refused without saying where; that the text of a document, a prompt or an answer becomes a control
//! token.

mod check;
pub mod checkpoint;
mod error;
mod file;
pub mod json;
pub mod knowledge;
mod name;
mod nested;
mod paging_summary;
pub mod people;
pub mod prompt;
pub mod runner;
mod section;
mod server_section;
pub mod sink;
mod source;
mod spec;
mod store_summary;
mod tool_section;
pub mod tools;
pub mod trace;

mod builtin;

pub use builtin::builtin;
pub use error::{Place, Problem, TeamError};
pub use file::{parse, read};
pub use name::Names;
pub use nested::MOST_DEPTH;
pub use spec::{Agent, Memory, Results, Schedule, StoreFile, Team};

/// Most agents of a team.
pub const MOST_AGENTS: usize = 1024;

/// Most bytes of a team file, of its document, and of a prompt.
pub const MOST_BYTES: u64 = 16 << 20;
