//! The cognitive scheduler (paper §2.4): fixed priorities, strictly preemptive at step boundaries,
//! round robin inside a level by a quantum of rows.
//!
//! * [`ready`]: who can go on, most urgent first, in constant time.
//! * [`cost`]: how many rows a step may have to stay under its latency target.

pub mod cost;
pub mod ready;
