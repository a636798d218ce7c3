//! A GGUF file as the kernel's model metadata.

use agentos_gguf::{Gguf, names};
use agentos_hal::{TensorInfo, WeightId, WeightRole};
use agentos_kernel::model::Metadata;

/// The metadata of a parsed file.
pub struct FileMetadata<'a>(pub Gguf<'a>);

impl Metadata for FileMetadata<'_> {
    fn architecture(&self) -> Option<&str> {
        self.0.architecture()
    }

    fn uint(&self, key: &str) -> Option<u64> {
        let value = self.0.arch_get(key)?;
        value.as_uint().or(value.as_bool().map(u64::from))
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.0.arch_float(key)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.arch_text(key)
    }

    fn tensor(&self, id: WeightId) -> Option<TensorInfo> {
        // The kernel learns from the absence that the output is tied to the embedding.
        if id.role == WeightRole::Output && names::ties_output(&self.0) {
            return None;
        }
        names::find(&self.0, id).map(|tensor| tensor.info)
    }
}
