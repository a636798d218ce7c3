//! How far an agent is with its calls: plain data, apart from the kernel, that a run can be stopped and
//! gone on with.

use serde::{Deserialize, Serialize};

use crate::team::prompt::Frame;
use crate::text::Message;

/// What an agent that may call tools is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// It says what it likes; a call may begin in it.
    Free,
    /// It writes a call, or its arguments, within a form, from an address of its context on.
    Writing {
        /// The tool, by its number at the desk; `None` where the call names it.
        tool: Option<usize>,
        /// The first address.
        from: u32,
    },
    /// It writes an answer of a declared form.
    Answering {
        /// The first address.
        from: u32,
    },
    /// It waits for the result of a call.
    Calling(Open),
    /// It has called and answers; no further call is offered.
    Done,
}

/// A call that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The kernel's number.
    pub number: u64,
    /// The tool, by its number at the desk.
    pub tool: usize,
    /// Its arguments, as JSON.
    pub arguments: String,
}

/// How far an agent is with its calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Caller {
    /// What it is doing.
    pub stage: Stage,
    /// The conversation before what it is saying now.
    pub said: Vec<Message>,
    /// What stands around what it is told next, where that is always the same.
    pub frame: Option<Frame>,
    /// What it was asked.
    pub request: String,
    /// What it says freely, as long as a call may begin in it.
    pub tail: String,
    /// Times that an output of a wrong form was told back.
    pub repairs: u8,
}

impl Caller {
    /// One that has said nothing yet.
    pub fn new(stage: Stage, said: Vec<Message>, frame: Option<Frame>, request: &str) -> Caller {
        Caller { stage, said, frame, request: request.to_owned(), tail: String::new(), repairs: 0 }
    }
}
