//! What people were asked, and what became of it: for whoever follows a run.

use super::reception::Matter;
use crate::team::people::Asking;

/// Something that people were asked, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// What it is about.
    pub matter: Matter,
    /// What they are asked.
    pub asking: Asking,
    /// How far it is.
    pub reply: Reply,
}

/// How far a question is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was put.
    Awaited,
    /// Somebody said this.
    Answered(String),
    /// Nobody is there any more to answer.
    Nobody,
    /// Nobody wants to know any more.
    Withdrawn,
}

impl Reply {
    /// The name in machine-readable output.
    pub const fn name(&self) -> &'static str {
        match self {
            Reply::Awaited => "awaited",
            Reply::Answered(_) => "answered",
            Reply::Nobody => "nobody",
            Reply::Withdrawn => "withdrawn",
        }
    }
}

impl Spoken {
    /// The call that it is about.
    pub const fn call(&self) -> Option<u64> {
        match self.matter {
            Matter::Consent(call) | Matter::Question(call) => Some(call),
            Matter::Pause => None,
        }
    }
}
