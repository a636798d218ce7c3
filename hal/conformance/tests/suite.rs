//! The suite judges rightly: the reference passes it, and devices with a planted fault do not.

use agentos_conformance::{Backend, Options, Twin, run};
use agentos_hal::TensorDevice;
use agentos_reference::Reference;

fn reference() -> Box<dyn TensorDevice> {
    Box::new(Reference::new(1 << 30))
}

#[test]
fn the_reference_passes() {
    let twins = &[Twin {
        name: "another reference",
        make: reference,
    }];
    let backend = Backend {
        name: "reference",
        make: reference,
        twins,
    };
    let table = run(&backend, &Options::default());
    println!("{table}");
    assert!(table.passed(), "{table}");
}
