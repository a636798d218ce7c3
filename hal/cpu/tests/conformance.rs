//! Every instruction set of this machine passes the conformance suite, with one worker and with
//! several, and all that have a fused multiply-add give the same bits.

use agentos_conformance::{Backend, Options, Twin, run};
use agentos_cpu::{CpuDevice, Isa, Lent, Pool, Solo, SystemMemory};
use agentos_hal::TensorDevice;

fn device(isa: Isa, threads: usize) -> Box<dyn TensorDevice> {
    let isa = if Isa::all().any(|available| available == isa) { isa } else { Isa::best() };
    Box::new(CpuDevice::new(SystemMemory::default(), Pool::new(threads).expect("threads start"), isa))
}

/// As on a machine without an operating system: memory that somebody else owns, and no threads.
fn lent() -> Box<dyn TensorDevice> {
    let memory = Box::leak(vec![0u8; 32 << 20].into_boxed_slice());
    Box::new(CpuDevice::new(Lent::new(memory), Solo, Isa::best()))
}

const BEST: Backend = Backend {
    name: "cpu",
    make: || device(Isa::best(), 1),
    twins: &[
        Twin { name: "lent memory", make: lent },
        Twin { name: "2 threads", make: || device(Isa::best(), 2) },
        Twin { name: "3 threads", make: || device(Isa::best(), 3) },
        // Where the best is the portable one, this is the same device once more.
        Twin {
            name: "avx2",
            make: || device(if Isa::best() == Isa::Avx512 { Isa::Avx2 } else { Isa::best() }, 2),
        },
    ],
};

const PORTABLE: Backend = Backend {
    name: "cpu, portable",
    make: || device(Isa::Portable, 2),
    twins: &[Twin { name: "1 thread", make: || device(Isa::Portable, 1) }],
};

#[test]
fn the_best_instruction_set_conforms() {
    let table = run(&BEST, &Options::default());
    println!("{table}");
    assert!(table.passed(), "{table}");
}

#[test]
fn the_portable_kernels_conform() {
    let table = run(&PORTABLE, &Options::default());
    println!("{table}");
    assert!(table.passed(), "{table}");
}
