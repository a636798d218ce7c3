//! Weights in device memory, and everything that multiplies with them.
//!
//! Weights stay quantised (see [`format`]); a kernel unpacks them in registers. Every output is one sum in one
//! order, whatever the number of rows: a chain of fused multiply-adds over each chunk of 32 inner elements,
//! or whatever `link/` makes of it where inputs are rounded, and the chunks' sums one after the other. That
//! order leaves room for both kinds of devices and both kinds of steps: chunks can be spread over invocations
//! where rows are few, and be summed in registers where a tile of rows shares the unpacked weights. So kernels
//! and their sizes are chosen for speed alone.

mod format;
mod kernel;

mod bound;
mod pack;
mod source;
#[cfg(test)]
mod tests;
mod weights;

pub use bound::{Input, Lookup, MOST_STACKED, MatMul, Weighing, narrow_bytes, squares_bytes};
pub use weights::Weights;

/// Which of the step's counts is the number of rows of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCount {
    /// The rows of the step.
    Rows,
    /// The rows that want an outcome.
    Wants,
}
