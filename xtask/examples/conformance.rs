//! Holds the backends to the conformance suite and prints the table: `cargo xtask conformance`.
//!
//! The argument is the name of a backend; without one, all of them run.

use std::process::ExitCode;

use agentos_conformance::{Backend, Make, Options, Twin, run};
use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_hal::TensorDevice;
use agentos_reference::Reference;
use agentos_wgpu::{Choice, WgpuDevice};

/// Each backend, as often as it has kernels whose bits differ: one line adds one.
fn backends() -> Vec<Backend> {
    let mut list = vec![Backend { name: "reference", make: reference, twins: &[] }];
    list.extend(Isa::all().map(cpu));
    let adapters = agentos_wgpu::adapters();
    list.extend(adapters.iter().zip(ADAPTERS).map(|(_, make)| Backend { name: "wgpu", make, twins: &[] }));
    if adapters.is_empty() {
        eprintln!(
            "wgpu is left out: no driver offers an adapter (Debian: apt-get install mesa-vulkan-drivers)"
        );
    }
    list
}

/// The wgpu backend on each adapter that a machine may have.
const ADAPTERS: [Make; 4] = [wgpu::<0>, wgpu::<1>, wgpu::<2>, wgpu::<3>];

fn wgpu<const ADAPTER: usize>() -> Box<dyn TensorDevice> {
    let choice = Choice { adapter: Some(ADAPTER.to_string()), ..Choice::default() };
    Box::new(WgpuDevice::open(choice).expect("an adapter that is listed opens"))
}

fn reference() -> Box<dyn TensorDevice> {
    /// Bytes that a case may take; the suite's models are tiny.
    const BYTES: u64 = 1 << 30;
    Box::new(Reference::new(BYTES))
}

/// The CPU backend with one instruction set. Its twins are other numbers of threads, and AVX2 beside
/// AVX-512: they promise the same bits.
fn cpu(isa: Isa) -> Backend {
    const AVX512: [Twin; 3] = [
        Twin { name: "1 thread", make: avx512::<1> },
        Twin { name: "3 threads", make: avx512::<3> },
        Twin { name: "AVX2", make: avx2::<2> },
    ];
    const AVX2: [Twin; 2] =
        [Twin { name: "1 thread", make: avx2::<1> }, Twin { name: "3 threads", make: avx2::<3> }];
    const PORTABLE: [Twin; 2] =
        [Twin { name: "1 thread", make: portable::<1> }, Twin { name: "3 threads", make: portable::<3> }];
    let name = "cpu";
    match isa {
        Isa::Avx512 => Backend { name, make: avx512::<2>, twins: &AVX512 },
        Isa::Avx2 => Backend { name, make: avx2::<2>, twins: &AVX2 },
        Isa::Portable => Backend { name, make: portable::<2>, twins: &PORTABLE },
    }
}

fn avx512<const THREADS: usize>() -> Box<dyn TensorDevice> {
    on_threads(Isa::Avx512, THREADS)
}

fn avx2<const THREADS: usize>() -> Box<dyn TensorDevice> {
    on_threads(Isa::Avx2, THREADS)
}

fn portable<const THREADS: usize>() -> Box<dyn TensorDevice> {
    on_threads(Isa::Portable, THREADS)
}

fn on_threads(isa: Isa, threads: usize) -> Box<dyn TensorDevice> {
    let pool = Pool::new(threads).expect("the system starts a few threads");
    Box::new(CpuDevice::new(SystemMemory::default(), pool, isa))
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let known = backends();
    let chosen: Vec<&Backend> =
        known.iter().filter(|backend| wanted.as_deref().is_none_or(|name| name == backend.name)).collect();
    if chosen.is_empty() {
        let mut names: Vec<&str> = known.iter().map(|backend| backend.name).collect();
        names.dedup();
        eprintln!("there is no such backend; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let mut passed = true;
    for backend in chosen {
        let table = run(backend, &Options::default());
        println!("{table}\n");
        passed &= table.passed();
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
