//! Shader sources: the files under `shaders/`, put together behind the numbers of a model. WGSL has no
//! includes, and constants in the source let drivers unroll and fold.

use std::fmt::Write;

use agentos_hal::{KvType, Limits, ModelShape, PAGE_TOKENS, Pairing, Reg, page};

use crate::register::stride;
use crate::variant::Extensions;

pub const STEP: &str = include_str!("shaders/step.wgsl");
pub const MATH: &str = include_str!("shaders/math.wgsl");
pub const ACTIVATION: &str = include_str!("shaders/activation.wgsl");
pub const ANGLES: &str = include_str!("shaders/angles.wgsl");
pub const PAGES: &str = include_str!("shaders/pages.wgsl");
pub const VISIBLE: &str = include_str!("shaders/visible.wgsl");
pub const SCORES: &str = include_str!("shaders/scores.wgsl");
pub const PARTS: &str = include_str!("shaders/parts.wgsl");
pub const ALLOWED: &str = include_str!("shaders/allowed.wgsl");
pub const CHOOSE_ALONE: &str = include_str!("shaders/choose_alone.wgsl");
pub const OUTCOME: &str = include_str!("shaders/outcome.wgsl");

/// Folds over a workgroup, with or without subgroups.
pub const fn trees(extensions: Extensions) -> &'static str {
    if extensions.subgroups {
        include_str!("shaders/trees_subgroups.wgsl")
    } else {
        include_str!("shaders/trees.wgsl")
    }
}

/// Conversion of half-precision numbers, by the device's own instruction or by integers.
pub const fn halves(extensions: Extensions) -> &'static str {
    if extensions.halves {
        include_str!("matmul/decode/half_native.wgsl")
    } else {
        include_str!("matmul/decode/half_integers.wgsl")
    }
}

/// The numbers that shaders of a model share.
pub struct Sources {
    prelude: String,
}

impl Sources {
    /// Those of a model.
    pub fn new(shape: &ModelShape, limits: &Limits, split_pages: u32) -> Sources {
        let half_words = page::head_elements(shape) * limits.kv.bytes() / 4;
        let numbers = [
            ("HEADS", shape.heads),
            ("KV_HEADS", shape.kv_heads),
            ("GROUP", shape.group()),
            ("HEAD_DIM", shape.head_dim),
            ("QUERY_STRIDE", stride(Reg::Query.width(shape))),
            ("KV_STRIDE", stride(Reg::Key.width(shape))),
            ("PAIRS", shape.rope.dims / 2),
            // Of one half (keys or values) of a head's page.
            ("HALF_WORDS", half_words as u32),
            ("SPLIT_PAGES", split_pages),
            ("VOCAB", shape.vocab),
            ("LOGITS_STRIDE", stride(shape.vocab)),
            ("CANDIDATES", limits.candidates),
            ("PAGE_TOKENS", PAGE_TOKENS as u32),
        ];
        let mut prelude = String::new();
        add_numbers(&mut prelude, &numbers);
        add_flag(&mut prelude, "HALVES", shape.rope.pairing == Pairing::Halves);
        add_flag(&mut prelude, "KV_F16", limits.kv == KvType::F16);
        add_real(&mut prelude, "EPS", shape.norm_eps);
        add_real(&mut prelude, "SCALE", (1.0 / f64::from(shape.head_dim).sqrt()) as f32);
        prelude.push_str(STEP);
        Sources { prelude }
    }

    /// The files behind the numbers of the model and these numbers.
    pub fn with(&self, numbers: &[(&str, u32)], files: &[&str]) -> String {
        let mut source = self.prelude.clone();
        add_numbers(&mut source, numbers);
        files.iter().for_each(|file| source.push_str(file));
        source
    }

    /// As [`Sources::with`], with a flag.
    pub fn with_flag(&self, flag: (&str, bool), numbers: &[(&str, u32)], files: &[&str]) -> String {
        let mut source = self.with(numbers, files);
        add_flag(&mut source, flag.0, flag.1);
        source
    }
}

// Writing to a string cannot fail.

fn add_numbers(source: &mut String, numbers: &[(&str, u32)]) {
    for (name, value) in numbers {
        let _ = writeln!(source, "const {name}: u32 = {value}u;");
    }
}

fn add_flag(source: &mut String, name: &str, value: bool) {
    let _ = writeln!(source, "const {name}: bool = {value};");
}

fn add_real(source: &mut String, name: &str, value: f32) {
    let _ = writeln!(source, "const {name}: f32 = {value:e}f;");
}
