//! Peripherals: what agents reach outside the machine, seen as devices that are started and polled
//! (paper §4).
//!
//! A peripheral takes bytes and gives bytes; what they mean is between the host and the peripheral. The
//! kernel knows calls by number, decides when they start and how long they may take, and never sees a
//! byte of them.

use core::task::Poll;

use crate::host::Console;

/// The number of a tool call: no two calls of a system have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallNumber(pub u64);

impl core::fmt::Display for CallNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a peripheral writes what a call came to. It may be full, or gone: then the call has failed with
/// [`PeripheralError::Output`].
pub type Output<'a> = Console<'a>;

/// A device that answers calls.
///
/// No method blocks: a peripheral that has to wait does so elsewhere, and says [`Poll::Pending`]. It may
/// have several calls under way, and may end them in any order. A call ends once: when
/// [`Peripheral::poll`] is ready, when [`Peripheral::start`] refuses it, or when it is cancelled; after that
/// the peripheral has forgotten it.
pub trait Peripheral {
    /// Begins a call with these arguments, and returns at once.
    ///
    /// # Errors
    /// * [`PeripheralError::Busy`]: it has as many calls under way as it can have. Nothing was begun, and
    ///   the same call may be started again later.
    /// * [`PeripheralError::Refused`]: it would not do this, whenever it was asked. Nothing was begun.
    ///   `output` has the reason as text.
    /// * [`PeripheralError::Gone`]: the device is not there any more.
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError>;

    /// Looks whether a call is over. When it is, what it came to has been written to `output` and the
    /// call is forgotten.
    ///
    /// # Errors
    /// * [`PeripheralError::Failed`]: it did not work. `output` has the reason as text.
    /// * [`PeripheralError::Output`]: there was more output than `output` takes; what fitted is there.
    /// * [`PeripheralError::Gone`]: the device went away. Whether the call had an effect is not known.
    /// * [`PeripheralError::NoCall`]: there is no such call.
    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>>;

    /// Gives up a call: what it started is stopped as far as it can be, and its output is dropped. A call
    /// that is not there is none.
    fn cancel(&mut self, call: CallNumber);
}

/// Why a call came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeripheralError {
    /// As many calls are under way as there can be.
    Busy,
    /// It is not done, by a rule.
    Refused,
    /// It was tried, and did not work.
    Failed,
    /// There was more output than there is room for.
    Output,
    /// The device is not there (any more).
    Gone,
    /// There is no such call.
    NoCall,
}

impl core::fmt::Display for PeripheralError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            PeripheralError::Busy => {
                "the peripheral has as many calls under way as it can have; try again later"
            }
            PeripheralError::Refused => "the peripheral refuses the call",
            PeripheralError::Failed => "the call did not work",
            PeripheralError::Output => "the call gave more output than there is room for",
            PeripheralError::Gone => "the peripheral is not there any more",
            PeripheralError::NoCall => "the peripheral has no such call under way",
        })
    }
}

impl core::error::Error for PeripheralError {}
