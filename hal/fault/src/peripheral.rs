//! A peripheral that fails on purpose.

use core::task::Poll;

use agentos_hal::{CallNumber, Output, Peripheral, PeripheralError};

use crate::plan::{Stream, below, drawn, word};

/// Odds of what happens to a call, each in per mille of the calls. A call is delayed or not, and by another
/// draw suffers at most one of the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOdds {
    /// It takes some polls more.
    pub delay: u16,
    /// The peripheral says that it is busy, the first time that it is asked to start.
    pub busy: u16,
    /// It does not work, after the delay.
    pub fail: u16,
    /// It is never over.
    pub hang: u16,
    /// It gives more than there is room for.
    pub oversize: u16,
    /// The peripheral goes away with it.
    pub gone: u16,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFate {
    /// Nothing.
    Fine,
    /// It is refused as busy once.
    Busy,
    /// It does not work.
    Fail,
    /// It is never over.
    Hang,
    /// It gives more than there is room for.
    Oversize,
    /// The peripheral goes away with it.
    Gone,
}

impl CallOdds {
    /// What happens to a call, and how many polls it takes longer: a function of the seed and its number.
    pub fn fate(&self, seed: u64, call: CallNumber, longest_delay: u32) -> (CallFate, u32) {
        let fates = [CallFate::Busy, CallFate::Fail, CallFate::Hang, CallFate::Oversize, CallFate::Gone];
        let odds = [self.busy, self.fail, self.hang, self.oversize, self.gone];
        let fate =
            drawn(&odds, word(seed, Stream::Call, call.0)).map_or(CallFate::Fine, |index| fates[index]);
        let delayed = word(seed, Stream::CallDelay, call.0);
        let delay = match drawn(&[self.delay], delayed) {
            Some(_) if longest_delay > 0 => 1 + below(longest_delay, delayed << 32),
            _ => 0,
        };
        (fate, delay)
    }
}

/// A call that is under way.
#[derive(Clone, Copy, Debug)]
struct Held {
    call: CallNumber,
    /// Polls that are answered with "pending" before the peripheral is asked.
    polls: u32,
    fate: CallFate,
}

/// Wraps a peripheral so that calls fail as odds and a seed say. Up to `CALLS` calls are under way at once;
/// the wrapped peripheral sees those that do not fail.
#[derive(Debug)]
pub struct FaultPeripheral<P, const CALLS: usize> {
    inner: P,
    odds: CallOdds,
    seed: u64,
    longest_delay: u32,
    held: [Option<Held>; CALLS],
    /// The calls that were refused as busy last, so that each is refused once.
    refused: [Option<CallNumber>; CALLS],
}

impl<P: Peripheral, const CALLS: usize> FaultPeripheral<P, CALLS> {
    /// Wraps a peripheral. Delays last from one poll to `longest_delay`.
    ///
    /// # Panics
    /// When the odds of what a call suffers are more than 1000 together.
    pub fn new(inner: P, odds: CallOdds, seed: u64, longest_delay: u32) -> Self {
        let suffered = [odds.busy, odds.fail, odds.hang, odds.oversize, odds.gone];
        let sum: u32 = suffered.iter().map(|&odd| u32::from(odd)).sum();
        assert!(sum <= 1000 && odds.delay <= 1000, "a call suffers one thing at most");
        FaultPeripheral { inner, odds, seed, longest_delay, held: [None; CALLS], refused: [None; CALLS] }
    }

    /// The wrapped peripheral.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// Calls that are under way.
    pub fn open(&self) -> usize {
        self.held.iter().flatten().count()
    }

    fn place(&self, call: CallNumber) -> Option<usize> {
        self.held.iter().position(|held| held.is_some_and(|held| held.call == call))
    }
}

impl<P: Peripheral, const CALLS: usize> Peripheral for FaultPeripheral<P, CALLS> {
    fn start(
        &mut self,
        call: CallNumber,
        arguments: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), PeripheralError> {
        let (fate, polls) = self.odds.fate(self.seed, call, self.longest_delay);
        let Some(vacant) = self.held.iter().position(Option::is_none) else {
            return Err(PeripheralError::Busy);
        };
        if fate == CallFate::Busy {
            let before = self.refused.iter().position(|refused| *refused == Some(call));
            match (before, self.refused.iter().position(Option::is_none)) {
                (Some(place), _) => self.refused[place] = None,
                (None, Some(place)) => {
                    self.refused[place] = Some(call);
                    return Err(PeripheralError::Busy);
                }
                (None, None) => (),
            }
        }
        if matches!(fate, CallFate::Fine | CallFate::Busy) {
            self.inner.start(call, arguments, output)?;
        }
        self.held[vacant] = Some(Held { call, polls, fate });
        Ok(())
    }

    fn poll(&mut self, call: CallNumber, output: &mut Output<'_>) -> Poll<Result<(), PeripheralError>> {
        let Some(place) = self.place(call) else { return Poll::Ready(Err(PeripheralError::NoCall)) };
        let held = self.held[place].as_mut().expect("it is there");
        if held.polls > 0 {
            held.polls -= 1;
            return Poll::Pending;
        }
        let result = match held.fate {
            CallFate::Hang => return Poll::Pending,
            CallFate::Fine | CallFate::Busy => match self.inner.poll(call, output) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => result,
            },
            CallFate::Fail => Err(PeripheralError::Failed),
            CallFate::Gone => Err(PeripheralError::Gone),
            CallFate::Oversize => {
                // What fits is there, and whoever wrote it was stopped.
                while output.write(&[b'x'; 64]).is_ok_and(|written| written > 0) {}
                Err(PeripheralError::Output)
            }
        };
        self.held[place] = None;
        Poll::Ready(result)
    }

    fn cancel(&mut self, call: CallNumber) {
        self.refused.iter_mut().filter(|refused| **refused == Some(call)).for_each(|refused| *refused = None);
        let Some(place) = self.place(call) else { return };
        if matches!(self.held[place], Some(Held { fate: CallFate::Fine | CallFate::Busy, .. })) {
            self.inner.cancel(call);
        }
        self.held[place] = None;
    }
}
