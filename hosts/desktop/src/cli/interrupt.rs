//! Ctrl-C while a text is printed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// The exit code of a program that was interrupted, as shells tell it: 128 and the signal's number.
pub const INTERRUPTED: u8 = 130;

/// What an interruption does: it ends the process at once as long as nothing has been printed, and asks
/// whoever prints to come to an end after that. Asked twice, the process ends at once.
pub struct Interrupt {
    at_once: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes interruptions from now on.
    ///
    /// # Errors
    /// When the system lets nobody take them.
    pub fn listen() -> io::Result<Interrupt> {
        let at_once = Arc::new(AtomicBool::new(true));
        // In this order: the first interruption that finds the flag down raises it, and no more.
        flag::register_conditional_shutdown(SIGINT, INTERRUPTED.into(), Arc::clone(&at_once))?;
        flag::register(SIGINT, Arc::clone(&at_once))?;
        Ok(Interrupt { at_once })
    }

    /// Something is going to be printed: interruptions no longer end the process by themselves.
    pub fn hold(&self) {
        self.at_once.store(false, SeqCst);
    }

    /// Whether an interruption has come since [`Interrupt::hold`].
    pub fn has_come(&self) -> bool {
        self.at_once.load(SeqCst)
    }
}
