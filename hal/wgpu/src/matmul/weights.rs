//! A weight matrix in device memory, in as many parts as its binding limit calls for.

use agentos_hal::{PrepareError, Resource, Tensor, TensorInfo};

use super::format::{LANES, format_of};
use super::pack::pack_strip;
use crate::gpu::Gpu;

/// Words that are packed and handed to the queue at a time.
const STAGED_WORDS: usize = 1 << 20;

/// The fewest outputs that a workgroup of any kernel covers, times the workgroups that a dispatch may have
/// in one direction on every device.
const MOST_OUTPUTS: u64 = 16 * 65_535;

/// A matrix, or an embedding, as the kernels read it (see [`super::format`]).
pub struct Weights {
    /// Type and size.
    pub(super) info: TensorInfo,
    /// Consecutive runs of outputs.
    pub(super) parts: Vec<Part>,
}

/// A run of a matrix's outputs.
pub(super) struct Part {
    /// Its strips.
    pub buffer: wgpu::Buffer,
    /// The first output.
    pub first: u32,
    /// Outputs.
    pub outputs: u32,
}

impl Weights {
    /// Bytes that the tensor will take; `None` when a row is no whole number of blocks, or a strip of outputs
    /// does not fit a binding.
    pub fn bytes(limits: &wgpu::Limits, info: &TensorInfo) -> Option<u64> {
        info.bytes()?;
        strips_of_part(limits, info).ok()?;
        Some(4 * strip_words(info) * u64::from(info.rows.div_ceil(LANES)))
    }

    /// Packs a tensor whose description says as many bytes as it has, and sends it to the device.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`] when not even one strip of outputs fits a binding.
    pub fn load(gpu: &Gpu, tensor: &Tensor<'_>) -> Result<Weights, PrepareError> {
        let info = tensor.info;
        let strips = strips_of_part(&gpu.limits, &info)?;
        let mut parts = Vec::new();
        for first in (0..info.rows).step_by((strips * LANES) as usize) {
            let outputs = (info.rows - first).min(strips * LANES);
            let bytes = 4 * strip_words(&info) * u64::from(outputs.div_ceil(LANES));
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let part = Part { buffer: gpu.buffer(Resource::WeightBytes, bytes, usage)?, first, outputs };
            fill(&gpu.queue, &part, tensor);
            parts.push(part);
        }
        Ok(Weights { info, parts })
    }
}

const fn strip_words(info: &TensorInfo) -> u64 {
    format_of(info.dtype).strip_words(info.cols)
}

/// Strips of outputs that a part may have.
fn strips_of_part(limits: &wgpu::Limits, info: &TensorInfo) -> Result<u32, PrepareError> {
    let strip_bytes = 4 * strip_words(info);
    let most_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    if strip_bytes > most_bytes {
        let what = Resource::BindingBytes;
        return Err(PrepareError::TooLarge { what, needed: strip_bytes, available: most_bytes });
    }
    Ok((most_bytes / strip_bytes).min(MOST_OUTPUTS / u64::from(LANES)) as u32)
}

fn fill(queue: &wgpu::Queue, part: &Part, tensor: &Tensor<'_>) {
    let strip_words = strip_words(&tensor.info) as usize;
    let first = part.first / LANES;
    let strips = part.outputs.div_ceil(LANES);
    let at_once = (STAGED_WORDS / strip_words).clamp(1, strips as usize);
    let mut staged = vec![0; at_once * strip_words];
    for from in (0..strips).step_by(at_once) {
        let count = at_once.min((strips - from) as usize);
        for (strip, out) in (from..strips).zip(staged[..count * strip_words].chunks_exact_mut(strip_words)) {
            pack_strip(tensor, first + strip, out);
        }
        let bytes = bytemuck::cast_slice(&staged[..count * strip_words]);
        queue.write_buffer(&part.buffer, 4 * u64::from(from) * strip_words as u64, bytes);
        // Staging memory is given back when a submission is done, and not before.
        queue.submit([]);
    }
}
