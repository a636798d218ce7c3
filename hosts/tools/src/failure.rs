//! Why a tool gave nothing.

use std::fmt;

use agentos_hal::{Output, PeripheralError};

/// Why a tool gave nothing. The text is for the model, and says what would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolFailure {
    /// It is not done, by a rule.
    Refused(String),
    /// It was tried, and did not work.
    Failed(String),
}

impl ToolFailure {
    /// A refusal with this reason.
    pub fn refused(why: impl fmt::Display) -> ToolFailure {
        ToolFailure::Refused(why.to_string())
    }

    /// A failure with this reason.
    pub fn failed(why: impl fmt::Display) -> ToolFailure {
        ToolFailure::Failed(why.to_string())
    }

    /// Writes the reason, as far as there is room for it, and tells the kind.
    pub(crate) fn write(&self, output: &mut Output<'_>) -> PeripheralError {
        let (kind, why) = match self {
            ToolFailure::Refused(why) => (PeripheralError::Refused, why),
            ToolFailure::Failed(why) => (PeripheralError::Failed, why),
        };
        // A reason that is cut short is still one.
        let _cut = crate::output::write(output, why.as_bytes());
        kind
    }
}

impl fmt::Display for ToolFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToolFailure::Refused(why) => write!(f, "refused: {why}"),
            ToolFailure::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ToolFailure {}
