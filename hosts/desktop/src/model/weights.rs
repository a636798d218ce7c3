//! The file's tensors as a source of weights that keeps no memory behind what was taken from it.

use agentos_gguf::{Gguf, GgufWeights, names};
use agentos_hal::{Tensor, TensorInfo, WeightError, WeightId, WeightSource};

use crate::map::ModelMap;

/// [`GgufWeights`] over a map. A tensor's pages are dropped at each release, also when a second role
/// shares them: reading them again from the system's cache is cheap, and holding on to a large
/// embedding until the end of `prepare` would make the most memory that the program ever takes larger
/// by it.
pub struct MappedWeights<'m> {
    weights: GgufWeights<'m, fn(&'m [u8])>,
    gguf: Gguf<'m>,
    map: &'m ModelMap,
}

impl<'m> MappedWeights<'m> {
    /// The weights of a parsed file that lies in `map`.
    pub fn new(gguf: Gguf<'m>, map: &'m ModelMap) -> MappedWeights<'m> {
        MappedWeights { weights: GgufWeights::new(gguf, |_| ()), gguf, map }
    }
}

impl WeightSource for MappedWeights<'_> {
    fn describe(&self, id: WeightId) -> Option<TensorInfo> {
        self.weights.describe(id)
    }

    fn load(&mut self, id: WeightId) -> Result<Tensor<'_>, WeightError> {
        self.weights.load(id)
    }

    fn release(&mut self, id: WeightId) {
        if let Some(tensor) = names::find(&self.gguf, id) {
            self.map.release(tensor.bytes);
        }
    }
}
