//! The wrapper is a backend like any other: with an empty plan it changes no bit, and one that is only
//! late is a slow device that keeps every promise.

use agentos_conformance::{Backend, Options, Twin, run};
use agentos_fault::{FaultDevice, FaultPlan, PerMille, Scratch};
use agentos_hal::TensorDevice;
use agentos_reference::Reference;

const LATE: FaultPlan<'static> = FaultPlan::Random {
    seed: 5,
    odds: PerMille { delay: 500, copy_delay: 500, ..PerMille::NONE },
    longest_delay: 3,
};

fn wrapped(plan: FaultPlan<'static>) -> Box<dyn TensorDevice> {
    Box::new(FaultDevice::new(Reference::new(1 << 30), plan, Scratch::default()))
}

fn conforms(name: &'static str, make: fn() -> Box<dyn TensorDevice>) {
    let twins = &[Twin { name: "not wrapped", make: || Box::new(Reference::new(1 << 30)) }];
    let table = run(&Backend { name, make, twins }, &Options { cases: 2, ..Options::default() });
    println!("{table}");
    assert!(table.passed(), "{table}");
}

#[test]
fn an_empty_plan_changes_nothing() {
    conforms("wrapped", || wrapped(FaultPlan::NONE));
}

#[test]
fn a_late_device_conforms() {
    conforms("late", || wrapped(LATE));
}
