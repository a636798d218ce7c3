//! What the kernel and its programs ask of a host: a clock, a console, and how much memory there is.

use std::io::Write;
use std::time::{Duration, Instant};

use agentos_hal::Clock;
use embedded_hal::delay::DelayNs;
use embedded_io::ErrorKind;

/// Time since a moment that the program chose.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that showed 0 at `start`.
    pub const fn since(start: Instant) -> SystemClock {
        SystemClock { start }
    }
}

impl DelayNs for SystemClock {
    fn delay_ns(&mut self, ns: u32) {
        std::thread::sleep(Duration::from_nanos(u64::from(ns)));
    }
}

impl Clock for SystemClock {
    fn now(&self) -> agentos_hal::Instant {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        agentos_hal::Instant { micros }
    }
}

/// A stream of the standard library as a console of the hal.
pub struct StdConsole<W>(pub W);

impl<W> embedded_io::ErrorType for StdConsole<W> {
    type Error = ErrorKind;
}

impl<W: Write> embedded_io::Write for StdConsole<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(bytes).map_err(kind)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.0.flush().map_err(kind)
    }
}

fn kind(error: std::io::Error) -> ErrorKind {
    error.kind().into()
}

/// The most memory that this process has had resident so far, in bytes; `None` where the system does
/// not tell.
pub fn peak_resident_bytes() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Memory that this machine can still give without swapping, in bytes; `None` where the system does
/// not tell.
pub fn available_bytes() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The bytes that a line of Linux's tables such as `MemAvailable:  123 kB` states.
fn kilobytes(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_linux_are_read() {
        let table = "Name:\tx\nVmHWM:\t  146 kB\nVmRSS: many kB\n";
        assert_eq!(kilobytes(table, "VmHWM:"), Some(149_504));
        assert_eq!(kilobytes(table, "VmRSS:"), None);
        assert_eq!(kilobytes(table, "VmSwap:"), None);
    }

    #[test]
    fn a_closed_pipe_is_told_from_other_failures() {
        let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(kind(error), ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let clock = SystemClock::since(Instant::now());
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
