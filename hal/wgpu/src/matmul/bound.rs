//! Products and look-ups whose operands are bound: what a step encodes.

use agentos_hal::{Activation, Inputs};
use bytemuck::{Pod, Zeroable};

use super::RowCount;
use super::format::{LANES, chunks, format_of};
use super::kernel::{Form, Kernel, Link, choose};
use super::source::narrowing;
use super::weights::{Order, Part, Weights};
use crate::gpu::{Binding, Gpu};
use crate::register::Register;
use crate::shelf::Slot;

/// `Product` of `kernel/product.wgsl`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Sizes {
    chunks: u32,
    groups: u32,
    last: u32,
    input_stride: u32,
    accumulate: u32,
    wants: u32,
    inner: u32,
    eps: f32,
    outs: [Out; MOST_STACKED],
}

/// `Out` of `kernel/product.wgsl`.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct Out {
    start: u32,
    outputs: u32,
    first: u32,
    stride: u32,
}

/// Matrices that one product may be of: with more, some device has too few bindings.
pub const MOST_STACKED: usize = 3;

/// A kernel and what the driver made of it.
pub(super) type Compiled = (Kernel, wgpu::ComputePipeline);

/// What a product reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The register.
    pub register: &'a Register,
    /// Room for its rows as they are rounded ([`narrow_bytes`]), where products take them so.
    pub narrow: Option<&'a wgpu::Buffer>,
    /// Where the register holds what is left of a norm: the sums of its squares, and what the norm adds to their
    /// mean.
    pub norm: Option<(&'a wgpu::Buffer, f32)>,
}

/// What a product makes for the norm of its output.
#[derive(Clone, Copy)]
pub struct Weighing<'a> {
    /// The norm's weights.
    pub weight: &'a Slot,
    /// Where the output goes times these.
    pub weighed: &'a Register,
    /// Where sums of its squares go ([`squares_bytes`]).
    pub squares: &'a wgpu::Buffer,
}

/// Bytes of the sums of squares of so many rows: one for each eighth of 64 elements.
pub const fn squares_bytes(rows: u32, width: u32) -> u64 {
    (rows as u64).saturating_mul(32 * width.div_ceil(64) as u64)
}

/// Bytes of so many rows of inputs as they are rounded: `Narrow` of `link/integers.wgsl` or `link/halves.wgsl`, for
/// each 32. None where products take them as they are.
pub const fn narrow_bytes(inputs: Inputs, rows: u32, width: u32) -> u64 {
    let bytes = match inputs {
        Inputs::Int8 => 40,
        Inputs::F16 => 72,
        Inputs::F32 | Inputs::Int16 => 0,
    };
    (rows as u64).saturating_mul(bytes * chunks(width) as u64)
}

/// Invocations of a workgroup that rounds inputs.
const NARROW_WIDTH: u32 = 8;

/// A product with everything bound.
pub struct MatMul {
    /// What rounds its inputs, if it takes them so.
    narrowing: Option<Narrowing>,
    link: Link,
    kernels: Vec<Compiled>,
    variant: crate::Variant,
    parts: Vec<BoundPart>,
}

struct Narrowing {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    groups: u32,
}

/// A look-up with everything bound: out\[r\] = the weights' row for the token of r.
pub struct Lookup {
    kernel: Compiled,
    parts: Vec<BoundPart>,
}

struct BoundPart {
    group: wgpu::BindGroup,
    /// Of its weights, and of those of a norm.
    offsets: Vec<u32>,
    columns: u32,
}

/// What a product works on.
struct Operands<'a> {
    weights: &'a Weights,
    input: Input<'a>,
    /// One for each stacked matrix.
    outs: &'a [&'a Register],
    rows: RowCount,
    most_rows: u32,
    accumulate: bool,
    weighing: Option<Weighing<'a>>,
}

impl MatMul {
    /// out = weights · input, or out += weights · input, for at most `most_rows` rows.
    ///
    /// # Panics
    /// When the registers are not as wide as the weights: the program was verified.
    pub fn new(
        gpu: &Gpu,
        weights: &Weights,
        input: Input<'_>,
        out: &Register,
        rows: RowCount,
        most_rows: u32,
        accumulate: bool,
    ) -> MatMul {
        assert_eq!(weights.matrices.len(), 1, "one matrix");
        let outs = &[out];
        let weighing = None;
        let operands = Operands { weights, input, outs, rows, most_rows, accumulate, weighing };
        MatMul::bind(gpu, Form::Plain, &operands)
    }

    /// out += weights · input, and what the norm of out is made of, for at most `most_rows` rows of the step, where
    /// products are computed by [`Kernel::Lone`]. `None` where the weights are in parts.
    ///
    /// # Panics
    /// When the registers are not as wide as the weights: the program was verified.
    pub fn weighing(
        gpu: &Gpu,
        weights: &Weights,
        input: Input<'_>,
        out: &Register,
        most_rows: u32,
        weighing: Weighing<'_>,
    ) -> Option<MatMul> {
        assert_eq!(weights.matrices.len(), 1, "one matrix");
        let (rows, accumulate, weighing) = (RowCount::Rows, true, Some(weighing));
        let operands = Operands { weights, input, outs: &[out], rows, most_rows, accumulate, weighing };
        (weights.parts.len() == 1).then(|| MatMul::bind(gpu, Form::Weighing, &operands))
    }

    /// out = activation(gate · input) · (up · input), the weights being gate and up woven, for at most
    /// `most_rows` rows of the step. The very bits of two products and a gate.
    ///
    /// # Panics
    /// When the registers are not as wide as the weights: the program was verified.
    pub fn gated(
        gpu: &Gpu,
        weights: &Weights,
        input: Input<'_>,
        out: &Register,
        most_rows: u32,
        activation: Activation,
    ) -> MatMul {
        assert_eq!(weights.order, Order::Woven, "two woven matrices");
        let (rows, accumulate) = (RowCount::Rows, false);
        let operands = Operands { weights, input, outs: &[out], rows, most_rows, accumulate, weighing: None };
        MatMul::bind(gpu, Form::Gated(activation), &operands)
    }

    /// Each of `outs` = its matrix · input, the weights being two or three stacked ones, for at most
    /// `most_rows` rows of the step.
    ///
    /// # Panics
    /// When the registers are not as wide as the weights: the program was verified.
    pub fn stacked(
        gpu: &Gpu,
        weights: &Weights,
        input: Input<'_>,
        outs: &[&Register],
        most_rows: u32,
    ) -> MatMul {
        assert!((2..=MOST_STACKED).contains(&weights.matrices.len()), "two or three stacked matrices");
        assert_eq!(weights.order, Order::Stacked, "two or three stacked matrices");
        let (rows, accumulate) = (RowCount::Rows, false);
        let operands = Operands { weights, input, outs, rows, most_rows, accumulate, weighing: None };
        MatMul::bind(gpu, Form::Stacked(outs.len() as u32), &operands)
    }

    fn bind(gpu: &Gpu, form: Form, operands: &Operands<'_>) -> MatMul {
        let &Operands { weights, input, outs, .. } = operands;
        let rows: Vec<u32> = weights.matrices.iter().map(|info| info.rows).collect();
        let widths = outs.iter().map(|out| out.width);
        assert!(widths.zip(&rows).all(|(width, rows)| width == *rows), "verified widths");
        assert_eq!(weights.info().cols, input.register.width, "verified widths");
        let link = Link::of(weights.info().dtype, gpu.inputs, input.norm.is_some());
        let kernels = compiled(gpu, form, link, operands);
        let source = match link {
            Link::F32 | Link::Weighed => &input.register.buffer,
            Link::Dot4(_) | Link::F16(_) => {
                input.narrow.expect("room for rounded inputs, where products take them")
            }
        };
        let mut narrowing = None;
        let mut bind = |part: &Part| {
            let sizes = Sizes {
                input_stride: input.register.stride / 4,
                accumulate: operands.accumulate.into(),
                wants: (operands.rows == RowCount::Wants).into(),
                eps: input.norm.map_or(0.0, |(_, eps)| eps),
                ..sizes(weights, part, outs)
            };
            let sizes = gpu.constants(bytemuck::bytes_of(&sizes));
            let mut runs = vec![part.slot.binding()];
            let others = [&sizes, &outs[0].buffer, source].into_iter();
            let others = others.chain(outs[1..].iter().map(|out| &out.buffer));
            runs.extend(others.map(|buffer| buffer.as_entire_buffer_binding()));
            let mut offsets = vec![part.slot.offset];
            if let Some(Weighing { weight, weighed, squares }) = operands.weighing {
                runs.extend([&weighed.buffer, squares].map(|buffer| buffer.as_entire_buffer_binding()));
                runs.push(weight.binding());
                offsets.push(weight.offset);
            }
            if let (Link::Weighed, Some((squares, _))) = (link, input.norm) {
                runs.push(squares.as_entire_buffer_binding());
            }
            if let Link::Dot4(_) | Link::F16(_) = link {
                narrowing.get_or_insert_with(|| Narrowing::new(gpu, link, &sizes, input, source));
            }
            let group = gpu.shared_group(&bindings(form, link), &runs);
            BoundPart { group, offsets, columns: weights.columns(part) }
        };
        let parts = weights.parts.iter().map(&mut bind).collect();
        MatMul { narrowing, link, kernels, variant: gpu.variant, parts }
    }

    /// Encodes it for so many rows: as many as the step says, at least 1 and at most as many as it was made
    /// for.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        self.narrow(pass, rows);
        for part in &self.parts {
            part.encode(self.kernel(choose(self.variant, self.link, part.columns, rows)), pass, rows);
        }
    }

    /// Encodes it with a kernel of one's own choice.
    #[cfg(test)]
    pub(super) fn encode_with(&self, kernel: &Compiled, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        self.narrow(pass, rows);
        for part in &self.parts {
            part.encode(kernel, pass, rows);
        }
    }

    fn narrow(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        if let Some(narrowing) = &self.narrowing {
            pass.set_pipeline(&narrowing.pipeline);
            pass.set_bind_group(1, &narrowing.group, &[]);
            pass.dispatch_workgroups(narrowing.groups, rows, 1);
        }
    }

    fn kernel(&self, kernel: Kernel) -> &Compiled {
        let found = self.kernels.iter().find(|(compiled, _)| *compiled == kernel);
        found.expect("every kernel that the rows may call for is compiled")
    }

    /// Dispatches that a step costs.
    pub fn dispatches(&self, _rows: u32) -> u32 {
        self.parts.len() as u32 + u32::from(self.narrowing.is_some())
    }
}

impl Narrowing {
    /// Rounds a register's rows, for a product of these sizes.
    fn new(
        gpu: &Gpu,
        link: Link,
        sizes: &wgpu::Buffer,
        input: Input<'_>,
        narrow: &wgpu::Buffer,
    ) -> Narrowing {
        let Input { register: wide, norm, .. } = input;
        let name = format!("narrow {link:?} {}", norm.is_some());
        let mut bindings = vec![Binding::Read, Binding::Read, Binding::Write];
        let mut buffers = vec![sizes, &wide.buffer, narrow];
        if let Some((squares, _)) = norm {
            bindings.push(Binding::Read);
            buffers.push(squares);
        }
        let text = || narrowing(link, NARROW_WIDTH, norm.is_some());
        let pipeline = gpu.named_pipeline(&name, "main", &bindings, text);
        let runs: Vec<_> = buffers.iter().map(|buffer| buffer.as_entire_buffer_binding()).collect();
        let group = gpu.shared_group(&bindings, &runs);
        Narrowing { pipeline, group, groups: chunks(wide.width).div_ceil(NARROW_WIDTH) }
    }
}

impl BoundPart {
    fn encode(&self, (kernel, pipeline): &Compiled, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(1, &self.group, &self.offsets);
        pass.dispatch_workgroups(self.columns.div_ceil(kernel.columns()), rows.div_ceil(kernel.rows()), 1);
    }
}

/// Every kernel that is chosen for some number of rows.
fn compiled(gpu: &Gpu, form: Form, link: Link, operands: &Operands<'_>) -> Vec<Compiled> {
    let weights = operands.weights;
    let mut kernels: Vec<Compiled> = Vec::new();
    for part in &weights.parts {
        for rows in 1..=operands.most_rows.max(1) {
            let kernel = choose(gpu.variant, link, weights.columns(part), rows);
            if kernels.iter().all(|(known, _)| *known != kernel) {
                kernels.push(compile(gpu, weights, form, link, kernel));
            }
        }
    }
    kernels
}

/// What kernels of products are bound to.
fn bindings(form: Form, link: Link) -> Vec<Binding> {
    let mut bindings = vec![Binding::Slot, Binding::Read, Binding::Write, Binding::Read];
    bindings.extend((1..form.outputs()).map(|_| Binding::Write));
    if form == Form::Weighing {
        bindings.extend([Binding::Write, Binding::Write, Binding::Slot]);
    }
    bindings.extend((link == Link::Weighed).then_some(Binding::Read));
    bindings
}

/// A kernel of products.
pub(super) fn compile(gpu: &Gpu, weights: &Weights, form: Form, link: Link, kernel: Kernel) -> Compiled {
    let dtype = weights.info().dtype;
    let extensions = gpu.extensions();
    let name = format!("{kernel:?} {dtype} {form:?} {link:?} {}", extensions.halves);
    (
        kernel,
        gpu.named_pipeline(&name, "main", &bindings(form, link), || {
            kernel.source(dtype, form, link, extensions)
        }),
    )
}

impl Lookup {
    /// Binds a look-up.
    ///
    /// # Panics
    /// When the register is not as wide as the weights: the program was verified.
    pub fn new(gpu: &Gpu, weights: &Weights, out: &Register) -> Lookup {
        assert_eq!((weights.info().cols, weights.matrices.len()), (out.width, 1), "verified widths");
        let source = Kernel::Embed.source(weights.info().dtype, Form::Plain, Link::F32, gpu.extensions());
        let bindings = [Binding::Slot, Binding::Read, Binding::Write];
        let pipeline = gpu.pipeline(&source, "main", &bindings);
        let bind = |part: &Part| {
            let sizes = gpu.constants(bytemuck::bytes_of(&sizes(weights, part, &[out])));
            let [sizes, out] = [&sizes, &out.buffer].map(|buffer| buffer.as_entire_buffer_binding());
            let group = gpu.shared_group(&bindings, &[part.slot.binding(), sizes, out]);
            BoundPart { group, offsets: vec![part.slot.offset], columns: 4 * chunks(weights.info().cols) }
        };
        let parts = weights.parts.iter().map(bind).collect();
        Lookup { kernel: (Kernel::Embed, pipeline), parts }
    }

    /// Encodes it for so many rows: as many as the step says, at least 1.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, rows: u32) {
        for part in &self.parts {
            part.encode(&self.kernel, pass, rows);
        }
    }

    /// Dispatches that a step costs.
    pub fn dispatches(&self) -> u32 {
        self.parts.len() as u32
    }
}

fn sizes(weights: &Weights, part: &Part, outs: &[&Register]) -> Sizes {
    let info = weights.info();
    let mut sizes = Sizes {
        chunks: chunks(info.cols),
        groups: format_of(info.dtype).groups(info.cols),
        inner: info.cols,
        last: weights.columns(part).next_multiple_of(LANES) - 1,
        ..Sizes::zeroed()
    };
    for (which, (place, out)) in sizes.outs.iter_mut().zip(outs).enumerate() {
        let outputs = if outs.len() == 1 { part.outputs } else { weights.matrices[which].rows };
        *place = Out { start: weights.start(which), outputs, first: part.first, stride: out.stride };
    }
    sizes
}
