//! What a call may take at most, whatever its tool would take by itself.

use std::time::Duration;

use crate::descriptor::{Access, Descriptor, Tool};
use crate::http::HttpLimits;
#[cfg(unix)]
use crate::run::RunLimits;

/// What calls of an agent may take. A tool's own limits hold where they are lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// How long a call may take.
    pub time: Duration,
    /// Bytes of output that are taken of a call.
    pub output_bytes: usize,
    /// Processor time of each process of a command, in seconds.
    pub processor_s: u64,
    /// Address space of each process of a command, in bytes.
    pub memory_bytes: u64,
    /// Processes of a command at once.
    pub processes: usize,
}

impl CallLimits {
    /// Tools' own limits.
    pub const NONE: CallLimits = CallLimits {
        time: Duration::MAX,
        output_bytes: usize::MAX,
        processor_s: u64::MAX,
        memory_bytes: u64::MAX,
        processes: usize::MAX,
    };

    /// A tool that is held to these.
    #[must_use]
    pub fn hold(&self, tool: Tool) -> Tool {
        let Tool { descriptor, peripheral } = tool;
        let timeout = match descriptor.access {
            // A command is ended by its warden, who needs a while for it.
            Access::Commands => descriptor.timeout,
            _ => descriptor.timeout.min(self.time),
        };
        let output_bytes = descriptor.output_bytes.min(self.output_bytes);
        Tool { descriptor: Descriptor { timeout, output_bytes, ..descriptor }, peripheral }
    }

    /// What a request may take.
    pub(crate) fn of_request(&self, own: HttpLimits) -> HttpLimits {
        let (time, body_bytes) = (own.time.min(self.time), own.body_bytes.min(self.output_bytes));
        HttpLimits { time, body_bytes, ..own }
    }

    /// What a command may take.
    #[cfg(unix)]
    pub(crate) fn of_command(&self, own: RunLimits) -> RunLimits {
        RunLimits {
            wall: own.wall.min(self.time),
            processor_s: own.processor_s.min(self.processor_s),
            memory_bytes: own.memory_bytes.min(self.memory_bytes),
            processes: own.processes.min(self.processes),
            output_bytes: own.output_bytes.min(self.output_bytes),
            ..own
        }
    }
}

impl Default for CallLimits {
    fn default() -> CallLimits {
        CallLimits::NONE
    }
}
