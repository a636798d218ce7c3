//! Every instruction set of this machine passes the conformance suite, with one worker and with
//! several, and all that have a fused multiply-add give the same bits.

use agentos_conformance::{Backend, Options, Twin, run};
use agentos_cpu::{CpuDevice, Isa, Lent, Pool, Solo, SystemMemory};
use agentos_hal::{Inputs, TensorDevice};

fn device(isa: Isa, threads: usize, inputs: Inputs) -> Box<dyn TensorDevice> {
    let isa = if Isa::all().any(|available| available == isa) { isa } else { Isa::best() };
    let pool = Pool::new(threads).expect("threads start");
    Box::new(CpuDevice::new(SystemMemory::default(), pool, isa).with_inputs(inputs))
}

/// As on a machine without an operating system: memory that somebody else owns, and no threads.
fn lent() -> Box<dyn TensorDevice> {
    let memory = Box::leak(vec![0u8; 32 << 20].into_boxed_slice());
    Box::new(CpuDevice::new(Lent::new(memory), Solo, Isa::best()))
}

/// The best but the portable one, or the best again where there is no other.
fn other(isa: Isa) -> Isa {
    if Isa::best() == Isa::Portable { Isa::best() } else { isa }
}

const INTEGERS: Backend = Backend {
    name: "cpu",
    make: || device(Isa::best(), 1, Inputs::Int16),
    twins: &[
        Twin { name: "lent memory", make: lent },
        Twin { name: "2 threads", make: || device(Isa::best(), 2, Inputs::Int16) },
        Twin { name: "avx512", make: || device(other(Isa::Avx512), 3, Inputs::Int16) },
        Twin { name: "avx2", make: || device(other(Isa::Avx2), 2, Inputs::Int16) },
    ],
};

const SINGLE: Backend = Backend {
    name: "cpu, f32 inputs",
    make: || device(Isa::best(), 1, Inputs::F32),
    twins: &[
        Twin { name: "2 threads", make: || device(Isa::best(), 2, Inputs::F32) },
        Twin { name: "3 threads", make: || device(Isa::best(), 3, Inputs::F32) },
        Twin { name: "avx2", make: || device(other(Isa::Avx2), 2, Inputs::F32) },
    ],
};

const PORTABLE: Backend = Backend {
    name: "cpu, portable",
    make: || device(Isa::Portable, 2, Inputs::Int16),
    twins: &[Twin { name: "1 thread", make: || device(Isa::Portable, 1, Inputs::Int16) }],
};

const PORTABLE_SINGLE: Backend = Backend {
    name: "cpu, portable, f32 inputs",
    make: || device(Isa::Portable, 2, Inputs::F32),
    twins: &[Twin { name: "1 thread", make: || device(Isa::Portable, 1, Inputs::F32) }],
};

fn conforms(backend: &Backend) {
    let table = run(backend, &Options::default());
    println!("{table}");
    assert!(table.passed(), "{table}");
}

#[test]
fn the_best_instruction_set_conforms() {
    conforms(&INTEGERS);
}

#[test]
fn the_best_instruction_set_conforms_in_single_precision() {
    conforms(&SINGLE);
}

#[test]
fn the_portable_kernels_conform() {
    conforms(&PORTABLE);
}

#[test]
fn the_portable_kernels_conform_in_single_precision() {
    conforms(&PORTABLE_SINGLE);
}
