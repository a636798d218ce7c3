//! Tool calls as the kernel knows them: by number (paper §4, Algorithm 1).
//!
//! An agent that calls a tool traps: it is blocked, its pages stay under a lease, others run. The tool is
//! started, watched, tried again and given up by the kernel, through a [`Bus`]; when it is over the agent
//! is interrupted, the host aligns what came of it with the agent's context and returns it, and the agent
//! goes on where it was. Bytes, names and schemas are the host's.

use core::task::Poll;

pub use agentos_hal::CallNumber;
use agentos_hal::PeripheralError;
use serde::{Deserialize, Serialize};

use crate::agent::AgentId;
use crate::interrupt::Urgency;

/// A tool, by its number in the host's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ToolId(pub u8);

/// Tools that an agent may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ToolSet([u64; 4]);

impl ToolSet {
    /// None.
    pub const NONE: ToolSet = ToolSet([0; 4]);
    /// All.
    pub const ALL: ToolSet = ToolSet([u64::MAX; 4]);

    /// These, and one more.
    #[must_use]
    pub const fn with(mut self, tool: ToolId) -> ToolSet {
        self.0[tool.0 as usize / 64] |= 1 << (tool.0 % 64);
        self
    }

    /// Whether a tool is one of these.
    pub const fn contains(&self, tool: ToolId) -> bool {
        self.0[tool.0 as usize / 64] >> (tool.0 % 64) & 1 == 1
    }
}

/// What a call does to the world, and so whether it may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect {
    /// It leaves what one call leaves, however often it is made.
    Repeatable,
    /// Each call counts: it is begun at most once.
    Irreversible,
}

/// A call that an agent wants made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The tool.
    pub tool: ToolId,
    /// What it does to the world.
    pub effect: Effect,
    /// How long one attempt may take, in microseconds.
    pub timeout_us: u64,
    /// Attempts in all; one that is irreversible is made once whatever this says.
    pub attempts: u8,
    /// How urgent its end is: of calls that are over in the same tick, the more urgent interrupts first.
    pub urgency: Urgency,
}

impl Request {
    /// Attempts that may be made.
    pub const fn most_attempts(&self) -> u8 {
        match self.effect {
            Effect::Irreversible => 1,
            Effect::Repeatable if self.attempts == 0 => 1,
            Effect::Repeatable => self.attempts,
        }
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CallOutcome {
    /// The tool did it.
    Done,
    /// The tool would not do it.
    Refused,
    /// It did not work, however often it was tried.
    Failed,
    /// There was more output than was taken.
    Output,
    /// It took too long, and was given up.
    TimedOut,
    /// The tool is not there. Where the call is irreversible, whether it had an effect is not known.
    Gone,
    /// The agent has made all calls that it may; the tool was not asked.
    Budget,
    /// The system was restored while it was under way. It is irreversible, so it was not made again;
    /// whether it had an effect is not known.
    Unknown,
}

impl CallOutcome {
    /// The name in machine-readable output.
    pub const fn name(self) -> &'static str {
        match self {
            CallOutcome::Done => "done",
            CallOutcome::Refused => "refused",
            CallOutcome::Failed => "failed",
            CallOutcome::Output => "output",
            CallOutcome::TimedOut => "timed-out",
            CallOutcome::Gone => "gone",
            CallOutcome::Budget => "budget",
            CallOutcome::Unknown => "unknown",
        }
    }

    /// What a call that ends with an error comes to, once it is not tried again.
    pub const fn of(error: PeripheralError) -> CallOutcome {
        match error {
            PeripheralError::Refused => CallOutcome::Refused,
            PeripheralError::Failed | PeripheralError::Busy => CallOutcome::Failed,
            PeripheralError::Output => CallOutcome::Output,
            PeripheralError::Gone | PeripheralError::NoCall => CallOutcome::Gone,
        }
    }
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The agent has trapped; SIG_TOOL_INVOKE is on its way.
    Invoked,
    /// It is to be started, since a time in microseconds.
    Due {
        /// Since when.
        since_us: u64,
    },
    /// The tool is at work since a time in microseconds.
    Running {
        /// Since when.
        since_us: u64,
    },
    /// It is over, since a time in microseconds; the interrupt is on its way.
    Over {
        /// What came of it.
        outcome: CallOutcome,
        /// Since when.
        at_us: u64,
    },
    /// The host knows that it is over, and aligns what came of it.
    Told {
        /// What came of it.
        outcome: CallOutcome,
        /// When it was over, in microseconds.
        at_us: u64,
    },
}

/// Where the time of a call went, in microseconds: its part of L_c (paper §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CallTimes {
    /// From the trap to the start of the tool, and from its end to the interrupt; the kernel's own part.
    pub dispatch_us: u64,
    /// In steps that went by meanwhile, but for those beside the tool: interrupts come between steps, and steps are
    /// others' work.
    pub step_us: u64,
    /// With the tool, all attempts together.
    pub device_us: u64,
    /// From the interrupt to the return of what the host made of it, as far as that did not go by in a step of others;
    /// steps in which an agent works on it for the host are a part of this.
    pub align_us: u64,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCall {
    /// Its number.
    pub number: CallNumber,
    /// Whose it is; `None`: nobody wants it any more, and it is to be cancelled.
    pub agent: Option<AgentId>,
    /// What was asked for.
    pub request: Request,
    /// How far it has come.
    pub progress: Progress,
    /// An interrupt was posted for its progress.
    pub posted: bool,
    /// Attempts that were begun.
    pub attempts: u8,
    /// Another agent is at work on what came of it, and its own waits for that: steps from then on are a part of
    /// alignment.
    pub helped: bool,
    /// When it was asked for, or last changed hands, in microseconds.
    pub since_us: u64,
    /// Where its time went so far.
    pub times: CallTimes,
}

impl OpenCall {
    /// What it comes to where the system is restored while it is open; `None`: it is made then, whether it was before
    /// or not.
    pub const fn when_restored(&self) -> Option<CallOutcome> {
        let over = match self.progress {
            Progress::Over { outcome, .. } | Progress::Told { outcome, .. } => Some(outcome),
            _ => None,
        };
        match (over, self.request.effect) {
            (Some(outcome @ (CallOutcome::Budget | CallOutcome::Unknown)), _) => Some(outcome),
            (Some(CallOutcome::Gone), Effect::Irreversible) => Some(CallOutcome::Unknown),
            (_, Effect::Irreversible) if self.attempts > 0 => Some(CallOutcome::Unknown),
            _ => None,
        }
    }
}

/// Where the tools are: the host's registry, behind which each has its [`Peripheral`](agentos_hal::Peripheral).
/// The host knows what it was asked for under a number before the kernel names that number here.
pub trait Bus {
    /// Begins a call. Returns at once.
    ///
    /// # Errors
    /// Those of [`Peripheral::start`](agentos_hal::Peripheral::start).
    fn start(&mut self, call: CallNumber) -> Result<(), PeripheralError>;

    /// Looks whether a call is over.
    ///
    /// # Errors
    /// Those of [`Peripheral::poll`](agentos_hal::Peripheral::poll).
    fn poll(&mut self, call: CallNumber) -> Poll<Result<(), PeripheralError>>;

    /// Gives up a call.
    fn cancel(&mut self, call: CallNumber);
}

/// A machine without tools: every call is [`PeripheralError::Gone`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTools;

impl Bus for NoTools {
    fn start(&mut self, _: CallNumber) -> Result<(), PeripheralError> {
        Err(PeripheralError::Gone)
    }

    fn poll(&mut self, _: CallNumber) -> Poll<Result<(), PeripheralError>> {
        Poll::Ready(Err(PeripheralError::Gone))
    }

    fn cancel(&mut self, _: CallNumber) {}
}

/// What one look at a call that is due or running comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Nothing changed.
    Same,
    /// An attempt has begun.
    Begun,
    /// It is to be tried again.
    Again,
    /// It is over.
    Over(CallOutcome),
}

/// Looks at a call through the bus, at a time: starts it, polls it, or gives it up.
pub(crate) fn look(call: &OpenCall, bus: &mut dyn Bus, now_us: u64) -> Look {
    let up = |since_us: u64| now_us.saturating_sub(since_us) >= call.request.timeout_us;
    match call.progress {
        Progress::Due { since_us } => match bus.start(call.number) {
            Ok(()) => Look::Begun,
            // It may wait for its turn as long as it may take.
            Err(PeripheralError::Busy) if up(since_us) => Look::Over(CallOutcome::TimedOut),
            Err(PeripheralError::Busy) => Look::Same,
            Err(error) => Look::Over(CallOutcome::of(error)),
        },
        Progress::Running { since_us } => match bus.poll(call.number) {
            Poll::Ready(Ok(())) => Look::Over(CallOutcome::Done),
            Poll::Ready(Err(PeripheralError::Failed | PeripheralError::Gone)) if may_try_again(call) => {
                Look::Again
            }
            Poll::Ready(Err(error)) => Look::Over(CallOutcome::of(error)),
            Poll::Pending if up(since_us) => {
                bus.cancel(call.number);
                Look::Over(CallOutcome::TimedOut)
            }
            Poll::Pending => Look::Same,
        },
        _ => Look::Same,
    }
}

const fn may_try_again(call: &OpenCall) -> bool {
    call.attempts < call.request.most_attempts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_into_it() {
        let set = ToolSet::NONE.with(ToolId(0)).with(ToolId(63)).with(ToolId(64)).with(ToolId(255));
        let held: std::vec::Vec<u8> = (0..=255).filter(|&tool| set.contains(ToolId(tool))).collect();
        assert_eq!(held, [0, 63, 64, 255]);
        assert!((0..=255).all(|tool| ToolSet::ALL.contains(ToolId(tool))));
    }

    #[test]
    fn what_cannot_be_undone_is_tried_once() {
        let request = |effect, attempts| Request {
            tool: ToolId(1),
            effect,
            timeout_us: 1,
            attempts,
            urgency: Urgency::High,
        };
        assert_eq!(request(Effect::Irreversible, 5).most_attempts(), 1);
        assert_eq!(request(Effect::Repeatable, 5).most_attempts(), 5);
        assert_eq!(request(Effect::Repeatable, 0).most_attempts(), 1);
    }
}
