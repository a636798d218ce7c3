//! Calls to the driver that fail, for tests: no driver at hand loses its device when it is asked to.

#[cfg(test)]
pub use planned::{after, heal};

#[cfg(not(test))]
use opencl3::error_codes::ClError;

/// Why this call fails, if it is to.
#[cfg(not(test))]
pub const fn check() -> Result<(), ClError> {
    Ok(())
}

#[cfg(test)]
pub use planned::check;

#[cfg(test)]
mod planned {
    use std::cell::Cell;

    use opencl3::error_codes::ClError;

    thread_local! {
        /// Calls that succeed before all fail with a number.
        static PLAN: Cell<Option<(u32, i32)>> = const { Cell::new(None) };
        /// Whether one did.
        static FAILED: Cell<bool> = const { Cell::new(false) };
    }

    /// All calls of this thread fail after so many.
    pub fn after(calls: u32, code: i32) {
        PLAN.set(Some((calls, code)));
        FAILED.set(false);
    }

    /// No call fails any more. Says whether one did.
    pub fn heal() -> bool {
        PLAN.set(None);
        FAILED.take()
    }

    pub fn check() -> Result<(), ClError> {
        match PLAN.get() {
            Some((0, code)) => {
                FAILED.set(true);
                Err(ClError(code))
            }
            Some((calls, code)) => {
                PLAN.set(Some((calls - 1, code)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
