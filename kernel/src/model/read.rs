//! Sizes from metadata: defaults where the file format has them, refusals where a value cannot be
//! honoured.

use agentos_hal::{ModelShape, Pairing, Rope, RopeScaling, WeightId, WeightRole};

use super::{Metadata, ModelError, Name};

/// Base of the rotary frequencies where a file gives none.
const DEFAULT_ROPE_BASE: f64 = 10_000.0;

/// Keys that change the arithmetic in ways that no program here knows, each with the value that
/// changes nothing.
const WITHOUT_EFFECT: [(&str, f64, &str); 10] = [
    ("expert_count", 0.0, "0 (no mixture of experts)"),
    ("attention.causal", 1.0, "1 (causal attention)"),
    ("attention.scale", 0.0, "0 (1/sqrt of the head's width)"),
    ("attention.clamp_kqv", 0.0, "0 (no clamping)"),
    ("attention.max_alibi_bias", 0.0, "0 (no linear bias)"),
    ("attn_logit_softcapping", 0.0, "0 (no capping)"),
    ("final_logit_softcapping", 0.0, "0 (no capping)"),
    ("logit_scale", 0.0, "0 (no scaling)"),
    ("residual_scale", 0.0, "0 (no scaling)"),
    ("embedding_scale", 0.0, "0 (no scaling)"),
];

pub(super) fn refuse_unsupported(metadata: &dyn Metadata) -> Result<(), ModelError> {
    for (key, harmless, supported) in WITHOUT_EFFECT {
        let value = number(metadata, key);
        if let Some(value) = value.filter(|&value| value != harmless) {
            return Err(ModelError::Unsupported { key, value, supported });
        }
    }
    let window = metadata.uint("attention.sliding_window").filter(|&window| window != 0);
    match (window, metadata.uint("context_length")) {
        (Some(window), Some(context)) if window < context => Err(ModelError::Unsupported {
            key: "attention.sliding_window",
            value: window as f64,
            supported: "0, or at least the context_length",
        }),
        _ => Ok(()),
    }
}

pub(super) fn shape(metadata: &dyn Metadata, pairing: Pairing) -> Result<ModelShape, ModelError> {
    let embedding = WeightId { role: WeightRole::TokenEmbedding, layer: 0 };
    let output = WeightId { role: WeightRole::Output, layer: 0 };
    let width = required(metadata, "embedding_length")?;
    let heads = required(metadata, "attention.head_count")?;
    let head_dim = head_dim(metadata, width, heads)?;
    Ok(ModelShape {
        layers: required(metadata, "block_count")?,
        width,
        ffn: required(metadata, "feed_forward_length")?,
        heads,
        kv_heads: optional(metadata, "attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        vocab: metadata.tensor(embedding).ok_or(ModelError::MissingTensor(embedding))?.rows,
        context: required(metadata, "context_length")?,
        norm_eps: required_number(metadata, "attention.layer_norm_rms_epsilon")? as f32,
        rope: rope(metadata, pairing, head_dim)?,
        tied_embedding: metadata.tensor(output).is_none(),
    })
}

fn head_dim(metadata: &dyn Metadata, width: u32, heads: u32) -> Result<u32, ModelError> {
    let key = optional(metadata, "attention.key_length")?;
    let value = optional(metadata, "attention.value_length")?;
    let default = || match width.checked_rem(heads) {
        Some(0) => Ok(width / heads),
        _ => Err(ModelError::HeadWidth { width, heads }),
    };
    let (key, value) = match (key, value) {
        (Some(key), Some(value)) => (key, value),
        (Some(key), None) => (key, default()?),
        (None, Some(value)) => (default()?, value),
        (None, None) => (default()?, default()?),
    };
    if key == value { Ok(key) } else { Err(ModelError::HeadWidths { key, value }) }
}

fn rope(metadata: &dyn Metadata, pairing: Pairing, head_dim: u32) -> Result<Rope, ModelError> {
    let factors = WeightId { role: WeightRole::RopeFactors, layer: 0 };
    Ok(Rope {
        dims: optional(metadata, "rope.dimension_count")?.unwrap_or(head_dim),
        base: number(metadata, "rope.freq_base").unwrap_or(DEFAULT_ROPE_BASE) as f32,
        pairing,
        scaling: rope_scaling(metadata)?,
        factors: metadata.tensor(factors).is_some(),
    })
}

/// A factor without a type means linear scaling, as in files from before there were types.
fn rope_scaling(metadata: &dyn Metadata) -> Result<RopeScaling, ModelError> {
    let factor = number(metadata, "rope.scaling.factor").or_else(|| number(metadata, "rope.scale_linear"));
    match (metadata.text("rope.scaling.type"), factor) {
        (Some("none"), _) | (None | Some("linear"), None) => Ok(RopeScaling::None),
        // llama.cpp's converters write 0 for "not scaled".
        (None | Some("linear"), Some(0.0)) => Ok(RopeScaling::None),
        (None | Some("linear"), Some(factor)) => Ok(RopeScaling::Linear { factor: factor as f32 }),
        (Some("llama3"), _) => Ok(RopeScaling::Llama3 {
            factor: required_number(metadata, "rope.scaling.factor")? as f32,
            low_freq_factor: required_number(metadata, "rope.scaling.low_freq_factor")? as f32,
            high_freq_factor: required_number(metadata, "rope.scaling.high_freq_factor")? as f32,
            original_context: required(metadata, "rope.scaling.original_context_length")? as f32,
        }),
        (Some(other), _) => Err(ModelError::RopeScaling(Name::new(other))),
    }
}

fn optional(metadata: &dyn Metadata, key: &'static str) -> Result<Option<u32>, ModelError> {
    let fits = |value| u32::try_from(value).map_err(|_| ModelError::TooLarge { key, value });
    metadata.uint(key).map(fits).transpose()
}

fn required(metadata: &dyn Metadata, key: &'static str) -> Result<u32, ModelError> {
    optional(metadata, key)?.ok_or(ModelError::Missing { key })
}

fn number(metadata: &dyn Metadata, key: &'static str) -> Option<f64> {
    metadata.float(key).or_else(|| metadata.uint(key).map(|whole| whole as f64))
}

fn required_number(metadata: &dyn Metadata, key: &'static str) -> Result<f64, ModelError> {
    number(metadata, key).ok_or(ModelError::Missing { key })
}
