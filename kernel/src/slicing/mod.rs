//! What slices mean: where one topic ends and the next begins, and what finds a slice when its pages are gone.
//!
//! The physical slices are a pure function of the tokens ([`crate::layout`]) and never move. Topics are runs of
//! them, found later from what the device counted, and nothing but metadata:
//!
//! * [`ends`]: the ends of slices, and what else ends there. Structure comes first.
//! * [`shift`]: how much the text changes at an end: of hidden rows, of the density, of attention.
//! * [`topics`]: which ends are boundaries: thresholds, hysteresis, bounds on a topic's length.
//! * [`density`]: the paper's density of contextual information, and its boundary rule as it stands.
//! * [`simhash`]: 64 bits of what a slice is about, so that near-duplicates are found.
//! * [`schema`]: a slice's entry in an index: mean key, heaviest tokens, pooled hidden row.
//!
//! All of it runs as tokens come, in bounded state that the caller lends, and comes to the same result however
//! they come.

pub mod density;
pub mod ends;
pub mod schema;
pub mod shift;
pub mod simhash;
pub mod topics;

/// A slice's end, and how much the text changes there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The end.
    pub end: ends::End,
    /// The change; higher is more. Its scale is the measure's own.
    pub score: f32,
}
