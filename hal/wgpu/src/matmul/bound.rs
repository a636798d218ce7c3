//! Products and look-ups whose operands are bound: what a step encodes.

use bytemuck::{Pod, Zeroable};

use super::RowCount;
use super::format::{chunks, format_of};
use super::kernel::{Kernel, choose, kernels};
use super::weights::{Part, Weights};
use crate::gpu::{Binding, Gpu};
use crate::register::Register;

/// `Product` of `kernel/product.wgsl`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Sizes {
    chunks: u32,
    groups: u32,
    outputs: u32,
    first: u32,
    input_stride: u32,
    output_stride: u32,
    accumulate: u32,
    wants: u32,
}

/// A product with everything bound: out = weight · input, or out += weight · input.
pub struct MatMul {
    kernels: Vec<(Kernel, wgpu::ComputePipeline)>,
    variant: crate::Variant,
    parts: Vec<BoundPart>,
}

/// A look-up with everything bound: out\[r\] = the weights' row for the token of r.
pub struct Lookup {
    pipeline: wgpu::ComputePipeline,
    eights: u32,
    parts: Vec<BoundPart>,
}

struct BoundPart {
    group: wgpu::BindGroup,
    outputs: u32,
}

impl MatMul {
    /// Binds a product of at most `most_rows` rows.
    ///
    /// # Panics
    /// When the registers are not as wide as the weights: the program was verified.
    pub fn new(
        gpu: &Gpu,
        weights: &Weights,
        input: &Register,
        out: &Register,
        rows: RowCount,
        most_rows: u32,
        accumulate: bool,
    ) -> MatMul {
        assert_eq!((weights.info.cols, weights.info.rows), (input.width, out.width), "verified widths");
        let bindings = [Binding::Read, Binding::Read, Binding::Write, Binding::Read];
        let compile =
            |&kernel: &Kernel| (kernel, gpu.pipeline(&kernel.source(weights.info.dtype), "main", &bindings));
        let used = &kernels(gpu.variant)[..=choose(gpu.variant, most_rows)];
        let kernels: Vec<_> = used.iter().map(compile).collect();
        let bind = |part: &Part| {
            let sizes = Sizes {
                input_stride: input.stride / 4,
                accumulate: accumulate.into(),
                wants: (rows == RowCount::Wants).into(),
                ..sizes(weights, part, out)
            };
            let sizes = upload(gpu, &sizes);
            let group = gpu.group(&kernels[0].1, &[&part.buffer, &sizes, &out.buffer, &input.buffer]);
            BoundPart { group, outputs: part.outputs }
        };
        let parts = weights.parts.iter().map(bind).collect();
        MatMul { kernels, variant: gpu.variant, parts }
    }

    /// Encodes it for so many rows: as many as the step says, at least 1.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        self.encode_with(choose(self.variant, rows), pass, rows);
    }

    /// Encodes it with the kernel at a place among its variant's: which one changes no bit.
    pub(super) fn encode_with(&self, place: usize, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        let (kernel, pipeline) = &self.kernels[place];
        pass.set_pipeline(pipeline);
        for part in &self.parts {
            pass.set_bind_group(1, &part.group, &[]);
            let across = part.outputs.div_ceil(kernel.outputs());
            pass.dispatch_workgroups(across, rows.div_ceil(kernel.rows()), 1);
        }
    }

    /// Dispatches that a step costs.
    pub fn dispatches(&self, _rows: u32) -> u32 {
        self.parts.len() as u32
    }
}

impl Lookup {
    /// Binds a look-up.
    ///
    /// # Panics
    /// When the register is not as wide as the weights: the program was verified.
    pub fn new(gpu: &Gpu, weights: &Weights, out: &Register) -> Lookup {
        assert_eq!(weights.info.cols, out.width, "verified widths");
        let source = Kernel::Embed.source(weights.info.dtype);
        let pipeline = gpu.pipeline(&source, "main", &[Binding::Read, Binding::Read, Binding::Write]);
        let bind = |part: &Part| {
            let sizes = upload(gpu, &sizes(weights, part, out));
            let group = gpu.group(&pipeline, &[&part.buffer, &sizes, &out.buffer]);
            BoundPart { group, outputs: part.outputs }
        };
        let parts = weights.parts.iter().map(bind).collect();
        Lookup { pipeline, eights: 4 * chunks(weights.info.cols), parts }
    }

    /// Encodes it for so many rows: as many as the step says, at least 1.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        pass.set_pipeline(&self.pipeline);
        for part in &self.parts {
            pass.set_bind_group(1, &part.group, &[]);
            pass.dispatch_workgroups(self.eights.div_ceil(Kernel::Embed.outputs()), rows, 1);
        }
    }

    /// Dispatches that a step costs.
    pub fn dispatches(&self) -> u32 {
        self.parts.len() as u32
    }
}

fn sizes(weights: &Weights, part: &Part, out: &Register) -> Sizes {
    Sizes {
        chunks: chunks(weights.info.cols),
        groups: format_of(weights.info.dtype).groups(weights.info.cols),
        outputs: part.outputs,
        first: part.first,
        input_stride: 0,
        output_stride: out.stride,
        accumulate: 0,
        wants: 0,
    }
}

fn upload(gpu: &Gpu, sizes: &Sizes) -> wgpu::Buffer {
    use wgpu::util::DeviceExt;
    gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: None,
        contents: bytemuck::bytes_of(sizes),
        usage: wgpu::BufferUsages::STORAGE,
    })
}
