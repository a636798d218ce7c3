//! What can go wrong with a sequence.

use agentos_hal::{DeviceError, MaskError, SubmitError};

/// What a sequence may run short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Tokens of context.
    Context,
    /// Slices that a step can map.
    Slices,
    /// Pages that a step can map.
    Mapped,
    /// Free pages of page memory.
    Pages,
}

impl core::fmt::Display for Room {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Room::Context => "the context is full",
            Room::Slices => "a step cannot map more slices",
            Room::Mapped => "a step cannot map more pages",
            Room::Pages => "page memory is full",
        })
    }
}

/// Why a sequence cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceError {
    /// A limit or a table has length 0; at least 1 is needed.
    Empty {
        /// The limit or table.
        what: &'static str,
    },
    /// A token is not in the vocabulary. Nothing was taken.
    Token {
        /// Its index among those pushed.
        index: usize,
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// There is no room for all tokens pushed. Nothing was taken.
    Full {
        /// What there is too little of.
        room: Room,
        /// How many tokens were pushed.
        pushed: usize,
        /// How many of them, from the first, would fit.
        fits: usize,
    },
    /// The device refuses the step. The next tick tries again.
    Submit(SubmitError),
    /// The device refuses the mask of the step under way. It waits for another.
    Mask(MaskError),
    /// The device failed. The next tick computes the same rows again.
    Device(DeviceError),
}

impl core::fmt::Display for SequenceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SequenceError::Empty { what } => write!(f, "no room for {what}; at least 1 is needed"),
            SequenceError::Token { index, token, vocab } => {
                write!(f, "token {token} at index {index} is not in the vocabulary of {vocab} tokens")
            }
            SequenceError::Full { room, pushed, fits } => {
                write!(f, "{room}: {pushed} tokens were to be added; {fits} would fit")
            }
            SequenceError::Submit(error) => write!(f, "the device refused a step: {error}"),
            SequenceError::Mask(error) => write!(f, "the device refused a mask: {error}"),
            SequenceError::Device(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SequenceError {}
