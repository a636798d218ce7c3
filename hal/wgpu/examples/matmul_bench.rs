//! Times of matrix products at the default model's sizes: bytes of weights read and operations done per second.
//!
//! `cargo run --release -p agentos-wgpu --example matmul_bench [ADAPTER [KERNELS]]`
//!
//! Every matrix is there once for each layer, so that a cache does not hold them all, and every product
//! waits for the one before it, as in a model.

use std::error::Error;
use std::time::Instant;

use agentos_conformance::rng::Rng;
use agentos_conformance::tensor::Owned;
use agentos_hal::{DType, Resource, Tensor};
use agentos_wgpu::matmul::{Input, MatMul, RowCount, Weights, narrow_bytes};
use agentos_wgpu::shelf::Shelf;
use agentos_wgpu::{Choice, Gpu, Register, open};

/// Outputs, inner elements, type, and how many there are in the model.
const MATRICES: [(u32, u32, DType, u32); 6] = [
    (576, 576, DType::Q4_1, 30),
    (192, 576, DType::Q4_1, 30),
    (1536, 576, DType::Q4_1, 30),
    (576, 1536, DType::Q4_1, 30),
    (576, 576, DType::Q8_0, 30),
    (49152, 576, DType::Q8_0, 2),
];

const ROWS: [u32; 6] = [1, 4, 16, 64, 128, 512];

/// How often things are done.
struct Effort {
    /// Passes before the first timed one, and timed ones, of which the best counts.
    passes: (u32, u32),
    /// How often all matrices are multiplied in a pass: what a submission costs should not show.
    rounds: u32,
    /// More rows are left out.
    most_rows: u32,
}

const OF_GPU: Effort = Effort { passes: (2, 5), rounds: 20, most_rows: 512 };

/// A processor is slow, and a submission costs it next to nothing.
const OF_PROCESSOR: Effort = Effort { passes: (1, 2), rounds: 1, most_rows: 16 };

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let adapter = arguments.next();
    let kernels = arguments.next().map(|name| name.parse()).transpose()?;
    let gpu = open(&Choice { adapter, kernels, timestamps: true, ..Choice::default() })?;
    println!("{}, kernels {}", gpu.info.name, gpu.kernels());
    let is_processor = gpu.info.device_type == wgpu::DeviceType::Cpu;
    let effort = if is_processor { OF_PROCESSOR } else { OF_GPU };
    println!("{:>24} {:>5} {:>10} {:>8} {:>10}", "matrix", "rows", "us", "GB/s", "GFLOP/s");
    for (outputs, inner, dtype, copies) in MATRICES {
        let mut rng = Rng::new(1, "matmul_bench", outputs);
        let tensor = Owned::random(dtype, (outputs, inner), 0.05, &mut rng);
        let tensor = Tensor { info: tensor.info, bytes: &tensor.bytes };
        let bytes = Weights::bytes(&gpu.limits, &tensor.info).ok_or("the matrix does not fit")?;
        let copies = if is_processor { 1 } else { copies };
        let weights = (0..copies)
            .map(|_| Weights::load(&gpu, &mut Shelf::new(1), &tensor))
            .collect::<Result<Vec<_>, _>>()?;
        for rows in ROWS.into_iter().filter(|&rows| rows <= effort.most_rows) {
            let all = best_seconds(&gpu, &weights, (outputs, inner), rows, &effort)?;
            let seconds = all / f64::from(copies);
            println!(
                "{:>24} {rows:>5} {:>10.1} {:>8.1} {:>10.1}",
                format!("{outputs} x {inner} {dtype}"),
                seconds * 1e6,
                bytes as f64 / seconds / 1e9,
                2.0 * f64::from(outputs) * f64::from(inner) * f64::from(rows) / seconds / 1e9,
            );
        }
    }
    Ok(())
}

/// Time of one product with each of the weights.
fn best_seconds(
    gpu: &Gpu,
    weights: &[Weights],
    (outputs, inner): (u32, u32),
    rows: u32,
    effort: &Effort,
) -> Result<f64, Box<dyn Error>> {
    let input = Register::new(gpu, rows, inner)?;
    let out = Register::new(gpu, rows, outputs)?;
    let narrow = gpu.buffer(
        Resource::ScratchBytes,
        narrow_bytes(gpu.inputs, rows, inner),
        wgpu::BufferUsages::STORAGE,
    )?;
    let input = Input { register: &input, narrow: Some(&narrow), norm: None };
    let bind = |weights| MatMul::new(gpu, weights, input, &out, RowCount::Rows, rows, true);
    let products = gpu.checked(|| Ok(weights.iter().map(bind).collect::<Vec<_>>()))?;
    let step = step(gpu, rows);
    let watch = Watch::new(gpu);
    let mut best = f64::INFINITY;
    for pass in 0..effort.passes.0 + effort.passes.1 {
        let seconds = watch.seconds(gpu, |pass| {
            pass.set_bind_group(0, &step, &[]);
            for _ in 0..effort.rounds {
                products.iter().for_each(|product| product.encode(pass, rows));
            }
        })?;
        if pass >= effort.passes.0 {
            best = best.min(seconds / f64::from(effort.rounds));
        }
    }
    Ok(best)
}

/// A step of so many rows and nothing else.
fn step(gpu: &Gpu, rows: u32) -> wgpu::BindGroup {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let descriptor = wgpu::BufferDescriptor { label: None, size: 256, usage, mapped_at_creation: false };
    let words = gpu.device.create_buffer(&descriptor);
    gpu.queue.write_buffer(&words, 0, &rows.to_le_bytes());
    gpu.step_group(&words)
}

/// Times passes: by the device's own clock where it has one, else from submission to completion.
struct Watch {
    clock: Option<(wgpu::QuerySet, [wgpu::Buffer; 2])>,
}

impl Watch {
    fn new(gpu: &Gpu) -> Watch {
        let has_clock = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let clock = has_clock.then(|| {
            use wgpu::BufferUsages as Use;
            let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            });
            let usages = [Use::QUERY_RESOLVE | Use::COPY_SRC, Use::MAP_READ | Use::COPY_DST];
            let buffers = usages.map(|usage| {
                let size = 16;
                let descriptor =
                    wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
                gpu.device.create_buffer(&descriptor)
            });
            (queries, buffers)
        });
        Watch { clock }
    }

    fn seconds(
        &self,
        gpu: &Gpu,
        encode: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> Result<f64, Box<dyn Error>> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let timestamp_writes = self.clock.as_ref().map(|(query_set, _)| wgpu::ComputePassTimestampWrites {
            query_set,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        });
        encode(
            &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes }),
        );
        if let Some((queries, [resolved, read])) = &self.clock {
            encoder.resolve_query_set(queries, 0..2, resolved, 0);
            encoder.copy_buffer_to_buffer(resolved, 0, read, 0, 16);
        }
        let commands = encoder.finish();
        let begun = Instant::now();
        gpu.queue.submit([commands]);
        gpu.device.poll(wgpu::PollType::wait_indefinitely())?;
        let elapsed = begun.elapsed();
        if let Some(failure) = gpu.failure() {
            return Err(failure.into());
        }
        let Some((_, [_, read])) = &self.clock else { return Ok(elapsed.as_secs_f64()) };
        read.map_async(wgpu::MapMode::Read, .., |_| ());
        gpu.device.poll(wgpu::PollType::wait_indefinitely())?;
        let bytes = read.get_mapped_range(..)?;
        let ticks: &[u64] = bytemuck::cast_slice(&bytes);
        let seconds = (ticks[1] - ticks[0]) as f64 * f64::from(gpu.queue.get_timestamp_period()) * 1e-9;
        drop(bytes);
        read.unmap();
        Ok(seconds)
    }
}
