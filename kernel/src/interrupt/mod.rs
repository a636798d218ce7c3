//! Interrupts: what happens outside a step and must be acted upon (paper §2.3, table 2).

mod vector;

pub use vector::VectorId;
