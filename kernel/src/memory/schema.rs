//! What stays of a slice when it is not resident: its mean key at one layer, by which it is found again
//! (paper §3.1, latent schema). It is an index entry and never stands in for the slice.

use core::task::Poll;

use agentos_hal::device::PageSummary;
use agentos_hal::{Mass, PAGE_TOKENS, PageError, PageId, TensorDevice};

use super::slices::SliceId;

/// A page whose keys are being added up.
#[derive(Clone, Copy, Debug)]
struct Summing {
    /// Of which slice; `None` when that is gone.
    slice: Option<SliceId>,
    page: PageId,
    tokens: u8,
    /// Tokens of the pages before it.
    before: u8,
}

/// The table of mean keys: a row for each slot of the slice table, the sum of the slice's keys.
#[derive(Debug)]
pub struct Schemas<'m> {
    rows: &'m mut [f32],
    /// One page's mean key.
    mean: &'m mut [f32],
    layer: u32,
    summing: Option<Summing>,
}

impl<'m> Schemas<'m> {
    /// A table of `rows` of as many numbers as `mean` has, all of one layer. Without any, no slice has a
    /// schema.
    pub fn new(rows: &'m mut [f32], mean: &'m mut [f32], layer: u32) -> Schemas<'m> {
        Schemas { rows, mean, layer, summing: None }
    }

    /// Whether slices have schemas.
    pub fn any(&self) -> bool {
        !self.mean.is_empty()
    }

    /// The sum of a slice's keys.
    pub fn row(&self, slice: SliceId) -> &[f32] {
        let width = self.mean.len();
        &self.rows[slice.0 as usize * width..][..width]
    }

    /// The same, to be filled from elsewhere.
    pub fn row_mut(&mut self, slice: SliceId) -> &mut [f32] {
        let width = self.mean.len();
        &mut self.rows[slice.0 as usize * width..][..width]
    }

    /// Whether the device has not given a page's mean key yet.
    pub fn is_summing(&self) -> bool {
        self.summing.is_some()
    }

    /// The page that is being added up is nobody's any more.
    pub fn forget(&mut self, slice: SliceId) {
        if let Some(summing) = &mut self.summing
            && summing.slice == Some(slice)
        {
            summing.slice = None;
        }
    }

    /// The device is gone, and what it was asked with it.
    pub fn lose_device(&mut self) {
        self.summing = None;
    }

    /// Begins to add the keys of a page to a slice's; [`Schemas::go_on`] does it.
    pub fn begin(&mut self, slice: SliceId, page: PageId, tokens: u8, before: u8) {
        assert!(self.summing.is_none(), "one page is summed at a time");
        self.summing = Some(Summing { slice: Some(slice), page, tokens, before });
    }

    /// Goes on with the page that is being added up, if there is one. Returns the slice, and of how many of
    /// its tokens the keys are added up now.
    ///
    /// # Errors
    /// As [`TensorDevice::summarise`], but [`PageError::Busy`], which is waited for.
    pub fn go_on(&mut self, device: &mut dyn TensorDevice) -> Poll<Result<Option<(SliceId, u8)>, PageError>> {
        let Some(Summing { slice, page, tokens, before }) = self.summing else {
            return Poll::Ready(Ok(None));
        };
        let mut mass = [Mass(0); PAGE_TOKENS];
        let summary = PageSummary { mean_key: self.mean, mass: &mut mass };
        match device.summarise(page, self.layer, usize::from(tokens), summary) {
            Poll::Pending | Poll::Ready(Err(PageError::Busy)) => return Poll::Pending,
            Poll::Ready(Err(error)) => {
                self.summing = None;
                return Poll::Ready(Err(error));
            }
            Poll::Ready(Ok(())) => self.summing = None,
        }
        let Some(slice) = slice else { return Poll::Ready(Ok(None)) };
        let width = self.mean.len();
        let row = &mut self.rows[slice.0 as usize * width..][..width];
        if before == 0 {
            row.fill(0.0);
        }
        let weight = f32::from(tokens);
        row.iter_mut().zip(self.mean.iter()).for_each(|(sum, mean)| *sum += weight * mean);
        Poll::Ready(Ok(Some((slice, before + tokens))))
    }
}
