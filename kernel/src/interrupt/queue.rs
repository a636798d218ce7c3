//! A bounded queue that any thread or interrupt handler may put into and take from, without locks.
//!
//! Each place is claimed on its own. A thread that is stopped while it writes keeps one place busy and
//! holds nobody up, which a ring with a shared tail cannot promise.

use core::sync::atomic::{AtomicU32, Ordering::*};

use super::{Posted, VectorId};
use crate::agent::AgentId;

/// Interrupts of one vector that can wait for delivery.
pub const QUEUE_DEPTH: usize = 32;

/// What a place is.
const EMPTY: u32 = 0;
const BUSY: u32 = 1;
const FULL: u32 = 2;

/// Ticket, agent's slot (or none), its generation, payload and time, two words each.
const WORDS: usize = 7;
const NO_AGENT: u32 = u32::MAX;

struct Place {
    state: AtomicU32,
    words: [AtomicU32; WORDS],
}

pub(super) struct Queue {
    places: [Place; QUEUE_DEPTH],
    /// Counts what was put, so that the oldest can be told.
    tickets: AtomicU32,
}

impl Place {
    const fn new() -> Place {
        Place { state: AtomicU32::new(EMPTY), words: [const { AtomicU32::new(0) }; WORDS] }
    }

    /// Makes the place busy if it is what it should be.
    fn claim(&self, state: u32) -> bool {
        self.state.compare_exchange(state, BUSY, Acquire, Relaxed).is_ok()
    }

    fn write(&self, ticket: u32, posted: &Posted) {
        let (slot, generation) = match posted.agent {
            Some(agent) => (u32::from(agent.index), agent.generation),
            None => (NO_AGENT, 0),
        };
        let (payload, at_us) = (posted.payload, posted.at_us);
        let words = [
            ticket,
            slot,
            generation,
            payload as u32,
            (payload >> 32) as u32,
            at_us as u32,
            (at_us >> 32) as u32,
        ];
        for (place, word) in self.words.iter().zip(words) {
            place.store(word, Relaxed);
        }
    }

    fn read(&self, vector: VectorId) -> Posted {
        let word = |at: usize| self.words[at].load(Relaxed);
        let agent = (word(1) != NO_AGENT).then(|| AgentId { index: word(1) as u16, generation: word(2) });
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 1)) << 32;
        Posted { vector, agent, payload: long(3), at_us: long(5) }
    }
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue { places: [const { Place::new() }; QUEUE_DEPTH], tickets: AtomicU32::new(0) }
    }

    /// Whether there was a place left.
    pub(super) fn put(&self, posted: &Posted) -> bool {
        let Some(place) = self.places.iter().find(|place| place.claim(EMPTY)) else { return false };
        // Who sees this ticket sees what its source put before.
        place.write(self.tickets.fetch_add(1, AcqRel), posted);
        place.state.store(FULL, Release);
        true
    }

    /// The oldest of those that are whole; those put by one source come in its order.
    pub(super) fn take(&self, vector: VectorId) -> Option<Posted> {
        loop {
            let place = self.oldest()?;
            // Another taker may have been faster.
            if place.claim(FULL) {
                let posted = place.read(vector);
                place.state.store(EMPTY, Release);
                return Some(posted);
            }
        }
    }

    fn oldest(&self) -> Option<&Place> {
        let next = self.tickets.load(Acquire);
        let full = |place: &&Place| place.state.load(Acquire) == FULL;
        // Tickets wrap around: the oldest is the one farthest behind. One that is not behind was put
        // while we look; an older one of its source may lie where we have looked already.
        let age = |place: &Place| next.wrapping_sub(place.words[0].load(Relaxed)).cast_signed();
        let ages = self.places.iter().filter(full).map(|place| (age(place), place));
        let (_, place) = ages.filter(|&(age, _)| age > 0).max_by_key(|&(age, _)| age)?;
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_an_interrupt_comes_back() {
        let queue = Queue::new();
        let vector = VectorId::Timer;
        let agent = Some(AgentId { index: u16::MAX, generation: u32::MAX });
        let long = 0x0123_4567_89ab_cdef;
        for posted in [
            Posted { vector, agent, payload: long, at_us: !long },
            Posted { vector, agent: None, payload: u64::MAX, at_us: 0 },
        ] {
            assert!(queue.put(&posted));
            assert_eq!(queue.take(vector), Some(posted));
        }
    }

    #[test]
    fn order_survives_the_wrapping_of_tickets() {
        let queue = Queue::new();
        queue.tickets.store(u32::MAX - 2, Relaxed);
        let posted = |payload| Posted { vector: VectorId::Ipc, agent: None, payload, at_us: 0 };
        (0..6).for_each(|payload| assert!(queue.put(&posted(payload))));
        (0..6).for_each(|payload| assert_eq!(queue.take(VectorId::Ipc), Some(posted(payload))));
        assert_eq!(queue.take(VectorId::Ipc), None);
    }

    #[test]
    fn one_who_is_stopped_while_writing_holds_nobody_up() {
        let queue = Queue::new();
        assert!(queue.places[0].claim(EMPTY));
        queue.tickets.fetch_add(1, Relaxed);
        let posted = |payload| Posted { vector: VectorId::Ipc, agent: None, payload, at_us: 0 };
        for payload in 0..100 {
            assert!(queue.put(&posted(payload)));
            assert_eq!(queue.take(VectorId::Ipc), Some(posted(payload)));
        }
    }
}
