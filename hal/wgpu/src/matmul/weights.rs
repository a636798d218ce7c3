//! Weight matrices in device memory, in as many parts as a binding limit calls for.

use agentos_hal::{DType, PrepareError, Resource, Tensor, TensorInfo};

use super::format::{LANES, format_of};
use super::pack::pack_strips;
use crate::gpu::Gpu;
use crate::shelf::{Shelf, Slot};

/// Words that are packed and handed to the queue at a time.
const STAGED_WORDS: usize = 1 << 20;

/// Outputs of a part: the fewest that a workgroup of any kernel covers, times the workgroups that a dispatch
/// may have in one direction on every device.
const MOST_OUTPUTS: u64 = 8 * 65_535;

/// How the strips of several matrices lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// All strips of a matrix, then those of the next. There is one part, or one matrix.
    Stacked,
    /// The first strip of each of two matrices of one size, then the second of each.
    Woven,
}

/// One matrix or embedding, as the kernels read it (see [`super::format`]); or a few of one type and width that
/// one dispatch multiplies with.
pub struct Weights {
    /// Type and size of each.
    pub(super) matrices: Vec<TensorInfo>,
    pub(super) order: Order,
    /// Consecutive runs of outputs.
    pub(super) parts: Vec<Part>,
}

/// A run of outputs.
pub(super) struct Part {
    /// Its strips.
    pub slot: Slot,
    /// The first output.
    pub first: u32,
    /// Outputs of the only matrix, or of each woven one; of stacked ones, the columns of their strips.
    pub outputs: u32,
}

impl Weights {
    /// Bytes that the tensor will take; `None` when a row is no whole number of blocks.
    pub fn bytes(_limits: &wgpu::Limits, info: &TensorInfo) -> Option<u64> {
        info.bytes()?;
        Some(4 * strip_words(info) * u64::from(strips(info)))
    }

    /// Packs a tensor whose description says as many bytes as it has, and sends it to the device.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`] when not even one strip of outputs fits a binding.
    pub fn load(gpu: &Gpu, shelf: &mut Shelf, tensor: &Tensor<'_>) -> Result<Weights, PrepareError> {
        let parts = parts(gpu, shelf, &tensor.info, 1)?;
        let weights = Weights { matrices: vec![tensor.info], order: Order::Stacked, parts };
        weights.fill(gpu, 0, tensor);
        Ok(weights)
    }

    /// Room for two matrices of this type and size for a gated product; [`Weights::fill`] fills it.
    ///
    /// # Errors
    /// As [`Weights::load`], for a strip of each.
    pub fn woven(gpu: &Gpu, shelf: &mut Shelf, info: TensorInfo) -> Result<Weights, PrepareError> {
        let parts = parts(gpu, shelf, &info, 2)?;
        Ok(Weights { matrices: vec![info; 2], order: Order::Woven, parts })
    }

    /// Room for a few matrices that are multiplied with one register; [`Weights::fill`] fills it. `None` when
    /// they are not of one type and width, or do not fit a binding together.
    ///
    /// # Errors
    /// As [`Gpu::buffer`].
    pub fn stacked(
        gpu: &Gpu,
        shelf: &mut Shelf,
        infos: &[TensorInfo],
    ) -> Result<Option<Weights>, PrepareError> {
        let Some(first) = infos.first() else { return Ok(None) };
        if infos.iter().any(|info| (info.dtype, info.cols) != (first.dtype, first.cols)) {
            return Ok(None);
        }
        let outputs: u32 = infos.iter().map(|info| strips(info) * LANES).sum();
        let mut parts = parts(gpu, shelf, &TensorInfo { rows: outputs, ..*first }, 1)?;
        if parts.len() > 1 {
            return Ok(None);
        }
        // Columns that fill up strips lie between the matrices.
        parts.iter_mut().for_each(|part| part.outputs = outputs);
        Ok(Some(Weights { matrices: infos.to_vec(), order: Order::Stacked, parts }))
    }

    /// Packs the tensor that is to be matrix number `which`, and sends it to the device.
    ///
    /// # Panics
    /// When the tensor is not of the type and size that room was made for.
    pub fn fill(&self, gpu: &Gpu, which: usize, tensor: &Tensor<'_>) {
        assert_eq!(tensor.info, self.matrices[which], "what room was made for");
        let words = strip_words(&tensor.info) as usize;
        let mut staged = vec![0; (STAGED_WORDS / words).max(1) * words];
        for part in &self.parts {
            let first = (part.first / LANES) as usize;
            let count = (strips(&tensor.info) as usize - first).min(part.outputs.div_ceil(LANES) as usize);
            for from in (0..count).step_by(staged.len() / words) {
                let end = staged.len().min((count - from) * words);
                let staged = &mut staged[..end];
                pack_strips(tensor, first + from, words, staged);
                let run = if self.order == Order::Woven { words } else { staged.len() };
                for (nth, run) in staged.chunks(run).enumerate() {
                    let at = self.place(which, from + nth) * words;
                    part.slot.write(gpu, at, run);
                }
                // Staging memory is given back when a submission is done, and not before.
                gpu.queue.submit([]);
            }
        }
    }

    /// Whether their kernels convert half-precision numbers.
    pub fn have_halves(&self) -> bool {
        !matches!(self.info().dtype, DType::F32 | DType::Bf16)
    }

    /// How many matrices they are.
    pub fn matrices(&self) -> usize {
        self.matrices.len()
    }

    /// The place in its part of a strip that is number `nth` there of its matrix.
    fn place(&self, which: usize, nth: usize) -> usize {
        match self.order {
            Order::Woven => 2 * nth + which,
            Order::Stacked => (self.start(which) / LANES) as usize + nth,
        }
    }

    /// The first column of a stacked matrix.
    pub(super) fn start(&self, which: usize) -> u32 {
        self.matrices[..which].iter().map(|info| strips(info) * LANES).sum()
    }

    /// What all matrices share: type and inner elements. And the outputs of the first.
    pub(super) fn info(&self) -> &TensorInfo {
        &self.matrices[0]
    }

    /// Columns of a part: outputs, and what fills up the last strips where they are woven.
    pub(super) fn columns(&self, part: &Part) -> u32 {
        match self.order {
            Order::Woven => 2 * part.outputs.next_multiple_of(LANES),
            Order::Stacked => part.outputs,
        }
    }
}

const fn strips(info: &TensorInfo) -> u32 {
    info.rows.div_ceil(LANES)
}

const fn strip_words(info: &TensorInfo) -> u64 {
    format_of(info.dtype).strip_words(info.cols)
}

/// Room for so many matrices of this type and size: on the shelf where they are one part, else by themselves.
fn parts(gpu: &Gpu, shelf: &mut Shelf, info: &TensorInfo, matrices: u32) -> Result<Vec<Part>, PrepareError> {
    let strip_bytes = 4 * strip_words(info) * u64::from(matrices);
    let strips = strips_of_part(&gpu.limits, strip_bytes)?;
    let make = |first: u32| {
        let outputs = (info.rows - first).min(strips * LANES);
        let bytes = strip_bytes * u64::from(outputs.div_ceil(LANES));
        let whole = outputs == info.rows;
        let slot = if whole { shelf.take(gpu, bytes)? } else { Shelf::new(1).take(gpu, bytes)? };
        Ok(Part { slot, first, outputs })
    };
    (0..info.rows).step_by((strips * LANES) as usize).map(make).collect()
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
