//! Weights in device memory, in the blocks that the source gave.

use std::collections::BTreeMap;

use agentos_hal::{
    DType, ModelShape, PrepareError, Prepared, Resource, WeightError, WeightId, WeightRole, WeightSource,
};

use crate::driver::Memory;
use crate::machine::{BLOCK, Maker, lost};

/// A tensor; a row is a whole number of 32 elements.
pub struct Tensor {
    pub dtype: DType,
    pub row_bytes: u32,
    pub bytes: Memory<u8>,
}

/// All tensors that the program names.
pub struct Weights {
    shape: ModelShape,
    tensors: BTreeMap<WeightId, Tensor>,
}

impl Weights {
    pub fn load(
        prepared: &Prepared,
        source: &mut dyn WeightSource,
        maker: &mut Maker<'_>,
    ) -> Result<Weights, PrepareError> {
        let mut weights = Weights { shape: prepared.shape, tensors: BTreeMap::new() };
        prepared.program.for_each_tensor(&prepared.shape, |id| {
            let info = id.describe(&prepared.shape, source, &DType::ALL)?;
            let unreadable = WeightError::Unreadable(id);
            let found = info.dtype.bytes(info.cols.into()).ok_or(unreadable)? as usize;
            let padded = u64::from(info.cols).next_multiple_of(BLOCK.into());
            let row_bytes = info.dtype.bytes(padded).ok_or(unreadable)? as usize;
            let mut bytes = maker.memory(Resource::WeightBytes, [info.rows as usize, row_bytes])?;
            let tensor = source.load(id)?;
            let rows = if found == row_bytes { tensor.bytes.len() } else { found };
            for (row, data) in tensor.bytes.chunks_exact(rows).enumerate() {
                maker.queue.write(&mut bytes, row * row_bytes, data).map_err(lost)?;
            }
            source.release(id);
            weights.tensors.insert(id, Tensor { dtype: info.dtype, row_bytes: row_bytes as u32, bytes });
            Ok::<(), PrepareError>(())
        })?;
        Ok(weights)
    }

    /// The tensor that an instruction means when it names a role in this layer.
    pub fn get(&self, role: WeightRole, layer: Option<u32>) -> &Tensor {
        &self.tensors[&role.in_layer(layer).stored(&self.shape)]
    }
}
