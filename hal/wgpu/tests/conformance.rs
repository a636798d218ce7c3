//! Every adapter of this machine passes the conformance suite.

mod gpu;

use agentos_conformance::{Backend, Make, Options, run};
use agentos_hal::TensorDevice;
use agentos_wgpu::Variant;

fn rows<const ADAPTER: usize>() -> Box<dyn TensorDevice> {
    Box::new(gpu::device(ADAPTER, Variant::Rows))
}

/// Adapters that a machine may have for these tests.
const ROWS: [Make; 4] = [rows::<0>, rows::<1>, rows::<2>, rows::<3>];

#[test]
fn kernels_without_barriers_conform_on_every_adapter() {
    for (adapter, make) in gpu::found().iter().zip(ROWS) {
        println!("{adapter}");
        let only = std::env::var("AGENTOS_CONFORMANCE_ONLY").ok();
        let table = run(&Backend { name: "wgpu", make, twins: &[] }, &Options { only, ..Options::default() });
        println!("{table}");
        assert!(table.passed(), "{table}");
    }
}
