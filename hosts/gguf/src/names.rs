//! What GGUF files call the weights of a model.
//!
//! The names are those of llama.cpp (`gguf-py/gguf/constants.py`, `TENSOR_NAMES`), the same for all
//! the architectures that the kernel has programs for.

use core::fmt::Write;

use agentos_hal::{WeightId, WeightRole};

use crate::gguf::Gguf;
use crate::tensor::TensorEntry;

/// A tensor's name; the longest is `blk.4294967295.attn_output.weight`.
pub type TensorName = heapless::String<40>;

/// The name of a weight's own tensor.
pub fn tensor_name(id: WeightId) -> TensorName {
    let mut name = TensorName::new();
    let written = if id.role.per_layer() {
        write!(name, "blk.{}.{}", id.layer, role_name(id.role))
    } else {
        name.write_str(role_name(id.role))
    };
    assert!(written.is_ok(), "{id} has a name longer than `TensorName`");
    name
}

/// The tensor that holds a weight. A file without an output projection ties it to the token
/// embedding: the one tensor holds both.
pub fn find<'a>(gguf: &Gguf<'a>, id: WeightId) -> Option<TensorEntry<'a>> {
    let own = gguf.tensor(&tensor_name(id));
    match id.role {
        WeightRole::Output => own.or_else(|| gguf.tensor(role_name(WeightRole::TokenEmbedding))),
        _ => own,
    }
}

/// The file ties the output projection to the token embedding.
pub fn ties_output(gguf: &Gguf<'_>) -> bool {
    gguf.tensor(role_name(WeightRole::Output)).is_none()
}

/// The name without the layer.
const fn role_name(role: WeightRole) -> &'static str {
    match role {
        WeightRole::TokenEmbedding => "token_embd.weight",
        WeightRole::RopeFactors => "rope_freqs.weight",
        WeightRole::AttnNorm => "attn_norm.weight",
        WeightRole::Query => "attn_q.weight",
        WeightRole::QueryBias => "attn_q.bias",
        WeightRole::Key => "attn_k.weight",
        WeightRole::KeyBias => "attn_k.bias",
        WeightRole::Value => "attn_v.weight",
        WeightRole::ValueBias => "attn_v.bias",
        WeightRole::QueryNorm => "attn_q_norm.weight",
        WeightRole::KeyNorm => "attn_k_norm.weight",
        WeightRole::AttnOutput => "attn_output.weight",
        WeightRole::FfnNorm => "ffn_norm.weight",
        WeightRole::FfnGate => "ffn_gate.weight",
        WeightRole::FfnUp => "ffn_up.weight",
        WeightRole::FfnDown => "ffn_down.weight",
        WeightRole::OutputNorm => "output_norm.weight",
        WeightRole::Output => "output.weight",
    }
}
