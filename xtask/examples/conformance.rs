//! Holds the backends to the conformance suite and prints the table: `cargo xtask conformance`.

#[path = "../src/conformance/selection.rs"]
mod selection;

use std::process::ExitCode;
use std::sync::OnceLock;

use agentos_conformance::{Backend, Line, Options, Twin, names, run_telling};
use agentos_cpu::{CpuDevice, Isa, Pool, SystemMemory};
use agentos_hal::{Inputs, TensorDevice};
use agentos_opencl::OpenClDevice;
use agentos_reference::Reference;
use agentos_wgpu::{Choice, Kernels, OpenError, Variant, WgpuDevice};
use clap::Parser;

use selection::Selection;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    selection: Selection,
}

/// Each backend, as often as it has kernels whose bits differ: one line adds one. What an adapter may lack is asked
/// of it only where it is wanted.
fn backends(wanted: Option<&str>) -> Vec<Backend> {
    let mut list = vec![Backend { name: "reference", make: reference, twins: &[] }];
    list.extend(Isa::all().flat_map(cpu));
    list.push(Backend { name: "wgpu", make: wgpu::<F32>, twins: &[] });
    list.push(Backend { name: "wgpu", make: wgpu::<INT8>, twins: &[] });
    if wanted.is_none_or(|name| name == "wgpu") && takes_halves() {
        list.push(Backend { name: "wgpu", make: wgpu::<HALVES>, twins: &[] });
    }
    list.push(Backend { name: "opencl", make: opencl, twins: &[] });
    list
}

/// Why a backend has nothing to run on here; `None` where it has.
fn missing(backend: &Backend) -> Option<String> {
    match backend.name {
        "wgpu" => WgpuDevice::open(chosen()).err().map(|error| error.to_string()),
        "opencl" => OpenClDevice::new().err().map(|error| error.to_string()),
        _ => None,
    }
}

/// Backends of which there may be several devices.
const WITH_ADAPTERS: [&str; 1] = ["wgpu"];

/// The adapter of the command line: a device is made by a function without arguments.
static ADAPTER: OnceLock<String> = OnceLock::new();

fn chosen() -> Choice {
    Choice { adapter: ADAPTER.get().cloned(), ..Choice::default() }
}

const F32: usize = 0;
const INT8: usize = 1;
const HALVES: usize = 2;
const GPU_INPUTS: [Inputs; 3] = [Inputs::F32, Inputs::Int8, Inputs::F16];

/// Whether the adapter multiplies in half precision. Says so if it does not.
fn takes_halves() -> bool {
    let kernels = Kernels { inputs: Inputs::F16, ..Variant::Rows.into() };
    match WgpuDevice::open(Choice { kernels: Some(kernels), ..chosen() }) {
        Err(error @ OpenError::Lacks { .. }) => {
            println!("wgpu in half precision: left out: {error}\n");
            false
        }
        // Why no device opens at all is told with the first kernels.
        opened => opened.is_ok(),
    }
}

/// The portable kernels, with inputs of products as they are or rounded: those with extensions give the same bits, and
/// choosing them takes time for each model.
fn wgpu<const INPUTS: usize>() -> Box<dyn TensorDevice> {
    static VARIANT: OnceLock<Variant> = OnceLock::new();
    let open = |kernels| WgpuDevice::open(Choice { kernels, ..chosen() }).expect("it opened before");
    let variant = *VARIANT.get_or_init(|| open(None).gpu().variant);
    let inputs = GPU_INPUTS[INPUTS];
    Box::new(open(Some(Kernels { inputs, ..variant.into() })))
}

fn reference() -> Box<dyn TensorDevice> {
    /// Bytes that a case may take; the suite's models are tiny.
    const BYTES: u64 = 1 << 30;
    Box::new(Reference::new(BYTES))
}

fn opencl() -> Box<dyn TensorDevice> {
    Box::new(OpenClDevice::new().expect("it opened before"))
}

/// The CPU backend with one instruction set, with inputs of products as integers and in `f32`. Its twins are
/// other numbers of threads, and AVX2 where there is more: they promise the same bits.
fn cpu(isa: Isa) -> [Backend; 2] {
    match isa {
        Isa::Avx512Vnni => both::<VNNI, AVX2>(),
        Isa::Avx512 => both::<AVX512, AVX2>(),
        Isa::Avx2 => both::<AVX2, AVX2>(),
        Isa::Portable => both::<PORTABLE, PORTABLE>(),
    }
}

const VNNI: usize = 0;
const AVX512: usize = 1;
const AVX2: usize = 2;
const PORTABLE: usize = 3;
const ISAS: [Isa; 4] = [Isa::Avx512Vnni, Isa::Avx512, Isa::Avx2, Isa::Portable];

fn both<const ISA: usize, const OTHER: usize>() -> [Backend; 2] {
    [with_inputs::<ISA, OTHER, true>(), with_inputs::<ISA, OTHER, false>()]
}

fn with_inputs<const ISA: usize, const OTHER: usize, const INT16: bool>() -> Backend {
    Backend {
        name: "cpu",
        make: device::<ISA, 2, INT16>,
        twins: const {
            &[
                Twin { name: "1 thread", make: device::<ISA, 1, INT16> },
                Twin { name: "3 threads", make: device::<OTHER, 3, INT16> },
            ]
        },
    }
}

fn device<const ISA: usize, const THREADS: usize, const INT16: bool>() -> Box<dyn TensorDevice> {
    let pool = Pool::new(THREADS).expect("the system starts a few threads");
    let inputs = if INT16 { Inputs::Int16 } else { Inputs::F32 };
    Box::new(CpuDevice::new(SystemMemory::default(), pool, ISAS[ISA]).with_inputs(inputs))
}

fn main() -> ExitCode {
    let Selection { backend: wanted, adapter, only, seed, cases } = CommandLine::parse().selection;
    if let Some(adapter) = adapter {
        if !WITH_ADAPTERS.contains(&wanted.as_deref().unwrap_or_default()) {
            eprintln!("--adapter is for these backends: {}", WITH_ADAPTERS.join(", "));
            return ExitCode::FAILURE;
        }
        ADAPTER.set(adapter).expect("it is set once");
    }
    let known = backends(wanted.as_deref());
    let chosen: Vec<&Backend> =
        known.iter().filter(|backend| wanted.as_deref().is_none_or(|name| name == backend.name)).collect();
    if chosen.is_empty() {
        let mut names: Vec<&str> = known.iter().map(|backend| backend.name).collect();
        names.dedup();
        eprintln!("there is no such backend; there are: {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let options = Options { seed, cases, only };
    let mut passed = true;
    for backend in chosen {
        if let Some(why) = missing(backend) {
            println!("{}: left out: {why}\n", backend.name);
            // Whoever asked for it wants to know; whoever asked for all has been told.
            passed &= wanted.is_none();
            continue;
        }
        println!("{}", Line::header());
        let table = run_telling(backend, &options, |line| println!("{line}"));
        if table.lines.is_empty() {
            eprintln!("no check is called so; there are: {}", names(backend).join(", "));
            return ExitCode::FAILURE;
        }
        println!("{}, seed {}: {}\n", table.backend, table.seed, table.summary());
        passed &= table.passed();
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
