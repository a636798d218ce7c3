//! What was done to a device.

/// How often each fault happened. A fault that had nothing to act on, like a NaN in a report without
/// outcomes, did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Submits that were refused as busy.
    pub refused_submits: u64,
    /// Polls that were answered with "pending" without asking the device.
    pub pending_polls: u64,
    /// Steps that ended with the loss of the device.
    pub lost_steps: u64,
    /// Steps that were reported as hung.
    pub hung_steps: u64,
    /// Steps that were reported as not finite.
    pub not_finite_steps: u64,
    /// Reports with a number replaced by NaN.
    pub poisoned_reports: u64,
    /// Page operations that were refused as busy.
    pub refused_copies: u64,
    /// Calls of page operations that were answered with "pending" without asking the device.
    pub pending_copies: u64,
    /// Page operations that ended with the loss of the device.
    pub lost_copies: u64,
}
