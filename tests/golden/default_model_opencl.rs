//! The default model on this machine's OpenCL device, PoCL included, against what llama.cpp computes from
//! the same weights in F32.
//!
//! The model has to be on this machine: `cargo xtask model` brings it. Where there is no device, a line says
//! so, or the test fails if `AGENTOS_REQUIRE_GPU` is set.

mod golden;

use agentos_hal::KvType;
use agentos_opencl::OpenClDevice;

/// Largest difference of a logit after the prompt: `exp` and roots are the driver's.
const LOGIT_TOLERANCE: f32 = 0.05;

/// New tokens per prompt.
const TOKENS: u32 = 24;

#[test]
fn greedy_text_agrees_with_llama_cpp() {
    match OpenClDevice::new() {
        Ok(mut device) => {
            let allowed = golden::Allowed::in_sums(LOGIT_TOLERANCE);
            golden::agrees_with_llama_cpp(&mut device, KvType::F16, TOKENS, allowed);
        }
        Err(error) => {
            assert!(std::env::var_os("AGENTOS_REQUIRE_GPU").is_none(), "{error}");
            println!("LEFT OUT: {error}");
        }
    }
}
