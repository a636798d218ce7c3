//! What the kernel needs of its host besides a tensor device: time and a place to print.

/// A moment, in microseconds since an arbitrary start that stays the same while the clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Microseconds since the clock's start.
    pub micros: u64,
}

impl Instant {
    /// Microseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub const fn micros_since(self, earlier: Instant) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }
}

/// A monotonic clock that can also wait. Time enters the kernel through it and in no other way, so
/// that a simulator can replay it.
pub trait Clock: embedded_hal::delay::DelayNs {
    /// The time now; never earlier than an answer given before.
    fn now(&self) -> Instant;
}

/// A stream of bytes that a person reads: a terminal, a serial line.
pub type Console<'a> = dyn embedded_io::Write<Error = embedded_io::ErrorKind> + 'a;
