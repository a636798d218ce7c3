//! How much a text changes at the ends of its slices: the tokens before an end against as many after it.
//!
//! * [`rows`]: by the direction of hidden rows. What our own rule goes by.
//! * [`scalar`]: by the mean of a number, such as the density.
//! * [`attention`]: by how much the tokens after look back over it.
//!
//! Each waits for the tokens after an end, so that ends are scored in order and a window's length late.

pub mod attention;
pub mod rows;
pub mod scalar;

use heapless::Deque;

use super::ends::{End, Ends};

/// The longest window, in tokens.
pub const MOST_WINDOW: usize = 64;

/// Ends that can wait: slices are of one token at least, but no host has them so short.
const MOST_WAITING: usize = MOST_WINDOW + 4;

/// Ends that wait for the tokens after them.
#[derive(Debug, Default)]
struct Waiting {
    ends: Deque<End, MOST_WAITING>,
}

impl Waiting {
    /// An end that was told after `seen` tokens.
    fn add(&mut self, end: End, seen: u32) {
        assert!(end.at <= seen, "an end is told when it is there");
        assert!(self.ends.push_back(end).is_ok(), "an end leaves when its window is full");
    }

    /// The first end, if a window of tokens follows it now.
    fn ripe(&mut self, seen: u32, window: u32) -> Option<End> {
        let first = self.ends.front()?;
        if seen < first.at + window { None } else { self.ends.pop_front() }
    }

    /// The next of the ends whose window will not be full, when no more tokens come. The end of all is none.
    fn rest(&mut self, seen: u32) -> Option<End> {
        self.ends.pop_front().filter(|end| end.at < seen)
    }
}

/// Fewest tokens of a window that say what it is about.
const fn enough(window: u32) -> u32 {
    window.div_ceil(2)
}

/// Refuses a window that no measure has room for, or that is over before its end is told.
fn check_window(window: u32) {
    let fits = window >= 2 * Ends::LATEST && window as usize <= MOST_WINDOW;
    assert!(fits, "a window has {} to {MOST_WINDOW} tokens", 2 * Ends::LATEST);
}
