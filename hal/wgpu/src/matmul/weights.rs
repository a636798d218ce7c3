//! A weight matrix in device memory, in as many parts as its binding limit calls for.

use agentos_hal::{PrepareError, Resource, Tensor, TensorInfo};

use super::format::{LANES, format_of};
use super::pack::pack_strips;
use crate::gpu::Gpu;

/// Words that are packed and handed to the queue at a time.
const STAGED_WORDS: usize = 1 << 20;

/// Outputs of a part: the fewest that a workgroup of any kernel covers, times the workgroups that a dispatch
/// may have in one direction on every device.
const MOST_OUTPUTS: u64 = 8 * 65_535;

/// A matrix, or an embedding, as the kernels read it (see [`super::format`]). Or two matrices of one type and
/// size, woven strip by strip: the first strip of the one, the first of the other, the second of the one.
pub struct Weights {
    /// Type and size, of each.
    pub(super) info: TensorInfo,
    /// Matrices: 1 or 2.
    pub(super) woven: u32,
    /// Consecutive runs of outputs.
    pub(super) parts: Vec<Part>,
}

/// A run of a matrix's outputs.
pub(super) struct Part {
    /// Its strips.
    pub buffer: wgpu::Buffer,
    /// The first output.
    pub first: u32,
    /// Outputs, of each matrix.
    pub outputs: u32,
}

impl Weights {
    /// Bytes that the tensor will take; `None` when a row is no whole number of blocks.
    pub fn bytes(_limits: &wgpu::Limits, info: &TensorInfo) -> Option<u64> {
        info.bytes()?;
        Some(4 * strip_words(info) * u64::from(info.rows.div_ceil(LANES)))
    }

    /// Packs a tensor whose description says as many bytes as it has, and sends it to the device.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`] when not even one strip of outputs fits a binding.
    pub fn load(gpu: &Gpu, tensor: &Tensor<'_>) -> Result<Weights, PrepareError> {
        let weights = Weights::room(gpu, tensor.info, 1)?;
        weights.fill(gpu, 0, tensor);
        Ok(weights)
    }

    /// Room for two matrices, for [`Weights::fill`] to fill.
    ///
    /// # Errors
    /// As [`Weights::load`], for a strip of each.
    pub fn woven(gpu: &Gpu, info: TensorInfo) -> Result<Weights, PrepareError> {
        Weights::room(gpu, info, 2)
    }

    fn room(gpu: &Gpu, info: TensorInfo, woven: u32) -> Result<Weights, PrepareError> {
        let strip_bytes = 4 * strip_words(&info) * u64::from(woven);
        let strips = strips_of_part(&gpu.limits, strip_bytes)?;
        let mut parts = Vec::new();
        for first in (0..info.rows).step_by((strips * LANES) as usize) {
            let outputs = (info.rows - first).min(strips * LANES);
            let bytes = strip_bytes * u64::from(outputs.div_ceil(LANES));
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            parts.push(Part { buffer: gpu.buffer(Resource::WeightBytes, bytes, usage)?, first, outputs });
        }
        Ok(Weights { info, woven, parts })
    }

    /// Packs the tensor that is to be matrix number `which`, and sends it to the device.
    ///
    /// # Panics
    /// When the tensor is not of the type and size that room was made for.
    pub fn fill(&self, gpu: &Gpu, which: u32, tensor: &Tensor<'_>) {
        assert_eq!((tensor.info, which < self.woven), (self.info, true), "what room was made for");
        let words = strip_words(&self.info) as usize;
        let mut staged = vec![0; (STAGED_WORDS / words).max(1) * words];
        for part in &self.parts {
            let (first, strips) = ((part.first / LANES) as usize, part.outputs.div_ceil(LANES) as usize);
            for from in (0..strips).step_by(staged.len() / words) {
                let end = staged.len().min((strips - from) * words);
                let staged = &mut staged[..end];
                pack_strips(tensor, first + from, words, staged);
                // Strips of one matrix are neighbours where there is only one.
                let run = if self.woven == 1 { staged.len() } else { words };
                for (nth, run) in staged.chunks(run).enumerate() {
                    let at = ((from + nth) * self.woven as usize + which as usize) * words;
                    gpu.queue.write_buffer(&part.buffer, 4 * at as u64, bytemuck::cast_slice(run));
                }
                // Staging memory is given back when a submission is done, and not before.
                gpu.queue.submit([]);
            }
        }
    }
}

const fn strip_words(info: &TensorInfo) -> u64 {
    format_of(info.dtype).strip_words(info.cols)
}

/// Strips that a part may have, of each matrix; `strip_bytes` are those of all.
fn strips_of_part(limits: &wgpu::Limits, strip_bytes: u64) -> Result<u32, PrepareError> {
    let most_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    if strip_bytes > most_bytes {
        let what = Resource::BindingBytes;
        return Err(PrepareError::TooLarge { what, needed: strip_bytes, available: most_bytes });
    }
    Ok((most_bytes / strip_bytes).min(MOST_OUTPUTS / u64::from(LANES)) as u32)
}

impl Part {
    /// Columns of all matrices, those that fill up the last strips included where there are two.
    pub fn columns(&self, woven: u32) -> u32 {
        if woven == 1 { self.outputs } else { self.outputs.next_multiple_of(LANES) * woven }
    }
}
