//! The sizes of a model, as numbers: everything that a device must know of it besides its weights.

use crate::op::Reg;
use crate::rope::Rope;

/// The sizes of a decoder-only transformer with grouped-query attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelShape {
    /// Transformer layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Width of the gated feed-forward part.
    pub ffn: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; divides `heads`.
    pub kv_heads: u32,
    /// Width of one head.
    pub head_dim: u32,
    /// Tokens in the vocabulary.
    pub vocab: u32,
    /// The longest context the model was trained for, in tokens.
    pub context: u32,
    /// Added to the mean square inside every RMS norm.
    pub norm_eps: f32,
    /// Rotary position embedding.
    pub rope: Rope,
    /// The output projection is the token embedding.
    pub tied_embedding: bool,
}

impl ModelShape {
    /// Width of the query register, and of the attention output.
    pub const fn query_width(&self) -> u32 {
        self.heads * self.head_dim
    }

    /// Width of the key and of the value register.
    pub const fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_dim
    }

    /// Query heads that share one key/value head.
    pub const fn group(&self) -> u32 {
        self.heads / self.kv_heads
    }

    /// Words of a token mask: one bit per token.
    pub const fn mask_words(&self) -> usize {
        self.vocab.div_ceil(32) as usize
    }

    /// Elements of a row of the widest register.
    pub fn widest(&self) -> u32 {
        Reg::ALL.iter().map(|reg| reg.width(self)).max().unwrap_or(0)
    }

    /// Checks that the sizes belong together and are small enough that no product of two of them
    /// overflows 32 bits.
    ///
    /// # Errors
    /// The first [`ShapeError`] found.
    pub fn check(&self) -> Result<(), ShapeError> {
        for (name, value, most) in [
            ("layers", self.layers, MOST_LAYERS),
            ("width", self.width, MOST_WIDTH),
            ("ffn", self.ffn, MOST_FFN),
            ("heads", self.heads, MOST_HEADS),
            ("kv_heads", self.kv_heads, MOST_HEADS),
            ("head_dim", self.head_dim, MOST_HEAD_DIM),
            ("vocab", self.vocab, MOST_VOCAB),
            ("context", self.context, MOST_CONTEXT),
        ] {
            if value == 0 || value > most {
                return Err(ShapeError::OutOfRange { name, value: u64::from(value), most: u64::from(most) });
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(ShapeError::Heads { heads: self.heads, kv_heads: self.kv_heads });
        }
        if !(self.norm_eps.is_finite() && self.norm_eps >= 0.0) {
            return Err(ShapeError::NormEps);
        }
        self.rope.check(self.head_dim)
    }
}

const MOST_LAYERS: u32 = 1 << 10;
const MOST_WIDTH: u32 = 1 << 16;
const MOST_FFN: u32 = 1 << 18;
const MOST_HEADS: u32 = 1 << 9;
/// The widest head that [`ModelShape::check`] accepts.
pub const MOST_HEAD_DIM: u32 = 1 << 10;
const MOST_VOCAB: u32 = 1 << 21;
const MOST_CONTEXT: u32 = 1 << 24;

/// Why a [`ModelShape`] is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ShapeError {
    /// A size is zero or implausibly large.
    OutOfRange {
        /// The field.
        name: &'static str,
        /// What it says.
        value: u64,
        /// The largest value that is accepted; the smallest is 1.
        most: u64,
    },
    /// The number of query heads is no multiple of the number of key/value heads.
    Heads {
        /// Query heads.
        heads: u32,
        /// Key/value heads.
        kv_heads: u32,
    },
    /// The norm's epsilon is negative or not a number.
    NormEps,
    /// The rotary embedding's dimensions are odd or more than the head has.
    RopeDims {
        /// Rotated dimensions.
        dims: u32,
        /// The head's width.
        head_dim: u32,
    },
    /// The rotary embedding's base or scaling is not a positive finite number.
    RopeScale,
}

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ShapeError::OutOfRange { name, value, most } => {
                write!(f, "the model's {name} is {value}; 1 to {most} is supported")
            }
            ShapeError::Heads { heads, kv_heads } => {
                write!(f, "{heads} query heads cannot be shared evenly by {kv_heads} key/value heads")
            }
            ShapeError::NormEps => f.write_str("the norm's epsilon must be a finite number of at least 0"),
            ShapeError::RopeDims { dims, head_dim } => write!(
                f,
                "rotary embedding over {dims} dimensions; an even number of at most the head's {head_dim} would fit"
            ),
            ShapeError::RopeScale => {
                f.write_str("the rotary embedding's base and scaling must be positive finite numbers")
            }
        }
    }
}

impl core::error::Error for ShapeError {}
