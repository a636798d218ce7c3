//! Agents that call tools (paper §4): what the host adds to the kernel's cycle.
//!
//! * [`ToolUse`]: what an agent's section of the team file says.
//! * [`Desk`]: the tools themselves, behind the kernel's [`Bus`](agentos_kernel::tool::Bus).
//! * [`Caller`]: how far an agent is with its calls, as plain data.
//! * [`Callers`]: all of them, and the kernel's [`Guard`](agentos_kernel::guard::Guard).
//! * [`Terms`]: what the result of a call is made text for. [`Crew`]: the threads that do it, beside the run.
//! * [`Recording`]: what tools gave in an earlier run, for one that is to be the same.
//! * [`Reception`]: the one person, and all who want something of them.
//! * [`words`]: what agents are told about tools and their results, and people about calls.
//!
//! A small model does not decide well by itself that it needs a tool, and which: by default the tool whose
//! example requests are most like the agent's prompt is called, once, with arguments that the model writes
//! within the tool's schema; then it answers with the result before it. Which tool is called behind which, a chain of
//! the team file says. An agent may also be left to call tools itself, as the model's own chat template writes calls
//! ([`CallFormat`](crate::text::CallFormat)), or where that takes no tools in the form that most models are trained on:
//! then calls that it writes one behind another are made together. It calls again when it likes. Other agents are tools
//! too.

mod align;
mod bell;
mod caller;
mod callers;
mod choose;
mod crew;
mod densest;
mod desk;
mod kit;
mod ledger;
mod look_up;
mod opening;
mod person;
mod reception;
mod recording;
mod seat;
mod sensor;
mod spoken;
mod use_;
pub mod words;

pub use align::{Aligned, Aligner, Coming, Known, Reduce, Terms, Unread};
pub use bell::Bell;
pub use caller::{ANOTHER_TOKENS, Around, Caller, Form, Open, Place, Stage, Written, most_of_call};
pub use callers::{Callers, FormError, Settled};
pub use choose::{Question, by_likeness};
pub use crew::Crew;
pub use densest::tokens_read;
pub use desk::{Asked, Desk, Finished};
pub use kit::{Errands, Outside, REQUEST_TOKENS, TOOL_NAMES, WARDEN, ask_name, kit, means};
pub use look_up::{LOOK_UP, Shelves};
pub use person::{Nobody, Person, Terminal, person};
pub use reception::Reception;
pub use recording::{Mismatch, Played, Recording, RecordingError};
pub use sensor::SensorBus;
pub use spoken::{Reply, Spoken};
pub use use_::{Choose, Manner, Policy, ToolUse};
