//! The suite judges rightly: the reference passes it, and devices with a planted fault do not.

mod mutant;

use agentos_conformance::{Backend, Make, Options, Twin, run};
use agentos_hal::TensorDevice;
use agentos_reference::Reference;

use mutant::{Fault, Mutant};

fn reference() -> Box<dyn TensorDevice> {
    Box::new(Reference::new(1 << 30))
}

#[test]
fn the_reference_passes() {
    let twins = &[Twin { name: "another reference", make: reference }];
    let backend = Backend { name: "reference", make: reference, twins };
    let table = run(&backend, &Options::default());
    println!("{table}");
    assert!(table.passed(), "{table}");
}

/// One line of [`PLANTED`].
macro_rules! planted {
    ($fault:ident, $($check:literal),+) => {
        (Fault::$fault, || Box::new(Mutant::new(Fault::$fault)), &[$($check),+])
    };
}
/// Faults, and checks each of which must find them.
const PLANTED: &[(Fault, Make, &[&str])] = &[
    planted!(LogitOff, "Head F32", "Head Q4_K", "Head order", "Program Llama", "Program f16 Qwen3"),
    planted!(
        CoarseRegisters,
        "Embed Q4_1",
        "MatMul F32",
        "MatMul Q6_K",
        "Norm",
        "HeadNorm",
        "Add",
        "Rotate",
        "Gate SiLU",
        "Gate GELU",
        "Expose",
        "Attend KV f16",
        "Attend KV f32",
        "Attend formula",
        "Attend the reference's pages"
    ),
    planted!(CoarseIntegers, "MatMul F32", "MatMul Q4_0", "MatMul Q5_K", "MatMul Q6_K", "MatMul Q8_0"),
    planted!(LastBitOfRegisters, "Embed F32", "Embed BF16", "Expose"),
    planted!(GapsIgnored, "Attend KV f16", "Attend formula", "Base rotated"),
    planted!(NanLeaks, "Same bits poisoned pages"),
    planted!(TiesByHigherToken, "Head order"),
    planted!(MasksDropped, "Head order", "Head Q8_0"),
    planted!(MaskedScoreHidden, "Head order"),
    planted!(CandidateMissing, "Head order", "Head F16"),
    planted!(OutcomesMisnumbered, "Head order"),
    planted!(SumsOff, "Head sums"),
    planted!(MassKept, "Same bits chunks"),
    planted!(AllLayersCounted, "Entropy", "Mass KV f16", "Same bits after a larger step"),
    planted!(NeighboursMatter, "Same bits neighbours"),
    planted!(ChunksMatter, "Same bits chunks"),
    planted!(OrderMatters, "Same bits order"),
    planted!(TimeMatters, "Same bits once more"),
    planted!(AddressMatters, "Same bits everything moved"),
    planted!(StoredByAddress, "Same bits everything moved", "Same bits slice computed elsewhere"),
    planted!(PagesMatter, "Same bits other pages", "Same bits shared prefix"),
    planted!(DepthMatters, "Same bits looked at first"),
    planted!(ExposedRowsSwapped, "Expose"),
    planted!(ImageSwapped, "StoreKv KV f16", "StoreKv KV f32"),
    planted!(CopiesBackwards, "Same bits copied pages"),
    planted!(SummaryOfWholePage, "Summary"),
    planted!(FaultsAccepted, "Refusals steps"),
    planted!(BusyAccepted, "Refusals calls out of turn"),
    planted!(WrongRowNamed, "Refusals results not finite"),
    planted!(CapsTooShort, "MatMul Q5_1", "Embed F16"),
    planted!(Panics, "Embed F32"),
    planted!(LateMasksWide, "Same bits late masks"),
    planted!(LateMasksShifted, "Same bits late masks"),
    planted!(AnyMaskTaken, "Refusals late masks", "Same bits abandoned without its masks"),
    planted!(LateMasksDenied, "Refusals late masks"),
];

#[test]
fn planted_faults_are_found() {
    let mut missed = Vec::new();
    for &(fault, make, checks) in PLANTED {
        let backend = Backend { name: "mutant", make, twins: &[] };
        for check in checks {
            let options = Options { only: Some(check.to_string()), ..Options::default() };
            let table = run(&backend, &options);
            assert!(!table.lines.is_empty(), "{check} is a check");
            if table.lines.iter().any(|line| line.failure.is_none()) {
                missed.push(format!("{fault:?} is missed by {check}"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// A twin whose bits differ is found, though it would pass by itself.
#[test]
fn twins_are_held_to_the_bits() {
    let twins = &[Twin { name: "faulty twin", make: || Box::new(Mutant::new(Fault::ChunksMatter)) }];
    let backend = Backend { name: "reference", make: reference, twins };
    let table =
        run(&backend, &Options { only: Some("faulty twin".to_string()), cases: 20, ..Options::default() });
    assert_eq!(table.lines.len(), 1);
    assert!(!table.passed(), "{table}");
}

/// The same seed gives the same cases, another seed others.
#[test]
fn a_seed_repeats_a_run() {
    let make: Make = || Box::new(Mutant::new(Fault::CoarseRegisters));
    let worst = |seed| {
        let options = Options { seed, cases: 3, only: Some("Rotate".to_string()) };
        run(&Backend { name: "mutant", make, twins: &[] }, &options).lines[0].worst
    };
    assert_eq!(worst(7), worst(7));
    assert_ne!(worst(7), worst(8));
}
