//! Agents that call tools (paper §4): what the host adds to the kernel's cycle.
//!
//! * [`ToolUse`]: what an agent's section of the team file says.
//! * [`Desk`]: the tools themselves, behind the kernel's [`Bus`](agentos_kernel::tool::Bus).
//! * [`Caller`]: how far an agent is with its calls, as plain data.
//! * [`Callers`]: all of them, and the kernel's [`Guard`](agentos_kernel::guard::Guard).
//! * [`words`]: what agents are told about tools and their results.
//!
//! A small model does not decide well by itself that it needs a tool, and which: by default the tool whose
//! example requests are most like the agent's prompt is called, once, with arguments that the model writes
//! within the tool's schema; then it answers with the result before it. An agent may also be left to call
//! tools itself, in the form that most models are trained on.

mod caller;
mod callers;
mod choose;
mod desk;
mod kit;
mod person;
mod use_;
pub mod words;

pub use caller::{Caller, Open, Stage};
pub use callers::{Callers, FormError, Written};
pub use choose::{Question, by_likeness};
pub use desk::{Asked, Desk, Finished};
pub use kit::{TOOL_NAMES, WARDEN, kit, means};
pub use person::{Nobody, Person, Terminal};
pub use use_::{Choose, Policy, ToolUse};
