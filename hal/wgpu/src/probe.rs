//! What an adapter says that it has, tried: an extension is used only where kernels give the very bits with it
//! that they give without.

use agentos_hal::{DeviceError, PrepareError, Resource};

use crate::gpu::{Binding, Gpu};
use crate::shader;
use crate::variant::{Extensions, LEAST_LANES};

/// Workgroups that fold.
const GROUPS: u32 = 8;

/// Invocations of the workgroups that fold, in all kernels that do.
const LANES: [u32; 3] = [LEAST_LANES, 128, 256];

/// Half-precision numbers.
const HALVES: u32 = 1 << 16;

/// Whether these extensions give the bits of the portable floor.
///
/// # Errors
/// [`PrepareError::Device`] where the driver takes no such kernel, or fails.
pub fn passes(gpu: &Gpu, extensions: Extensions) -> Result<bool, PrepareError> {
    let subgroups = Extensions { subgroups: true, ..Extensions::NONE };
    for lanes in LANES.into_iter().filter(|_| extensions.subgroups) {
        let found = |extensions| {
            let words = GROUPS * lanes * 3;
            run(gpu, &folds(gpu, lanes, shader::trees(extensions)), GROUPS, words)
        };
        if found(Extensions::NONE)? != found(subgroups)? {
            return Ok(false);
        }
    }
    if extensions.halves {
        let native = Extensions { halves: true, ..Extensions::NONE };
        let found = run(gpu, &conversions(shader::halves(native)), HALVES / 64, HALVES)?;
        return Ok((0..HALVES).zip(&found).all(|(half, &found)| is_conversion(half as u16, found)));
    }
    Ok(true)
}

/// Whether these are the bits of a half-precision number in single precision; of what is no number, any.
fn is_conversion(half: u16, found: u32) -> bool {
    let number = half::f16::from_bits(half);
    number.is_nan() || number.to_f32().to_bits() == found
}

/// A kernel in which every invocation writes the folds of its workgroup.
fn folds(gpu: &Gpu, lanes: u32, trees: &str) -> String {
    let rounds = gpu.rounds(lanes);
    let numbers = format!("const LANES: u32 = {lanes}u;\nconst ROUNDS: u32 = {rounds}u;\n");
    [&numbers, trees, include_str!("shaders/probe_folds.wgsl")].concat()
}

/// A kernel that converts every half-precision number.
fn conversions(halves: &str) -> String {
    [include_str!("shaders/probe_halves.wgsl"), halves].concat()
}

/// The words that a kernel writes to its only buffer.
fn run(gpu: &Gpu, source: &str, groups: u32, words: u32) -> Result<Vec<u32>, PrepareError> {
    use wgpu::BufferUsages as Usage;
    gpu.checked(|| {
        let bytes = 4 * u64::from(words);
        let buffer = |usage| gpu.buffer(Resource::ScratchBytes, bytes, usage);
        let (found, copy) =
            (buffer(Usage::STORAGE | Usage::COPY_SRC)?, buffer(Usage::MAP_READ | Usage::COPY_DST)?);
        let step = gpu.buffer(Resource::ScratchBytes, 16, Usage::STORAGE)?;
        let pipeline = gpu.pipeline(source, "probe", &[Binding::Write]);
        let group = gpu.group(&[Binding::Write], &[found.as_entire_buffer_binding()]);
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &gpu.step_group(&step), &[]);
            pass.set_bind_group(1, &group, &[]);
            pass.dispatch_workgroups(groups, 1, 1);
        }
        encoder.copy_buffer_to_buffer(&found, 0, &copy, 0, bytes);
        gpu.queue.submit([encoder.finish()]);
        copy.map_async(wgpu::MapMode::Read, .., |_| ());
        let failed = || PrepareError::Device(gpu.failure().unwrap_or(DeviceError::Hung));
        gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|_| failed())?;
        let range = copy.get_mapped_range(..bytes).map_err(|_| failed())?;
        Ok(range.chunks_exact(4).map(|word| u32::from_le_bytes(std::array::from_fn(|i| word[i]))).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choice, OpenError, adapters, open};

    fn devices() -> Vec<Gpu> {
        let found = adapters();
        if found.is_empty() {
            let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
            assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
            println!("left out: {}", OpenError::NoAdapter);
        }
        let device = |index: usize| open(&Choice { adapter: Some(index.to_string()), ..Choice::default() });
        (0..found.len()).map(|index| device(index).expect("an adapter that is listed opens")).collect()
    }

    /// Not a promise of any driver, but what those at hand do; one that fails here computes without.
    #[test]
    fn extensions_of_the_adapters_at_hand_give_the_same_bits() {
        for gpu in devices() {
            let has = Extensions::of(gpu.device.features(), &gpu.info);
            println!(
                "{}: {has:?}, {} to {}",
                gpu.info.name, gpu.info.subgroup_min_size, gpu.info.subgroup_max_size
            );
            assert_eq!(passes(&gpu, has), Ok(true), "{}", gpu.message().unwrap_or_default());
        }
    }

    #[test]
    fn a_conversion_that_flushes_or_a_kernel_that_does_not_compile_fails() {
        for gpu in devices() {
            let flushing = "fn half_number(bits: u32) -> f32 {\n    return select(0.0, unpack2x16float(bits).x, (bits & 0x7c00u) != 0u);\n}\n";
            let found = run(&gpu, &conversions(flushing), HALVES / 64, HALVES).expect("it runs");
            let wrong: Vec<u32> =
                (0..HALVES).filter(|&half| !is_conversion(half as u16, found[half as usize])).collect();
            assert!(
                wrong.len() >= 2046 && wrong.iter().all(|half| half & 0x7c00 == 0),
                "{} are wrong",
                wrong.len()
            );
            let broken = run(&gpu, &conversions(""), HALVES / 64, HALVES);
            assert_eq!(broken, Err(PrepareError::Device(DeviceError::Rejected)));
            assert_eq!(gpu.failure(), None, "a probe that fails is no failure of the device");
        }
    }
}
