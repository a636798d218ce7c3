//! Which tool is meant: choosing by likeness.
//!
//! * [`hidden`]: what a model makes of a text, in its middle layers.
//! * [`likeness`]: the tool whose known requests are most like a new one, and which layer tells best.

pub mod hidden;
pub mod likeness;
