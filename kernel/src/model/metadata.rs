//! What a model file says of itself, as numbers and names by key.

use agentos_hal::{TensorInfo, WeightId};

/// The metadata of a model file, by the keys of GGUF without the architecture's prefix
/// (`block_count`, not `llama.block_count`).
///
/// Answers come from outside and may be anything; nothing here has been checked.
pub trait Metadata {
    /// The architecture's name: `general.architecture`.
    fn architecture(&self) -> Option<&str>;

    /// A whole number of at least 0; booleans are 0 and 1. `None` when there is no such key or its
    /// value is something else.
    fn uint(&self, key: &str) -> Option<u64>;

    /// A floating-point number. `None` when there is no such key or its value is something else; the
    /// kernel then asks for a whole one.
    fn float(&self, key: &str) -> Option<f64>;

    /// A text. `None` when there is no such key or its value is something else.
    fn text(&self, key: &str) -> Option<&str>;

    /// Type and size of a tensor; `None` when the model has none.
    fn tensor(&self, id: WeightId) -> Option<TensorInfo>;
}
