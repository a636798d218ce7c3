//! Adapters for the tests: each one that is found; none is a printed line, or a failure where
//! `AGENTOS_REQUIRE_GPU` is set.

#[allow(dead_code, reason = "not every test runs a model")]
pub mod tiny;

use agentos_wgpu::{Choice, Found, Kernels, WgpuDevice, adapters};

/// The adapters of this machine.
///
/// # Panics
/// When there is none and the environment asks for one.
pub fn found() -> Vec<Found> {
    let found = adapters();
    if found.is_empty() {
        let required = std::env::var_os("AGENTOS_REQUIRE_GPU").is_some();
        assert!(!required, "AGENTOS_REQUIRE_GPU is set, and no driver offers an adapter");
        println!("LEFT OUT: no Vulkan, Metal or DX12 adapter (Debian: apt-get install mesa-vulkan-drivers)");
    }
    found
}

/// Opens the adapter at this position, with these kernels.
pub fn device(adapter: usize, kernels: impl Into<Kernels>) -> WgpuDevice {
    let kernels = Some(kernels.into());
    let choice = Choice { adapter: Some(adapter.to_string()), kernels, ..Choice::default() };
    WgpuDevice::open(choice).expect("an adapter that is listed opens")
}
