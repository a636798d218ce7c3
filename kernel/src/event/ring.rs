//! The ring that events wait in, and the form in which they leave the machine.

use super::log::log;
use super::{Event, Record};

/// What a table of records starts with.
pub const VACANT_RECORD: Record = Record { number: 0, at_us: 0, event: Event::Lost { count: 0 } };

/// Bytes of the longest frame that [`EventRing::drain_into`] writes.
pub const FRAME_BYTES: usize = 91;

/// Events that nobody has taken yet. When it is full the oldest goes, and the next one taken says so.
#[derive(Debug)]
pub struct EventRing<'m> {
    records: &'m mut [Record],
    oldest: usize,
    count: usize,
    /// Events so far.
    number: u64,
    lost: u64,
}

impl<'m> EventRing<'m> {
    /// An empty ring.
    ///
    /// # Panics
    /// Without a single place.
    pub fn new(records: &'m mut [Record]) -> EventRing<'m> {
        assert!(!records.is_empty(), "the ring has at least one place");
        EventRing { records, oldest: 0, count: 0, number: 0, lost: 0 }
    }

    /// Notes an event.
    pub fn push(&mut self, at_us: u64, event: Event) {
        log(&event);
        let places = self.records.len();
        if self.count == places {
            self.oldest = (self.oldest + 1) % places;
            self.count -= 1;
            self.lost += 1;
        }
        self.records[(self.oldest + self.count) % places] = Record { number: self.number, at_us, event };
        self.number += 1;
        self.count += 1;
    }

    /// The oldest event, after [`Event::Lost`] if some before it were lost. That one has the number of
    /// the last of these, so that the numbers behind it continue.
    pub fn pop(&mut self) -> Option<Record> {
        let record = self.peek()?;
        if core::mem::take(&mut self.lost) > 0 {
            log(&record.event);
        } else {
            self.oldest = (self.oldest + 1) % self.records.len();
            self.count -= 1;
        }
        Some(record)
    }

    /// Events that wait.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes as many whole records as fit, in the postcard format framed with COBS and ended by a zero
    /// byte each, and takes them; returns the bytes written. A reader finds the next record behind any
    /// zero byte. Every record fits into [`FRAME_BYTES`].
    pub fn drain_into(&mut self, bytes: &mut [u8]) -> usize {
        let mut written = 0;
        while let Some(record) = self.peek() {
            let Ok(frame) = postcard::to_slice_cobs(&record, &mut bytes[written..]) else { break };
            written += frame.len();
            self.pop();
        }
        written
    }

    fn peek(&self) -> Option<Record> {
        let record = *self.records.get(self.oldest).filter(|_| self.count > 0)?;
        Some(match self.lost {
            0 => record,
            count => Record { number: record.number - 1, at_us: record.at_us, event: Event::Lost { count } },
        })
    }
}

/// Reads one frame that [`EventRing::drain_into`] wrote; the bytes are changed in place.
///
/// # Errors
/// What is wrong with the frame.
pub fn decode(frame: &mut [u8]) -> Result<Record, postcard::Error> {
    postcard::from_bytes_cobs(frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;
    use crate::agent::{AgentId, Finish};
    use crate::interrupt::VectorId;
    use crate::tool::{CallOutcome, CallTimes, ToolId};

    fn event(number: u32) -> Event {
        let agent = AgentId { index: number as u16, generation: number };
        match number % 3 {
            0 => Event::Token { agent, address: number, token: number * 7, logit: 1.5, logprob: -0.25 },
            1 => Event::Spawned { agent, parent: None, tokens: number },
            _ => Event::StepEnded { step: u64::from(number), good: true, kernel_us: 0 },
        }
    }

    #[test]
    fn the_longest_record_fits_its_frame() {
        let agent = AgentId { index: u16::MAX, generation: u32::MAX };
        let (logit, logprob) = (f32::MIN, f32::MIN);
        let times =
            CallTimes { dispatch_us: u64::MAX, step_us: u64::MAX, device_us: u64::MAX, align_us: u64::MAX };
        let (number, outcome) = (u64::MAX, CallOutcome::Unknown);
        let longest = [
            Event::ToolOver { agent, number, outcome, attempts: u8::MAX, times },
            Event::ToolReturned { agent, number, outcome, tokens: u32::MAX, times },
            Event::ToolResumed { agent, number, times, encode_us: u64::MAX },
            Event::ToolRestored { agent, number, before: u64::MAX, tool: ToolId(u8::MAX), again: true },
            Event::Token { agent, address: u32::MAX, token: u32::MAX, logit, logprob },
            Event::Finished { agent, finish: Finish::Shutdown, generated: u64::MAX },
            Event::Spawned { agent, parent: Some(agent), tokens: u32::MAX },
            Event::Interrupt { vector: VectorId::Shutdown, agent: Some(agent), latency_us: u32::MAX },
            Event::StepBegun { step: u64::MAX, rows: u32::MAX, agents: u32::MAX },
        ];
        let frame_bytes = |event| {
            let record = Record { number: u64::MAX, at_us: u64::MAX, event };
            postcard::to_slice_cobs(&record, &mut [0; 2 * FRAME_BYTES]).unwrap().len()
        };
        assert_eq!(longest.map(frame_bytes).into_iter().max(), Some(FRAME_BYTES));
    }

    #[test]
    fn a_loss_is_told_once_and_the_numbers_continue() {
        let mut records = [VACANT_RECORD; 2];
        let mut ring = EventRing::new(&mut records);
        (0..5).for_each(|number| ring.push(u64::from(number), event(number)));
        let found: Vec<_> = core::iter::from_fn(|| ring.pop()).map(|one| (one.number, one.event)).collect();
        assert_eq!(found, [(2, Event::Lost { count: 3 }), (3, event(3)), (4, event(4))]);
    }

    #[test]
    fn a_damaged_frame_is_refused() {
        assert!(decode(&mut []).is_err());
        assert!(decode(&mut [3, 0xff, 0]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_lost_is_counted(acts in proptest::collection::vec(any::<bool>(), 0..100)) {
            let mut records = [VACANT_RECORD; 5];
            let mut ring = EventRing::new(&mut records);
            let (mut pushed, mut next) = (0u32, 0u64);
            for push in acts {
                if push {
                    ring.push(u64::from(pushed), event(pushed));
                    pushed += 1;
                } else if let Some(record) = ring.pop() {
                    match record.event {
                        Event::Lost { count } => next += count,
                        found => {
                            prop_assert_eq!((record.number, found), (next, event(next as u32)));
                            next += 1;
                        }
                    }
                }
            }
            let lost = u64::from(pushed) - next - ring.len() as u64;
            let told = ring.pop().map_or(0, |record| match record.event {
                Event::Lost { count } => count,
                _ => 0,
            });
            prop_assert_eq!(told, lost);
        }

        #[test]
        fn frames_read_back_as_they_were(count in 0u32..40, room in 0usize..400) {
            let mut records = [VACANT_RECORD; 16];
            let mut ring = EventRing::new(&mut records);
            (0..count).for_each(|number| ring.push(u64::from(number) * 1000, event(number)));
            let mut bytes = std::vec![0u8; room];
            let written = ring.drain_into(&mut bytes);
            let mut decoded: Vec<Record> = Vec::new();
            for frame in bytes[..written].split_inclusive_mut(|&byte| byte == 0) {
                decoded.push(decode(frame).unwrap());
            }
            while let Some(record) = ring.pop() {
                decoded.push(record);
            }
            let mut expected = EventRing::new(&mut records);
            (0..count).for_each(|number| expected.push(u64::from(number) * 1000, event(number)));
            let expected: Vec<Record> = core::iter::from_fn(|| expected.pop()).collect();
            prop_assert_eq!(decoded, expected);
        }
    }
}
