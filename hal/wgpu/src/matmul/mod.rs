//! Products of registers and weight matrices.

use agentos_hal::quant::dequantise;
use agentos_hal::{PrepareError, Resource, Tensor, TensorInfo};

use crate::gpu::{Binding, Gpu};
use crate::register::Register;

/// Which number of the step's header counts the rows of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCount {
    /// All rows of the step.
    Rows,
    /// The rows that want an outcome.
    Wants,
}

/// A matrix in device memory.
pub struct Weights {
    buffer: wgpu::Buffer,
    info: TensorInfo,
}

impl Weights {
    /// Bytes that a tensor takes; `None` when its rows are no whole blocks.
    pub fn bytes(_: &wgpu::Limits, info: &TensorInfo) -> Option<u64> {
        info.bytes()?;
        Some(u64::from(info.rows) * u64::from(info.cols) * 4)
    }

    /// Packs a tensor and brings it to the device.
    ///
    /// # Errors
    /// [`PrepareError::TooLarge`].
    pub fn load(gpu: &Gpu, tensor: &Tensor<'_>) -> Result<Weights, PrepareError> {
        let info = tensor.info;
        let mut numbers = vec![0.0; info.rows as usize * info.cols as usize];
        dequantise(info.dtype, tensor.bytes, &mut numbers);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let buffer = gpu.buffer(Resource::WeightBytes, 4 * numbers.len() as u64, usage)?;
        gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&numbers));
        Ok(Weights { buffer, info })
    }
}

/// A product of a register and a matrix.
pub struct MatMul {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    width: u32,
}

impl MatMul {
    /// A product over at most `most_rows` rows.
    pub fn new(
        gpu: &Gpu,
        weights: &Weights,
        input: &Register,
        out: &Register,
        rows: RowCount,
        _most_rows: u32,
        accumulate: bool,
    ) -> MatMul {
        let source = format!(
            "{}const COUNT: u32 = {};const INNER: u32 = {}u;const IN: u32 = {}u;const WIDTH: u32 = {}u;const OUT: u32 = {}u;const ADD: bool = {accumulate};{}",
            include_str!("../shaders/step.wgsl"),
            if rows == RowCount::Rows { "ROWS" } else { "WANTS" },
            weights.info.cols,
            input.stride,
            weights.info.rows,
            out.stride,
            include_str!("plain.wgsl")
        );
        let pipeline = gpu.pipeline(&source, "product", &[Binding::Read, Binding::Read, Binding::Write]);
        let group = gpu.group(&pipeline, &[&weights.buffer, &input.buffer, &out.buffer]);
        MatMul { pipeline, group, width: weights.info.rows }
    }

    /// Encodes it.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(1, &self.group, &[]);
        pass.dispatch_workgroups(self.width.div_ceil(64), rows, 1);
    }

    /// Dispatches that it takes.
    pub fn dispatches(&self, _: u32) -> u32 {
        1
    }
}

/// Rows of a matrix by token.
pub struct Lookup {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    width: u32,
}

impl Lookup {
    /// out\[r\] = the row for the token of r.
    pub fn new(gpu: &Gpu, weights: &Weights, out: &Register) -> Lookup {
        let source = format!(
            "{}const INNER: u32 = {}u;const OUT: u32 = {}u;{}",
            include_str!("../shaders/step.wgsl"),
            weights.info.cols,
            out.stride,
            include_str!("lookup.wgsl")
        );
        let pipeline = gpu.pipeline(&source, "lookup", &[Binding::Read, Binding::Write]);
        let group = gpu.group(&pipeline, &[&weights.buffer, &out.buffer]);
        Lookup { pipeline, group, width: weights.info.cols }
    }

    /// Encodes it.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(1, &self.group, &[]);
        pass.dispatch_workgroups(self.width.div_ceil(64), rows, 1);
    }
}
