//! Time that only the simulation moves.

use std::cell::Cell;

use agentos_hal::{Clock, Instant};

/// Microseconds since the simulation began. Looking at it takes one.
#[derive(Default)]
pub struct SimClock(Cell<u64>);

impl SimClock {
    pub fn micros(&self) -> u64 {
        self.0.get()
    }

    pub fn pass(&self, micros: u64) {
        self.0.set(self.0.get() + micros);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.pass(1);
        Instant { micros: self.0.get() }
    }
}

impl embedded_hal::delay::DelayNs for SimClock {
    fn delay_ns(&mut self, ns: u32) {
        self.pass(u64::from(ns).div_ceil(1000));
    }
}
