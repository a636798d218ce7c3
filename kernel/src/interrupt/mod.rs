//! Interrupts: what happens outside a step and must be acted upon (paper §2.3, table 2).
//!
//! * [`VectorId`], [`VECTORS`]: what may happen, and how urgent it is.
//! * [`Interrupts`]: where any thread or interrupt handler posts, and the kernel takes the most urgent
//!   first.
//!
//! What the kernel does about a vector is its own business, in `system`.

mod counts;
mod pending;
mod queue;
mod vector;

#[cfg(test)]
mod tests;

pub use counts::VectorStats;
pub use pending::{Delivered, Interrupts, Posted, QueueFull};
pub use queue::QUEUE_DEPTH;
pub use vector::{Urgency, VECTORS, VectorId, VectorInfo};
