//! Weights by role. Files name tensors with text; a host translates (text never comes here).

use crate::dtype::DType;
use crate::error::PrepareError;
use crate::quant::dequantise;
use crate::rope::MOST_PAIRS;
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

    /// It is a vector, one row by definition: a norm, a bias, the rotations' divisors.
    pub const fn is_vector(self) -> bool {
        use WeightRole::*;
        matches!(
            self,
            AttnNorm
                | FfnNorm
                | OutputNorm
                | QueryNorm
                | KeyNorm
                | QueryBias
                | KeyBias
                | ValueBias
                | RopeFactors
        )
    }

    /// The tensor that an instruction means when it names this role in a layer, or (`None`) outside of
    /// the layers.
    pub fn in_layer(self, layer: Option<u32>) -> WeightId {
        WeightId { role: self, layer: layer.filter(|_| self.per_layer()).unwrap_or(0) }
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

impl WeightId {
    /// The tensor that is stored: where the model ties them, the output projection is the embedding.
    pub fn stored(self, shape: &ModelShape) -> WeightId {
        match self.role {
            WeightRole::Output if shape.tied_embedding => WeightRole::TokenEmbedding.in_layer(None),
            _ => self,
        }
    }

    /// What the source says of this tensor, once that it has the size that the model calls for and a
    /// type that the device has kernels for (`Caps::dtypes`) is known.
    ///
    /// # Errors
    /// [`WeightError::Missing`], [`PrepareError::Dims`], [`WeightError::Unreadable`] when a row is no
    /// whole number of blocks, [`PrepareError::DType`].
    pub fn describe(
        self,
        shape: &ModelShape,
        source: &dyn WeightSource,
        dtypes: &[DType],
    ) -> Result<TensorInfo, PrepareError> {
        let info = source.describe(self).ok_or(WeightError::Missing(self))?;
        let (found, expected) = ((info.rows, info.cols), self.role.dims(shape));
        if found != expected {
            return Err(PrepareError::Dims { id: self, found, expected });
        }
        info.bytes().ok_or(WeightError::Unreadable(self))?;
        if !dtypes.contains(&info.dtype) {
            return Err(PrepareError::DType { id: self, dtype: info.dtype });
        }
        Ok(info)
    }
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

/// The divisors of the rotations' frequencies, one per pair ([`WeightRole::RopeFactors`]), read into
/// `buffer` and released; none where the model brings none.
///
/// # Errors
/// Those of [`WeightId::describe`] and of [`WeightSource::load`].
pub fn rope_factors<'b>(
    shape: &ModelShape,
    source: &mut dyn WeightSource,
    buffer: &'b mut [f32; MOST_PAIRS],
) -> Result<&'b [f32], PrepareError> {
    if !shape.rope.factors {
        return Ok(&[]);
    }
    let id = WeightRole::RopeFactors.in_layer(None);
    let info = id.describe(shape, source, &DType::ALL)?;
    let factors = &mut buffer[..info.cols as usize];
    dequantise(info.dtype, source.load(id)?.bytes, factors);
    source.release(id);
    Ok(factors)
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
