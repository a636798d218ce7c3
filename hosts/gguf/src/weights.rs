//! The file as a device's source of weights.

use agentos_hal::{Tensor, TensorInfo, WeightError, WeightId, WeightRole, WeightSource};

use crate::gguf::Gguf;
use crate::names;

/// Hands a file's tensors to a device by role, and tells the host which bytes it may drop.
///
/// When a device has released a tensor, `on_release` gets the tensor's bytes, each exactly once per
/// release. A host with a memory map may drop the whole pages inside them from its resident memory
/// (round inwards: the neighbours' bytes are still wanted); they must stay readable, because a
/// device may be prepared again from the same source. Dropped pages of a mapped file are read again
/// then.
///
/// Where the file ties the output projection to the token embedding, two roles share the bytes; the
/// host is told when both have been released.
pub struct GgufWeights<'a, F> {
    gguf: Gguf<'a>,
    on_release: F,
    /// The role that has been released, of the two that share a tied embedding.
    half_released: Option<WeightRole>,
}

impl<'a, F: FnMut(&'a [u8])> GgufWeights<'a, F> {
    /// A source over `gguf`; a host that has nothing to drop gives `|_| {}`.
    pub fn new(gguf: Gguf<'a>, on_release: F) -> GgufWeights<'a, F> {
        GgufWeights { gguf, on_release, half_released: None }
    }

    /// Notes the release; whether nobody is left who wants the tensor.
    fn last_release(&mut self, role: WeightRole) -> bool {
        let shared = matches!(role, WeightRole::TokenEmbedding | WeightRole::Output);
        if !shared || !names::ties_output(&self.gguf) {
            return true;
        }
        match self.half_released {
            Some(other) if other != role => {
                self.half_released = None;
                true
            }
            _ => {
                self.half_released = Some(role);
                false
            }
        }
    }
}

impl<'a, F: FnMut(&'a [u8])> WeightSource for GgufWeights<'a, F> {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        names::find(&self.gguf, id).map(|tensor| tensor.info)
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        names::find(&self.gguf, id).map(|tensor| tensor.tensor()).ok_or(WeightError::Missing(id))
    }

    fn release(&mut self, id: WeightId) {
        if let Some(tensor) = names::find(&self.gguf, id)
            && self.last_release(id.role)
        {
            (self.on_release)(tensor.bytes);
        }
    }
}
