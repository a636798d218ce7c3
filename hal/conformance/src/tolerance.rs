//! How far a backend may be from the reference, in one table, with reasons.

/// What a check allows.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// The check's name.
    pub check: &'static str,
    /// The largest error that passes.
    pub limit: f64,
    /// What an error is counted in.
    pub unit: &'static str,
    /// Why this much and no more.
    pub reason: &'static str,
}

const fn tolerance(check: &'static str, limit: f64, unit: &'static str, reason: &'static str) -> Tolerance {
    Tolerance { check, limit, unit, reason }
}

const BITS: &str = "numbers";

/// Every check's tolerance. `f32` rounds by 6e-8 of a number. Arithmetic in plain `f32`, in any order
/// of summation, keeps a distance of three to ten from each limit; anything coarser does not.
pub const TOLERANCES: &[Tolerance] = &[
    tolerance("Embed", 0.0, BITS, "fma(scale, code, min) rounds once, like the definition of the types"),
    tolerance("Expose", 0.0, BITS, "a copy"),
    tolerance("Norm", 4e-6, "|out|", "a mean of up to 1,000 squares, a root, a division, two products"),
    tolerance("HeadNorm", 2e-6, "|out|", "as Norm, over at most 128"),
    tolerance(
        "MatMul",
        2e-6,
        "sum |scale code x| + |min x|",
        "f32 chains over up to 1,536 inputs in any order; half precision or int8 inputs would miss it. A device \
         that says it rounds inputs may add what that costs: 2^-16 or 2^-8 of the greatest of each 32",
    ),
    tolerance("Add", 2e-6, "sum of parts", "as the product in front, into which a bias may be fused"),
    tolerance("Rotate", 1e-6, "|pair|", "sine and cosine rounded once, two products, one sum; angles in f64"),
    tolerance("StoreKv", 0.0, BITS, "f16 rounds to nearest even, f32 not at all"),
    tolerance(
        "Attend",
        2e-5,
        "|value|",
        "query product, rotation, score, exponential, sum: 1e-6 each, peaked",
    ),
    tolerance("Attend formula", 1e-5, "|value|", "as Attend, over the device's own queries"),
    tolerance("Entropy", 2e-5, "nats", "errors of the scores, which the logarithm hands on"),
    tolerance("Mass", 5e-6, "row head layer", "one share's error, and 2^-32 for the cut"),
    tolerance("Gate", 2e-6, "|gate up|", "one exponential or hyperbolic tangent, three products"),
    tolerance(
        "Head",
        5e-6,
        "sum |scale code x| + |min x|",
        "as MatMul; with a tied embedding a token's own logit sums to one side, where errors are largest",
    ),
    tolerance(
        "Head sums",
        5e-6,
        "nats, or of the sum",
        "the exponentials of the whole vocabulary, in any order",
    ),
    tolerance("Head order", 0.0, "faults", "sizes, order, ties, masks and scores are decided, not rounded"),
    tolerance("Program", 5e-5, "rms of logits", "a few layers of all the above, KV in f32"),
    tolerance(
        "Program int16",
        1e-3,
        "rms of logits",
        "as Program; an input may be off by 2^-16 of the greatest of 32",
    ),
    tolerance(
        "Program int8",
        0.15,
        "rms of logits",
        "as Program; an input may be off by 2^-8 of the greatest of 32",
    ),
    tolerance("Program int8 f16", 0.15, "rms of logits", "as Program int8, which drowns what f16 keys cost"),
    tolerance(
        "Program halves",
        0.02,
        "rms of logits",
        "as Program; an input may be off by 2^-12 of the greatest of 32, and sums of four products by 2^-11",
    ),
    tolerance(
        "Program halves f16",
        0.02,
        "rms of logits",
        "as Program halves, which drowns what f16 keys cost",
    ),
    tolerance("Program f16", 3e-3, "rms of logits", "as Program; a key may round to the neighbouring f16"),
    tolerance("Base rotated", 3e-5, "|value|", "keys turned once more in f32, against the query turned less"),
    tolerance("Summary", 1e-6, "|key|", "a mean of eight"),
    tolerance("Same bits", 0.0, BITS, "the same device, the same rows: one order of summation per number"),
    tolerance("Refusals", 0.0, "faults", "a refusal is right or wrong"),
];

/// The tolerance of a check.
///
/// # Panics
/// When the table has none: every check states one.
pub fn of(check: &str) -> &'static Tolerance {
    let found = TOLERANCES.iter().find(|tolerance| tolerance.check == check);
    found.unwrap_or_else(|| panic!("{check} has no tolerance"))
}
