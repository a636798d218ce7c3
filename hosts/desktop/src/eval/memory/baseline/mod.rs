//! Policies of others, to compare the kernel's with: they decide outside of it, by what a device shows of every row, and
//! drive the device with steps of their own.
//!
//! * [`h2o`]: heavy hitters, token by token, in every head its own. [`quest`]: pages by their least and greatest keys.
//! * `machine`: a device, and what a step shows. `copy`: keys and values outside of it. `attention`: who takes how much.

mod attention;
mod copy;
pub mod h2o;
mod machine;
pub mod quest;

use crate::bench::BenchError;
pub use machine::Told;

/// What is asked of the tokens that are read.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// Nothing.
    Nothing,
    /// How probable each token but the first is, given all before it.
    Scores,
    /// What follows the last token, among those whose bits are set.
    Next(&'a [u32]),
}

impl Asked<'_> {
    /// What is asked of a step: only the last one's end is the end of all tokens.
    fn of_step(self, is_last: bool) -> Self {
        if is_last || matches!(self, Asked::Scores) { self } else { Asked::Nothing }
    }
}

/// A policy at work on one context.
pub trait Baseline {
    /// Reads tokens behind those that were read before.
    ///
    /// # Errors
    /// What the device says.
    fn read(&mut self, tokens: &[u32], asked: Asked<'_>) -> Result<Vec<Told>, BenchError>;

    /// Remembers this place of the context.
    fn mark(&mut self);

    /// Goes back to the place that was remembered last.
    ///
    /// # Errors
    /// What the device says.
    fn go_back(&mut self) -> Result<(), BenchError>;
}
