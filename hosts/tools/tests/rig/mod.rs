//! What tests of tools share: a pool, and calls that are waited for.

#![allow(dead_code)]

use std::num::NonZeroUsize;
use std::task::Poll;
use std::time::{Duration, Instant};

use agentos_hal::{CallNumber, Peripheral, PeripheralError};
use agentos_tools::{Collected, Pool, PoolLimits, Tool};
use serde_json::Value;

/// Longer than anything here takes on a machine that is only slow.
pub const LONG: Duration = Duration::from_secs(120);

pub fn pool() -> Pool {
    Pool::new(PoolLimits { threads: NonZeroUsize::new(4).unwrap(), queue: 16 }, || ())
}

/// Asks until it is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < LONG, "{what}: not after {LONG:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Polls a call until it is over.
pub fn wait(peripheral: &mut dyn Peripheral, call: CallNumber) -> (Result<(), PeripheralError>, String) {
    let mut output = Collected::new(1 << 20);
    let mut result = Err(PeripheralError::NoCall);
    until("the call", || match peripheral.poll(call, &mut output) {
        Poll::Pending => false,
        Poll::Ready(ready) => {
            result = ready;
            true
        }
    });
    (result, output.text())
}

/// Makes a call and waits for it: its output, or what it was refused or failed with.
pub fn call(tool: &mut Tool, arguments: &Value) -> Result<String, (PeripheralError, String)> {
    let number = CallNumber(7);
    let mut output = Collected::new(1 << 20);
    let started = tool.peripheral.start(number, arguments.to_string().as_bytes(), &mut output);
    if let Err(error) = started {
        return Err((error, output.text()));
    }
    match wait(tool.peripheral.as_mut(), number) {
        (Ok(()), text) => Ok(text),
        (Err(error), text) => Err((error, text)),
    }
}
