//! The trait that a backend implements.

use core::task::Poll;

use crate::dtype::DType;
use crate::error::{DeviceError, MaskError, PageError, PrepareError, SubmitError};
use crate::late::LateMasks;
use crate::limits::Limits;
use crate::page::{PAGE_TOKENS, PageId};
use crate::program::Program;
use crate::report::{Mass, StepReport};
use crate::shape::ModelShape;
use crate::step::Step;
use crate::weight::WeightSource;

/// What a device is, before any model is prepared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// The backend's name, as `--backend` takes it.
    pub backend: &'static str,
    /// The variant of its kernels that this machine gets.
    pub variant: &'static str,
    /// Weight types it has kernels for.
    pub dtypes: &'static [DType],
    /// Workers that share a step.
    pub threads: u32,
    /// What its matrix products make of their inputs.
    pub inputs: Inputs,
    /// What it does with masks that come later than their step.
    pub late_masks: LateMasks,
}

/// What the matrix products of a device make of their inputs, where weights are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inputs {
    /// They take them as they are.
    F32,
    /// They round each 32 to 16-bit integers, multiples of 1/32,767 of the greatest among them, and sum their
    /// products with the weights' integers without error.
    Int16,
    /// As `Int16`, to 8-bit integers, multiples of 1/127. For devices that are faster with them and people who
    /// ask for it: answers differ from those of the other two.
    Int8,
    /// They round each 32 to half precision, in parts of the greatest among them, and multiply them with the
    /// weights' integers and sum up to four such products in it. For whom `Int8` is for, too.
    F16,
}

impl Inputs {
    /// The most that an input may be off, in parts of the greatest of its 32: half a step, as a power of two. What
    /// sums of products are off counts as if their inputs were.
    pub const fn rounding(self) -> f64 {
        match self {
            Inputs::F32 => 0.0,
            Inputs::Int16 => 1.0 / 65_536.0,
            Inputs::Int8 => 1.0 / 256.0,
            // Half a step of a number below 1 is 2^-12, and each of four sums may be off by 2^-11 of itself.
            Inputs::F16 => 1.0 / 256.0,
        }
    }
}

/// The memory a prepared model takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Weights as the device keeps them.
    pub weights: u64,
    /// Page memory.
    pub pages: u64,
    /// Registers, step tables and everything else.
    pub scratch: u64,
}

/// What a page says of itself without being copied out.
#[derive(Debug)]
pub struct PageSummary<'a> {
    /// Filled with the mean of the page's stored keys (rotated by their offsets) per key/value head:
    /// `kv_heads · head_dim`.
    pub mean_key: &'a mut [f32],
    /// Filled with the attention mass that each of its tokens received since the page was last written
    /// at place 0 or copied to, summed over rows, heads and counted layers.
    pub mass: &'a mut [Mass; PAGE_TOKENS],
}

/// A tensor machine.
///
/// Life: `prepare` once, then any number of `submit`, `poll` until ready, and page operations
/// between steps. A call that fails leaves the device as it was, unless it says otherwise. A device
/// that was lost says so once, and from then on refuses everything as one that was never prepared.
/// [`crate::Lifecycle`] does the refusals.
pub trait TensorDevice {
    /// What this device is.
    fn caps(&self) -> Caps;

    /// Makes everything that steps within `limits` will need: pipelines, repacked weights, page
    /// memory, scratch. After it no step allocates. May be called again, for another model or
    /// after [`DeviceError::Lost`]; then nothing of the old model is left, and page memory is empty.
    ///
    /// # Errors
    /// Any [`PrepareError`]; the device then has no model.
    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError>;

    /// Accepts a step. The step is copied: its slices need not outlive the call.
    ///
    /// # Errors
    /// Any [`SubmitError`].
    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError>;

    /// Gives a mask that the step under way was submitted without. In any order; the words are copied.
    ///
    /// # Errors
    /// Any [`MaskError`]. A device that refuses such steps waits for no mask.
    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        let _ = words;
        Err(MaskError::Mask { mask })
    }

    /// Makes progress on the step. A device without workers of its own computes here. Pending as long as the
    /// step lacks a mask: what needs none is computed meanwhile.
    ///
    /// # Errors
    /// Any [`DeviceError`]; the step is then over.
    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>>;

    /// Copies a page to its image (see [`crate::page`]). While it is pending, call again with the
    /// same arguments; a device that copies at once is always ready.
    ///
    /// # Errors
    /// Any [`PageError`] but [`PageError::Layer`].
    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>>;

    /// Fills a page from an image. Ready as [`TensorDevice::copy_out`].
    ///
    /// # Errors
    /// Any [`PageError`] but [`PageError::Layer`].
    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>>;

    /// Copies pages inside the device, each pair from its first to its second, in order.
    ///
    /// # Errors
    /// [`PageError::NotPrepared`], [`PageError::Busy`], [`PageError::Page`] (then nothing was
    /// copied), [`PageError::Lost`].
    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError>;

    /// Summarises the first `tokens` tokens of a page at one layer. Ready as
    /// [`TensorDevice::copy_out`].
    ///
    /// # Errors
    /// Any [`PageError`]; [`PageError::Length`] also when `tokens` is 0 or over `PAGE_TOKENS`.
    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>>;
}

/// A device that is lent.
impl<D: TensorDevice + ?Sized> TensorDevice for &mut D {
    fn caps(&self) -> Caps {
        (**self).caps()
    }

    fn prepare(
        &mut self,
        program: &Program,
        shape: &ModelShape,
        limits: &Limits,
        weights: &mut dyn WeightSource,
    ) -> Result<Footprint, PrepareError> {
        (**self).prepare(program, shape, limits, weights)
    }

    fn submit(&mut self, step: &Step<'_>) -> Result<(), SubmitError> {
        (**self).submit(step)
    }

    fn allow(&mut self, mask: u16, words: &[u32]) -> Result<(), MaskError> {
        (**self).allow(mask, words)
    }

    fn poll(&mut self) -> Poll<Result<StepReport<'_>, DeviceError>> {
        (**self).poll()
    }

    fn copy_out(&mut self, page: PageId, image: &mut [u8]) -> Poll<Result<(), PageError>> {
        (**self).copy_out(page, image)
    }

    fn copy_in(&mut self, page: PageId, image: &[u8]) -> Poll<Result<(), PageError>> {
        (**self).copy_in(page, image)
    }

    fn copy_pages(&mut self, pairs: &[(PageId, PageId)]) -> Result<(), PageError> {
        (**self).copy_pages(pairs)
    }

    fn summarise(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: PageSummary<'_>,
    ) -> Poll<Result<(), PageError>> {
        (**self).summarise(page, layer, tokens, summary)
    }
}
