//! The default model on every GPU adapter of this machine, software drivers included, against what
//! llama.cpp computes from the same weights in F32.
//!
//! The model has to be on this machine: `cargo xtask model` brings it. Where no driver offers an adapter,
//! a line says so, or the test fails if `AGENTOS_REQUIRE_GPU` is set.

mod golden;

use agentos_conformance::tolerance;
use agentos_desktop::context::Purpose;
use agentos_desktop::device::{Activations, Device, DeviceOptions};
use agentos_hal::KvType;
use agentos_wgpu::{Choice, Found, OpenError, Traffic, WgpuDevice, adapters};

use golden::{Allowed, Ready};

/// Largest difference of a logit after the prompt. Drivers may round a division or a root otherwise than
/// the CPU does.
const LOGIT_TOLERANCE: f32 = 0.05;

/// New tokens per prompt: a software driver takes a tenth of a second for each.
const TOKENS: u32 = 24;

/// The same, of kernels that round inputs.
const ROUNDED_TOKENS: u32 = 8;

/// The adapters of this machine.
fn found() -> Vec<Found> {
    let found = adapters();
    if found.is_empty() {
        let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
        assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
        println!("LEFT OUT: no Vulkan, Metal or DX12 adapter (Debian: apt-get install mesa-vulkan-drivers)");
    }
    found
}

#[test]
fn greedy_text_agrees_with_llama_cpp_on_every_adapter() {
    for (index, adapter) in found().iter().enumerate() {
        println!("{adapter}");
        let choice = Choice { adapter: Some(index.to_string()), ..Choice::default() };
        let mut device = WgpuDevice::open(choice).unwrap();
        golden::agrees_with_llama_cpp(&mut device, KvType::F16, TOKENS, Allowed::in_sums(LOGIT_TOLERANCE));
        goes_over_the_bus_once_a_step(&device.traffic());
    }
}

fn goes_over_the_bus_once_a_step(traffic: &Traffic) {
    let Traffic { steps, submits, passes, bytes_read, dispatches, last_encode, .. } = traffic;
    println!(
        "{steps} steps, {} dispatches and {} bytes back in each, the last one encoded in {last_encode:?}",
        dispatches / steps,
        bytes_read / steps
    );
    assert_eq!((submits, passes), (steps, steps), "one submission and one pass a step");
}

/// Kernels that round inputs keep what the suite allows to whole programs, in parts of the logits' size.
fn rounds_no_more_than_it_may(kernels: &str, check: &str) {
    let found = found();
    if found.is_empty() {
        return;
    }
    let part = tolerance::of(check).limit as f32;
    let sizes: Vec<(Vec<u32>, f32)> = golden::prompts().into_iter().map(sized).collect();
    for (index, adapter) in found.iter().enumerate() {
        println!("{adapter}, {kernels}");
        let kernels = Some(kernels.parse().unwrap());
        let choice = Choice { adapter: Some(index.to_string()), kernels, ..Choice::default() };
        let mut device = match WgpuDevice::open(choice) {
            Err(OpenError::Lacks { name, .. }) => {
                println!("LEFT OUT: {name} has no half precision");
                continue;
            }
            device => device.unwrap(),
        };
        let allowed = |prompt: &[u32]| {
            let (_, size) = sizes.iter().find(|(known, _)| known == prompt).unwrap();
            // The best token may lose as much as the second one gains.
            Allowed { logit: part * size, near_tie: 2.0 * part * size }
        };
        golden::agrees_with_llama_cpp(&mut device, KvType::F16, ROUNDED_TOKENS, allowed);
    }
}

/// A prompt and the root of the mean square of all logits after it.
fn sized(prompt: Vec<u32>) -> (Vec<u32>, f32) {
    let options = DeviceOptions { activations: Activations::F32, ..DeviceOptions::cpu() };
    let mut cpu = Device::open(&options).unwrap();
    let purpose = Purpose { candidates: u32::MAX, ..Purpose::GENERATE };
    let mut ready = Ready::new(cpu.tensor_device(), golden::CONTEXT, KvType::F32, purpose);
    let (_, logits) = ready.greedy(&prompt, 1);
    let squares: f64 = logits.iter().map(|&(_, logit)| f64::from(logit) * f64::from(logit)).sum();
    let size = (squares / logits.len() as f64).sqrt() as f32;
    println!("{} logits of size {size}", logits.len());
    (prompt, size)
}

#[test]
fn products_of_integers_stay_as_near_to_llama_cpp_as_they_may() {
    rounds_no_more_than_it_may("rows+dot4", "Program int8 f16");
}

#[test]
fn products_in_half_precision_stay_as_near_to_llama_cpp_as_they_may() {
    rounds_no_more_than_it_may("rows+f16", "Program halves f16");
}
