//! Every adapter of this machine passes the conformance suite.

mod gpu;

use agentos_conformance::{Backend, Make, Options, run};
use agentos_hal::{Inputs, TensorDevice};
use agentos_wgpu::{Extensions, Kernels, Variant};

fn rows<const ADAPTER: usize>() -> Box<dyn TensorDevice> {
    Box::new(gpu::device(ADAPTER, Variant::Rows))
}

fn groups<const ADAPTER: usize>() -> Box<dyn TensorDevice> {
    Box::new(gpu::device(ADAPTER, Variant::Groups))
}

/// With all extensions that the adapter has.
fn extended<const ADAPTER: usize>() -> Box<dyn TensorDevice> {
    let found = &gpu::found()[ADAPTER];
    let variant = Variant::Groups;
    let extensions = Extensions::of(found.features, &found.info).and(variant.uses());
    Box::new(gpu::device(ADAPTER, Kernels { extensions, ..variant.into() }))
}

/// With products of integers.
fn dots<const ADAPTER: usize, const GROUPS: bool>() -> Box<dyn TensorDevice> {
    rounded::<GROUPS>(ADAPTER, Inputs::Int8)
}

/// With products in half precision.
fn halves<const ADAPTER: usize, const GROUPS: bool>() -> Box<dyn TensorDevice> {
    rounded::<GROUPS>(ADAPTER, Inputs::F16)
}

fn rounded<const GROUPS: bool>(adapter: usize, inputs: Inputs) -> Box<dyn TensorDevice> {
    let variant = if GROUPS { Variant::Groups } else { Variant::Rows };
    Box::new(gpu::device(adapter, Kernels { inputs, ..variant.into() }))
}

/// Adapters that a machine may have for these tests.
const ROWS: [Make; 4] = [rows::<0>, rows::<1>, rows::<2>, rows::<3>];
const GROUPS: [Make; 4] = [groups::<0>, groups::<1>, groups::<2>, groups::<3>];
const EXTENDED: [Make; 4] = [extended::<0>, extended::<1>, extended::<2>, extended::<3>];
const ROW_DOTS: [Make; 4] = [dots::<0, false>, dots::<1, false>, dots::<2, false>, dots::<3, false>];
const GROUP_DOTS: [Make; 4] = [dots::<0, true>, dots::<1, true>, dots::<2, true>, dots::<3, true>];
const ROW_HALVES: [Make; 4] =
    [halves::<0, false>, halves::<1, false>, halves::<2, false>, halves::<3, false>];
const GROUP_HALVES: [Make; 4] = [halves::<0, true>, halves::<1, true>, halves::<2, true>, halves::<3, true>];

/// Cases of a line: a software driver takes seconds for each, most of them to compile.
const CASES: u32 = 2;

fn conform(makes: [Make; 4], cases: u32) {
    conform_with(wgpu::Features::empty(), makes, cases);
}

/// Adapters with these features.
fn conform_with(features: wgpu::Features, makes: [Make; 4], cases: u32) {
    for (adapter, make) in gpu::found().iter().zip(makes) {
        println!("{adapter}");
        if !adapter.features.contains(features) {
            println!("LEFT OUT: it has no {features:?}");
            continue;
        }
        let only = std::env::var("AGENTOS_CONFORMANCE_ONLY").ok();
        let options = Options { cases, only, ..Options::default() };
        let table = run(&Backend { name: "wgpu", make, twins: &[] }, &options);
        println!("{table}");
        assert!(table.passed(), "{table}");
    }
}

#[test]
fn kernels_without_barriers_conform_on_every_adapter() {
    conform(ROWS, CASES);
}

#[test]
fn kernels_of_workgroups_conform_on_every_adapter() {
    conform(GROUPS, CASES);
}

/// One case: they give the bits of the kernels without (`tune.rs`, `matmul/tests`).
#[test]
fn kernels_with_all_extensions_conform_on_every_adapter() {
    conform(EXTENDED, 1);
}

/// Within what is allowed to whoever says that it rounds inputs to 8 bits.
#[test]
fn kernels_without_barriers_conform_with_products_of_integers() {
    conform(ROW_DOTS, CASES);
}

#[test]
fn kernels_of_workgroups_conform_with_products_of_integers() {
    conform(GROUP_DOTS, 1);
}

/// As the integers; on adapters that have half precision.
#[test]
fn kernels_without_barriers_conform_with_products_in_half_precision() {
    conform_with(wgpu::Features::SHADER_F16, ROW_HALVES, CASES);
}

#[test]
fn kernels_of_workgroups_conform_with_products_in_half_precision() {
    conform_with(wgpu::Features::SHADER_F16, GROUP_HALVES, 1);
}
