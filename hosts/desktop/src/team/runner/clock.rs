//! The time that a run goes by.

use std::cell::Cell;

use agentos_hal::{Clock, Instant};
use embedded_hal::delay::DelayNs;

use crate::host::SystemClock;

/// What a step takes on the clock of a replay, besides its rows.
const STEP_US: u64 = 2_000;

/// What a row takes there.
const ROW_US: u64 = 400;

/// A clock that shows the time, or one that is moved by the work alone: with it the same work takes the
/// same time on every machine, so that sizes of steps, quanta, leases and budgets of time are the same
/// in every run.
#[derive(Clone, Debug)]
pub enum RunClock {
    /// The time.
    Real(SystemClock),
    /// Nanoseconds of work and waiting so far.
    Virtual(Cell<u64>),
}

impl RunClock {
    /// The clock of a replay, at its beginning.
    pub const fn replay() -> RunClock {
        RunClock::Virtual(Cell::new(0))
    }

    /// Nanoseconds on it.
    pub fn now_ns(&self) -> u64 {
        match self {
            RunClock::Real(clock) => clock.now().micros.saturating_mul(1000),
            RunClock::Virtual(now_ns) => now_ns.get(),
        }
    }

    /// Shows what it showed when a run was kept in a file, if it is one that can be moved.
    pub fn go_to(&self, ns: u64) {
        if let RunClock::Virtual(now_ns) = self {
            now_ns.set(ns);
        }
    }

    /// The device was given a step of so many rows.
    pub fn step_taken(&self, rows: u32) {
        self.advance((STEP_US + ROW_US * u64::from(rows)) * 1000);
    }

    fn advance(&self, ns: u64) {
        if let RunClock::Virtual(now_ns) = self {
            now_ns.set(now_ns.get() + ns);
        }
    }
}

impl DelayNs for RunClock {
    fn delay_ns(&mut self, ns: u32) {
        match self {
            RunClock::Real(clock) => clock.delay_ns(ns),
            RunClock::Virtual(_) => self.advance(u64::from(ns)),
        }
    }
}

impl Clock for RunClock {
    fn now(&self) -> Instant {
        match self {
            RunClock::Real(clock) => clock.now(),
            RunClock::Virtual(now_ns) => Instant { micros: now_ns.get() / 1000 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_and_waiting_move_the_clock_of_a_replay() {
        let mut clock = RunClock::replay();
        assert_eq!(clock.now().micros, 0);
        clock.step_taken(10);
        assert_eq!(clock.now().micros, STEP_US + 10 * ROW_US);
        clock.delay_us(7);
        assert_eq!(clock.now().micros, STEP_US + 10 * ROW_US + 7);
    }
}
