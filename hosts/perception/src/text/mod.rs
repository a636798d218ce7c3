//! Bytes to text in which everything can be seen: [`charset`] finds the characters, [`visible`] shows them.

pub mod charset;
pub mod visible;

pub use charset::{Decoded, decode};
pub use visible::{Hidden, Shown, hidden, visible};

/// As many of the bytes as fit, ending with a whole character where they are UTF-8.
#[must_use]
pub fn capped(bytes: &[u8], limit: usize) -> &[u8] {
    if bytes.len() <= limit {
        return bytes;
    }
    // A character has four bytes at most, and all but the first begin with the bits 10.
    let continues = |at: &usize| bytes[*at] & 0b1100_0000 == 0b1000_0000;
    let back = (limit.saturating_sub(3)..=limit).rev().find(|at| !continues(at));
    &bytes[..back.unwrap_or(limit)]
}
