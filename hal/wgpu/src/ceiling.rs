//! What an adapter can do at best: bytes that it copies within its memory, and multiply-adds in registers.
//! For benchmarks; no step depends on it.

use std::time::{Duration, Instant};

use agentos_hal::{DeviceError, PrepareError, Resource};

use crate::gpu::{Binding, Gpu};

/// What an adapter can do at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Multiplications and additions in single precision per second.
    pub operations_per_s: f64,
    /// Bytes per second that a copy within device memory reads and writes, both counted.
    pub bytes_per_s: f64,
}

/// Bytes of a copy at most: more than the caches of any device.
const COPY_BYTES: u64 = 256 << 20;

/// Each measurement is repeated so often; the best counts, since a ceiling is what nothing disturbed.
const ROUNDS: u32 = 5;

/// Work is doubled until it takes this long, so that the time of a submission does not count.
const LONG_ENOUGH: Duration = Duration::from_millis(20);

/// How often work is doubled at most.
const DOUBLINGS: u32 = 12;

/// Invocations of a workgroup of the kernel, and workgroups: enough to fill a large device.
const GROUP: u64 = 256;
const GROUPS: u32 = 2048;

/// Multiply-adds of an invocation in one turn of the loop: 8 chains of vectors of 4.
const CHAINS: u64 = 8 * 4;
const TURNS: u64 = 64;

const SOURCE: &str = include_str!("shaders/ceiling.wgsl");

/// Measures an opened device. Takes up to a second on a GPU, longer on a software driver.
///
/// # Errors
/// [`PrepareError::Device`] when the device fails; [`PrepareError::TooLarge`] when it has no memory left.
pub fn measure(gpu: &Gpu) -> Result<Ceiling, PrepareError> {
    gpu.checked(|| Ok(Ceiling { operations_per_s: operations_per_s(gpu)?, bytes_per_s: bytes_per_s(gpu)? }))
}

fn bytes_per_s(gpu: &Gpu) -> Result<f64, PrepareError> {
    use wgpu::BufferUsages as Usage;
    let bytes = COPY_BYTES.min(gpu.limits.max_buffer_size) & !15;
    let buffer = || gpu.buffer(Resource::ScratchBytes, bytes, Usage::COPY_SRC | Usage::COPY_DST);
    let (from, to) = (buffer()?, buffer()?);
    let seconds = seconds_each(gpu, &|encoder, times| {
        for _ in 0..times {
            encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes);
        }
    })?;
    Ok(2.0 * bytes as f64 / seconds)
}

fn operations_per_s(gpu: &Gpu) -> Result<f64, PrepareError> {
    use wgpu::BufferUsages as Usage;
    let groups = GROUPS.min(gpu.limits.max_compute_workgroups_per_dimension);
    let invocations = GROUP * u64::from(groups);
    let seeds = gpu.buffer(Resource::ScratchBytes, 16 * invocations, Usage::STORAGE | Usage::COPY_DST)?;
    let pipeline = gpu.pipeline(SOURCE, "multiply_add", &[Binding::Write]);
    let group = gpu.group(&[Binding::Write], &[seeds.as_entire_buffer_binding()]);
    // Group 0 belongs to every pipeline; this one reads nothing from it.
    let step = gpu.buffer(Resource::ScratchBytes, 16, Usage::STORAGE)?;
    let step_group = gpu.step_group(&step);
    let seconds = seconds_each(gpu, &|encoder, times| {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &step_group, &[]);
        pass.set_bind_group(1, &group, &[]);
        for _ in 0..times {
            pass.dispatch_workgroups(groups, 1, 1);
        }
    })?;
    Ok((2 * invocations * CHAINS * TURNS) as f64 / seconds)
}

/// Seconds that the work takes once, of so many times in one submission that the submission itself does
/// not count.
fn seconds_each(gpu: &Gpu, work: &dyn Fn(&mut wgpu::CommandEncoder, u32)) -> Result<f64, PrepareError> {
    // The first time compiles, and touches memory.
    let mut time = run(gpu, work, 1)?;
    let mut times = 1;
    for _ in 0..DOUBLINGS {
        time = run(gpu, work, times)?;
        if time >= LONG_ENOUGH {
            break;
        }
        times *= 2;
    }
    for _ in 1..ROUNDS {
        time = time.min(run(gpu, work, times)?);
    }
    Ok(time.as_secs_f64() / f64::from(times))
}

fn run(
    gpu: &Gpu,
    work: &dyn Fn(&mut wgpu::CommandEncoder, u32),
    times: u32,
) -> Result<Duration, PrepareError> {
    let mut encoder =
        gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("ceiling") });
    work(&mut encoder, times);
    let commands = encoder.finish();
    let began = Instant::now();
    gpu.queue.submit([commands]);
    match gpu.device.poll(wgpu::PollType::wait_indefinitely()) {
        Ok(_) => Ok(began.elapsed()),
        Err(_) => Err(PrepareError::Device(gpu.failure().unwrap_or(DeviceError::Hung))),
    }
}
