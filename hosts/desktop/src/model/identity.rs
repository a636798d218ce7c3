//! What tells one model from another.

use sha2::{Digest, Sha256};

use super::ModelFile;

/// Bytes that are looked at in one place of a tensor.
const SAMPLE: usize = 4096;

/// Identifies a model with its tokenizer: all that its file says of itself, and samples of every tensor
/// from its beginning, its middle and its end. It tells files apart that somebody may take for the same,
/// in milliseconds however large they are; it is no defence against a forger.
pub fn identity(file: &ModelFile<'_>) -> [u8; 32] {
    let bytes = file.map.bytes();
    let mut hash = Sha256::new();
    hash.update((bytes.len() as u64).to_le_bytes());
    let place = |tensor: &[u8]| tensor.as_ptr().addr() - bytes.as_ptr().addr();
    let data_at = file.gguf.tensors().map(|tensor| place(tensor.bytes)).min().unwrap_or(bytes.len());
    hash.update(&bytes[..data_at]);
    for tensor in file.gguf.tensors() {
        let last = tensor.bytes.len().saturating_sub(SAMPLE);
        for at in [0, last / 2, last] {
            hash.update(&tensor.bytes[at..(at + SAMPLE).min(tensor.bytes.len())]);
        }
    }
    hash.finalize().into()
}
