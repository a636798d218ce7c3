//! The vectors.

use serde::{Deserialize, Serialize};

/// An interrupt vector: the paper's four (table 2), and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum VectorId {
    /// The kernel requests an external tool.
    ToolInvoke = 0x01,
    /// A context or page memory has reached its capacity.
    ContextFull = 0x02,
    /// Drift exceeded its bound.
    SyncDrift = 0x03,
    /// A tool's output does not match its schema.
    PerceptionErr = 0x04,
    /// A tool is done.
    ToolDone = 0x05,
    /// A tool took too long.
    ToolTimeout = 0x06,
    /// A slice that is needed is not resident.
    PageFault = 0x07,
    /// A deadline or a period has come.
    Timer = 0x08,
    /// An agent sent a message.
    Ipc = 0x09,
    /// A person speaks.
    User = 0x0A,
    /// The cold store has done what it was asked.
    StoreDone = 0x0B,
    /// The cold store has failed.
    StoreErr = 0x0C,
    /// The tensor device failed, hung, or computed no number.
    DeviceFault = 0x0D,
    /// An agent repeats itself or makes no progress.
    Watchdog = 0x0E,
    /// The system is to stop.
    Shutdown = 0x0F,
}
