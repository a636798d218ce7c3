//! Memory that runs out while a model is prepared: a typed refusal, and a device that works behind it.
//!
//! A software driver takes its memory from the process, so that a process that may have little of it plays a
//! device that has little. The test starts itself again under such a limit.

#![cfg(unix)]

mod gpu;

use std::process::Command;
use std::task::Poll;

use agentos_hal::{DeviceError, Limits, ModelShape, PrepareError, TensorDevice};
use agentos_wgpu::Variant;

use gpu::tiny::{LIMITS, PROGRAM, SHAPE, STEP_ROWS, Weights, with_step};

/// Address space of the process with little memory, in KiB.
const PROCESS_KIB: u64 = 3 << 20;

/// Layers of the model, whose page memory is one buffer each.
const LAYERS: u32 = 64;

/// Bytes of each: more in all than the process may have, by far.
const LAYER_BYTES: u64 = 120 << 20;

/// Set in the process with little memory: the adapter to try.
const ADAPTER: &str = "AGENTOS_TEST_ADAPTER";

#[test]
fn memory_that_runs_out_is_refused_and_the_device_works_behind_it() {
    if let Ok(adapter) = std::env::var(ADAPTER) {
        return runs_out(adapter.parse().expect("a position"));
    }
    for (adapter, found) in gpu::found().iter().enumerate() {
        if found.info.device_type != wgpu::DeviceType::Cpu {
            println!("{found}: left out, its memory is its own");
            continue;
        }
        let status = Command::new("sh")
            .args(["-c", &format!("ulimit -v {PROCESS_KIB}; exec \"$0\" --nocapture")])
            .arg(std::env::current_exe().expect("this program has a path"))
            .env(ADAPTER, adapter.to_string())
            .status()
            .expect("a shell starts");
        assert!(status.success(), "{found}: {status}");
    }
}

fn runs_out(adapter: usize) {
    let mut device = gpu::device(adapter, Variant::Rows);
    let deep = ModelShape { layers: LAYERS, ..SHAPE };
    let page_bytes = agentos_hal::page::layer_bytes(&deep, LIMITS.kv) as u64;
    let vast = Limits { pages: (LAYER_BYTES / page_bytes) as u32, ..LIMITS };
    let refused = device.prepare(&PROGRAM, &deep, &vast, &mut Weights::new(deep));
    assert_eq!(refused.map(|_| ()), Err(PrepareError::Device(DeviceError::OutOfMemory)));
    println!("{}", device.gpu().message().unwrap_or_default());
    device.prepare(&PROGRAM, &SHAPE, &LIMITS, &mut Weights::new(SHAPE)).expect("the tiny model fits");
    with_step(STEP_ROWS, |step| device.submit(step)).expect("a step");
    loop {
        match device.poll() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(report) => {
                assert_eq!(report.expect("a report").outcomes.len(), STEP_ROWS as usize);
                return;
            }
        }
    }
}
