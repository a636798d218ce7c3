//! A driver that fails: typed errors, no panic, and a device that works again behind them. Where there is none,
//! this says so and ends; `AGENTOS_REQUIRE_GPU` makes that a failure.

#[path = "../../wgpu/tests/gpu/tiny.rs"]
#[allow(dead_code, reason = "the other backend's tests run more of it")]
mod tiny;

use std::task::Poll;

use agentos_hal::{
    Candidate, DeviceError, Limits, PageError, PageId, PrepareError, Resource, SubmitError, TensorDevice,
    page,
};
use opencl3::error_codes::{CL_DEVICE_NOT_AVAILABLE, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES};

use crate::{OpenClDevice, failing};
use tiny::{LIMITS, PROGRAM, SHAPE, STEP_ROWS, Weights, with_step};

fn device() -> Option<OpenClDevice> {
    match OpenClDevice::new() {
        Ok(device) => Some(device),
        Err(error) => {
            assert!(std::env::var_os("AGENTOS_REQUIRE_GPU").is_none(), "{error}");
            println!("OpenCL is not tested: {error}");
            None
        }
    }
}

fn prepare(device: &mut OpenClDevice, limits: &Limits) -> Result<(), PrepareError> {
    device.prepare(&PROGRAM, &SHAPE, limits, &mut Weights::new(SHAPE)).map(|_| ())
}

fn finish(device: &mut OpenClDevice) -> Result<Vec<Candidate>, DeviceError> {
    loop {
        match device.poll() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(report) => return report.map(|report| report.candidates.to_vec()),
        }
    }
}

fn step(device: &mut OpenClDevice) -> Result<Vec<Candidate>, DeviceError> {
    with_step(STEP_ROWS, |step| device.submit(step)).expect("a step is accepted: its poll tells");
    finish(device)
}

/// A prepared device, and what its first step says.
fn working() -> Option<(OpenClDevice, Vec<Candidate>)> {
    let mut device = device()?;
    prepare(&mut device, &LIMITS).expect("the tiny model fits");
    let said = step(&mut device).expect("a report");
    Some((device, said))
}

/// The model is gone, nothing panics, and once the driver is well the device says what it said before.
fn recovers(device: &mut OpenClDevice, before: &[Candidate]) {
    let mut image = vec![0; page::image_bytes(&SHAPE, LIMITS.kv)];
    assert_eq!(with_step(STEP_ROWS, |step| device.submit(step)), Err(SubmitError::NotPrepared));
    assert_eq!(device.copy_out(PageId(0), &mut image), Poll::Ready(Err(PageError::NotPrepared)));
    assert!(failing::heal(), "a call failed");
    prepare(device, &LIMITS).expect("the driver is well again");
    assert!(step(device).expect("a report") == before);
}

/// At whatever call of a step: while it is sent off, looked after or read.
#[test]
fn a_device_lost_in_a_step_is_prepared_again() {
    let Some((mut device, before)) = working() else { return };
    for (code, error) in
        [(CL_DEVICE_NOT_AVAILABLE, DeviceError::Lost), (CL_OUT_OF_RESOURCES, DeviceError::OutOfMemory)]
    {
        let mut calls = 0;
        loop {
            failing::after(calls, code);
            match step(&mut device) {
                Ok(said) => {
                    assert!(said == before);
                    // What failed after the last call that matters gave something back.
                    if !failing::heal() {
                        break;
                    }
                }
                Err(found) => {
                    assert_eq!(found, error);
                    recovers(&mut device, &before);
                }
            }
            calls += 7;
        }
        assert!(calls > 50, "a step is many calls");
    }
}

#[test]
fn a_device_lost_over_a_page_is_prepared_again() {
    let Some((mut device, before)) = working() else { return };
    let mut image = vec![0; page::image_bytes(&SHAPE, LIMITS.kv)];
    let lost = Poll::Ready(Err(PageError::Lost));
    failing::after(0, CL_DEVICE_NOT_AVAILABLE);
    assert_eq!(device.copy_out(PageId(0), &mut image), lost);
    recovers(&mut device, &before);
    // The image arrives, its masses do not.
    failing::after(1, CL_DEVICE_NOT_AVAILABLE);
    assert_eq!(device.copy_in(PageId(0), &image), lost);
    recovers(&mut device, &before);
    failing::after(0, CL_DEVICE_NOT_AVAILABLE);
    assert_eq!(device.copy_pages(&[(PageId(0), PageId(1))]), Err(PageError::Lost));
    recovers(&mut device, &before);
}

/// At whatever buffer: the refusal names what there was no room for, and what had been made is given back.
#[test]
fn memory_that_runs_out_is_refused_and_the_device_works_behind_it() {
    let Some((mut device, before)) = working() else { return };
    let mut refusals = 0;
    loop {
        failing::after(refusals * 5, CL_MEM_OBJECT_ALLOCATION_FAILURE);
        match prepare(&mut device, &LIMITS) {
            Ok(()) if !failing::heal() => break,
            Ok(()) => {
                refusals += 1;
                continue;
            }
            Err(
                PrepareError::TooLarge {
                    what: Resource::WeightBytes | Resource::PageBytes | Resource::ScratchBytes,
                    ..
                }
                | PrepareError::Device(DeviceError::OutOfMemory),
            ) => (),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(with_step(STEP_ROWS, |step| device.submit(step)), Err(SubmitError::NotPrepared));
        refusals += 1;
    }
    assert!(refusals > 5, "{refusals} refusals");
    assert!(step(&mut device).expect("a report") == before);
}

#[test]
fn more_page_memory_than_the_device_has_is_refused_before_anything_is_made() {
    let Some((mut device, before)) = working() else { return };
    let vast = Limits { pages: 1 << 26, ..LIMITS };
    match prepare(&mut device, &vast) {
        Err(PrepareError::TooLarge {
            what: Resource::PageBytes | Resource::BindingBytes,
            needed,
            available,
        }) => {
            assert!(needed > available && available > 0, "{needed} {available}");
        }
        other => panic!("{other:?}"),
    }
    prepare(&mut device, &LIMITS).expect("the tiny model fits");
    assert!(step(&mut device).expect("a report") == before);
}

/// A driver that takes nothing back: what is left there is left, and nothing panics.
#[test]
fn a_driver_that_takes_nothing_back_is_no_panic() {
    let Some((device, _)) = working() else { return };
    failing::after(0, CL_DEVICE_NOT_AVAILABLE);
    drop(device);
    assert!(failing::heal());
}

#[test]
fn every_device_is_listed_and_one_is_chosen() {
    if device().is_none() {
        return;
    }
    let found = crate::devices().expect("there is one");
    let chosen: Vec<_> = found.iter().filter(|found| found.chosen).collect();
    assert_eq!(chosen.len(), 1, "{found:?}");
    assert!(chosen[0].lacks.is_none() && chosen[0].memory_bytes > 0 && !chosen[0].platform.is_empty());
}
