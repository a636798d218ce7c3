//! A device, and products run on it.

use agentos_conformance::tensor::Owned;
use agentos_hal::{Activation, DType, PrepareError, Resource, Tensor, TensorInfo};

use crate::Register;
use crate::gpu::Binding;
use crate::matmul::bound::compile;
use crate::matmul::kernel::{Form, Kernel, Link, kernels};
use crate::matmul::{Input, Lookup, MatMul, RowCount, Weights, narrow_bytes};
use crate::shelf::Shelf;
use crate::{Choice, Gpu, Kernels, OpenError, open, shader};

/// Words before the table of rows.
const HEADER: usize = 64;
/// Words of a row.
const ROW_WORDS: usize = 8;

/// A device of the first adapter that there is.
pub struct Rig(pub Gpu);

impl Rig {
    /// None, with a line that says so, where there is no adapter; a failure if `AGENTOS_REQUIRE_GPU` is set.
    pub fn new(kernels: impl Into<Kernels>, change: impl FnOnce(&mut wgpu::Limits)) -> Option<Rig> {
        // The floor, whatever the adapter has.
        let mut limits = wgpu::Limits::defaults();
        change(&mut limits);
        match open(&Choice { kernels: Some(kernels.into()), limits: Some(limits), ..Choice::default() }) {
            Ok(gpu) => Some(Rig(gpu)),
            Err(OpenError::NoAdapter) if std::env::var_os("AGENTOS_REQUIRE_GPU").is_none() => {
                println!("left out: {}", OpenError::NoAdapter);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn made<R>(&self, make: impl FnOnce() -> Result<R, PrepareError>) -> R {
        let refused = |error| panic!("{error}: {}", self.0.message().unwrap_or_default());
        self.0.checked(make).unwrap_or_else(refused)
    }

    pub fn load(&self, tensor: &Owned) -> Weights {
        self.made(|| Weights::load(&self.0, &mut Shelf::new(1), &borrowed(tensor)))
    }

    /// A register with these rows. What pads a row is zero, and rows behind the last are not numbers.
    fn register(&self, width: u32, rows: u32, numbers: &[f32]) -> Register {
        let stride = width.next_multiple_of(32);
        let mut padded = Vec::new();
        for row in numbers.chunks_exact(width as usize) {
            padded.extend_from_slice(row);
            padded.resize(padded.len().next_multiple_of(stride as usize), 0.0);
        }
        padded.resize(Register::bytes(rows, width) as usize / 4, f32::NAN);
        Register { buffer: self.filled(&padded), width, stride }
    }

    fn filled<T: bytemuck::Pod>(&self, contents: &[T]) -> wgpu::Buffer {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let bytes: &[u8] = bytemuck::cast_slice(contents);
        let buffer = self.made(|| self.0.buffer(Resource::ScratchBytes, bytes.len() as u64, usage));
        self.0.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// The rows of a register; what lies behind them and between them must be as [`Rig::register`] left it.
    fn read(&self, register: &Register, rows: u32) -> Vec<f32> {
        let copy = self.0.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: register.buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.submit(|encoder| encoder.copy_buffer_to_buffer(&register.buffer, 0, &copy, 0, copy.size()));
        copy.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("mapped"));
        self.0.device.poll(wgpu::PollType::wait_indefinitely()).expect("a device that works");
        let bytes = copy.get_mapped_range(..).expect("mapped");
        let numbers: &[f32] = bytemuck::cast_slice(&bytes);
        let (taken, rest) = numbers.split_at((rows * register.stride) as usize);
        assert!(rest.iter().all(|x| x.is_nan()), "a row that the step lacks is written");
        let mut found = Vec::new();
        for row in taken.chunks_exact(register.stride as usize) {
            let (row, padding) = row.split_at(register.width as usize);
            found.extend_from_slice(row);
            assert!(padding.iter().all(|&x| x == 0.0), "what pads a row is written");
        }
        found
    }

    /// Room for inputs as integers.
    fn narrow(&self, rows: u32, weights: &Weights) -> wgpu::Buffer {
        self.filled(&vec![u32::MAX; narrow_bytes(self.0.inputs, rows, weights.info().cols) as usize / 4])
    }

    fn link(&self, weights: &Weights) -> Link {
        Link::of(weights.info().dtype, self.0.inputs, false)
    }

    fn submit(&self, encode: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder = self.0.device.create_command_encoder(&Default::default());
        encode(&mut encoder);
        self.0.queue.submit([encoder.finish()]);
    }

    /// Runs one pass of a step of these counts and tokens.
    fn pass(&self, counts: [u32; 2], tokens: &[u32], encode: impl FnOnce(&mut wgpu::ComputePass<'_>)) {
        let mut words = vec![0; HEADER + ROW_WORDS * tokens.len()];
        words[..3].copy_from_slice(&[counts[0], counts[1], HEADER as u32]);
        for (row, &token) in words[HEADER..].chunks_exact_mut(ROW_WORDS).zip(tokens) {
            row[0] = token;
        }
        let step = self.filled(&words);
        let step = self.0.step_group(&step);
        self.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_bind_group(0, &step, &[]);
            encode(&mut pass);
        });
    }

    /// Two matrices, woven.
    pub fn load_woven(&self, tensors: [&Owned; 2]) -> Weights {
        let weights = self.made(|| Weights::woven(&self.0, &mut Shelf::new(1), tensors[0].info));
        (0..).zip(tensors).for_each(|(which, tensor)| weights.fill(&self.0, which, &borrowed(tensor)));
        weights
    }

    /// The product of a matrix and some rows of `x`, added to `base` if there is one; or the gated product of
    /// two matrices.
    pub fn product(&self, weights: &Weights, call: &Call<'_>) -> Vec<f32> {
        let input = self.register(weights.info().cols, call.rows, call.x);
        let narrow = self.narrow(call.rows, weights);
        let input = Input { register: &input, narrow: Some(&narrow), norm: None };
        let zeros = vec![0.0; call.rows as usize * weights.info().rows as usize];
        let out = self.register(weights.info().rows, call.rows, call.base.unwrap_or(&zeros));
        let product = self.made(|| {
            Ok(match call.form {
                Form::Gated(activation) => {
                    MatMul::gated(&self.0, weights, input, &out, call.rows, activation)
                }
                _ => {
                    let accumulate = call.base.is_some();
                    MatMul::new(&self.0, weights, input, &out, call.count, call.rows, accumulate)
                }
            })
        });
        // The other count must not be read.
        let counts = if call.count == RowCount::Rows { [call.rows, 0] } else { [1000, call.rows] };
        let kernel =
            call.kernel.map(|kernel| compile(&self.0, weights, call.form, self.link(weights), kernel));
        self.pass(counts, &[], |pass| match &kernel {
            None => product.encode(pass, call.rows),
            Some(kernel) => product.encode_with(kernel, pass, call.rows),
        });
        self.read(&out, call.rows)
    }

    /// Matrices of one width, stacked.
    pub fn load_stacked(&self, tensors: &[Owned]) -> Option<Weights> {
        let infos: Vec<TensorInfo> = tensors.iter().map(|tensor| tensor.info).collect();
        let weights = self.made(|| Weights::stacked(&self.0, &mut Shelf::new(1), &infos))?;
        tensors
            .iter()
            .enumerate()
            .for_each(|(which, tensor)| weights.fill(&self.0, which, &borrowed(tensor)));
        Some(weights)
    }

    /// The products of stacked matrices.
    pub fn stacked(&self, weights: &Weights, x: &[f32], rows: u32, kernel: Option<Kernel>) -> Vec<Vec<f32>> {
        let input = self.register(weights.info().cols, rows, x);
        let narrow = self.narrow(rows, weights);
        let input = Input { register: &input, narrow: Some(&narrow), norm: None };
        let untouched =
            |info: &TensorInfo| self.register(info.rows, rows, &vec![7.0; (rows * info.rows) as usize]);
        let outs: Vec<Register> = weights.matrices.iter().map(untouched).collect();
        let lent: Vec<&Register> = outs.iter().collect();
        let product = self.made(|| Ok(MatMul::stacked(&self.0, weights, input, &lent, rows)));
        let form = Form::Stacked(outs.len() as u32);
        let kernel = kernel.map(|kernel| compile(&self.0, weights, form, self.link(weights), kernel));
        self.pass([rows, 0], &[], |pass| match &kernel {
            None => product.encode(pass, rows),
            Some(kernel) => product.encode_with(kernel, pass, rows),
        });
        outs.iter().map(|out| self.read(out, rows)).collect()
    }

    /// The instruction `Gate` on two registers.
    pub fn gate(
        &self,
        activation: Activation,
        width: u32,
        (gates, ups): (&[f32], &[f32]),
        rows: u32,
    ) -> Vec<f32> {
        let [gate, up] = [gates, ups].map(|numbers| self.register(width, rows, numbers));
        let text = [
            format!("const WIDTH: u32 = {width}u;\nconst STRIDE: u32 = {}u;\n", gate.stride),
            format!("const GELU: bool = {};\n", activation == Activation::Gelu),
        ]
        .concat();
        let files = [shader::STEP, shader::MATH, shader::ACTIVATION, include_str!("../../shaders/gate.wgsl")];
        let bindings = [Binding::Write, Binding::Read];
        let pipeline = self.0.pipeline(&(text + &files.concat()), "gate", &bindings);
        let buffers = [&gate.buffer, &up.buffer].map(|buffer| buffer.as_entire_buffer_binding());
        let group = self.0.group(&bindings, &buffers);
        self.pass([rows, 0], &[], |pass| {
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(1, &group, &[]);
            pass.dispatch_workgroups(width.div_ceil(64), rows, 1);
        });
        self.read(&gate, rows)
    }

    /// Rows of a matrix, by token.
    pub fn look_up(&self, weights: &Weights, tokens: &[u32]) -> Vec<f32> {
        let rows = tokens.len() as u32;
        let out =
            self.register(weights.info().cols, rows, &vec![7.0; tokens.len() * weights.info().cols as usize]);
        let lookup = self.made(|| Ok(Lookup::new(&self.0, weights, &out)));
        self.pass([rows, 0], tokens, |pass| lookup.encode(pass, rows));
        self.read(&out, rows)
    }

    /// All kernels for some types, and some for all: drivers take long to compile them.
    pub fn tested_kernels(&self, dtype: DType) -> Vec<Kernel> {
        let all = matches!(dtype, DType::F32 | DType::Q4_1 | DType::Q6K);
        let some = |kernel: &Kernel| matches!(kernel, Kernel::Lone(4) | Kernel::Few(4, 8) | Kernel::Tile(2));
        let takes = |kernel: &Kernel| {
            Link::of(dtype, self.0.inputs, false) == Link::F32 || !matches!(kernel, Kernel::Tile(_))
        };
        let kernels = self.kernels().iter().copied().filter(takes);
        kernels.filter(|kernel| all || some(kernel)).collect()
    }

    pub fn kernels(&self) -> &'static [Kernel] {
        kernels(self.0.variant)
    }
}

pub fn borrowed(tensor: &Owned) -> Tensor<'_> {
    Tensor { info: tensor.info, bytes: &tensor.bytes }
}

/// What a product is called with.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Rows of the input.
    pub x: &'a [f32],
    /// How many.
    pub rows: u32,
    /// Where the step says so.
    pub count: RowCount,
    /// What is added to.
    pub base: Option<&'a [f32]>,
    /// What becomes of the sums.
    pub form: Form,
    /// The kernel; the one that fits the rows.
    pub kernel: Option<Kernel>,
}
