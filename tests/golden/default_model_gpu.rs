//! The default model on every GPU adapter of this machine, software drivers included, against what
//! llama.cpp computes from the same weights in F32.
//!
//! The model has to be on this machine: `cargo xtask model` brings it. Where no driver offers an adapter,
//! a line says so, or the test fails if `AGENTOS_REQUIRE_GPU` is set.

mod golden;

use agentos_hal::KvType;
use agentos_wgpu::{Choice, Traffic, WgpuDevice, adapters};

/// Largest difference of a logit after the prompt. Drivers may round a division or a root otherwise than
/// the CPU does.
const LOGIT_TOLERANCE: f32 = 0.05;

/// New tokens per prompt: a software driver takes a tenth of a second for each.
const TOKENS: u32 = 24;

#[test]
fn greedy_text_agrees_with_llama_cpp_on_every_adapter() {
    let found = adapters();
    if found.is_empty() {
        let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
        assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
        println!("LEFT OUT: no Vulkan, Metal or DX12 adapter (Debian: apt-get install mesa-vulkan-drivers)");
    }
    for (index, adapter) in found.iter().enumerate() {
        println!("{adapter}");
        let choice = Choice { adapter: Some(index.to_string()), ..Choice::default() };
        let mut device = WgpuDevice::open(choice).unwrap();
        golden::agrees_with_llama_cpp(&mut device, KvType::F16, TOKENS, LOGIT_TOLERANCE);
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
