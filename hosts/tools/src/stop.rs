//! Giving up a call.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Says to a function that nobody waits for its result any more. Copies are the same token.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// A token that has not been raised.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Gives up.
    pub fn raise(&self) {
        let (raised, told) = &*self.0;
        *raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        told.notify_all();
    }

    /// Whether somebody gave up.
    pub fn is_raised(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until somebody gives up; tells whether somebody did.
    pub fn wait(&self, at_most: Duration) -> bool {
        let (raised, told) = &*self.0;
        let raised = raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = told.wait_timeout_while(raised, at_most, |raised| !*raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_woken() {
        let stop = Stop::new();
        assert!(!stop.is_raised());
        assert!(!stop.wait(Duration::ZERO));
        let waiting = std::thread::spawn({
            let stop = stop.clone();
            move || stop.wait(Duration::from_secs(3600))
        });
        stop.raise();
        assert!(waiting.join().unwrap());
        assert!(stop.is_raised());
    }
}
