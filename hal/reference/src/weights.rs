//! Weights, in the bytes that the source gave; a row is decoded when it is used.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use agentos_hal::quant::dequantise;
use agentos_hal::{
    Budget, DType, ModelShape, PrepareError, Prepared, Resource, TensorInfo, WeightError, WeightId,
    WeightRole, WeightSource,
};

use crate::machine::room;

/// All tensors that the program names.
pub struct Weights {
    shape: ModelShape,
    tensors: BTreeMap<WeightId, (TensorInfo, Vec<u8>)>,
}

impl Weights {
    pub fn load(
        prepared: &Prepared,
        source: &mut dyn WeightSource,
        budget: &mut Budget,
    ) -> Result<Weights, PrepareError> {
        let mut weights = Weights { shape: prepared.shape, tensors: BTreeMap::new() };
        prepared.program.for_each_tensor(&prepared.shape, |id| {
            let info = id.describe(&prepared.shape, source, &DType::ALL)?;
            let length = info.bytes().ok_or(WeightError::Unreadable(id))?;
            let mut bytes = room(budget, Resource::WeightBytes, length)?;
            bytes.extend_from_slice(source.load(id)?.bytes);
            source.release(id);
            weights.tensors.insert(id, (info, bytes));
            Ok::<(), PrepareError>(())
        })?;
        Ok(weights)
    }

    /// Decodes one row of the tensor that an instruction means when it names a role in this layer.
    pub fn row(&self, role: WeightRole, layer: Option<u32>, row: usize, out: &mut Vec<f32>) {
        let (info, bytes) = &self.tensors[&role.in_layer(layer).stored(&self.shape)];
        let stride = bytes.len() / info.rows as usize;
        out.resize(info.cols as usize, 0.0);
        dequantise(info.dtype, &bytes[row * stride..][..stride], out);
    }
}
