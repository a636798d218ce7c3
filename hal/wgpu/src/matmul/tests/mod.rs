//! Products on whatever adapter there is, against sums in `f64`.

mod rig;

use agentos_conformance::rng::Rng;
use agentos_conformance::tensor::Owned;
use agentos_hal::{Activation, DType, Inputs, PrepareError, Resource};

use super::format::Codes;
use super::kernel::{Form, Kernel, Link, choose, kernels};
use super::{RowCount, Weights};
use crate::shelf::Shelf;
use crate::{Choice, Extensions, Kernels, OpenError, Variant, probe};
use rig::{Call, Rig, borrowed};

/// Of Σ |scale · code · x| + |min · x|; what the conformance suite allows.
const TOLERANCE: f64 = 2e-6;

fn inner(dtype: DType, rng: &mut Rng) -> u32 {
    match dtype.block_len() {
        1 => rng.pick(&[1, 7, 31, 32, 33, 100, 576]),
        32 => rng.pick(&[32, 96, 288, 576, 1536]),
        _ => rng.pick(&[256, 768, 1280]),
    }
}

fn numbers(count: u32, rng: &mut Rng) -> Vec<f32> {
    (0..count).map(|_| rng.spread(1.0)).collect()
}

/// The largest error of a product, in parts of what went into each sum; inputs may be off by `rounding` of the
/// greatest of their 32.
fn error(tensor: &Owned, x: &[f32], base: Option<&[f32]>, found: &[f32], rounding: f64) -> f64 {
    let outputs = tensor.info.rows;
    let mut worst = 0.0f64;
    for output in 0..outputs {
        let (weights, sizes) = (tensor.row(output), tensor.row_magnitude(output));
        for (row, x) in x.chunks_exact(weights.len()).enumerate() {
            let at = row * outputs as usize + output as usize;
            let start = base.map_or(0.0, |base| f64::from(base[at]));
            let products = weights.iter().zip(x).map(|(&weight, &x)| f64::from(weight) * f64::from(x));
            let blocks = sizes.chunks(32).zip(x.chunks(32)).map(|(sizes, x)| {
                let greatest = x.iter().fold(0.0f32, |greatest, x| greatest.max(x.abs()));
                let off = f64::from(greatest) * rounding / TOLERANCE;
                sizes.iter().zip(x).map(|(size, &x)| size * (f64::from(x.abs()) + off)).sum::<f64>()
            });
            let size: f64 = blocks.sum();
            let error = (f64::from(found[at]) - start - products.sum::<f64>()).abs() / (size + start.abs());
            assert!(!error.is_nan(), "output {output} of row {row} is {}", found[at]);
            worst = worst.max(error);
        }
    }
    worst
}

/// Every kernel of a variant gives the sums of `f64` within the tolerance, and all the same bits, for any
/// number of rows, added or not.
fn every_kernel_gives_the_same_good_sums(kernels: impl Into<Kernels>) {
    let kernels = kernels.into();
    let Some(rig) = Rig::new(kernels, |_| ()) else { return };
    for dtype in DType::ALL {
        for case in 0..3 {
            let mut rng = Rng::new(7, dtype.name(), case);
            let dims = (rng.pick(&[1, 7, 31, 33, 64, 65, 100, 200]), inner(dtype, &mut rng));
            let tensor = Owned::random(dtype, dims, 1.0, &mut rng);
            let weights = rig.load(&tensor);
            let rows = rng.pick(&[1, 2, 3, 4, 5, 8, 9, 17, 33, 64, 65, 70]);
            let x = numbers(rows * dims.1, &mut rng);
            let base = numbers(rows * dims.0, &mut rng);
            let base = rng.one_in(2).then_some(base.as_slice());
            let count = rng.pick(&[RowCount::Rows, RowCount::Wants]);
            let call = Call { x: &x, rows, count, base, form: Form::Plain, kernel: None };
            let expected = rig.product(&weights, &call);
            let rounding = if dtype.block_len() > 1 { kernels.inputs.rounding() } else { 0.0 };
            let error = error(&tensor, &x, base, &expected, rounding);
            let what = format!("{kernels} {dtype} {dims:?} {rows} rows");
            assert!(error <= TOLERANCE, "{what}: {error:.1e}");
            for kernel in rig.tested_kernels(dtype) {
                let found = rig.product(&weights, &Call { kernel: Some(kernel), ..call });
                assert!(same_bits(&found, &expected), "{what}: {kernel:?}");
            }
            let found = one_by_one(&rig, &weights, &call);
            assert!(same_bits(&found, &expected), "{what}, one by one");
        }
    }
}

fn one_by_one(rig: &Rig, weights: &Weights, call: &Call<'_>) -> Vec<f32> {
    let (inner, outputs) = (weights.info().cols as usize, weights.info().rows as usize);
    let mut found = Vec::new();
    for row in 0..call.rows as usize {
        let x = &call.x[row * inner..][..inner];
        let base = call.base.map(|base| &base[row * outputs..][..outputs]);
        found.extend(rig.product(weights, &Call { x, base, rows: 1, ..*call }));
    }
    found
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[test]
fn every_kernel_for_processors_gives_the_same_good_sums() {
    every_kernel_gives_the_same_good_sums(Variant::Rows);
}

#[test]
fn every_kernel_for_workgroups_gives_the_same_good_sums() {
    every_kernel_gives_the_same_good_sums(Variant::Groups);
}

#[test]
fn every_kernel_for_processors_gives_the_same_sums_of_integers() {
    every_kernel_gives_the_same_good_sums(Kernels { inputs: Inputs::Int8, ..Variant::Rows.into() });
}

#[test]
fn every_kernel_for_workgroups_gives_the_same_sums_of_integers() {
    every_kernel_gives_the_same_good_sums(Kernels { inputs: Inputs::Int8, ..Variant::Groups.into() });
}

/// Where the adapter has it.
fn every_kernel_gives_the_same_sums_of_halves(variant: Variant) {
    let kernels = Kernels { inputs: Inputs::F16, ..variant.into() };
    match crate::open(&Choice { kernels: Some(kernels), ..Choice::default() }) {
        Err(OpenError::Lacks { name, .. }) => println!("left out: {name} has no half precision"),
        _ => every_kernel_gives_the_same_good_sums(kernels),
    }
}

#[test]
fn every_kernel_for_processors_gives_the_same_sums_of_halves() {
    every_kernel_gives_the_same_sums_of_halves(Variant::Rows);
}

#[test]
fn every_kernel_for_workgroups_gives_the_same_sums_of_halves() {
    every_kernel_gives_the_same_sums_of_halves(Variant::Groups);
}

/// A gated product of two woven matrices is two products and a gate, to the bit: in every kernel, and where
/// the last strips are not full.
#[test]
fn gated_products_are_products_and_a_gate() {
    for variant in Variant::ALL {
        let Some(rig) = Rig::new(variant, |_| ()) else { return };
        for (case, dtype) in [DType::Q4_1, DType::Q8_0].into_iter().enumerate() {
            let mut rng = Rng::new(9, "gated", case as u32);
            let dims = (rng.pick(&[7, 33, 100, 200]), inner(dtype, &mut rng));
            let [gate, up] = [0, 1].map(|_| Owned::random(dtype, dims, 0.1, &mut rng));
            let rows = rng.pick(&[1, 5, 33]);
            let x = numbers(rows * dims.1, &mut rng);
            let activation = [Activation::Silu, Activation::Gelu][case];
            let plain =
                Call { x: &x, rows, count: RowCount::Rows, base: None, form: Form::Plain, kernel: None };
            let [gates, ups] = [&gate, &up].map(|tensor| rig.product(&rig.load(tensor), &plain));
            let expected = rig.gate(activation, dims.0, (&gates, &ups), rows);
            let woven = rig.load_woven([&gate, &up]);
            let kernels = rig.tested_kernels(dtype);
            for kernel in kernels.into_iter().map(Some).chain([None]) {
                let call = Call { form: Form::Gated(activation), kernel, ..plain };
                let found = rig.product(&woven, &call);
                assert!(same_bits(&found, &expected), "{kernel:?} {dtype} {dims:?} {rows} rows");
            }
        }
    }
}

/// Stacked products are the single ones, to the bit: in every kernel, and where strips are not full.
#[test]
fn stacked_products_are_single_products() {
    for variant in Variant::ALL {
        let Some(rig) = Rig::new(variant, |_| ()) else { return };
        for (outputs, dtype) in [(&[100, 7, 32][..], DType::Q4_1), (&[33, 65], DType::Q6K)] {
            let mut rng = Rng::new(10, "stacked", outputs.len() as u32);
            let inner = inner(dtype, &mut rng);
            let random = |&outputs: &u32| Owned::random(dtype, (outputs, inner), 1.0, &mut rng);
            let tensors: Vec<Owned> = outputs.iter().map(random).collect();
            let rows = rng.pick(&[1, 5, 33]);
            let x = numbers(rows * inner, &mut rng);
            let call =
                Call { x: &x, rows, count: RowCount::Rows, base: None, form: Form::Plain, kernel: None };
            let single = |tensor| rig.product(&rig.load(tensor), &call);
            let expected: Vec<Vec<f32>> = tensors.iter().map(single).collect();
            let stacked = rig.load_stacked(&tensors).expect("one type and width");
            for kernel in rig.tested_kernels(dtype).into_iter().map(Some).chain([None]) {
                let found = rig.stacked(&stacked, &x, rows, kernel);
                let same = found.iter().zip(&expected).all(|(found, expected)| same_bits(found, expected));
                assert!(same && found.len() == outputs.len(), "{kernel:?} {outputs:?} {rows} rows");
            }
        }
    }
}

#[test]
fn unlike_matrices_are_not_stacked() {
    let change = |limits: &mut wgpu::Limits| limits.max_storage_buffer_binding_size = 1 << 16;
    let Some(rig) = Rig::new(Variant::Rows, change) else { return };
    let mut rng = Rng::new(10, "unlike", 0);
    let mut of = |dtype, dims| Owned::random(dtype, dims, 1.0, &mut rng);
    let [q4, q8, wide] = [(DType::Q4_1, 32), (DType::Q8_0, 32), (DType::Q4_1, 64)]
        .map(|(dtype, inner)| of(dtype, (32, inner)));
    assert!(rig.load_stacked(&[q4.clone(), q8]).is_none(), "two types");
    assert!(rig.load_stacked(&[q4.clone(), wide]).is_none(), "two widths");
    assert!(rig.load_stacked(&[q4.clone(), q4]).is_some());
    let [fits, more] = [1, 33].map(|outputs| of(DType::F32, (outputs, 256)));
    assert!(rig.load_stacked(&[fits, more]).is_none(), "three strips of 32 KiB in a binding of 64");
}

/// A matrix in several parts is the matrix in one.
#[test]
fn parts_are_one_matrix() {
    let mut rng = Rng::new(7, "parts", 0);
    let tensor = Owned::random(DType::F32, (200, 256), 1.0, &mut rng);
    let x = numbers(9 * 256, &mut rng);
    let tokens: Vec<u32> = (0..40).map(|_| rng.among(0..=199)).collect();
    for variant in Variant::ALL {
        let Some(whole) = Rig::new(variant, |_| ()) else { return };
        // Two strips fit a binding.
        let change = |limits: &mut wgpu::Limits| limits.max_storage_buffer_binding_size = 2 * 32 * 256 * 4;
        let Some(parts) = Rig::new(variant, change) else { return };
        let found = [&whole, &parts].map(|rig| {
            let weights = rig.load(&tensor);
            let call =
                Call { x: &x, rows: 9, count: RowCount::Rows, base: None, form: Form::Plain, kernel: None };
            let product = rig.product(&weights, &call);
            (weights.parts.len(), product, rig.look_up(&weights, &tokens))
        });
        assert_eq!((found[0].0, found[1].0), (1, 4));
        assert!(same_bits(&found[0].1, &found[1].1), "{variant:?}");
        assert!(same_bits(&found[0].2, &found[1].2), "{variant:?}");
    }
}

#[test]
fn a_strip_that_fits_no_binding_is_refused() {
    const AVAILABLE: u64 = 1 << 16;
    let change = |limits: &mut wgpu::Limits| limits.max_storage_buffer_binding_size = AVAILABLE;
    let Some(rig) = Rig::new(Variant::Rows, change) else { return };
    let of_columns = |cols: u32| Owned::of((1, cols), &vec![1.0; cols as usize]);
    let (large, small) = (of_columns(513), of_columns(512));
    let refused = Weights::load(&rig.0, &mut Shelf::new(1), &borrowed(&large)).err().expect("a refusal");
    let what = Resource::BindingBytes;
    assert_eq!(refused, PrepareError::TooLarge { what, needed: 544 * 32 * 4, available: AVAILABLE });
    assert_eq!(Weights::bytes(&rig.0.limits, &large.info), Some(544 * 32 * 4));
    assert_eq!(Weights::bytes(&rig.0.limits, &small.info), Some(AVAILABLE));
    rig.load(&small);
}

/// Rows are the very numbers that the definition of the type gives.
#[test]
fn rows_are_exact() {
    let Some(rig) = Rig::new(Variant::Rows, |_| ()) else { return };
    for dtype in DType::ALL {
        for case in 0..3 {
            let mut rng = Rng::new(8, dtype.name(), case);
            let dims = (rng.pick(&[1, 31, 33, 100]), inner(dtype, &mut rng));
            // The second case has the small scales of real models: subnormal in half precision.
            let deviation = [1.0, 0.002, 300.0][case as usize];
            let tensor = Owned::random(dtype, dims, deviation, &mut rng);
            let weights = rig.load(&tensor);
            let tokens: Vec<u32> = (0..rng.among(1..=9)).map(|_| rng.among(0..=dims.0 - 1)).collect();
            let expected: Vec<f32> = tokens.iter().flat_map(|&token| tensor.row(token)).collect();
            assert_eq!(rig.look_up(&weights, &tokens), expected, "{dtype} {dims:?} {deviation}");
        }
    }
}

/// Numbers are converted to the same bits by the device's own instruction, where it passes its probe.
#[test]
fn conversions_change_no_bit() {
    let halves = Extensions { halves: true, ..Extensions::NONE };
    let Some(rig) = Rig::new(Variant::Rows, |_| ()) else { return };
    if probe::passes(&rig.0, halves) != Ok(true) {
        println!("left out: {} converts otherwise", rig.0.info.name);
        return;
    }
    for dtype in DType::ALL {
        let mut rng = Rng::new(9, dtype.name(), 0);
        let dims = (33, inner(dtype, &mut rng));
        // Scales so small that many are subnormal.
        let tensor = Owned::random(dtype, dims, 0.002, &mut rng);
        let weights = rig.load(&tensor);
        let x = numbers(2 * dims.1, &mut rng);
        let call =
            Call { x: &x, rows: 2, count: RowCount::Rows, base: None, form: Form::Plain, kernel: None };
        let [without, with] = [Extensions::NONE, halves].map(|extensions| {
            rig.0.set_extensions(extensions);
            rig.product(&weights, &call)
        });
        rig.0.set_extensions(Extensions::NONE);
        assert!(same_bits(&without, &with), "{dtype}");
    }
}

/// Every loop of a kernel's text is unrolled.
#[test]
fn texts_are_whole() {
    for kernel in Variant::ALL.iter().flat_map(|&variant| kernels(variant)).chain([&Kernel::Embed]) {
        for dtype in DType::ALL {
            for form in [Form::Plain, Form::Weighing, Form::Gated(Activation::Silu)] {
                for extensions in [Extensions::NONE, Extensions { halves: true, ..Extensions::NONE }] {
                    let all = [Inputs::F32, Inputs::Int8, Inputs::F16];
                    for (inputs, weighed) in
                        all.into_iter().flat_map(|inputs| [(inputs, false), (inputs, true)])
                    {
                        let link = Link::of(dtype, inputs, weighed);
                        let text = kernel.source(dtype, form, link, extensions);
                        assert!(!text.contains('$') && !text.contains("//:"), "{kernel:?} {dtype}: {text}");
                    }
                }
            }
        }
    }
}

/// Few rows spread over many workgroups; many rows make tiles, as high as there are enough of.
#[test]
fn kernels_fit_the_rows() {
    let of_groups = |columns, rows| choose(Variant::Groups, Link::F32, columns, rows);
    assert_eq!(of_groups(576, 1), Kernel::Few(1, 8));
    assert_eq!(of_groups(576, 3), Kernel::Few(4, 8));
    assert_eq!(of_groups(576, 64), Kernel::Few(8, 8));
    assert_eq!(of_groups(576, 512), Kernel::Tile(2));
    assert_eq!(of_groups(192, 512), Kernel::Few(8, 8));
    assert_eq!(of_groups(3072, 512), Kernel::Tile(4));
    assert_eq!(of_groups(49152, 4), Kernel::Few(4, 16));
    assert_eq!(of_groups(49152, 64), Kernel::Tile(4));
    assert_eq!(choose(Variant::Groups, Link::Dot4(Codes::Apart), 49152, 64), Kernel::Few(8, 16));
    assert_eq!(choose(Variant::Rows, Link::F32, 49152, 1), Kernel::Lone(1));
    assert_eq!(choose(Variant::Rows, Link::Dot4(Codes::Apart), 576, 512), Kernel::Lone(4));
}
