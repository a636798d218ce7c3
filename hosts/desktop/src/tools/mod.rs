//! Which tool an agent calls, and with what: choosing by likeness, and calls that always keep to their schema.
//!
//! * [`hidden`]: what a model makes of a text, in its middle layers.
//! * [`likeness`]: the tool whose known requests are most like a new one, and which layer tells best.
//! * [`call`]: grammars of calls.

pub mod call;
pub mod hidden;
pub mod likeness;
