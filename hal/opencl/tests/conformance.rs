//! The OpenCL device of this machine passes the conformance suite. Where there is none, this says so and ends;
//! `AGENTOS_REQUIRE_GPU` makes that a failure.

use agentos_conformance::{Backend, Options, run};
use agentos_hal::TensorDevice;
use agentos_opencl::OpenClDevice;

fn make() -> Box<dyn TensorDevice> {
    Box::new(OpenClDevice::new().expect("it opened before"))
}

#[test]
fn the_device_of_this_machine_conforms() {
    if let Err(error) = OpenClDevice::new() {
        assert!(std::env::var_os("AGENTOS_REQUIRE_GPU").is_none(), "{error}");
        eprintln!("OpenCL is not tested: {error}");
        return;
    }
    let table = run(&Backend { name: "opencl", make, twins: &[] }, &Options::default());
    println!("{table}");
    assert!(table.passed(), "{table}");
}
