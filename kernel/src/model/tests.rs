use std::collections::BTreeMap;
use std::string::{String, ToString};

use agentos_hal::{DType, Op, Reg, RopeScaling, ShapeError, TensorInfo};
use proptest::prelude::*;

use super::*;

/// A model file's metadata, as a test states it.
#[derive(Clone, Default)]
struct Facts {
    architecture: Option<String>,
    numbers: BTreeMap<String, f64>,
    texts: BTreeMap<String, String>,
    tensors: BTreeMap<WeightRole, TensorInfo>,
}

impl Facts {
    fn small(architecture: &str) -> Facts {
        let mut facts = Facts { architecture: Some(architecture.to_string()), ..Facts::default() };
        for (key, value) in [
            ("block_count", 2.0),
            ("embedding_length", 64.0),
            ("feed_forward_length", 96.0),
            ("attention.head_count", 4.0),
            ("attention.head_count_kv", 2.0),
            ("attention.layer_norm_rms_epsilon", 1e-5),
            ("context_length", 512.0),
        ] {
            facts.numbers.insert(key.to_string(), value);
        }
        facts.tensors.insert(WeightRole::TokenEmbedding, matrix(300, 64));
        facts
    }

    fn with(mut self, key: &str, value: f64) -> Facts {
        self.numbers.insert(key.to_string(), value);
        self
    }

    fn without(mut self, key: &str) -> Facts {
        self.numbers.remove(key);
        self
    }

    fn with_text(mut self, key: &str, value: &str) -> Facts {
        self.texts.insert(key.to_string(), value.to_string());
        self
    }

    fn with_tensor(mut self, role: WeightRole, rows: u32, cols: u32) -> Facts {
        self.tensors.insert(role, matrix(rows, cols));
        self
    }

    fn shape(&self) -> ModelShape {
        select(self).unwrap().shape
    }

    fn refusal(&self) -> ModelError {
        select(self).unwrap_err()
    }
}

fn matrix(rows: u32, cols: u32) -> TensorInfo {
    TensorInfo { dtype: DType::F32, rows, cols }
}

impl Metadata for Facts {
    fn architecture(&self) -> Option<&str> {
        self.architecture.as_deref()
    }

    fn uint(&self, key: &str) -> Option<u64> {
        self.numbers.get(key).filter(|x| x.fract() == 0.0 && **x >= 0.0).map(|&x| x as u64)
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.numbers.get(key).copied()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    fn tensor(&self, id: WeightId) -> Option<TensorInfo> {
        self.tensors.get(&id.role).copied()
    }
}

#[test]
fn every_program_is_well_formed_and_exposes_the_probes() {
    for family in &FAMILIES {
        let shape = Facts::small(family.name).shape();
        family.program.verify(&shape).unwrap();
        assert!(family.program.exposes(family.program.layer, Reg::Query));
        assert_eq!(family.program.layer.last(), Some(&Op::Expose { reg: Reg::Hidden }));
        assert!(family.program.exposes(family.program.epilogue, Reg::Normed));
    }
}

#[test]
fn queries_are_exposed_just_before_they_are_used() {
    for family in &FAMILIES {
        let at = |wanted: &Op| family.program.layer.iter().position(|op| op == wanted).unwrap();
        let exposed = at(&Op::Expose { reg: Reg::Query });
        let written = |op: &Op| {
            matches!(op, Op::MatMul { out: Reg::Query, .. } | Op::Add { reg: Reg::Query, .. })
                || matches!(op, Op::HeadNorm { reg: Reg::Query, .. })
        };
        assert!(family.program.layer.iter().rposition(written).unwrap() < exposed);
        assert!(exposed < at(&Op::Attend { query: Reg::Query, out: Reg::Context }));
    }
}

#[test]
fn sizes_are_read_with_the_formats_defaults() {
    let shape = Facts::small("llama").without("attention.head_count_kv").shape();
    assert_eq!((shape.layers, shape.width, shape.ffn, shape.vocab), (2, 64, 96, 300));
    assert_eq!((shape.heads, shape.kv_heads, shape.head_dim), (4, 4, 16));
    assert_eq!((shape.rope.dims, shape.rope.base), (16, 10_000.0));
    assert_eq!((shape.rope.scaling, shape.rope.factors), (RopeScaling::None, false));
    assert_eq!(shape.rope.pairing, Pairing::Adjacent);
    assert!(shape.tied_embedding);
    assert_eq!(Facts::small("qwen2").shape().rope.pairing, Pairing::Halves);
}

#[test]
fn given_sizes_win_over_defaults() {
    let shape = Facts::small("qwen3")
        .with("attention.key_length", 32.0)
        .with("attention.value_length", 32.0)
        .with("rope.dimension_count", 24.0)
        .with("rope.freq_base", 1e6)
        .with_tensor(WeightRole::Output, 300, 64)
        .with_tensor(WeightRole::RopeFactors, 1, 12)
        .shape();
    assert_eq!((shape.head_dim, shape.rope.dims, shape.rope.base), (32, 24, 1e6));
    assert!(!shape.tied_embedding && shape.rope.factors);
}

#[test]
fn rope_scaling_is_read() {
    let factor = Facts::small("llama").with("rope.scaling.factor", 4.0);
    let linear = RopeScaling::Linear { factor: 4.0 };
    assert_eq!(factor.shape().rope.scaling, linear);
    assert_eq!(factor.clone().with_text("rope.scaling.type", "linear").shape().rope.scaling, linear);
    assert_eq!(factor.clone().with_text("rope.scaling.type", "none").shape().rope.scaling, RopeScaling::None);
    assert_eq!(Facts::small("llama").with("rope.scale_linear", 4.0).shape().rope.scaling, linear);
    let llama3 = factor
        .with_text("rope.scaling.type", "llama3")
        .with("rope.scaling.low_freq_factor", 1.0)
        .with("rope.scaling.high_freq_factor", 4.0);
    let missing = ModelError::Missing { key: "rope.scaling.original_context_length" };
    assert_eq!(llama3.refusal(), missing);
    let scaling = RopeScaling::Llama3 {
        factor: 4.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context: 8192.0,
    };
    let llama3 = llama3.with("rope.scaling.original_context_length", 8192.0);
    assert_eq!(llama3.shape().rope.scaling, scaling);
}

#[test]
fn what_no_program_computes_is_refused_by_name() {
    assert_eq!(Facts::default().refusal(), ModelError::NoArchitecture);
    let refusals = [
        (
            Facts::small("mamba\n"),
            r#"the architecture "mamba\n" is not supported; supported are llama, qwen2, qwen3"#,
        ),
        (
            Facts::small("llama").with("expert_count", 8.0),
            "the model's expert_count is 8; supported is 0 (no mixture of experts)",
        ),
        (
            Facts::small("qwen3").with("attention.causal", 0.0),
            "the model's attention.causal is 0; supported is 1 (causal attention)",
        ),
        (
            Facts::small("llama").with("attention.sliding_window", 128.0),
            "the model's attention.sliding_window is 128; supported is 0, or at least the context_length",
        ),
        (
            Facts::small("qwen2").with_text("rope.scaling.type", "yarn"),
            r#"the rope.scaling.type "yarn" is not supported; supported are none, linear, llama3"#,
        ),
        (
            Facts::small("llama").with_tensor(WeightRole::QueryBias, 1, 64),
            "the model has a tensor for QueryBias of layer 0, which its architecture does not use: what it would say without it is not known",
        ),
    ];
    for (facts, message) in refusals {
        assert_eq!(facts.refusal().to_string(), message);
    }
    assert!(select(&Facts::small("llama").with("attention.sliding_window", 512.0)).is_ok());
    assert!(select(&Facts::small("qwen2").with_tensor(WeightRole::QueryBias, 1, 64)).is_ok());
}

#[test]
fn metadata_that_contradicts_itself_is_refused() {
    let facts = Facts::small("llama");
    assert_eq!(facts.clone().without("block_count").refusal(), ModelError::Missing { key: "block_count" });
    let huge = facts.clone().with("context_length", 1e18).refusal();
    assert_eq!(huge, ModelError::TooLarge { key: "context_length", value: 10u64.pow(18) });
    let zero = facts.clone().with("attention.head_count", 0.0).refusal();
    assert_eq!(zero, ModelError::HeadWidth { width: 64, heads: 0 });
    let uneven = facts.clone().with("attention.key_length", 32.0).refusal();
    assert_eq!(uneven, ModelError::HeadWidths { key: 32, value: 16 });
    let layers = facts.clone().with("block_count", 4_294_967_295.0).refusal();
    assert!(matches!(layers, ModelError::Shape(ShapeError::OutOfRange { name: "layers", .. })));
    let epsilon = facts.clone().with("attention.layer_norm_rms_epsilon", f64::NAN).refusal();
    assert_eq!(epsilon, ModelError::Shape(ShapeError::NormEps));
    let base = facts.clone().with("rope.freq_base", -1.0).refusal();
    assert_eq!(base, ModelError::Shape(ShapeError::RopeScale));
    let mut no_embedding = facts;
    no_embedding.tensors.clear();
    assert!(matches!(no_embedding.refusal(), ModelError::MissingTensor(_)));
}

proptest! {
    /// Whatever a file says, the answer is a shape that can be multiplied out, or a refusal.
    #[test]
    fn no_lie_overflows(
        architecture in prop::sample::select(std::vec!["llama", "qwen2", "qwen3"]),
        lies in proptest::collection::vec((0usize..12, prop_oneof![any::<f64>(), (0u64..1 << 40).prop_map(|x| x as f64), (0u32..100).prop_map(f64::from)]), 0..6),
        rows in any::<u32>(),
    ) {
        const KEYS: [&str; 12] = [
            "block_count", "embedding_length", "feed_forward_length", "attention.head_count",
            "attention.head_count_kv", "attention.key_length", "attention.value_length",
            "attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.dimension_count",
            "rope.scaling.factor", "context_length",
        ];
        let mut facts = Facts::small(architecture).with_tensor(WeightRole::TokenEmbedding, rows, 64);
        for (key, value) in lies {
            facts = facts.with(KEYS[key], value);
        }
        match select(&facts) {
            Ok(model) => {
                prop_assert!(model.shape.check().is_ok());
                prop_assert!(model.program.verify(&model.shape).is_ok());
                prop_assert!(model.shape.query_width() >= model.shape.kv_width());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
