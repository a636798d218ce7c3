//! What a step costs on the bus, and that pages travel while nothing waits.

mod gpu;

use std::task::Poll;

use agentos_hal::{Candidate, DeviceError, Limits, PageError, PageId, TensorDevice, page};
use agentos_wgpu::{Variant, WgpuDevice};

use gpu::tiny::{LIMITS, PROGRAM, SHAPE, STEP_ROWS, Weights, mask, with_masked_step, with_step};

fn prepared(adapter: usize) -> WgpuDevice {
    let mut device = gpu::device(adapter, Variant::Rows);
    device.prepare(&PROGRAM, &SHAPE, &LIMITS, &mut Weights::new(SHAPE)).expect("the tiny model fits");
    device
}

fn finish(device: &mut WgpuDevice) -> Result<Vec<Candidate>, DeviceError> {
    loop {
        match device.poll() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(report) => return report.map(|report| report.candidates.to_vec()),
        }
    }
}

fn ready(mut operation: impl FnMut() -> Poll<Result<(), PageError>>) -> Result<(), PageError> {
    loop {
        match operation() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(result) => return result,
        }
    }
}

/// Sixteen rows that ask for forty candidates and a register of a usual width.
#[test]
fn a_step_is_one_submission_one_pass_and_little_on_the_bus() {
    const MOST_BYTES: u64 = 64 << 10;
    for (adapter, _) in gpu::found().iter().enumerate() {
        let shape = agentos_hal::ModelShape { width: 576, vocab: 4096, ..SHAPE };
        let mut device = gpu::device(adapter, Variant::Rows);
        device.prepare(&PROGRAM, &shape, &LIMITS, &mut Weights::new(shape)).expect("the model fits");
        for steps in 1..=3 {
            with_step(STEP_ROWS, |step| device.submit(step)).expect("a step");
            finish(&mut device).expect("a report");
            let traffic = device.traffic();
            assert_eq!((traffic.steps, traffic.submits, traffic.passes), (steps, steps, steps));
            assert!(traffic.bytes_read <= steps * MOST_BYTES, "{traffic:?}");
            assert!(traffic.bytes_written <= steps * MOST_BYTES, "{traffic:?}");
        }
    }
}

/// What needs no mask is on its way before the mask is known; the rest follows it in one submission more.
#[test]
fn a_step_whose_mask_comes_later_is_two_submissions_and_the_same() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        for variant in Variant::ALL {
            let mut device = gpu::device(adapter, variant);
            device.prepare(&PROGRAM, &SHAPE, &LIMITS, &mut Weights::new(SHAPE)).expect("the tiny model fits");
            with_masked_step(STEP_ROWS, false, |step| device.submit(step)).expect("a step");
            let expected = finish(&mut device).expect("a report");
            let early = device.traffic();
            assert_eq!((early.submits, early.passes), (1, 1));
            with_masked_step(STEP_ROWS, true, |step| device.submit(step)).expect("a step");
            let begun = device.traffic();
            assert_eq!((begun.steps, begun.submits), (2, 2));
            let tail = early.dispatches - (begun.dispatches - early.dispatches);
            assert!((1..=2).contains(&tail), "{tail} dispatches read masks: what chooses among logits");
            for _ in 0..1000 {
                assert!(device.poll().is_pending());
            }
            assert_eq!(device.traffic(), begun, "nothing goes over the bus while it waits");
            device.allow(1, &mask(3)).expect("the step lacks it");
            assert!(finish(&mut device).expect("a report") == expected, "{variant:?}");
            let late = device.traffic();
            assert_eq!((late.steps, late.submits, late.passes), (2, 3, 3));
            assert_eq!((late.dispatches, late.bytes_read), (2 * early.dispatches, 2 * early.bytes_read));
        }
    }
}

/// Queries, keys and values; their store; attention; its output; gate and up; down. Norms are done by the products
/// around them.
#[test]
fn a_layer_without_barriers_is_six_dispatches() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        let [two, three] = [2, 3].map(|layers| {
            let shape = agentos_hal::ModelShape { layers, ..SHAPE };
            let mut device = gpu::device(adapter, Variant::Rows);
            device.prepare(&PROGRAM, &shape, &LIMITS, &mut Weights::new(shape)).expect("the model fits");
            with_step(1, |step| device.submit(step)).expect("a step");
            finish(&mut device).expect("a report");
            device.traffic().dispatches
        });
        assert_eq!(three - two, 6);
    }
}

/// Vocabularies of the suite are small; one of the usual size has many blocks, and workgroups in thousands.
/// Logits that are sorted or all equal are more than a workgroup's list has room for.
#[test]
fn every_token_of_a_large_vocabulary_can_be_a_candidate() {
    let shape = agentos_hal::ModelShape { vocab: 49_152, tied_embedding: false, ..SHAPE };
    for slope in [None, Some(1.0), Some(-1.0), Some(0.0)] {
        let mut reference = agentos_reference::Reference::new(1 << 30);
        prepare_sloped(&mut reference, shape, slope);
        with_step(2, |step| reference.submit(step)).expect("a step");
        let Poll::Ready(Ok(report)) = reference.poll() else { panic!("the reference computes at once") };
        let tokens = |all: &[Candidate]| all.iter().map(|one| one.token).collect::<Vec<_>>();
        let expected = tokens(report.candidates);
        for (adapter, _) in gpu::found().iter().enumerate() {
            for variant in Variant::ALL {
                let mut device = gpu::device(adapter, variant);
                prepare_sloped(&mut device, shape, slope);
                with_step(2, |step| device.submit(step)).expect("a step");
                let found = finish(&mut device).expect("a report");
                assert_eq!(tokens(&found), expected, "{variant:?}, slope {slope:?}");
            }
        }
    }
}

/// Rows of one split are done in one kernel, and those of more in two, also where both are in one step.
#[test]
fn rows_of_one_split_and_of_more_share_a_step() {
    const ROWS: u32 = 300;
    const SHORT: u32 = 200;
    let limits = Limits {
        rows: ROWS,
        segment_pages: 64,
        outcomes: ROWS,
        exposed: ROWS,
        context: 512,
        pages: 64,
        ..LIMITS
    };
    let prepare = |device: &mut dyn TensorDevice| {
        device.prepare(&PROGRAM, &SHAPE, &limits, &mut Weights::new(SHAPE)).expect("the tiny model fits");
    };
    let mut reference = agentos_reference::Reference::new(1 << 30);
    prepare(&mut reference);
    with_step(ROWS, |step| reference.submit(step)).expect("a step");
    let Poll::Ready(Ok(report)) = reference.poll() else { panic!("the reference computes at once") };
    for (adapter, _) in gpu::found().iter().enumerate() {
        for variant in Variant::ALL {
            let mut device = gpu::device(adapter, variant);
            prepare(&mut device);
            let [short, all] = [SHORT, ROWS].map(|rows| {
                with_step(rows, |step| device.submit(step)).expect("a step");
                let found = finish(&mut device).expect("a report");
                (found, device.traffic().dispatches)
            });
            assert!(all.0[..short.0.len()] == short.0, "{variant:?}: company changes bits");
            assert!(all.1 - short.1 > short.1, "{variant:?}: one more kernel joins the splits");
            for (found, expected) in all.0.chunks(40).zip(report.candidates.chunks(40)) {
                let apart = (found[0].logit - expected[0].logit).abs();
                assert!(apart <= 1e-2, "{variant:?}: {apart}");
            }
        }
    }
}

fn prepare_sloped(device: &mut dyn TensorDevice, shape: agentos_hal::ModelShape, slope: Option<f32>) {
    let mut weights = Weights { slope, ..Weights::new(shape) };
    device.prepare(&PROGRAM, &shape, &LIMITS, &mut weights).expect("the model fits");
}

#[test]
fn pages_that_are_asked_for_in_turns_come_back_each_as_it_is() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        let mut device = prepared(adapter);
        let bytes = page::image_bytes(&SHAPE, LIMITS.kv);
        // More than the ring has buffers.
        let images: Vec<Vec<u8>> = (0..7u8).map(|page| vec![page + 1; bytes]).collect();
        for (page, image) in (0..).map(PageId).zip(&images) {
            ready(|| device.copy_in(page, image)).expect("a page in");
        }
        let mut found = vec![vec![0; bytes]; images.len()];
        let mut left: Vec<usize> = (0..images.len()).collect();
        for turn in 0.. {
            assert!(turn < 10_000_000, "pages {left:?} never come");
            left.retain(|&page| match device.copy_out(PageId(page as u32), &mut found[page]) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    result.expect("a page out");
                    false
                }
            });
            if left.is_empty() {
                break;
            }
        }
        assert!(found == images);
    }
}

/// A copy that was begun and not fetched must not speak for what the page holds later.
#[test]
fn a_page_that_changed_is_copied_anew() {
    for (adapter, _) in gpu::found().iter().enumerate() {
        let mut device = prepared(adapter);
        let bytes = page::image_bytes(&SHAPE, LIMITS.kv);
        let (before, after) = (vec![1; bytes], vec![2; bytes]);
        ready(|| device.copy_in(PageId(0), &before)).expect("a page in");
        let mut found = vec![0; bytes];
        let _ = device.copy_out(PageId(0), &mut found);
        ready(|| device.copy_in(PageId(0), &after)).expect("a page in");
        ready(|| device.copy_out(PageId(0), &mut found)).expect("a page out");
        assert!(found == after);
    }
}
