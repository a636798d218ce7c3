//! Weights by role: names, ties and releases.

mod common;

use agentos_gguf::{Gguf, GgufWeights, IndexEntry, names};
use agentos_hal::{DType, TensorInfo, WeightError, WeightId, WeightRole, WeightSource};
use common::File;

const fn of(role: WeightRole, layer: u32) -> WeightId {
    WeightId { role, layer }
}

const EMBEDDING: WeightId = of(WeightRole::TokenEmbedding, 0);
const OUTPUT: WeightId = of(WeightRole::Output, 0);
const QUERY: WeightId = of(WeightRole::Query, 1);

/// Embedding 3 x 2 at 0, a query projection 1 x 4 at 32, and, unless tied, an output at 64.
fn file(tied: bool) -> Vec<u8> {
    let file =
        File::new().tensor("token_embd.weight", &[2, 3], 0, 0).tensor("blk.1.attn_q.weight", &[4], 1, 32);
    let file = if tied { file } else { file.tensor("output.weight", &[2, 3], 0, 64) };
    file.data(128).build()
}

/// Runs `check` on a source and returns the first bytes of what was released, in order.
fn released(tied: bool, check: impl FnOnce(&mut dyn WeightSource)) -> Vec<(u8, usize)> {
    let bytes = file(tied);
    let mut index = [IndexEntry::default(); 3];
    let gguf = Gguf::parse(&bytes, &mut index).expect("an honest file");
    let mut released = Vec::new();
    check(&mut GgufWeights::new(gguf, |bytes: &[u8]| released.push((bytes[0], bytes.len()))));
    released
}

#[test]
fn every_role_has_its_name() {
    use WeightRole::*;
    for (role, name) in [
        (TokenEmbedding, "token_embd.weight"),
        (RopeFactors, "rope_freqs.weight"),
        (AttnNorm, "blk.7.attn_norm.weight"),
        (Query, "blk.7.attn_q.weight"),
        (QueryBias, "blk.7.attn_q.bias"),
        (Key, "blk.7.attn_k.weight"),
        (KeyBias, "blk.7.attn_k.bias"),
        (Value, "blk.7.attn_v.weight"),
        (ValueBias, "blk.7.attn_v.bias"),
        (QueryNorm, "blk.7.attn_q_norm.weight"),
        (KeyNorm, "blk.7.attn_k_norm.weight"),
        (AttnOutput, "blk.7.attn_output.weight"),
        (FfnNorm, "blk.7.ffn_norm.weight"),
        (FfnGate, "blk.7.ffn_gate.weight"),
        (FfnUp, "blk.7.ffn_up.weight"),
        (FfnDown, "blk.7.ffn_down.weight"),
        (OutputNorm, "output_norm.weight"),
        (Output, "output.weight"),
    ] {
        assert_eq!(names::tensor_name(of(role, 7)), name);
        // The longest layer number there can be fits too.
        names::tensor_name(of(role, u32::MAX));
    }
}

#[test]
fn weights_are_described_and_loaded() {
    released(false, |weights| {
        assert_eq!(weights.describe(QUERY), Some(TensorInfo { dtype: DType::F16, rows: 1, cols: 4 }));
        let query = weights.load(QUERY).expect("there");
        assert_eq!(query.bytes, [32, 33, 34, 35, 36, 37, 38, 39]);
        assert_eq!(query.info.bytes(), Some(8));

        let embedding = weights.load(EMBEDDING).expect("there");
        assert_eq!((embedding.info.rows, embedding.info.cols, embedding.bytes[0]), (3, 2, 0));
        assert_eq!(weights.load(OUTPUT).expect("there").bytes[0], 64, "its own, as the file has one");

        let absent = of(WeightRole::Query, 0);
        assert_eq!(weights.describe(absent), None);
        assert_eq!(weights.load(absent).unwrap_err(), WeightError::Missing(absent));
    });
}

#[test]
fn a_tied_output_is_the_embedding() {
    released(true, |weights| {
        assert_eq!(weights.describe(OUTPUT), weights.describe(EMBEDDING));
        let embedding = weights.load(EMBEDDING).expect("there").bytes.as_ptr();
        assert_eq!(weights.load(OUTPUT).expect("there").bytes.as_ptr(), embedding);
    });
}

#[test]
fn a_release_hands_over_the_bytes() {
    let order = released(false, |weights| {
        weights.release(OUTPUT);
        weights.release(QUERY);
        weights.release(of(WeightRole::Key, 1));
        weights.release(EMBEDDING);
    });
    assert_eq!(order, [(64, 24), (32, 8), (0, 24)], "nothing for the tensor that is not there");
}

#[test]
fn a_tied_tensor_is_handed_over_when_both_roles_are_done() {
    for pair in [[EMBEDDING, OUTPUT], [OUTPUT, EMBEDDING]] {
        let order = released(true, |weights| {
            weights.release(pair[0]);
            weights.release(pair[0]);
            weights.release(QUERY);
            weights.release(pair[1]);
        });
        assert_eq!(order, [(32, 8), (0, 24)]);
    }
    // A device that is prepared again releases again.
    let again = released(true, |weights| {
        for id in [EMBEDDING, OUTPUT, EMBEDDING, OUTPUT] {
            weights.load(id).expect("still readable");
            weights.release(id);
        }
    });
    assert_eq!(again, [(0, 24), (0, 24)]);
}
