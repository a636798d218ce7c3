//! The ceiling of every adapter is a number that a machine can have.

mod gpu;

#[test]
fn every_adapter_has_a_ceiling() {
    for (adapter, found) in gpu::found().iter().enumerate() {
        let device = gpu::device(adapter, found.variant);
        let ceiling = agentos_wgpu::ceiling::measure(device.gpu()).expect("an opened device");
        println!("{found}: {ceiling:?}");
        for rate in [ceiling.operations_per_s, ceiling.bytes_per_s] {
            assert!(rate.is_finite() && rate > 1e6, "{found}: {ceiling:?}");
        }
    }
}
