//! Kernels that are chosen by the clock: the choice is told, can be pinned, and never shows in a result.

mod gpu;

use std::task::Poll;
use std::time::Duration;

use agentos_hal::{Candidate, Inputs, TensorDevice};
use agentos_wgpu::{Choice, Extensions, Kernels, OpenError, Variant, WgpuDevice};

use gpu::tiny::{LIMITS, PROGRAM, SHAPE, STEP_ROWS, Weights, with_step};

fn step(device: &mut WgpuDevice) -> Vec<Candidate> {
    device.prepare(&PROGRAM, &SHAPE, &LIMITS, &mut Weights::new(SHAPE)).expect("the tiny model fits");
    with_step(STEP_ROWS, |step| device.submit(step)).expect("a step");
    loop {
        match device.poll() {
            Poll::Pending => std::thread::yield_now(),
            Poll::Ready(report) => return report.expect("a report").candidates.to_vec(),
        }
    }
}

#[test]
fn a_choice_is_told_and_gives_the_bits_of_every_other() {
    for (adapter, found) in gpu::found().iter().enumerate() {
        let choice = Choice { adapter: Some(adapter.to_string()), ..Choice::default() };
        let mut device = WgpuDevice::open(choice).expect("an adapter that is listed opens");
        assert!(device.tuning().is_none(), "nothing is chosen without a model");
        let tuned = step(&mut device);
        let pinned = device.gpu().kernels();
        assert_eq!(device.caps().variant, pinned.name());
        match device.tuning() {
            Some(tuning) => {
                println!("{found}: {tuning}");
                assert_eq!(tuning.kernels, pinned);
                assert_eq!(pinned.inputs, Inputs::F32, "what changes bits is nothing for a clock");
                assert!(tuning.took > Duration::ZERO);
                assert!(tuning.trials.iter().all(|trial| trial.without_us > 0.0 && trial.with_us > 0.0));
            }
            None => assert_eq!(found.extensions, Extensions::NONE),
        }
        for extensions in [Extensions::NONE, found.extensions] {
            let kernels = Kernels { extensions, ..found.variant.into() };
            let mut device = gpu::device(adapter, kernels);
            assert!(step(&mut device) == tuned, "{kernels}");
            assert!(device.tuning().is_none(), "what is pinned is not tuned");
            assert_eq!(device.caps().variant, kernels.name());
        }
    }
}

#[test]
fn extensions_change_no_bit_of_a_step() {
    for (adapter, found) in gpu::found().iter().enumerate() {
        let inputs = [Inputs::F32, Inputs::Int8, Inputs::F16];
        let kinds = Variant::ALL.map(|variant| inputs.map(|inputs| (variant, inputs)));
        for kind in kinds.into_iter().flatten() {
            let sets = Kernels::all().filter(|set| (set.variant, set.inputs) == kind && found.runs(*set));
            let said: Vec<(Kernels, Vec<Candidate>)> =
                sets.map(|set| (set, step(&mut gpu::device(adapter, set)))).collect();
            for (set, found) in said.iter().skip(1) {
                assert!(*found == said[0].1, "{set} and {}", said[0].0);
            }
        }
    }
}

#[test]
fn kernels_that_an_adapter_lacks_are_refused_with_those_that_fit() {
    for (adapter, found) in gpu::found().iter().enumerate() {
        let asked: Kernels = "groups+subgroups+halves".parse().expect("a name that there is");
        let has = Extensions::of(found.features, &found.info);
        let choice = Choice { adapter: Some(adapter.to_string()), kernels: Some(asked), ..Choice::default() };
        match WgpuDevice::open(choice) {
            Ok(_) => assert_eq!(has, asked.extensions),
            Err(OpenError::Lacks { fits, .. }) => {
                assert_eq!(fits, Kernels { extensions: has, ..Variant::Groups.into() });
            }
            Err(error) => panic!("{error}"),
        }
    }
}
