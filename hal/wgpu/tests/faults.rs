//! Devices that are lost, too small or out of memory: typed errors, no panic, and a device that works
//! again behind them.

mod gpu;

use std::task::Poll;

use agentos_hal::{
    Candidate, DeviceError, Limits, MaskError, ModelShape, PageError, PageId, PrepareError, Resource,
    SubmitError, TensorDevice, page,
};
use agentos_wgpu::{Choice, OpenError, Variant, WgpuDevice, open};

use gpu::tiny::{LIMITS, PROGRAM, SHAPE, STEP_ROWS, Weights, mask, with_masked_step, with_step};

fn prepare(device: &mut WgpuDevice, limits: &Limits) -> Result<(), PrepareError> {
    device.prepare(&PROGRAM, &SHAPE, limits, &mut Weights::new(SHAPE)).map(|_| ())
}

fn submit(device: &mut WgpuDevice) -> Result<(), SubmitError> {
    with_step(STEP_ROWS, |step| device.submit(step))
}

fn finish(device: &mut WgpuDevice) -> Result<Vec<Candidate>, DeviceError> {
    loop {
        match device.poll() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(report) => return report.map(|report| report.candidates.to_vec()),
        }
    }
}

fn step(device: &mut WgpuDevice) -> Vec<Candidate> {
    submit(device).expect("a step");
    finish(device).expect("a report")
}

fn image() -> Vec<u8> {
    vec![0; page::image_bytes(&SHAPE, LIMITS.kv)]
}

fn copy_out(device: &mut WgpuDevice) -> Result<(), PageError> {
    loop {
        match device.copy_out(PageId(0), &mut image()) {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(result) => return result,
        }
    }
}

/// The limits that an adapter is opened with, changed.
fn limited(adapter: usize, limits: impl Fn(&mut wgpu::Limits)) -> Choice {
    let mut forced = gpu::found()[adapter].limits.clone();
    limits(&mut forced);
    Choice {
        adapter: Some(adapter.to_string()),
        kernels: Some(gpu::found()[adapter].variant.into()),
        limits: Some(forced),
        ..Choice::default()
    }
}

#[test]
fn a_device_lost_in_the_middle_of_a_step_is_prepared_again() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        let mut device = gpu::device(adapter, Variant::Rows);
        prepare(&mut device, &LIMITS).expect("the tiny model fits");
        let before = step(&mut device);
        submit(&mut device).expect("a step");
        device.gpu().device.destroy();
        assert_eq!(finish(&mut device), Err(DeviceError::Lost));
        assert_eq!(finish(&mut device), Err(DeviceError::Idle));
        assert_eq!(submit(&mut device), Err(SubmitError::NotPrepared));
        assert_eq!(copy_out(&mut device), Err(PageError::NotPrepared));
        prepare(&mut device, &LIMITS).expect("the device is opened again");
        assert!(step(&mut device) == before);
    }
}

#[test]
fn a_device_lost_while_a_mask_is_missing_says_so_whether_it_comes_or_not() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        for comes in [true, false] {
            let mut device = gpu::device(adapter, Variant::Rows);
            prepare(&mut device, &LIMITS).expect("the tiny model fits");
            let before = step(&mut device);
            with_masked_step(STEP_ROWS, true, |step| device.submit(step)).expect("a step");
            device.gpu().device.destroy();
            if comes {
                device.allow(1, &mask(3)).expect("a mask is taken: the step's poll tells");
            }
            assert_eq!(finish(&mut device), Err(DeviceError::Lost));
            assert_eq!(device.allow(1, &mask(3)), Err(MaskError::Idle));
            prepare(&mut device, &LIMITS).expect("the device is opened again");
            assert!(step(&mut device) == before);
        }
    }
}

#[test]
fn a_device_lost_between_steps_says_so_at_the_next_call() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        let mut device = gpu::device(adapter, Variant::Rows);
        prepare(&mut device, &LIMITS).expect("the tiny model fits");
        let before = step(&mut device);
        let _ = device.copy_out(PageId(0), &mut image());
        device.gpu().device.destroy();
        assert_eq!(copy_out(&mut device), Err(PageError::Lost));
        prepare(&mut device, &LIMITS).expect("the device is opened again");
        device.gpu().device.destroy();
        assert_eq!(device.copy_pages(&[(PageId(0), PageId(1))]), Err(PageError::Lost));
        prepare(&mut device, &LIMITS).expect("the device is opened again");
        device.gpu().device.destroy();
        submit(&mut device).expect("a step is accepted: its poll tells");
        assert_eq!(finish(&mut device), Err(DeviceError::Lost));
        prepare(&mut device, &LIMITS).expect("the device is opened again");
        assert!(step(&mut device) == before);
    }
}

#[test]
fn an_adapter_that_is_too_weak_is_not_opened() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        let weak = limited(adapter, |limits| limits.max_compute_invocations_per_workgroup = 64);
        let error = open(&weak).err().expect("64 invocations are too few");
        let limit = "max_compute_invocations_per_workgroup";
        assert!(
            matches!(error, OpenError::TooWeak { limit: found, needed: 256, available: 64, .. } if found == limit)
        );
    }
    let unknown = Choice { adapter: Some("no such adapter".to_string()), ..Choice::default() };
    assert!(matches!(open(&unknown).err(), Some(OpenError::Unknown { .. } | OpenError::NoAdapter)));
}

/// Bindings of 160 KiB: the embedding is split over several, page memory beyond one is refused with what
/// would fit, and what fits gives the bits of a device without such limits.
#[test]
fn bindings_forced_small_split_weights_and_refuse_pages() {
    const BOUND: u64 = 160 << 10;
    let shape = ModelShape { width: 128, ..SHAPE };
    let prepare = |device: &mut WgpuDevice, limits: &Limits| {
        device.prepare(&PROGRAM, &shape, limits, &mut Weights::new(shape)).map(|_| ())
    };
    assert!(u64::from(shape.vocab * shape.width) * 4 > BOUND, "the embedding is larger than a binding");
    for (adapter, found) in gpu::found().iter().enumerate() {
        let mut roomy = gpu::device(adapter, found.variant);
        prepare(&mut roomy, &LIMITS).expect("the model fits");
        let expected = step(&mut roomy);
        let choice = limited(adapter, |limits| limits.max_storage_buffer_binding_size = BOUND);
        let mut device = WgpuDevice::open(choice).expect("small bindings are enough");
        let vast = Limits { pages: 1 << 12, ..LIMITS };
        match prepare(&mut device, &vast) {
            Err(PrepareError::TooLarge { what: Resource::BindingBytes, needed, available }) => {
                assert!(needed > available && available == BOUND, "{needed} {available}");
            }
            other => panic!("page memory over {BOUND} bytes a layer: {other:?}"),
        }
        assert_eq!(submit(&mut device), Err(SubmitError::NotPrepared));
        prepare(&mut device, &LIMITS).expect("the model fits, in parts");
        assert!(step(&mut device) == expected);
    }
}
