//! Events as log lines, by `defmt`, for hosts whose only way out is a serial line.

use super::Event;

/// A line of log at one of `defmt`'s levels. Without the feature `defmt` it is nothing.
#[cfg(feature = "defmt")]
macro_rules! line {
    ($level:ident, $event:expr) => {
        defmt::$level!("{}", $event)
    };
}

#[cfg(not(feature = "defmt"))]
macro_rules! line {
    ($level:ident, $event:expr) => {{
        let _ = $event;
    }};
}

/// Writes a line for an event: what happens per token or step is for tracing, what happens per agent
/// is information. The host's `defmt::timestamp!` says when.
pub(super) fn log(event: &Event) {
    match event {
        Event::Token { .. } | Event::StepBegun { .. } | Event::StepEnded { .. } => line!(trace, event),
        Event::State { .. }
        | Event::Sealed { .. }
        | Event::Shared { .. }
        | Event::Relocated { .. }
        | Event::Preempted { .. }
        | Event::PagedOut { .. }
        | Event::PagedIn { .. }
        | Event::Recalled { .. }
        | Event::Stored { .. }
        | Event::Message { .. }
        | Event::ToolStarted { .. }
        | Event::ToolOver { .. }
        | Event::ToolReturned { .. }
        | Event::ToolResumed { .. }
        | Event::Interrupt { .. } => line!(debug, event),
        Event::Booted { .. }
        | Event::Spawned { .. }
        | Event::Restored { .. }
        | Event::ToolRestored { .. }
        | Event::Finished { .. }
        | Event::Killed { .. } => {
            line!(info, event)
        }
        Event::Lost { .. }
        | Event::RecallFailed { .. }
        | Event::StoreFailed { .. }
        | Event::StoreSlow { .. } => line!(warn, event),
        Event::Faulted { .. } => line!(error, event),
    }
}
