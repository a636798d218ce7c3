//! The life of a device: what it was prepared for, whether a step is under way, and every refusal
//! that follows from these two. A backend that keeps its machine in a [`Lifecycle`] refuses what it
//! must, in the right order and with the right error, and is left with the work itself.

use crate::device::PageSummary;
use crate::error::{DeviceError, MaskError, PageError, PrepareError, SubmitError};
use crate::late::Outstanding;
use crate::limits::Limits;
use crate::page::{self, PAGE_TOKENS, PageId};
use crate::program::Program;
use crate::shape::ModelShape;
use crate::step::{Step, StepFault};

/// What a device was prepared for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prepared {
    /// The forward pass.
    pub program: Program,
    /// The model's sizes.
    pub shape: ModelShape,
    /// The worst step, and page memory.
    pub limits: Limits,
}

impl Prepared {
    /// What every `prepare` checks before anything else.
    ///
    /// # Errors
    /// [`PrepareError::Shape`], [`PrepareError::Program`].
    pub fn new(program: &Program, shape: &ModelShape, limits: &Limits) -> Result<Prepared, PrepareError> {
        shape.check()?;
        program.verify(shape)?;
        Ok(Prepared { program: *program, shape: *shape, limits: *limits })
    }

    /// Bytes of a page image.
    pub const fn image_bytes(&self) -> usize {
        page::image_bytes(&self.shape, self.limits.kv)
    }

    /// Bytes of page memory, without what a device adds for itself.
    pub const fn page_bytes(&self) -> u64 {
        (self.image_bytes() as u64).saturating_mul(self.limits.pages as u64)
    }

    fn check_page(&self, page: PageId) -> Result<(), PageError> {
        if page.0 < self.limits.pages { Ok(()) } else { Err(PageError::Page(page)) }
    }

    fn check_summary(&self, layer: u32, tokens: usize, summary: &PageSummary<'_>) -> Result<(), PageError> {
        if layer >= self.shape.layers {
            return Err(PageError::Layer(layer));
        }
        if tokens == 0 || tokens > PAGE_TOKENS {
            return Err(PageError::Length { found: tokens, expected: PAGE_TOKENS });
        }
        check_length(summary.mean_key.len(), self.shape.kv_width() as usize)
    }
}

fn check_length(found: usize, expected: usize) -> Result<(), PageError> {
    if found == expected { Ok(()) } else { Err(PageError::Length { found, expected }) }
}

/// A device's machine `M`, made in `prepare`, and where it is in its life: without a model, idle, or
/// at a step.
///
/// | [`TensorDevice`](crate::TensorDevice) | here |
/// |---|---|
/// | `prepare` | [`clear`](Self::clear), [`Prepared::new`], the work, [`ready`](Self::ready) |
/// | `submit` | [`submit`](Self::submit), the copy of the step |
/// | `allow` | [`allow`](Self::allow), the copy of the mask |
/// | `poll` | [`running`](Self::running) while it may take longer or [`lacks_masks`](Self::lacks_masks), [`finish`](Self::finish) with the report |
/// | `copy_out`, `copy_in` | [`image`](Self::image), the copy |
/// | `copy_pages` | [`copies`](Self::copies), the copies |
/// | `summarise` | [`summary`](Self::summary), the work |
/// | a device that was lost | [`clear`](Self::clear) |
///
/// `poll` of a device that computes by itself and may be lost:
///
/// ```
/// # use core::task::Poll;
/// # use agentos_hal::{DeviceError, Lifecycle, StepReport};
/// # struct Queue;
/// # impl Queue {
/// #     fn collect(&mut self) -> Poll<Result<(), DeviceError>> { Poll::Pending }
/// #     fn report(&self) -> Result<StepReport<'_>, DeviceError> { Ok(StepReport::default()) }
/// # }
/// fn poll(life: &mut Lifecycle<Queue>) -> Poll<Result<StepReport<'_>, DeviceError>> {
///     match life.running().map(Queue::collect) {
///         Ok(Poll::Pending) => Poll::Pending,
///         Ok(Poll::Ready(Err(DeviceError::Lost))) => {
///             life.clear();
///             Poll::Ready(Err(DeviceError::Lost))
///         }
///         Ok(Poll::Ready(collected)) => {
///             Poll::Ready(life.finish().and_then(|queue| collected.and_then(|()| queue.report())))
///         }
///         Err(idle) => Poll::Ready(Err(idle)),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Lifecycle<M> {
    model: Option<(Prepared, M)>,
    running: bool,
    takes_late_masks: bool,
    outstanding: Outstanding,
}

impl<M> Lifecycle<M> {
    /// A device without a model, which refuses steps whose masks come later.
    pub const fn new() -> Lifecycle<M> {
        Lifecycle { model: None, running: false, takes_late_masks: false, outstanding: Outstanding::NONE }
    }

    /// A device without a model, which takes them.
    pub const fn with_late_masks() -> Lifecycle<M> {
        Lifecycle { model: None, running: false, takes_late_masks: true, outstanding: Outstanding::NONE }
    }

    /// Forgets the model and the step under way: `prepare` begins, or the device is lost.
    pub fn clear(&mut self) {
        (self.model, self.running, self.outstanding) = (None, false, Outstanding::NONE);
    }

    /// `prepare` has made everything.
    pub fn ready(&mut self, prepared: Prepared, machine: M) {
        self.clear();
        self.model = Some((prepared, machine));
    }

    /// Checks a step; it is under way from here until [`Lifecycle::finish`].
    ///
    /// # Errors
    /// Any [`SubmitError`]; nothing has changed then.
    pub fn submit(&mut self, step: &Step<'_>) -> Result<&mut M, SubmitError> {
        let (prepared, machine) = self.model.as_mut().ok_or(SubmitError::NotPrepared)?;
        if self.running {
            return Err(SubmitError::Busy);
        }
        step.check(&prepared.shape, &prepared.limits, &prepared.program)?;
        if let Some(mask) = step.late_masks().next().filter(|_| !self.takes_late_masks) {
            return Err(StepFault::LateMask { mask: mask as u32 }.into());
        }
        (self.running, self.outstanding) = (true, Outstanding::of(step));
        Ok(machine)
    }

    /// Checks a mask that the step under way was submitted without; it is no longer outstanding then.
    ///
    /// # Errors
    /// Any [`MaskError`]; nothing has changed then.
    pub fn allow(&mut self, mask: u16, words: &[u32]) -> Result<&mut M, MaskError> {
        let (prepared, machine) = self.model.as_mut().filter(|_| self.running).ok_or(MaskError::Idle)?;
        self.outstanding.give(mask, words, &prepared.shape)?;
        Ok(machine)
    }

    /// Whether the step under way lacks a mask: `poll` is pending until it is there.
    pub fn lacks_masks(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// The machine at its step.
    ///
    /// # Errors
    /// [`DeviceError::Idle`].
    pub fn running(&mut self) -> Result<&mut M, DeviceError> {
        let (_, machine) = self.model.as_mut().filter(|_| self.running).ok_or(DeviceError::Idle)?;
        Ok(machine)
    }

    /// Ends the step, whether it has a report or failed.
    ///
    /// # Errors
    /// [`DeviceError::Idle`].
    pub fn finish(&mut self) -> Result<&mut M, DeviceError> {
        self.running()?;
        (self.running, self.outstanding) = (false, Outstanding::NONE);
        let (_, machine) = self.model.as_mut().ok_or(DeviceError::Idle)?;
        Ok(machine)
    }

    /// Checks that a page may be copied to or from an image of `bytes` bytes.
    ///
    /// # Errors
    /// [`PageError::NotPrepared`], [`PageError::Busy`], [`PageError::Page`], [`PageError::Length`].
    pub fn image(&mut self, page: PageId, bytes: usize) -> Result<&mut M, PageError> {
        let (prepared, machine) = self.idle()?;
        prepared.check_page(page)?;
        check_length(bytes, prepared.image_bytes())?;
        Ok(machine)
    }

    /// Checks that all these pages may be copied, each pair from its first to its second.
    ///
    /// # Errors
    /// [`PageError::NotPrepared`], [`PageError::Busy`], [`PageError::Page`].
    pub fn copies(&mut self, pairs: &[(PageId, PageId)]) -> Result<&mut M, PageError> {
        let (prepared, machine) = self.idle()?;
        pairs.iter().try_for_each(|&(from, to)| {
            prepared.check_page(from)?;
            prepared.check_page(to)
        })?;
        Ok(machine)
    }

    /// Checks that the first `tokens` tokens of a page may be summarised at a layer.
    ///
    /// # Errors
    /// Any [`PageError`] but [`PageError::Lost`].
    pub fn summary(
        &mut self,
        page: PageId,
        layer: u32,
        tokens: usize,
        summary: &PageSummary<'_>,
    ) -> Result<&mut M, PageError> {
        let (prepared, machine) = self.idle()?;
        prepared.check_page(page)?;
        prepared.check_summary(layer, tokens, summary)?;
        Ok(machine)
    }

    fn idle(&mut self) -> Result<(&Prepared, &mut M), PageError> {
        let (prepared, machine) = self.model.as_mut().ok_or(PageError::NotPrepared)?;
        if self.running { Err(PageError::Busy) } else { Ok((prepared, machine)) }
    }
}

impl<M> Default for Lifecycle<M> {
    fn default() -> Self {
        Lifecycle::new()
    }
}
