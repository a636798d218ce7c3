//! Weights by role. Files name tensors with text; a host translates (text never comes here).

use crate::dtype::DType;
use crate::shape::ModelShape;

/// What a weight tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WeightRole {
    /// Token embedding, `vocab` × `width`.
    TokenEmbedding,
    /// One frequency divisor per rotated pair, `rope.dims / 2`.
    RopeFactors,
    /// Norm before attention, `width`.
    AttnNorm,
    /// Query projection, `query_width` × `width`.
    Query,
    /// Bias of the query projection, `query_width`.
    QueryBias,
    /// Key projection, `kv_width` × `width`.
    Key,
    /// Bias of the key projection, `kv_width`.
    KeyBias,
    /// Value projection, `kv_width` × `width`.
    Value,
    /// Bias of the value projection, `kv_width`.
    ValueBias,
    /// Norm of each query head, `head_dim`.
    QueryNorm,
    /// Norm of each key head, `head_dim`.
    KeyNorm,
    /// Attention's output projection, `width` × `query_width`.
    AttnOutput,
    /// Norm before the feed-forward part, `width`.
    FfnNorm,
    /// Gate projection, `ffn` × `width`.
    FfnGate,
    /// Up projection, `ffn` × `width`.
    FfnUp,
    /// Down projection, `width` × `ffn`.
    FfnDown,
    /// Norm before the output projection, `width`.
    OutputNorm,
    /// Output projection, `vocab` × `width`; the token embedding where the model ties them.
    Output,
}

impl WeightRole {
    /// Every layer has its own (as against one for the whole model).
    pub const fn per_layer(self) -> bool {
        !matches!(
            self,
            WeightRole::TokenEmbedding
                | WeightRole::RopeFactors
                | WeightRole::OutputNorm
                | WeightRole::Output
        )
    }

    /// Rows and columns that the model's shape implies. A vector is one row.
    pub const fn dims(self, shape: &ModelShape) -> (u32, u32) {
        match self {
            WeightRole::TokenEmbedding | WeightRole::Output => (shape.vocab, shape.width),
            WeightRole::RopeFactors => (1, shape.rope.dims / 2),
            WeightRole::AttnNorm | WeightRole::FfnNorm | WeightRole::OutputNorm => (1, shape.width),
            WeightRole::Query => (shape.query_width(), shape.width),
            WeightRole::QueryBias => (1, shape.query_width()),
            WeightRole::Key | WeightRole::Value => (shape.kv_width(), shape.width),
            WeightRole::KeyBias | WeightRole::ValueBias => (1, shape.kv_width()),
            WeightRole::QueryNorm | WeightRole::KeyNorm => (1, shape.head_dim),
            WeightRole::AttnOutput => (shape.width, shape.query_width()),
            WeightRole::FfnGate | WeightRole::FfnUp => (shape.ffn, shape.width),
            WeightRole::FfnDown => (shape.width, shape.ffn),
        }
    }
}

/// One tensor of the model: a role, and the layer it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WeightId {
    /// What it is for.
    pub role: WeightRole,
    /// The layer; 0 for roles that are not per layer.
    pub layer: u32,
}

impl core::fmt::Display for WeightId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.role.per_layer() {
            write!(f, "{:?} of layer {}", self.role, self.layer)
        } else {
            write!(f, "{:?}", self.role)
        }
    }
}

/// Type and size of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Element type.
    pub dtype: DType,
    /// Rows (outputs of a projection); 1 for a vector.
    pub rows: u32,
    /// Columns (inputs of a projection, contiguous in memory).
    pub cols: u32,
}

impl TensorInfo {
    /// Bytes of the tensor; `None` when a row is no whole number of blocks.
    pub const fn bytes(&self) -> Option<u64> {
        match self.dtype.bytes(self.cols as u64) {
            Some(row) => row.checked_mul(self.rows as u64),
            None => None,
        }
    }
}

/// A tensor's description and bytes, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Type and size.
    pub info: TensorInfo,
    /// Exactly `info.bytes()` bytes, at any alignment.
    pub bytes: &'a [u8],
}

/// Where a device gets its weights from, during `prepare` only.
pub trait WeightSource {
    /// Type and size of a tensor, without touching its bytes; `None` if the model has none.
    fn describe(&self, id: WeightId) -> Option<TensorInfo>;

    /// The tensor itself. An implementation has checked that the bytes are as long as the
    /// description says.
    ///
    /// # Errors
    /// [`WeightError::Missing`], [`WeightError::Unreadable`].
    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError>;

    /// The device holds its own copy of the tensor now and will not ask again: the source may drop
    /// the memory behind it.
    fn release(&mut self, id: WeightId);
}

/// Why a tensor could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WeightError {
    /// The model has no such tensor.
    Missing(WeightId),
    /// The tensor's bytes cannot be read.
    Unreadable(WeightId),
}

impl core::fmt::Display for WeightError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            WeightError::Missing(id) => write!(f, "the model has no tensor for {id}"),
            WeightError::Unreadable(id) => write!(f, "the tensor for {id} cannot be read"),
        }
    }
}

impl core::error::Error for WeightError {}
